/** Whole engines against the real relay: what people do, and what must come of it. */

import 'fake-indexeddb/auto';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { complaints, depart, last, Player, texts, until } from './platform/players';
import { HEAD } from './platform/testing';
import { TestRelay } from './platform/testrelay';

// Real programs on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

let relay: TestRelay;
let owner: Player;

beforeAll(async () => {
  relay = await TestRelay.start();
  owner = new Player(relay);
  await owner.app.join(await relay.claim(), '林美', 'mei');
  await owner.online();
}, 180_000);

afterEach(() => {
  expect(complaints()).toEqual([]);
});

afterAll(async () => {
  depart();
  await relay.end();
});

describe('joining', () => {
  test('by claim makes the owner', () => {
    expect(owner.app.state).toMatchObject({ phase: 'in', account: { name: '林美', username: 'mei', owner: true } });
  });

  test('by invite makes both friends, confirmed, at once', async () => {
    const link = await owner.app.invite();
    const tom = new Player(relay);
    expect(await tom.app.readLink(link)).toMatchObject({ kind: 'invite', name: '林美', own: false, friend: false });
    const inviter = await tom.app.join(link, 'Tomás', 'tomas');
    expect(inviter).toBe(owner.uid);
    expect(tom.app.people()).toMatchObject([{ uid: owner.uid, name: '林美', state: 'friend', confirmed: true }]);
    await until(() => owner.app.people().some(({ uid }) => uid === tom.uid));
    expect(owner.app.people().find(({ uid }) => uid === tom.uid)).toMatchObject({ name: 'Tomás', username: 'tomas', state: 'friend', confirmed: true });
    expect(await new Player(relay).app.readLink(link)).toEqual({ kind: 'spent' });
  });
});

