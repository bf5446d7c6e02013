import { describe, expect, test } from 'vitest';
import { elsewhere, surroundings } from '../door/surroundings';
import { lack } from '../door/support';
import { lasting, parse, path, room, type Route } from '../shell/routes';

function at(address: string): Route {
  const url = new URL(address, 'https://hutong.example.org');
  return parse({ pathname: url.pathname, hash: url.hash, href: url.href }, '/app/');
}

const mei = `Ab-_${'9'.repeat(39)}`;
const photo = 'd'.repeat(22);

describe('addresses', () => {
  const screens: readonly (readonly [string, Route])[] = [
    ['/app/', { screen: 'start' }],
    ['/app/#/', { screen: 'start' }],
    ['/app/#/chats', { screen: 'chats' }],
    ['/app/#/new', { screen: 'new' }],
    [`/app/#/chats/${mei}`, { screen: 'talk', peer: mei, photo: undefined }],
    [`/app/#/chats/${mei}/photo/${photo}`, { screen: 'talk', peer: mei, photo }],
    ['/app/#/wall', { screen: 'wall', sheet: undefined }],
    ['/app/#/wall/write', { screen: 'wall', sheet: 'write' }],
    [`/app/#/wall/of/${mei}`, { screen: 'author', uid: mei }],
    ['/app/#follow.wei@courtyard.example:8443', { screen: 'follow', handle: 'wei@courtyard.example:8443' }],
    ['/app/#/friends', { screen: 'friends', sheet: undefined }],
    ['/app/#/friends/scan', { screen: 'friends', sheet: 'scan' }],
    [`/app/#/people/${mei}`, { screen: 'person', uid: mei }],
    ['/app/#/me', { screen: 'me', page: undefined }],
    ['/app/#/me/card', { screen: 'me', page: 'card' }],
    ['/app/#/restore', { screen: 'restore' }],
  ];

  test.each(screens)('%s', (address, route) => {
    expect(at(address)).toEqual(route);
    if (address !== '/app/') expect(`/app/${path(route) ?? ''}`).toBe(address);
  });

  test.each(['/app/#/chats/a b', '/app/#/chats/a/b', '/app/#/me/none', '/app/#/friends/none', '/app/#/wall/x', '/app/#/wall/of', '/app/#/wall/of/x', '/app/#/wall/write/x', '/app/#/x', '/app/#/people', '/app/#/chats/a/photo/b/c', '/elsewhere'])(
    '%s is nowhere',
    (address) => {
      expect(at(address)).toEqual({ screen: 'unknown' });
    },
  );

  test('what holds a secret is a link, and never remembered', () => {
    for (const address of ['/i/abc#1.u.h.s', '/i/claim#0.t.k', '/app/#handover.s.u', '/app/#pair.x']) {
      const route = at(address);
      expect(route).toEqual({ screen: 'link', url: `https://hutong.example.org${address}` });
      expect(path(route)).toBeUndefined();
      expect(lasting(route)).toBe(false);
    }
  });

  test('the app opens again on rooms and conversations, not on sheets', () => {
    expect(screens.filter(([, route]) => lasting(route)).map(([address]) => address)).toEqual([
      '/app/#/chats', `/app/#/chats/${mei}`, '/app/#/wall', '/app/#/friends', '/app/#/me',
    ]);
  });

  test('every screen within the app belongs to a room', () => {
    expect(room(at(`/app/#/people/${mei}`))).toBe('friends');
    expect(room(at(`/app/#/chats/${mei}`))).toBe('chats');
    expect(room(at('/app/#/me/card'))).toBe('me');
    expect(room(at('/i/abc#1'))).toBeUndefined();
  });
});

describe('the window the app was opened in', () => {
  const ios = 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)';
  const look = (userAgent: string, displayed = false, maxTouchPoints = 5): ReturnType<typeof surroundings> => surroundings({ userAgent, maxTouchPoints }, displayed);

  test('real browsers', () => {
    expect(look(`${ios} Version/18.0 Mobile/15E148 Safari/604.1`)).toEqual({ system: 'ios', standalone: false, safari: true, embeddedIn: undefined });
    expect(look(`${ios} CriOS/130.0 Mobile/15E148 Safari/604.1`)).toMatchObject({ system: 'ios', safari: false, embeddedIn: undefined });
    expect(look('Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36')).toMatchObject({ system: 'android', embeddedIn: undefined });
    expect(look('Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15', false, 0)).toMatchObject({ system: 'other', embeddedIn: undefined });
  });

  test('an iPad that calls itself a Mac', () => {
    expect(look('Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15')).toMatchObject({ system: 'ios', safari: true });
  });

  test('an icon on the home screen of an iPhone does not call itself Safari, and is no window of another app', () => {
    expect(look(`${ios} Mobile/15E148`, true)).toMatchObject({ standalone: true, embeddedIn: undefined });
  });

  test.each([
    [`${ios} Mobile/15E148 MicroMessenger/8.0.50(0x18003231) NetType/WIFI Language/zh_CN`, 'WeChat'],
    ['Mozilla/5.0 (Linux; Android 14; wv) AppleWebKit/537.36 Version/4.0 Chrome/120 Mobile Safari/537.36 WhatsApp/2.24', 'WhatsApp'],
    [`${ios} Mobile/15E148 [FBAN/FBIOS;FBAV/400.0]`, 'Facebook'],
    [`${ios} Mobile/15E148 Instagram 300.0`, 'Instagram'],
    [`${ios} Safari/604.1 Line/13.0`, 'LINE'],
    [`${ios} Mobile/15E148`, ''],
    ['Mozilla/5.0 (Linux; Android 14; Pixel 8; wv) AppleWebKit/537.36 Version/4.0 Chrome/120 Mobile Safari/537.36', ''],
  ])('%s', (agent, app) => {
    expect(look(agent).embeddedIn).toBe(app);
  });

  test('the way out keeps the secret in the address', () => {
    const link = 'https://hutong.example.org/i/abc#1.u.h.s';
    expect(elsewhere(link, 'ios')).toBe('x-safari-https://hutong.example.org/i/abc#1.u.h.s');
    const intent = elsewhere(link, 'android') ?? '';
    // Android takes what stands behind the last #.
    expect(intent.slice(0, intent.lastIndexOf('#'))).toBe('intent://hutong.example.org/i/abc#1.u.h.s');
    expect(elsewhere(link, 'other')).toBeUndefined();
  });
});

describe('what the window lacks', () => {
  const whole = { isSecureContext: true, crypto: { subtle: globalThis.crypto.subtle }, indexedDB: {}, WebSocket: {}, navigator: { locks: {} } };

  test('nothing', async () => {
    expect(await lack(whole)).toBeUndefined();
  });

  test('a private connection', async () => {
    expect(await lack({ ...whole, isSecureContext: false })).toBe('insecure');
    expect(await lack({ ...whole, crypto: {} })).toBe('insecure');
  });

  test('a place to keep anything', async () => {
    expect(await lack({ ...whole, indexedDB: undefined })).toBe('storage');
  });

  test('the locks', async () => {
    const subtle = { generateKey: () => Promise.reject(new DOMException('no such algorithm', 'NotSupportedError')) } as unknown as SubtleCrypto;
    expect(await lack({ ...whole, crypto: { subtle } })).toBe('unsupported');
    expect(await lack({ ...whole, navigator: {} })).toBe('unsupported');
  });
});
