/** Notifications, with whole engines against the real relay; the browser's maker is a service on this machine. */

import 'fake-indexeddb/auto';
import { createServer, type Server } from 'node:http';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { NotifyWords } from './domain/types';
import { complaints, depart, Player, until } from './platform/players';
import { freePort, TestRelay } from './platform/testrelay';

vi.setConfig({ testTimeout: 120_000 });

const words: NotifyWords = { one: 'New message', many: '{n} new messages', friend: 'Friends', call: 'Calls', tested: 'Test' };

let relay: TestRelay;
let owner: Player;
let maker: Server;
/** endpoints that were pushed to */
const pushed: string[] = [];
let status = 201;
let service: string;

beforeAll(async () => {
  const port = await freePort();
  maker = createServer((request, response) => {
    pushed.push(request.url ?? '');
    request.resume();
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => maker.listen(port, '127.0.0.1', resolve));
  service = `http://127.0.0.1:${String(port)}`;
  relay = await TestRelay.start(`--push-host=127.0.0.1:${String(port)}`, '--reach=127.0.0.0/8');
  owner = new Player(relay);
  await owner.app.join(await relay.claim(), '林美', 'mei');
  await owner.online();
}, 180_000);

afterEach(() => {
  status = 201;
  expect(complaints()).toEqual([]);
});

afterAll(async () => {
  depart();
  await relay.end();
  maker.closeAllConnections();
  await new Promise((resolve) => maker.close(resolve));
});

/** The path of somebody's endpoint. */
function path(player: Player): string {
  return new URL(player.browser.pushes.address?.endpoint ?? 'http://none/').pathname;
}

/** Comes in; both know that they are friends. */
async function guest(name: string, username: string): Promise<Player> {
  const player = await Player.invited(owner, name, username);
  await until(() => owner.app.people().some(({ uid, state }) => uid === player.uid && state === 'friend'));
  return player;
}

async function subscribed(name: string, username: string): Promise<Player> {
  const player = await guest(name, username);
  player.browser.pushes.service = service;
  expect(await (await player.app.notifications()).turnOn(words)).toBe('on');
  return player;
}

/** Browser and courtyard agree: what is asked for now is done after that. */
async function kept(player: Player): Promise<void> {
  await player.online();
  await (await player.app.notifications()).mute(player.uid, false);
}

async function wakes(player: Player, text: string): Promise<void> {
  const there = path(player);
  const { uid } = player;
  const before = pushed.filter((each) => each === there).length;
  await owner.app.send(uid, text);
  await until(() => pushed.filter((each) => each === there).length > before);
}

test('says in what way it cannot be', async () => {
  const ann = await Player.invited(owner, 'Ann', 'ann');
  const notifications = await ann.app.notifications();
  const { pushes } = ann.browser;
  expect(await notifications.state()).toBe('off');
  expect(await notifications.turnOn(words)).toBe('blocked');
  expect(await notifications.state()).toBe('blocked');
  await notifications.turnOff();
  expect(await notifications.state()).toBe('off');
  pushes.answer = 'denied';
  expect(await notifications.turnOn(words)).toBe('denied');
  expect(await notifications.state()).toBe('denied');
  pushes.lack = 'icon';
  expect(await notifications.turnOn(words)).toBe('icon');
  expect(pushes.address).toBeUndefined();
});

test('a browser behind a wall is subscribed when it comes out', async () => {
  const ben = await Player.invited(owner, 'Ben', 'ben');
  expect(await (await ben.app.notifications()).turnOn(words)).toBe('blocked');
  ben.browser.pushes.service = service;
  const again = ben.again();
  await again.online();
  await until(() => again.browser.pushes.address !== undefined);
  await kept(again);
  expect(await (await again.app.notifications()).state()).toBe('on');
});

test('what is no message wakes nobody, and a message does once the app is closed', async () => {
  const cat = await subscribed('Cat', 'cat');
  const [view, hers] = [await owner.view(cat), await cat.view(owner)];
  let loud = 0;
  owner.tab.says = (frame) => {
    if (frame.includes('"type":"chat"') && !frame.includes('"quiet":true')) loud++;
    return frame;
  };
  await cat.app.send(owner.uid, 'read me');
  const mid = await owner.app.send(cat.uid, 'hello');
  await owner.app.edit(cat.uid, mid, 'hello Cat');
  await owner.app.react(cat.uid, mid, '👍');
  await until(() => view.messages.length === 2);
  view.seen();
  // All of it is there, and only the words came aloud.
  await until(() => hers.messages.some(({ text, reactions }) => text === 'hello Cat' && reactions.length === 1));
  await until(() => hers.messages.some(({ tick }) => tick === 'read'));
  expect(loud).toBe(1);
  await owner.app.remove(cat.uid, mid);
  await until(() => hers.messages.some(({ kind }) => kind === 'deleted'));
  expect(loud).toBe(1);
  owner.tab.says = undefined;
  hers.close();
  view.close();
  cat.tab.close();
  await wakes(cat, 'are you there?');
});

test('what the browser drops, or the courtyard forgets, is put right with the next connection', async () => {
  const dan = await subscribed('Dan', 'dan');
  const first = path(dan);
  dan.browser.pushes.address = undefined;
  dan.tab.cut();
  await until(() => dan.browser.pushes.address !== undefined);
  expect(path(dan)).not.toBe(first);
  await kept(dan);
  expect(await (await dan.app.notifications()).state()).toBe('on');
  const second = dan.again();
  await second.online();
  second.tab.close();
  await wakes(second, 'found you');
  // The maker no longer knows it: the courtyard forgets, and the app finds out.
  status = 410;
  await wakes(second, 'gone');
  status = 201;
  // It may hear the maker's answer a moment after the maker gave it, so one looks until it has.
  let third = second;
  const anew: string[] = [];
  while (anew.length === 0) {
    third = third.again();
    third.tab.asks = (url, { method }) => {
      if (method === 'PUT' && url.endsWith('/push')) anew.push(url);
      return Promise.resolve(undefined);
    };
    await kept(third);
  }
  third.tab.close();
  await wakes(third, 'back again');
});

test('a test arrives, gets lost, or is refused', async () => {
  const eva = await subscribed('Eva', 'eva');
  const notifications = await eva.app.notifications();
  const testing = notifications.test();
  await until(() => pushed.at(-1) === path(eva));
  eva.browser.pushes.says({ what: 'push', kind: 'chat' });
  eva.browser.pushes.says({ what: 'push', kind: 'test' });
  expect(await testing).toBe('arrived');
  status = 403;
  expect(await notifications.test()).toBe('refused');
  status = 503;
  expect(await notifications.test()).toBe('lost');
  status = 201;
});

test('a muted friend is muted on all devices', async () => {
  const fay = await subscribed('Fay', 'fay');
  const { url } = await fay.app.addDevice();
  const second = new Player(relay);
  second.browser.pushes.service = service;
  await second.app.takeHandover(url);
  await second.online();
  const [here, there] = [await fay.app.notifications(), await second.app.notifications()];
  await here.mute(owner.uid, true);
  await until(() => there.isMuted(owner.uid));
  await there.mute(owner.uid, false);
  await until(() => !here.isMuted(owner.uid));
  fay.tab.close();
  await wakes(fay, 'and now?');
});

test('a hidden page tells by itself, once; what is seen is taken away; the icon has the number', async () => {
  const gil = await subscribed('Gil', 'gil');
  const { pushes } = gil.browser;
  gil.tab.visible = false;
  await owner.app.send(gil.uid, 'one');
  await until(() => pushes.shown.length === 1);
  expect(pushes.shown).toEqual([`chat ${owner.uid}`]);
  await until(() => pushes.number === 1);
  gil.tab.visible = true;
  await owner.app.send(gil.uid, 'two');
  await until(() => pushes.number === 2);
  expect(pushes.shown).toHaveLength(1);
  const view = await gil.view(owner);
  await until(() => view.messages.length === 2);
  view.seen();
  await until(() => pushes.shown.length === 0 && pushes.number === 0);
  await (await gil.app.notifications()).mute(owner.uid, true);
  gil.tab.visible = false;
  view.close();
  await owner.app.send(gil.uid, 'three');
  await until(() => pushes.number === 1);
  expect(pushes.shown).toEqual([]);
});

test('signing out leaves nothing behind to be woken by', async () => {
  const hal = await subscribed('Hal', 'hal');
  const there = path(hal);
  const { uid } = hal;
  await kept(hal);
  await hal.app.signOut();
  expect(hal.browser.pushes.address).toBeUndefined();
  // Somebody who is woken by the same maker comes after Hal's push would have.
  const ida = await subscribed('Ida', 'ida');
  const before = pushed.filter((each) => each === there).length;
  await owner.app.send(uid, 'too late');
  ida.tab.close();
  await wakes(ida, 'here');
  expect(pushed.filter((each) => each === there)).toHaveLength(before);
});

test('signing out while it is being switched on leaves nothing behind either', async () => {
  const joy = await guest('Joy', 'joy');
  joy.browser.pushes.service = service;
  let answer: () => void = () => undefined;
  let asked: () => void = () => undefined;
  const isAsked = new Promise<void>((resolve) => (asked = resolve));
  const held = new Promise<void>((resolve) => (answer = resolve));
  joy.tab.asks = async (url, init) => {
    if (!url.endsWith('/push') || (init.method ?? 'GET') !== 'GET') return undefined;
    asked();
    await held;
    return undefined;
  };
  const on = (await joy.app.notifications()).turnOn(words);
  await isAsked;
  const { pushes } = joy.browser;
  const forgotten = new Promise<void>((resolve) => {
    const unsubscribe = pushes.unsubscribe.bind(pushes);
    pushes.unsubscribe = () => unsubscribe().then(resolve);
  });
  const out = joy.app.signOut();
  await forgotten;
  answer();
  await Promise.allSettled([on, out]);
  expect(joy.app.state.phase).toBe('out');
  expect(joy.browser.pushes.address).toBeUndefined();
});