describe('a conversation', () => {
  test('goes both ways, with ticks, and is the same on both sides', async () => {
    const ann = await Player.invited(owner, 'Ann', 'ann');
    const hers = await ann.view(owner);
    const ours = await owner.view(ann);
    await ann.app.send(owner.uid, 'Hello Mei 👋');
    await until(() => ours.messages.length === 1);
    expect(last(ours)).toMatchObject({ text: 'Hello Mei 👋', own: false, author: ann.uid });
    await until(() => last(hers).tick === 'kept');
    await owner.app.send(ann.uid, '你好', last(ours).mid);
    await until(() => hers.messages.length === 2);
    expect(last(hers)).toMatchObject({ text: '你好', reply: { excerpt: 'Hello Mei 👋', author: ann.uid } });
    const put: string[] = [];
    owner.tab.says = (frame) => {
      if (frame.startsWith('{"op":"put"') && !frame.includes('"type":"live"')) put.push(frame);
      return frame;
    };
    for (let time = 0; time < 5; time++) ours.seen(); // as often as the screen is drawn
    await until(() => hers.messages[0]?.tick === 'read');
    owner.tab.says = (frame) => frame;
    expect(put).toHaveLength(1);
    expect(hers.messages.map(({ mid }) => mid)).toEqual(ours.messages.map(({ mid }) => mid));
  });

  test('edits, reactions and deletions reach the other side', async () => {
    const ben = await Player.invited(owner, 'Ben', 'ben');
    const his = await ben.view(owner);
    const ours = await owner.view(ben);
    const mid = await ben.app.send(owner.uid, 'frist');
    await until(() => ours.messages.length === 1);
    await ben.app.edit(owner.uid, mid, 'first');
    await until(() => last(ours).text === 'first' && last(ours).edited);
    await owner.app.react(ben.uid, mid, '❤️');
    await until(() => last(his).reactions.length === 1);
    expect(last(his).reactions).toEqual([{ emoji: '❤️', by: [owner.uid] }]);
    await ben.app.remove(owner.uid, mid);
    await until(() => last(ours).kind === 'deleted' && last(his).kind === 'deleted');
    expect(last(ours).text).toBe('');
  });

  test('what is written without a network waits, survives a reload, and arrives once', async () => {
    let cleo = await Player.invited(owner, 'Cleo', 'cleo');
    const ours = await owner.view(cleo);
    await cleo.view(owner);
    cleo.browser.online = false;
    await until(() => cleo.app.state.link === 'offline');
    await cleo.app.send(owner.uid, 'from the tunnel');
    await cleo.app.send(owner.uid, 'still in the tunnel');
    cleo = cleo.again();
    await until(() => cleo.app.state.phase === 'in');
    const hers = await cleo.view(owner);
    expect(texts(hers)).toEqual(['from the tunnel', 'still in the tunnel']);
    expect(last(hers).tick).toBe('waiting');
    cleo.browser.online = true;
    await until(() => ours.messages.length === 2);
    await until(() => last(hers).tick === 'kept');
    expect(texts(ours)).toEqual(['from the tunnel', 'still in the tunnel']);
  });

  test('an answer that was lost on the way doubles nothing', async () => {
    const dan = await Player.invited(owner, 'Dan', 'dan');
    const ours = await owner.view(dan);
    const his = await dan.view(owner);
    const puts: string[] = [];
    dan.tab.says = (frame) => {
      if (frame.includes('"type":"chat"') && !frame.includes('"quiet":true')) puts.push(frame);
      return frame;
    };
    let lost = false;
    dan.tab.hears = (frame) => {
      const id = /^\{"op":"accepted","id":("[^"]+")/u.exec(frame)?.[1];
      if (lost || id === undefined || !puts.some((put) => put.includes(`"id":${id}`))) return frame;
      lost = true;
      dan.tab.cut();
      return undefined;
    };
    await dan.app.send(owner.uid, 'once');
    await until(() => last(his).tick === 'kept');
    expect(lost).toBe(true);
    // Sent again with the same bytes, not anew.
    expect(puts.length).toBeGreaterThan(new Set(puts).size);
    expect(texts(ours)).toEqual(['once']);
  });

  test('a text of twenty thousand characters arrives whole', async () => {
    const eva = await Player.invited(owner, 'Eva', 'eva');
    const ours = await owner.view(eva);
    const long = '长话短说。'.repeat(4_000);
    await eva.app.send(owner.uid, long);
    await until(() => ours.messages.length === 1);
    expect(last(ours).text.length).toBeLessThan(long.length);
    expect(await last(ours).more?.()).toBe(long);
    await expect(eva.app.send(owner.uid, `${long}!`)).rejects.toMatchObject({ code: 'text-long' });
  });

  test('a photo goes up, comes down, and opens', async () => {
    const fay = await Player.invited(owner, 'Fay', 'fay');
    const ours = await owner.view(fay);
    const bytes = crypto.getRandomValues(new Uint8Array(60_000));
    await fay.app.sendPhoto(owner.uid, new Blob([bytes, bytes, bytes]), 'Persimmons');
    await until(() => ours.messages.length === 1);
    const { photo, text } = last(ours);
    expect(text).toBe('Persimmons');
    expect(photo).toMatchObject({ width: 640, height: 480 });
    const url = await photo?.load();
    const shown = owner.browser.blob(url ?? '');
    expect(new Uint8Array(await (shown?.arrayBuffer() ?? new ArrayBuffer(0)))).toEqual(new Uint8Array([...HEAD, ...bytes, ...bytes, ...bytes]));
  });
});

describe('two tabs', () => {
  test('show the same and send once', async () => {
    const gus = await Player.invited(owner, 'Gus', 'gus');
    const ours = await owner.view(gus);
    await until(() => gus.app.people().length === 1);
    const second = gus.beside();
    await until(() => second.app.state.phase === 'in');
    await second.online();
    const one = await gus.view(owner);
    const two = await second.view(owner);
    await Promise.all([gus.app.send(owner.uid, 'a'), second.app.send(owner.uid, 'b'), gus.app.send(owner.uid, 'c')]);
    await until(() => ours.messages.length === 3 && one.messages.length === 3 && two.messages.length === 3);
    expect(texts(one)).toEqual(texts(two));
    expect(texts(one)).toEqual(texts(ours));
  });

  test('know the drafts of the other, and each keeps what stands in its field', async () => {
    const hana = await Player.invited(owner, 'Hana', 'hana');
    const jin = await Player.invited(hana, 'Jin', 'jin');
    await until(() => hana.app.people().length === 2);
    const second = hana.beside();
    await until(() => second.app.state.phase === 'in');
    const draft = (of: Player, friend = owner): string | undefined => of.app.talks().find(({ peer }) => peer.uid === friend.uid)?.draft;
    hana.app.draft(owner.uid, 'half a');
    await until(() => draft(second) === 'half a');
    await second.view(owner);
    second.app.draft(owner.uid, 'half a thou');
    await until(() => draft(hana) === 'half a thou');
    hana.app.draft(owner.uid, 'something else');
    hana.app.draft(jin.uid, 'for Jin');
    await until(() => draft(second, jin) === 'for Jin');
    expect(draft(second)).toBe('half a thou');
    second.app.draft(owner.uid, '');
    await until(() => draft(hana) === '');
  });
});

describe('friends', () => {
  test('by name: asked, accepted, removed, blocked', async () => {
    const hal = await Player.invited(owner, 'Hal', 'hal');
    const ida = await Player.invited(owner, 'Ida', 'ida');
    const host = new URL(relay.origin).host;
    await hal.app.request(`ida@${host}`, 'We met at the well');
    await until(() => ida.app.state.requests === 1);
    expect(ida.app.people().find(({ uid }) => uid === hal.uid)).toMatchObject({ state: 'asks', confirmed: false, words: 'We met at the well', name: 'Hal' });
    await ida.app.accept(hal.uid);
    const his = await hal.view(ida);
    await ida.app.send(hal.uid, 'hello');
    await until(() => his.messages.length === 1);
    await hal.app.unfriend(ida.uid);
    await until(() => ida.app.people().find(({ uid }) => uid === hal.uid)?.state === 'removed');
    await expect(ida.app.send(hal.uid, 'are you there?')).rejects.toMatchObject({ code: 'not-friend' });
    await ida.app.block(hal.uid);
    await expect(hal.app.request(`ida@${host}`, '')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('a changed profile is seen', async () => {
    const jon = await Player.invited(owner, 'Jon', 'jon');
    await jon.view(owner);
    await jon.app.setProfile({ name: 'Jonathan 约翰', about: 'gardener', picture: 'keep' });
    await until(() => owner.app.people().some(({ name, about }) => name === 'Jonathan 约翰' && about === 'gardener'));
  });
});

describe('another browser', () => {
  test('takes the account by a link, with friends and history', async () => {
    const kim = await Player.invited(owner, 'Kim', 'kim');
    const ours = await owner.view(kim);
    await kim.view(owner);
    for (const text of ['one', 'two', 'three']) await kim.app.send(owner.uid, text);
    await until(() => ours.messages.length === 3);
    const { url } = await kim.app.addDevice();
    const phone = new Player(relay);
    await phone.app.takeHandover(url);
    const there = await phone.view(owner);
    await until(() => there.messages.length === 3);
    expect(texts(there)).toEqual(['one', 'two', 'three']);
    expect(phone.uid).toBe(kim.uid);
    await phone.app.send(owner.uid, 'four, from the phone');
    const first = await kim.view(owner);
    await until(() => first.messages.length === 4 && ours.messages.length === 4);
    await expect(new Player(relay).app.takeHandover(url)).rejects.toMatchObject({ code: 'handover-unknown' });
    await until(() => kim.app.devices().length === 2);
    const lost = kim.app.devices().find(({ self }) => !self);
    await kim.app.revoke(lost?.id ?? '');
    await until(() => phone.app.state.link === 'refused');
    await phone.app.send(owner.uid, 'nobody takes this');
    expect((await phone.app.diagnose()).unsent).toMatchObject([{ why: 'refused', code: 'unauthorized', count: 1 }]);
  });

  test('that never took its link is let go after a day, and the daily key is a new one', async () => {
    // Yesterday, as this browser's clock and the relay have it.
    const day = 25 * 3_600_000;
    const jim = new Player(relay);
    jim.browser.lead = -day;
    jim.tab.hears = (frame) =>
      frame.startsWith('{"op":"ready"') ? frame.replace(/"time":(\d+)/, (_all, time: string) => `"time":${String(Number(time) - day)}`) : frame;
    await jim.app.join(await owner.app.invite(), 'Jim', 'jim');
    await jim.view(owner);
    await jim.online();
    const key = async (): Promise<unknown> => (await fetch(`${relay.origin}/api/1/ueks/${jim.uid}`)).json();
    const first = await key();
    const { url } = await jim.app.addDevice();
    await until(() => jim.app.devices().length === 2);
    jim.tab.close();

    jim.browser.lead = 0;
    const later = jim.beside();
    await later.online();
    await until(() => later.app.devices().length === 1);
    await expect.poll(key, { timeout: 30_000 }).not.toEqual(first);
    await expect(new Player(relay).app.takeHandover(url)).rejects.toMatchObject({ code: 'handover-unknown' });
  });

  test('is restored with the card', async () => {
    const leo = await Player.invited(owner, 'Leo', 'leo');
    const ours = await owner.view(leo);
    await leo.view(owner);
    await leo.app.send(owner.uid, 'keep this');
    await until(() => ours.messages.length === 1);
    await until(() => leo.app.state.card.state === 'due');
    const card = await leo.app.makeCard();
    expect(await leo.app.makeCard()).toEqual(card);
    await leo.app.cardSaved();
    await until(() => leo.app.state.card.state === 'saved');
    await expect(leo.app.makeCard()).rejects.toMatchObject({ code: 'card-exists' });
    const found = new Player(relay);
    await expect(found.app.restore(card.text.replace(/.$/, '@'))).rejects.toMatchObject({ code: 'card-bad' });
    await found.app.restore(card.text);
    expect(found.app.state.account?.name).toBe('Leo');
    const view = await found.view(owner);
    await until(() => view.messages.length === 1);
    expect(texts(view)).toEqual(['keep this']);
    await owner.app.send(leo.uid, 'welcome back');
    await until(() => view.messages.length === 2);
  });
});
