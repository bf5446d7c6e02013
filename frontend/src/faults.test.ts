/** Whole engines when something is wrong: a relay that dies, lies or is full, a clock that is off, keys that are gone. */

import 'fake-indexeddb/auto';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { complaints, depart, last, Player, texts, until } from './platform/players';
import { TestRelay, type TestHome } from './platform/testrelay';

// Real programs on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

let relay: TestRelay;
let owner: Player;
const homes: TestHome[] = [];

beforeAll(async () => {
  relay = await TestRelay.start('--space-mib=4');
  owner = new Player(relay);
  await owner.app.join(await relay.claim(), 'Mei', 'mei');
  await owner.online();
}, 240_000);

afterEach(() => {
  expect(complaints()).toEqual([]);
});

afterAll(async () => {
  depart();
  for (const home of homes) await home.down();
  await relay.end();
});

describe('a relay that is killed again and again', () => {
  test('loses nothing and doubles nothing', async () => {
    const ann = await Player.invited(owner, 'Ann', 'ann');
    const hers = await ann.view(owner);
    const ours = await owner.view(ann);
    const written: string[] = [];
    for (let round = 0; round < 4; round++) {
      for (let n = 0; n < 10; n++) {
        const text = `round ${String(round)} letter ${String(n)}`;
        written.push(text);
        await ann.app.send(owner.uid, text);
        if (n === 4) await relay.down('SIGKILL');
      }
      await relay.up();
      await until(() => hers.messages.filter(({ tick }) => tick === 'kept').length === written.length, 40_000);
    }
    await until(() => ours.messages.length >= written.length, 40_000);
    expect(texts(ours)).toEqual(written);
    expect(texts(hers)).toEqual(written);
  }, 180_000);
});

describe('a clock', () => {
  test.each([3_600_000, -3_600_000])('that is off by %d ms does not keep letters from going', async (lead) => {
    const who = lead > 0 ? 'fast' : 'slow';
    const ben = await Player.invited(owner, `Ben ${who}`, `ben.${who}`);
    ben.browser.lead = lead;
    const again = ben.again();
    await again.online();
    const his = await again.view(owner);
    const ours = await owner.view(again);
    await again.app.send(owner.uid, 'what time is it?');
    await until(() => ours.messages.length === 1);
    await owner.app.send(again.uid, 'tea time');
    await until(() => his.messages.length === 2);
    await again.app.send(owner.uid, 'thanks');
    await until(() => ours.messages.length === 3);
    expect(texts(ours)).toEqual(['what time is it?', 'tea time', 'thanks']);
    expect(texts(his)).toEqual(texts(ours));
  });
});

describe('a relay that shows another list of devices', () => {
  test('is found out; nothing goes until the reader decides', async () => {
    const cleo = await Player.invited(owner, 'Cleo', 'cleo');
    const hers = await cleo.view(owner);
    const ours = await owner.view(cleo);
    await cleo.app.send(owner.uid, 'before');
    await until(() => ours.messages.length === 1);

    // The owner's list grows, and Cleo hears of it; then the relay shows her the old, short one.
    await owner.app.addDevice();
    await owner.app.send(cleo.uid, 'I have a tablet now');
    await until(() => hers.messages.length === 2);
    const liar = cleo.again();
    liar.tab.asks = async (url) => {
      const at = url.indexOf(`/chains/${owner.uid}`);
      if (at < 0) return undefined;
      const { records } = (await (await fetch(url.replace(/\?.*/, ''))).json()) as { records: unknown[] };
      return Response.json({ records: url.includes('after=') ? [] : records.slice(0, 1) });
    };
    await liar.online();
    const view = await liar.view(owner);
    await until(() => view.messages.length === 2);
    liar.browser.lead = 2 * 3_600_000; // long enough for the app to look again
    await liar.app.send(owner.uid, 'after');
    await until(() => liar.app.people().find(({ uid }) => uid === owner.uid)?.fork === true);
    expect(last(view).tick).toBe('waiting');
    await until(() => view.messages.at(-1)?.waiting?.for === 'decision', 20_000);
    expect(ours.messages.length).toBe(2);

    liar.tab.asks = undefined;
    await liar.app.decideFork(owner.uid, false);
    await until(() => ours.messages.length === 3);
    expect(texts(ours)).toEqual(['before', 'I have a tablet now', 'after']);
  }, 60_000);
});

