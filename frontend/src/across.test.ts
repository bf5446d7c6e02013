/** Friends in two courtyards: two real relays that speak with each other, and engines on both sides. */

import 'fake-indexeddb/auto';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { complaints, depart, last, Player, texts, until } from './platform/players';
import { HEAD } from './platform/testing';
import { TestRelay } from './platform/testrelay';

// Real programs on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

let here: TestRelay;
let there: TestRelay;
/** owns the one, and lives in it */
let mei: Player;
/** owns the other */
let tom: Player;

beforeAll(async () => {
  [here, there] = await Promise.all([TestRelay.neighbour('127.0.0.1'), TestRelay.neighbour('127.0.0.2')]);
  mei = await owner(here, '林美', 'mei');
  tom = await owner(there, 'Tomás', 'tomas');
}, 180_000);

afterEach(() => {
  expect(complaints()).toEqual([]);
});

afterAll(async () => {
  depart();
  await Promise.all([here.end(), there.end()]);
});

async function owner(relay: TestRelay, name: string, username: string): Promise<Player> {
  const player = new Player(relay);
  await player.app.join(await relay.claim(), name, username);
  await player.online();
  return player;
}

function person(player: Player, of: Player): ReturnType<Player['app']['people']>[number] | undefined {
  return player.app.people().find(({ uid }) => uid === of.uid);
}

/** A guest of the one courtyard and a guest of the other, friends by a link. */
async function pair(one: string, other: string): Promise<[Player, Player]> {
  const [a, b] = [await Player.invited(mei, one, one.toLowerCase()), await Player.invited(tom, other, other.toLowerCase())];
  await a.app.befriend(await b.app.invite());
  await until(() => person(a, b)?.state === 'friend' && person(b, a)?.state === 'friend');
  return [a, b];
}

describe('an invitation from another courtyard', () => {
  test('is looked at by way of one’s own, and says where it comes from', async () => {
    const link = await tom.app.invite();
    const carried = await mei.app.carryInvite(link, `Mei@${here.host} `);
    expect(carried).toBe(`${here.origin}/app/#invited.${encodeURIComponent(link)}`);
    for (const text of [link, carried]) {
      expect(await mei.app.readLink(text)).toMatchObject({ kind: 'invite', url: link, name: 'Tomás', own: false, friend: false, host: there.host });
    }
    // Whoever is signed in nowhere here is told where to go.
    expect(await new Player(here).app.readLink(carried)).toEqual({ kind: 'elsewhere', url: link, host: there.host });
    await expect(mei.app.carryInvite(link, 'not an address')).rejects.toMatchObject({ code: 'handle-bad' });
  });

  test('befriends, confirmed on both sides, at once', async () => {
    const link = await tom.app.invite();
    expect(await mei.app.befriend(link)).toBe(tom.uid);
    expect(person(mei, tom)).toMatchObject({ name: 'Tomás', handle: `tomas@${there.host}`, state: 'friend', confirmed: true });
    await until(() => person(tom, mei)?.state === 'friend');
    expect(person(tom, mei)).toMatchObject({ name: '林美', handle: `mei@${here.host}`, confirmed: true });
    expect(await mei.app.readLink(link)).toMatchObject({ kind: 'invite', friend: true });
  });
});

describe('by address', () => {
  test('a request crosses, is accepted, and says whose word the name is', async () => {
    const [ann, bo] = [await Player.invited(mei, 'Ann', 'ann'), await Player.invited(tom, 'Bo', 'bo')];
    const uid = await ann.app.request(`bo@${there.host}`, 'Remember me?');
    expect(uid).toBe(bo.uid);
    await until(() => person(bo, ann)?.state === 'asks');
    expect(person(bo, ann)).toMatchObject({ name: 'Ann', handle: `ann@${here.host}`, words: 'Remember me?', confirmed: false });
    await bo.app.accept(ann.uid);
    await until(() => person(ann, bo)?.state === 'friend');
    expect(person(ann, bo)).toMatchObject({ name: 'Bo', handle: `bo@${there.host}`, confirmed: false });
  });

  test('nobody there, and a courtyard that does not answer, are told apart', async () => {
    await expect(mei.app.request(`nobody@${there.host}`, '')).rejects.toMatchObject({ code: 'not-found' });
    await expect(mei.app.request('nobody@127.0.0.3:9999', '')).rejects.toMatchObject({ code: 'peer-away' });
    await expect(mei.app.request('nobody@192.168.1.1', '')).rejects.toMatchObject({ code: 'address-refused' });
  });
});

