import { describe, expect, test } from 'vitest';
import { Api } from '../platform/api';
import { TestBrowser } from '../platform/testing';
import { b64 } from '../protocol/bytes';
import { formatClaim, formatInvite } from '../protocol/invite';
import { carriedTo, lookAt, parsePair } from './invites';
import type { Link } from './types';

const bytes = (n: number, length: number): Uint8Array<ArrayBuffer> => new Uint8Array(length).fill(n);
const here = { host: 'relay.example', port: 443 };

/** Looks at a text in a browser whose relay gives these answers. */
function look(text: string, answers: Readonly<Record<string, unknown>> = {}): Promise<Link> {
  const tab = new TestBrowser('https://relay.example').tab();
  tab.asks = (url) => {
    const answer = answers[new URL(url).pathname.replace('/api/1/', '')];
    const [status, body] = answer === undefined ? [404, { code: 'invite-unknown', params: {} }] : [200, answer];
    return Promise.resolve(new Response(JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json' } }));
  };
  return lookAt(text, tab, new Api(tab), undefined);
}

describe('what stands behind a text', () => {
  const claim = formatClaim({ kind: 'claim', ...here, token: bytes(1, 16), relayKey: bytes(2, 32), home: { id: bytes(3, 32), code: bytes(4, 10) } });
  const relay = { key: b64(bytes(2, 32)), host: 'relay.example', claimed: false, version: '1', time: 1 };

  test('a claim, unless somebody was faster or another relay answers', async () => {
    expect(await look(claim, { relay })).toEqual({ kind: 'claim', url: claim, home: true });
    expect(await look(` ${claim}\n`, { relay })).toMatchObject({ kind: 'claim' });
    expect(await look(claim, { relay: { ...relay, claimed: true } })).toEqual({ kind: 'spent' });
    expect(await look(claim, { relay: { ...relay, key: b64(bytes(9, 32)) } })).toEqual({ kind: 'unknown' });
  });

  test('an invite that was used', async () => {
    const invite = formatInvite({ kind: 'invite', ...here, id: bytes(1, 16), uid: bytes(2, 32), head: bytes(3, 32), secret: bytes(4, 16) });
    expect(await look(invite)).toEqual({ kind: 'spent' });
  });

  test('an invite whose answer names another person is refused', async () => {
    const id = bytes(1, 16);
    const invite = formatInvite({ kind: 'invite', ...here, id, uid: bytes(2, 32), head: bytes(3, 32), secret: bytes(4, 16) });
    const answers = { [`invites/${b64(id)}`]: { uid: b64(bytes(7, 32)), username: 'eve', card: '' } };
    await expect(look(invite, answers)).rejects.toMatchObject({ code: 'invite-bad' });
  });

  test('a handover, a pairing, a handle', async () => {
    const handover = `https://relay.example/app/#handover.${b64(bytes(1, 16))}.${b64(bytes(2, 32))}`;
    expect(await look(handover)).toEqual({ kind: 'handover', url: handover });
    expect(await look('relay.example/H4JC-0JPH-7ZTK-KY60')).toMatchObject({ kind: 'pair', code: 'relay.example/H4JC-0JPH-7ZTK-KY60' });
    expect(await look('https://relay.example/app/#pair.relay.example/h4jc-0jph-7ztk-ky60')).toMatchObject({ kind: 'pair', code: 'relay.example/H4JC-0JPH-7ZTK-KY60' });
    expect(await look('@Wei@relay.example')).toEqual({ kind: 'person', handle: 'wei@relay.example', uid: undefined });
  });

  test('one of another courtyard says so', async () => {
    await expect(look(claim.replace('relay.example', 'other.example'))).rejects.toMatchObject({ code: 'elsewhere', params: { host: 'other.example' } });
    await expect(look('other.example/H4JC-0JPH-7ZTK-KY60')).rejects.toMatchObject({ code: 'elsewhere' });
  });

  test('an invite of another courtyard, as a link and taken along, leads there for whoever is not signed in', async () => {
    const invite = formatInvite({ kind: 'invite', host: 'other.example', port: 8443, id: bytes(1, 16), uid: bytes(2, 32), head: bytes(3, 32), secret: bytes(4, 16) });
    const elsewhere = { kind: 'elsewhere', url: invite, host: 'other.example:8443' };
    expect(await look(invite)).toEqual(elsewhere);
    expect(await look(carriedTo(invite, 'wei@Relay.example'))).toEqual(elsewhere);
    expect(await look('https://relay.example/app/#invited.%E4%B8')).toEqual({ kind: 'unknown' });
    expect(await look(`https://relay.example/app/#invited.${encodeURIComponent('javascript:alert(1)')}`)).toEqual({ kind: 'unknown' });
  });

  test.each([
    ['wei@relay.example', 'https://relay.example/app/#invited.'],
    [' @Wei@relay.example:8443 ', 'https://relay.example:8443/app/#invited.'],
    ['relay.example', 'https://relay.example/app/#invited.'],
    ['https://relay.example/app/#/friends', 'https://relay.example/app/#invited.'],
    ['localhost:8787', 'http://localhost:8787/app/#invited.'],
    ['wei@127.0.0.2:8787', 'http://127.0.0.2:8787/app/#invited.'],
  ])('%s is where an invite is taken to', (address, begins) => {
    const invite = formatInvite({ kind: 'invite', ...here, id: bytes(1, 16), uid: bytes(2, 32), head: bytes(3, 32), secret: bytes(4, 16) });
    expect(carriedTo(invite, address)).toBe(begins + encodeURIComponent(invite));
  });

  test.each(['', 'wei@', '@relay.example/..@x', 'javascript:alert(1)', 'relay.example@evil@x', 'relay example'])('%s is no address to take an invite to', (address) => {
    const invite = formatInvite({ kind: 'invite', ...here, id: bytes(1, 16), uid: bytes(2, 32), head: bytes(3, 32), secret: bytes(4, 16) });
    expect(() => carriedTo(invite, address)).toThrow(expect.objectContaining({ code: 'handle-bad' }));
  });

  test.each(['', 'hello', 'https://relay.example/', 'https://relay.example/i/AAAA#1.x', 'javascript:alert(1)', `${'x'.repeat(5000)}@`])('%s is nothing', async (text) => {
    expect(await look(text)).toEqual({ kind: 'unknown' });
  });
});

test('a code keeps the host it was made for', () => {
  expect(parsePair('localhost:8787/H4JC-0JPH-7ZTK-KY60').host).toEqual({ host: 'localhost', port: 8787 });
});