describe('an answer that does not come', () => {
  test('keeps no letter back for good: those behind it are not confirmed before it', async () => {
    const amy = await Player.invited(owner, 'Amy', 'amy');
    amy.browser.rtc = undefined; // letters come from the courtyard alone
    const hers = await amy.view(owner);
    await owner.view(amy);
    await owner.app.send(amy.uid, 'before');
    await until(() => hers.messages.length === 1);
    let refused = 0;
    amy.tab.asks = (url) => {
      if (refused > 0 || !url.includes(`/chains/${owner.uid}`)) return Promise.resolve(undefined);
      refused++;
      return Promise.reject(new TypeError('the network went away'));
    };
    await owner.app.addDevice();
    await owner.app.send(amy.uid, 'first');
    await until(() => refused === 1);
    await owner.app.send(amy.uid, 'second');
    await until(() => hers.messages.length === 3);
    expect(texts(hers)).toEqual(['before', 'first', 'second']);
  });

  test('nor does the greeting of a connection on which nothing could be asked', async () => {
    const bob = await Player.invited(owner, 'Bob', 'bob');
    bob.browser.rtc = undefined;
    const his = await bob.view(owner);
    await owner.view(bob);
    // His list has grown, as far as he hears, and he cannot fetch it.
    let refused = 0;
    bob.tab.asks = (url) => {
      if (refused > 0 || !url.includes(`/chains/${bob.uid}`)) return Promise.resolve(undefined);
      refused++;
      return Promise.reject(new TypeError('the network went away'));
    };
    bob.tab.hears = (frame) => frame.startsWith('{"op":"ready"') ? frame.replace(/"chain":\d+/u, '"chain":1000000') : frame;
    bob.tab.cut();
    await until(() => refused === 1);
    bob.tab.hears = undefined;
    await owner.app.send(bob.uid, 'heard all the same');
    await until(() => texts(his).includes('heard all the same'));
  });
});

describe('a courtyard without room', () => {
  test('says so, and the letter goes when there is room', async () => {
    const eva = await Player.invited(owner, 'Eva', 'eva');
    const fay = await Player.invited(owner, 'Fay', 'fay');
    await fay.app.befriend(await eva.app.invite());
    const hers = await eva.view(fay);
    await fay.view(eva);
    // One sender may fill an eighth of 4 MiB; a photo of 300 KB fits once.
    for (let n = 0; n < 2; n++) {
      await eva.app.sendPhoto(fay.uid, new Blob([crypto.getRandomValues(new Uint8Array(60_000)), new Uint8Array(240_000)]), `photo ${String(n)}`);
      await until(() => hers.messages[0]?.tick === 'kept', 30_000);
    }
    await until(() => hers.messages[1]?.tick === 'failed', 30_000);
    expect(hers.messages[1]?.failure?.code).toBe('sender-full');

    // A home makes room: it carries everything away.
    const home = await relay.home();
    homes.push(home);
    await home.up();
    const pairing = await fay.app.startPairing();
    await home.pair(pairing.code);
    await pairing.done;
    await until(() => hers.messages[0]?.tick === 'home', 30_000);
    // The letter's tick comes before the photo is carried away; until then there is still no room, and one tries again.
    while (hers.messages[1]?.tick !== 'home') {
      await eva.app.retry(fay.uid, hers.messages[1]?.mid ?? '');
      await until(() => /^(?:home|failed)$/u.test(hers.messages[1]?.tick ?? ''), 30_000);
    }
  }, 120_000);
});