describe('a conversation between two courtyards', () => {
  test('goes both ways, with edits, reactions, read marks and a profile', async () => {
    const [cleo, dan] = await pair('Cleo', 'Dan');
    const [hers, his] = [await cleo.view(dan), await dan.view(cleo)];
    const mid = await cleo.app.send(dan.uid, 'frist 👋');
    await until(() => his.messages.length === 1);
    // Dan has no home: it is kept at his courtyard, once that says so.
    await until(() => last(hers).tick === 'kept');
    await cleo.app.edit(dan.uid, mid, 'first 👋');
    await until(() => last(his).text === 'first 👋' && last(his).edited);
    await dan.app.react(cleo.uid, mid, '❤️');
    await until(() => last(hers).reactions.length === 1);
    his.seen();
    await until(() => last(hers).tick === 'read');
    await dan.app.send(cleo.uid, '你好', mid);
    await until(() => texts(hers).length === 2);
    expect(last(hers).reply).toMatchObject({ excerpt: 'first 👋' });
    await cleo.app.remove(dan.uid, mid);
    await until(() => his.messages[0]?.kind === 'deleted');
    await dan.app.setProfile({ name: 'Daniel', about: 'Lives elsewhere.', picture: 'keep' });
    await until(() => person(cleo, dan)?.name === 'Daniel');
    expect(person(cleo, dan)?.about).toBe('Lives elsewhere.');
  });

  test('by way of a third courtyard, it says so', async () => {
    const [pam, quy] = await pair('Pam', 'Quy');
    const view = await pam.view(quy);
    pam.tab.hears = (frame) => (frame.includes('"carried"') ? frame.replace('"by":""', '"by":"third.example"') : frame);
    await pam.app.send(quy.uid, 'a long way round');
    await until(() => last(view).tick === 'kept' && last(view).by !== undefined);
    expect(last(view).by).toBe('third.example');
  });

  test('photos and long texts cross too', async () => {
    const [eva, fred] = await pair('Eva', 'Fred');
    const his = await fred.view(eva);
    const bytes = crypto.getRandomValues(new Uint8Array(60_000));
    await eva.app.sendPhoto(fred.uid, new Blob([bytes, bytes, bytes]), 'Persimmons');
    await until(() => his.messages.length === 1);
    const url = (await last(his).photo?.load()) ?? '';
    const head = HEAD.length;
    expect(new Uint8Array((await fred.browser.blob(url)?.arrayBuffer()) ?? new ArrayBuffer(0)).slice(head, head + bytes.length)).toEqual(bytes);
    const long = '长话短说。'.repeat(4_000);
    await eva.app.send(fred.uid, long);
    await until(() => his.messages.length === 2);
    expect(await last(his).more?.()).toBe(long);
  });

  test('their courtyard down: one tick, also after a reload; when it is back, the rest', async () => {
    const [gus, hana] = await pair('Gus', 'Hana');
    const before = await gus.view(hana);
    await gus.app.send(hana.uid, 'so that keys are known');
    await until(() => last(before).tick === 'kept');
    await there.down();
    await gus.app.send(hana.uid, 'while you are away');
    await until(() => last(before).tick === 'accepted');
    const again = gus.again();
    await until(() => again.app.state.link === 'online');
    const view = await again.view(hana);
    expect(last(view)).toMatchObject({ text: 'while you are away', tick: 'accepted' });
    const { outbound } = await again.app.diagnose();
    expect(outbound).toMatchObject([{ name: 'Hana', count: 1, host: there.host }]);
    await there.up();
    await until(() => last(view).tick === 'kept', 90_000);
    const hers = await hana.view(again);
    await until(() => texts(hers).length === 2);
    expect(texts(hers)).toEqual(['so that keys are known', 'while you are away']);
    expect((await again.app.diagnose()).outbound).toEqual([]);
  });

  test('carried while this device was away: known when it is back', async () => {
    const [ida, jon] = await pair('Ida', 'Jon');
    const before = await ida.view(jon);
    await ida.app.send(jon.uid, 'one');
    await until(() => last(before).tick === 'kept');
    await there.down();
    await ida.app.send(jon.uid, 'two');
    await until(() => last(before).tick === 'accepted');
    ida.tab.close();
    await there.up();
    const his = await jon.view(ida);
    await until(() => texts(his).includes('two'), 90_000);
    const again = ida.again();
    const view = await again.view(jon);
    await until(() => last(view).tick === 'kept');
  });
});

