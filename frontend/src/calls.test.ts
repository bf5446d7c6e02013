/** Calls and channels between friends' devices, with whole engines against the real relay. Connections are pretended (platform/testpeers.ts); letters are not. */

import 'fake-indexeddb/auto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { TalkView } from './domain/types';
import { complaints, depart, last, Player, texts, until } from './platform/players';
import { TestBrowser } from './platform/testing';
import type { TestPeer } from './platform/testpeers';
import { TestRelay } from './platform/testrelay';

// Real programs on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

let relay: TestRelay;
let mei: Player;
let tom: Player;
let hers: TalkView;
let his: TalkView;

beforeAll(async () => {
  relay = await TestRelay.start();
  mei = new Player(relay);
  await mei.app.join(await relay.claim(), '林美', 'mei');
  await mei.online();
  tom = await Player.invited(mei, 'Tomás', 'tomas');
}, 180_000);

beforeEach(async () => {
  hers = await mei.view(tom);
  his = await tom.view(mei);
});

afterEach(() => {
  hers.close();
  his.close();
  expect(complaints()).toEqual([]);
});

afterAll(async () => {
  depart();
  await relay.end();
});

/** A second device of somebody. */
async function second(player: Player): Promise<Player> {
  await player.online();
  const other = new Player(player.relay, new TestBrowser(player.relay.origin));
  await other.app.takeHandover((await player.app.addDevice()).url);
  await other.online();
  await until(() => other.app.people().some(({ state }) => state === 'friend'));
  return other;
}

async function rings(caller: Player, ...callees: readonly Player[]): Promise<void> {
  const [callee] = callees;
  if (!callee) throw new Error('who is called?');
  await caller.online();
  await (await caller.app.calls()).start(callee.uid, 'audio');
  for (const each of callees) await until(() => each.app.call?.phase === 'ringing' && each.app.call.peer === caller.uid);
}

async function talk(...players: readonly Player[]): Promise<void> {
  for (const { app } of players) await until(() => app.call?.phase === 'talking');
}

async function over(...players: readonly Player[]): Promise<void> {
  for (const { app } of players) await until(() => app.call === undefined);
}

/** The connection of somebody's call, not of the channel beside it. */
function lineOf({ browser }: Player): TestPeer {
  const line = browser.rtc?.peers.findLast(({ tracks }) => tracks.length > 0);
  if (!line) throw new Error('no call');
  return line;
}

function noted(view: TalkView, result: string): boolean {
  return view.messages.at(-1)?.call?.result === result;
}