describe('a letter for which nobody has the key', () => {
  test('is sealed again by its writer, and shown once', async () => {
    const gus = await Player.invited(owner, 'Gus', 'gus');
    const his = await gus.view(owner);
    const ours = await owner.view(gus);
    const home = await relay.home();
    homes.push(home);
    await home.up();
    const pairing = await gus.app.startPairing();
    await home.pair(pairing.code);
    await pairing.done;
    await until(() => gus.app.state.home.state === 'online');
    await owner.app.send(gus.uid, 'at home');
    await until(() => last(ours).tick === 'home');
    // The courtyard keeps nothing of before any more; it tells how much it keeps when one connects.
    await expect.poll(async () => {
      gus.tab.cut();
      await gus.online();
      return gus.app.state.space?.used;
    }, { timeout: 30_000, interval: 2_000 }).toBe(0);

    // The home breaks, with the only key of that day; what is written now is sealed to it.
    await home.down();
    await until(() => gus.app.state.home.state === 'away');
    await owner.app.send(gus.uid, 'to a broken house');
    await until(() => his.messages.length === 2);
    await gus.app.unpairHome();
    const { url } = await gus.app.addDevice();
    gus.tab.close();
    const phone = new Player(relay);
    await phone.app.takeHandover(url);
    const there = await phone.view(owner);
    await until(() => there.messages.some(({ text }) => text === 'to a broken house'), 30_000);
    expect(texts(there)).toEqual(['to a broken house']);
    expect(texts(ours)).toEqual(['at home', 'to a broken house']);
  }, 90_000);
});

describe('small things', () => {
  test('typing and presence are seen, and pass', async () => {
    const hal = await Player.invited(owner, 'Hal', 'hal');
    const his = await hal.view(owner);
    const ours = await owner.view(hal);
    await hal.app.send(owner.uid, 'hi');
    await until(() => ours.messages.length === 1);
    await owner.app.send(hal.uid, 'hi');
    await until(() => his.messages.length === 2);
    await until(() => hal.app.people().find(({ uid }) => uid === owner.uid)?.online === true);
    owner.app.typing(hal.uid);
    await until(() => his.typing);
    await owner.app.send(hal.uid, 'there');
    await until(() => !his.typing && his.messages.length === 3);
  });

  test('a draft survives a reload', async () => {
    const ida = await Player.invited(owner, 'Ida', 'ida');
    await ida.view(owner);
    ida.app.draft(owner.uid, 'half a sen');
    // What is begun here stands before whatever the next tab reads.
    ida.tab.turn('hidden');
    const again = ida.again();
    await until(() => again.app.talks().some(({ draft }) => draft === 'half a sen'));
  });

  test('words on their way to the log when the page ends stand in the field again, unless they had arrived', async () => {
    const ned = await Player.invited(owner, 'Ned', 'ned');
    await ned.view(owner);
    const mid = await ned.app.send(owner.uid, 'arrived');
    expect(ned.browser.note).toBeUndefined();
    ned.browser.note = JSON.stringify({ peer: owner.uid, text: 'arrived', mid });
    const second = ned.again();
    await until(() => second.app.state.phase === 'in' && second.browser.note === undefined);
    expect(second.app.talks().map(({ draft }) => draft)).toEqual(['']);
    second.browser.note = JSON.stringify({ peer: owner.uid, text: 'on the way', mid: 'A'.repeat(22) });
    const third = second.again();
    await until(() => third.app.talks().some(({ draft }) => draft === 'on the way'));
    expect(third.browser.note).toBeUndefined();
    third.browser.note = '{"peer":7}';
    const fourth = third.again();
    await until(() => fourth.app.talks().some(({ draft }) => draft === 'on the way'));
    expect(fourth.browser.complaints.splice(0)).toHaveLength(1);
  });

  test('signing out leaves nothing in the browser', async () => {
    const jon = await Player.invited(owner, 'Jon', 'jon');
    await jon.view(owner);
    await jon.app.signOut();
    expect(jon.app.state.phase).toBe('out');
    expect(jon.app.talks()).toEqual([]);
    const again = jon.again();
    await until(() => again.app.state.phase === 'out');
  });

  test('a join whose answer was lost is found again', async () => {
    const link = await owner.app.invite();
    const kim = new Player(relay);
    kim.tab.asks = async (url, init) => {
      if (!url.endsWith('/join')) return undefined;
      await fetch(url, { ...init, headers: { ...(init.headers as Record<string, string>), 'X-Forwarded-For': kim.browser.address } });
      throw new TypeError('lost');
    };
    await expect(kim.app.join(link, 'Kim', 'kim')).rejects.toMatchObject({ code: 'offline' });
    const again = kim.again();
    await until(() => again.app.state.phase === 'in');
    const view = await again.view(owner);
    await until(() => owner.app.people().some(({ uid }) => uid === again.uid));
    await again.app.send(owner.uid, 'I am in');
    await until(() => last(view).tick === 'kept');
  });
});