describe('what comes back', () => {
  test('to somebody who has blocked the writer: not delivered, in words, and sent again when tried again', async () => {
    const [kim, leo] = await pair('Kim', 'Leo');
    const view = await kim.view(leo);
    await kim.app.send(leo.uid, 'hello');
    await until(() => last(view).tick === 'kept');
    await leo.app.block(kim.uid);
    const mid = await kim.app.send(leo.uid, 'are you there?');
    await until(() => last(view).tick === 'failed');
    expect(last(view).failure?.code).toBe('not-contact');
    // The same after a reload, and a second time.
    const again = kim.again();
    const later = await again.view(leo);
    await again.online();
    expect(last(later).tick).toBe('failed');
    const put: string[] = [];
    again.tab.says = (frame) => {
      if (frame.startsWith('{"op":"put"') && frame.includes('"type":"chat"')) put.push(frame);
      return frame;
    };
    await again.app.retry(leo.uid, mid);
    await until(() => put.length === 1);
    await until(() => last(later).tick === 'failed');
    await leo.app.unblock(kim.uid);
    await leo.app.befriend(await again.app.invite());
    await until(() => person(leo, again)?.state === 'friend');
    await again.app.retry(leo.uid, mid);
    const his = await leo.view(again);
    await until(() => texts(his).includes('are you there?'));
    expect(texts(his).filter((text) => text === 'are you there?')).toHaveLength(1);
    await until(() => last(later).tick === 'kept');
  });

  test('a photo too goes again with its letter', async () => {
    const [liz, max] = await pair('Liz', 'Max');
    const view = await liz.view(max);
    await max.app.block(liz.uid);
    const bytes = crypto.getRandomValues(new Uint8Array(60_000));
    const mid = await liz.app.sendPhoto(max.uid, new Blob([bytes, bytes]), 'Persimmons');
    await until(() => last(view).tick === 'failed');
    expect(last(view).failure?.code).toBe('not-contact');
    await max.app.unblock(liz.uid);
    await max.app.befriend(await liz.app.invite());
    await until(() => person(max, liz)?.state === 'friend');
    await liz.app.retry(max.uid, mid);
    const his = await max.view(liz);
    await until(() => his.messages.length === 1);
    const url = (await last(his).photo?.load()) ?? '';
    expect(new Uint8Array((await max.browser.blob(url)?.arrayBuffer()) ?? new ArrayBuffer(0)).slice(HEAD.length, HEAD.length + bytes.length)).toEqual(bytes);
  });

  test('another device knows it as well', async () => {
    const [noa, oto] = await pair('Noa', 'Oto');
    const phone = await noa.view(oto);
    const { url } = await noa.app.addDevice();
    const desk = new Player(here);
    await desk.app.takeHandover(url);
    const screen = await desk.view(oto);
    await there.down();
    await noa.app.send(oto.uid, 'from the phone');
    await until(() => texts(screen).includes('from the phone') && last(phone).tick === 'accepted');
    expect(last(screen).tick).toBe('accepted');
    await there.up();
    await until(() => last(phone).tick === 'kept' && last(screen).tick === 'kept', 90_000);
    await oto.online();
    await oto.app.block(noa.uid);
    await noa.app.send(oto.uid, 'and this?');
    await until(() => last(phone).tick === 'failed' && last(screen).tick === 'failed');
  });

  test('a request to somebody who refuses: it has not been made, and says why', async () => {
    const [mo, ned] = [await Player.invited(mei, 'Mo', 'mo'), await Player.invited(tom, 'Ned', 'ned')];
    await mo.app.request(`ned@${there.host}`, '');
    await until(() => person(ned, mo)?.state === 'asks');
    await ned.app.block(mo.uid);
    await mo.app.unfriend(ned.uid);
    // A stranger may ask once a day: what waits there already is no failure.
    await mo.app.request(`ned@${there.host}`, 'again');
    await until(() => person(mo, ned)?.state === 'removed');
    expect(person(mo, ned)?.returned).toBe('not-contact');
  });
});