describe('a call', () => {
  test('rings on every device, is taken on one, and is noted once for both', async () => {
    const tablet = await second(tom);
    await rings(mei, tom, tablet);
    await (await tablet.app.calls()).accept();
    await talk(mei, tablet);
    await over(tom);
    expect(tom.browser.media.tracks).toEqual([]); // nobody asked for his phone's microphone
    expect(mei.app.call).toMatchObject({ out: true, media: 'audio', camera: false, muted: false });

    // A camera in the middle of it, turned, and off again.
    const calls = await mei.app.calls();
    await calls.camera(true);
    await until(() => tablet.app.call?.seen === true);
    await calls.flip();
    expect(mei.browser.media.live.map(({ label }) => label)).toEqual(['microphone', 'environment']);
    await calls.camera(false);
    calls.mute(true);
    expect(mei.app.call).toMatchObject({ camera: false, muted: true });
    expect(mei.browser.media.live).toMatchObject([{ label: 'microphone', enabled: false }]);

    (await tablet.app.calls()).hangUp();
    await over(mei, tablet);
    for (const view of [hers, his]) await until(() => noted(view, 'answered'));
    expect(last(his).call).toEqual({ media: 'audio', result: 'answered', seconds: last(hers).call?.seconds });
    expect(hers.messages.filter(({ kind }) => kind === 'call')).toHaveLength(1);
    for (const { browser } of [mei, tom, tablet]) expect(browser.media.live).toEqual([]);
    tablet.tab.close();
  });

  test('is declined, and stops everywhere', async () => {
    const tablet = await second(tom);
    await rings(mei, tom, tablet);
    (await tom.app.calls()).decline();
    await until(() => mei.app.call?.why === 'declined');
    await over(tablet, tom, mei);
    for (const view of [hers, his]) await until(() => noted(view, 'declined'));
    tablet.tab.close();
  });

  test('that nobody took is a message that waits to be read', async () => {
    his.close();
    await rings(mei, tom);
    (await mei.app.calls()).hangUp();
    await over(tom);
    await until(() => tom.app.talks().some(({ unread, last: note }) => unread === 1 && note?.call?.result === 'missed'));
  });

  test('is busy for a third, and one that was spoken is no message to read', async () => {
    const ann = await Player.invited(tom, 'Ann', 'ann');
    await ann.view(tom);
    await rings(mei, tom);
    await (await tom.app.calls()).accept();
    await talk(mei, tom);
    await (await ann.app.calls()).start(tom.uid, 'video');
    await until(() => ann.app.call?.why === 'busy');
    await expect((await tom.app.calls()).start(ann.uid, 'audio')).rejects.toMatchObject({ code: 'call-under-way' });
    expect(tom.app.call?.phase).toBe('talking');
    (await tom.app.calls()).hangUp();
    await over(mei, ann);
    const withTom = await ann.view(tom);
    await until(() => noted(withTom, 'busy'));
    await until(() => tom.app.talks().some(({ peer, last: note, unread }) => peer.uid === ann.uid && note?.call?.result === 'busy' && unread === 0));
  });

  test('of both at once is one call', async () => {
    const before = hers.messages.length;
    await Promise.all([(await mei.app.calls()).start(tom.uid, 'audio'), (await tom.app.calls()).start(mei.uid, 'audio')]);
    await talk(mei, tom);
    expect(mei.app.call?.id).toBe(tom.app.call?.id);
    expect([mei.app.call?.out, tom.app.call?.out].sort()).toEqual([false, true]);
    (await mei.app.calls()).hangUp();
    await over(mei, tom);
    for (const view of [hers, his]) await until(() => view.messages.length === before + 1 && noted(view, 'answered'));
  });

  test('needs the microphone, and rings nobody without', async () => {
    mei.browser.media.denied = 'microphone';
    await expect((await mei.app.calls()).start(tom.uid, 'audio')).rejects.toMatchObject({ code: 'microphone-denied' });
    expect(mei.app.call).toBeUndefined();
    mei.browser.media.denied = undefined;
    // Without a camera one still speaks.
    mei.browser.media.denied = 'camera';
    await (await mei.app.calls()).start(tom.uid, 'video');
    await until(() => tom.app.call?.phase === 'ringing');
    expect(mei.app.call).toMatchObject({ camera: false, problem: { code: 'camera-denied' } });
    mei.browser.media.denied = undefined;
    (await mei.app.calls()).hangUp();
    await over(mei, tom);
  });

  test('looks for another way when the network has changed', async () => {
    await rings(mei, tom);
    await (await tom.app.calls()).accept();
    await talk(mei, tom);
    const line = lineOf(mei);
    mei.tab.cut();
    mei.tab.turn('online');
    await until(() => {
      line.becomes('disconnected');
      return line.restarts > 0;
    });
    line.becomes('connected');
    (await mei.app.calls()).hangUp();
    await over(mei, tom);
  });

  test('goes on in another network, though nothing tells that the socket is dead', async () => {
    let lent = 0;
    // This relay lends nothing; what it would lend is other words each time.
    mei.tab.hears = (frame) => frame.startsWith('{"op":"turn"')
      ? JSON.stringify({ op: 'turn', stun: [], urls: ['turn:yard.example'], username: String(++lent), credential: 'c', until: mei.tab.now() }) : frame;
    await rings(mei, tom);
    await (await tom.app.calls()).accept();
    await talk(mei, tom);
    const lines = [lineOf(mei), lineOf(tom)];
    await until(() => lines.every(({ settled }) => settled));
    mei.tab.strand();
    for (const line of lines) line.becomes('disconnected');
    await until(() => lines.every(({ state }) => state === 'connected'));
    expect(mei.app.call?.phase).toBe('talking');
    expect(lent).toBeGreaterThan(1);
    expect(lineOf(mei).servers).toMatchObject([{ username: String(lent) }]);
    mei.tab.hears = undefined;
    (await mei.app.calls()).hangUp();
    await over(mei, tom);
  });

  test('ends when the page at the other end does, and its note is written when that is opened again', async () => {
    const before = hers.messages.length;
    await rings(mei, tom);
    await (await tom.app.calls()).accept();
    await talk(mei, tom);
    hers.close();
    (await mei.app.calls()).leave(); // what the page does in its last moment
    const again = mei.again();
    for (const peer of again.browser.rtc?.peers ?? []) peer.close(); // all of the page ends with it
    await over(tom);
    await again.online();
    mei = again;
    hers = await mei.view(tom);
    for (const view of [hers, his]) await until(() => view.messages.length === before + 1 && noted(view, 'answered'));
  });

  test('rings nobody who is not a friend, whatever the courtyard lets through', async () => {
    const eve = await Player.invited(tom, 'Eve', 'eve');
    await eve.view(tom);
    (await tom.view(eve)).close();
    // His word that she is none any more arrives neither at the courtyard nor at hers.
    eve.tab.hears = (frame) => (frame.includes('"type":"friend"') ? undefined : frame);
    tom.tab.asks = (url) => Promise.resolve(url.includes('/contacts/') ? new Response('{}', { headers: { 'Content-Type': 'application/json' } }) : undefined);
    await tom.app.unfriend(eve.uid);
    tom.tab.asks = undefined;
    let came = 0;
    tom.tab.hears = (frame) => {
      if (frame.startsWith('{"op":"live"')) came++;
      return frame;
    };
    const calls = await eve.app.calls();
    await eve.online();
    await calls.start(tom.uid, 'audio');
    await until(() => came > 0);
    // Behind her ring comes Mei's, and that is the one he hears.
    await rings(mei, tom);
    expect(tom.app.call?.peer).toBe(mei.uid);
    tom.tab.hears = undefined;
    calls.hangUp();
    (await mei.app.calls()).hangUp();
    await over(mei, tom, eve);
  });

  test('that is rung again and again is heard a dozen times a minute, and holds up nobody else', async () => {
    const max = await Player.invited(tom, 'Max', 'max');
    await max.view(tom);
    const calls = await max.app.calls();
    await max.online();
    const heard = new Set<string>();
    const stop = tom.app.subscribe(() => {
      if (tom.app.call?.phase === 'ringing') heard.add(tom.app.call.id);
    });
    for (let n = 0; n < 12; n++) {
      await calls.start(tom.uid, 'audio');
      await until(() => heard.size === n + 1);
      calls.hangUp();
      await over(max, tom);
    }
    let came = 0;
    tom.tab.hears = (frame) => {
      if (frame.startsWith('{"op":"live"')) came++;
      return frame;
    };
    await calls.start(tom.uid, 'audio');
    await until(() => came > 0);
    tom.tab.hears = undefined;
    await rings(mei, tom);
    expect(tom.app.call?.peer).toBe(mei.uid);
    expect(heard.size).toBe(13); // the last of them hers
    stop();
    calls.hangUp();
    (await mei.app.calls()).hangUp();
    await over(mei, tom, max);
  });

  test('leaves no camera and no microphone on, however often one taps while they start', async () => {
    await rings(mei, tom);
    await (await tom.app.calls()).accept();
    await talk(mei, tom);
    const calls = await mei.app.calls();
    const { media } = mei.browser;
    const slowly = async (doing: () => readonly Promise<void>[]): Promise<void> => {
      let go: () => void = () => undefined;
      media.slow = new Promise((resolve) => (go = resolve));
      const all = doing();
      go();
      media.slow = undefined;
      await Promise.allSettled(all);
    };
    await slowly(() => [calls.camera(true), calls.camera(true)]);
    expect(media.live.map(({ label }) => label)).toEqual(['microphone', 'user']);
    await slowly(() => [calls.flip(), calls.flip(), calls.flip()]);
    expect(media.live.map(({ label }) => label)).toEqual(['microphone', 'environment']);
    // One that the browser does not give any more is shown as off.
    media.denied = 'camera';
    await expect(calls.flip()).rejects.toMatchObject({ code: 'camera-denied' });
    expect(mei.app.call?.camera).toBe(false);
    media.denied = undefined;
    await slowly(() => {
      const turned = calls.camera(true);
      calls.hangUp();
      return [turned];
    });
    await over(mei, tom);
    expect(media.live).toEqual([]);
  });

  test('that is about to begin is not lost when somebody else rings', async () => {
    const bea = await Player.invited(mei, 'Bea', 'bea');
    await bea.view(mei);
    let go: () => void = () => undefined;
    mei.browser.media.slow = new Promise((resolve) => (go = resolve));
    const starting = (await mei.app.calls()).start(tom.uid, 'audio');
    await until(() => mei.app.call?.phase === 'asking');
    await (await bea.app.calls()).start(mei.uid, 'audio');
    await until(() => bea.app.call?.why === 'busy');
    go();
    mei.browser.media.slow = undefined;
    await starting;
    await until(() => tom.app.call?.phase === 'ringing');
    (await mei.app.calls()).hangUp();
    await over(mei, tom, bea);
    expect(mei.browser.media.live).toEqual([]);
  });

  test.each(['is blocked', 'signs this device out'])('ends when the one at the other end %s', async (what) => {
    const guest = await Player.invited(mei, 'Kim', `kim-${String(what.length)}`);
    await guest.view(mei);
    const phone = await second(guest);
    const view = await mei.view(guest);
    await rings(mei, phone);
    await (await phone.app.calls()).accept();
    await talk(mei, phone);
    if (what === 'is blocked') await mei.app.block(guest.uid);
    else await guest.app.revoke(phone.app.devices().find(({ self }) => self)?.id ?? '');
    await until(() => mei.app.call === undefined && phone.app.call === undefined, 60_000);
    for (const { browser } of [mei, phone]) expect(browser.media.live).toEqual([]);
    view.close();
    for (const each of [guest, phone]) each.tab.close();
  });

  test('is over when no way is found for three quarters of a minute', async () => {
    await rings(mei, tom);
    await (await tom.app.calls()).accept();
    await talk(mei, tom);
    const lines = [lineOf(mei), lineOf(tom)];
    const since = mei.tab.now();
    if (mei.browser.rtc) mei.browser.rtc.reaches = false;
    for (const line of lines) line.becomes('disconnected');
    await until(() => mei.app.call?.why === 'lost' || tom.app.call?.why === 'lost', 90_000);
    expect(mei.tab.now() - since).toBeGreaterThan(44_000);
    await over(mei, tom);
    await until(() => noted(hers, 'answered'));
    if (mei.browser.rtc) mei.browser.rtc.reaches = true;
  });

  test('is one for all tabs of a browser, also when one of them hears nothing of the other', async () => {
    const ula = await Player.invited(mei, 'Ula', 'ula');
    await ula.view(mei);
    const hers = await mei.view(ula);
    ula.browser.mute('call');
    const beside = ula.beside();
    await beside.view(mei);
    await beside.online();
    await rings(mei, ula);
    await (await ula.app.calls()).accept();
    await talk(mei, ula);
    await expect((await beside.app.calls()).start(mei.uid, 'audio')).rejects.toMatchObject({ code: 'call-under-way' });
    expect([mei.app.call?.phase, ula.app.call?.phase]).toEqual(['talking', 'talking']);
    (await ula.app.calls()).hangUp();
    await over(mei, ula);
    hers.close();
    beside.tab.close();
  });

  test('goes through the courtyard alone where that is wanted, from the moment that it is asked for', async () => {
    // The vault is at work: it says so later.
    let free: () => void = () => undefined;
    const busy = mei.browser.lock('vault', () => new Promise<void>((resolve) => (free = resolve)));
    const set = mei.app.setRelayed(true);
    let urls: readonly string[] = [];
    mei.tab.hears = (frame) => frame.startsWith('{"op":"turn"')
      ? JSON.stringify({ op: 'turn', stun: [], urls, username: 'u', credential: 'c', until: mei.tab.now() }) : frame;
    await expect((await mei.app.calls()).start(tom.uid, 'audio')).rejects.toMatchObject({ code: 'calls-not-passed' });
    expect(mei.app.call).toBeUndefined();
    expect(mei.browser.media.live).toEqual([]);
    urls = ['turn:yard.example'];
    await rings(mei, tom);
    await (await tom.app.calls()).accept();
    await talk(mei, tom);
    expect([lineOf(mei).policy, lineOf(tom).policy]).toEqual(['relay', 'all']);
    // All that is found here are addresses of one's own: his are told to her, hers to nobody.
    await until(() => lineOf(mei).added.length > 0);
    expect(lineOf(tom).added).toEqual([]);
    mei.tab.hears = undefined;
    (await mei.app.calls()).hangUp();
    await over(mei, tom);
    expect(mei.app.state.relayed).toBe(false);
    free();
    await Promise.all([busy, set]);
    expect(mei.app.state.relayed).toBe(true);
    await mei.app.setRelayed(false);
  });
});

