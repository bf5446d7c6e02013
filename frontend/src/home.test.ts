/** Whole engines with real homes: pairing, taking over, history, and a home that goes away. */

import 'fake-indexeddb/auto';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { complaints, depart, last, Player, texts, until } from './platform/players';
import { HEAD } from './platform/testing';
import { TestRelay, type TestHome } from './platform/testrelay';

// Real programs on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

let relay: TestRelay;
let owner: Player;
const homes: TestHome[] = [];

async function home(): Promise<TestHome> {
  const made = await relay.home();
  homes.push(made);
  return made;
}

beforeAll(async () => {
  relay = await TestRelay.start();
  const first = await home();
  await first.up();
  const offered = await first.offer();
  owner = new Player(relay);
  // One link, one tap: the account, and the home that waited.
  const claim = `${await relay.claim()}.${offered}`;
  expect(await owner.app.readLink(claim)).toMatchObject({ kind: 'claim', home: true });
  await owner.app.join(claim, 'Mei', 'mei');
  await until(() => owner.app.state.home.state === 'online');
}, 240_000);

afterEach(() => {
  expect(complaints()).toEqual([]);
});

afterAll(async () => {
  depart();
  for (const each of homes) await each.down();
  await relay.end();
});

describe('a home', () => {
  test('is paired by the claim link, and gives the house tick', async () => {
    const ann = await Player.invited(owner, 'Ann', 'ann');
    const hers = await ann.view(owner);
    const ours = await owner.view(ann);
    await ann.app.send(owner.uid, 'to your house');
    await until(() => last(hers).tick === 'home');
    await until(() => ours.messages.length === 1);
    await owner.app.send(ann.uid, 'to your courtyard');
    await until(() => last(ours).tick === 'kept');
    ours.seen();
    await until(() => hers.messages[0]?.tick === 'read');
    await until(() => owner.app.state.home.state === 'online' && (owner.app.state.home.messages ?? 0) > 0);
  });

  test('takes letters while no browser is open, and tells a new browser everything', async () => {
    const ben = await Player.invited(owner, 'Ben', 'ben');
    const his = await ben.view(owner);
    await owner.view(ben);
    const { url } = await owner.app.addDevice();
    // Not while it asks the home for what is new: a browser lets go of the locks of a page that ends, this one does not.
    await owner.browser.lock('since', () => {
      owner.tab.close();
      return Promise.resolve();
    });
    for (let n = 1; n <= 120; n++) await ben.app.send(owner.uid, `letter ${String(n)}`);
    await until(() => his.messages.every(({ tick }) => tick === 'home'), 60_000);

    const phone = new Player(relay);
    await phone.app.takeHandover(url);
    const there = await phone.view(ben);
    await until(() => there.messages.length > 0);
    await until(() => last(there).text === 'letter 120');
    expect(there.messages.length).toBeLessThan(120);
    for (let page = 0; page < 5 && there.older !== 'none'; page++) await there.loadOlder();
    expect(texts(there)).toEqual(Array.from({ length: 120 }, (_, n) => `letter ${String(n + 1)}`));
    expect(there.older).toBe('none');

    owner = owner.again();
    const back = await owner.view(ben);
    await until(() => back.messages.length > 0 && last(back).text === 'letter 120');
    for (let page = 0; page < 5 && back.older !== 'none'; page++) await back.loadOlder();
    expect(texts(back)).toEqual(texts(there));
  });

  test('paired later takes over what the courtyard kept', async () => {
    const cleo = await Player.invited(owner, 'Cleo', 'cleo');
    const hers = await cleo.view(owner);
    const ours = await owner.view(cleo);
    for (const text of ['one', 'two']) await owner.app.send(cleo.uid, text);
    await until(() => ours.messages.every(({ tick }) => tick === 'kept') && hers.messages.length === 2);

    const hers2 = await home();
    const pairing = await cleo.app.startPairing();
    await hers2.up();
    await hers2.pair(pairing.code);
    await pairing.done;
    await until(() => cleo.app.state.home.state === 'online');
    expect(cleo.app.devices().some(({ role }) => role === 'home')).toBe(true);
    await until(() => cleo.app.state.home.state === 'online' && cleo.app.state.home.messages === 2);
    await owner.app.send(cleo.uid, 'three');
    await until(() => last(ours).tick === 'home');
    await cleo.app.send(owner.uid, 'four');
    await until(() => hers.messages.length === 4 && last(hers).tick === 'home');
    expect(texts(hers)).toEqual(['one', 'two', 'three', 'four']);

    // Away: letters wait at the courtyard, and the app says so.
    await hers2.down();
    await until(() => cleo.app.state.home.state === 'away');
    await owner.app.send(cleo.uid, 'five');
    await until(() => last(hers).text === 'five');
    await until(() => last(ours).tick === 'accepted');
    await hers2.up();
    await until(() => last(ours).tick === 'home', 30_000);

    await cleo.app.unpairHome();
    await until(() => cleo.app.state.home.state === 'none');
    await owner.app.send(cleo.uid, 'six');
    await until(() => last(hers).text === 'six');
    await until(() => last(ours).tick === 'kept');
  });

  test('looks after another person of the household, by a code that its first one gives', async () => {
    const eva = await Player.invited(owner, 'Eva', 'eva');
    const code = await owner.app.householdCode();
    expect(await eva.app.readLink(code)).toMatchObject({ kind: 'pair', code });
    await eva.app.pairHome(code);
    await until(() => eva.app.state.home.state === 'online');
    await expect(eva.app.pairHome(code)).rejects.toMatchObject({ code: 'home-exists' });
    const hers = await eva.view(owner);
    const ours = await owner.view(eva);
    await owner.app.send(eva.uid, 'under one roof');
    await until(() => ours.messages.length === 1 && last(ours).tick === 'home');
    await until(() => texts(hers).length === 1);
    // It could be used once.
    const fay = await Player.invited(owner, 'Fay', 'fay');
    await expect(fay.app.pairHome(code)).rejects.toMatchObject({ code: 'pair-used' });
    expect(fay.app.state.home.state).toBe('none');
  });

  test('keeps photos that the courtyard has let go', async () => {
    const dan = await Player.invited(owner, 'Dan', 'dan');
    const ours = await owner.view(dan);
    const bytes = crypto.getRandomValues(new Uint8Array(60_000));
    await dan.view(owner);
    await dan.app.sendPhoto(owner.uid, new Blob([bytes, bytes]), '');
    await until(() => ours.messages.length === 1);
    const url = await last(ours).photo?.load();
    const shown = owner.browser.blob(url ?? '');
    expect(shown?.size).toBe(HEAD.length + 120_000);
  });
});