describe('a courtyard that answers no lookups', () => {
  /** The own relay says that there is no answer. */
  function away(player: Player, what: (path: string) => boolean): void {
    player.tab.asks = (url) =>
      Promise.resolve(
        url.includes('host=') && what(url)
          ? new Response('{"code":"peer-away","params":{}}', { status: 502, headers: { 'Content-Type': 'application/problem+json' } })
          : undefined,
      );
  }

  test('what is pinned stays in use', async () => {
    const [ola, pia] = await pair('Ola', 'Pia');
    const view = await ola.view(pia);
    await ola.app.send(pia.uid, 'now');
    await until(() => last(view).tick === 'kept');
    away(ola, () => true);
    ola.browser.lead = 2 * 60 * 60_000; // the key is asked for anew after an hour
    await ola.app.send(pia.uid, 'two hours later');
    await until(() => last(view).tick === 'kept' && texts(view).length === 2);
  });

  test('the first letter to somebody waits here, for them alone, and goes when they answer', async () => {
    const [quin, rosa] = [await Player.invited(mei, 'Quin', 'quin'), await Player.invited(tom, 'Rosa', 'rosa')];
    away(quin, (url) => url.includes('/ueks/'));
    await quin.app.befriend(await rosa.app.invite());
    const view = await quin.view(rosa);
    await quin.app.send(rosa.uid, 'waits');
    await until(() => last(view).waiting?.for === 'away');
    expect((await quin.app.diagnose()).unsent).toMatchObject([{ name: 'Rosa', why: 'away' }]);
    await quin.app.send(mei.uid, 'others are written to meanwhile');
    const meis = await quin.view(mei);
    await until(() => last(meis).tick === 'kept');
    quin.tab.asks = undefined;
    quin.browser.online = false;
    quin.browser.online = true;
    await until(() => last(view).tick === 'kept');
    await until(() => person(rosa, quin)?.confirmed === true);
  });

  test('a letter from there is kept until it can be opened, also through a reload', async () => {
    const [sue, tim] = [await Player.invited(mei, 'Sue', 'sue'), await Player.invited(tom, 'Tim', 'tim')];
    away(sue, () => true);
    await tim.app.request(`sue@${here.host}`, 'Remember me?');
    await expect.poll(async () => (await sue.app.diagnose()).unopened.length, { timeout: 30_000, interval: 500 }).toBe(1);
    expect(person(sue, tim)).toBeUndefined();
    const again = sue.again();
    away(again, () => true);
    await again.online();
    expect((await again.app.diagnose()).unopened).toHaveLength(1);
    again.tab.asks = undefined;
    again.browser.online = false;
    again.browser.online = true;
    await until(() => person(again, tim)?.state === 'asks');
    await expect.poll(async () => (await again.app.diagnose()).unopened.length, { timeout: 30_000, interval: 500 }).toBe(0);
  });

  test('a name is a claim until they answer', async () => {
    const [uma, vic] = [await Player.invited(mei, 'Uma', 'uma'), await Player.invited(tom, 'Vic', 'vic')];
    away(uma, (url) => url.includes('/people/'));
    await vic.app.request(`uma@${here.host}`, '');
    await until(() => person(uma, vic)?.state === 'asks');
    expect(person(uma, vic)).toMatchObject({ name: 'Vic', handle: '', host: there.host });
    uma.tab.asks = undefined;
    uma.browser.online = false;
    uma.browser.online = true;
    await until(() => person(uma, vic)?.handle === `vic@${there.host}`);
  });
});