describe('a channel between two who look at their conversation', () => {
  const near = async (): Promise<void> => {
    mei.app.typing(tom.uid);
    tom.app.typing(mei.uid);
    await until(() => [mei, tom].every(({ browser }) => browser.rtc?.peers.some((peer) => peer.carries('courtyard'))));
  };

  test('brings what is said before the courtyard does, once', async () => {
    await near();
    const held: string[] = [];
    tom.tab.hears = (frame) => {
      if (!frame.startsWith('{"op":"deliver"')) return frame;
      held.push(frame);
      return undefined;
    };
    await mei.app.send(tom.uid, 'straight to you');
    await until(() => texts(his).includes('straight to you'));
    await until(() => held.length > 0);
    tom.tab.hears = undefined;
    tom.tab.cut(); // the courtyard delivers again what was not confirmed
    await tom.online();
    await mei.app.send(tom.uid, 'and after it');
    await until(() => texts(his).includes('and after it'));
    expect(texts(his).filter((text) => text === 'straight to you')).toHaveLength(1);
    await until(() => hers.messages.find(({ text }) => text === 'straight to you')?.tick === 'kept');
  });

  test('brings a photo while it is still on its way up', async () => {
    await near();
    const big = new Uint8Array(300_000).map((_, i) => i % 251);
    mei.tab.asks = (url, { method }) => (method === 'PUT' && url.includes('/files/') ? Promise.reject(new TypeError('slow')) : Promise.resolve(undefined));
    await mei.app.sendPhoto(tom.uid, new Blob([big]), 'the whole of it', undefined, true);
    await until(() => last(his).kind === 'photo');
    const url = await last(his).photo?.load();
    expect(url).toBeDefined();
    expect(hers.messages.at(-1)?.tick).toBe('waiting');
    mei.tab.asks = undefined;
    mei.tab.cut();
    await until(() => hers.messages.at(-1)?.tick === 'kept', 60_000);
  });
});
