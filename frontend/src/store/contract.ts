/** What every store must do, whatever it is made of: run by store.test.ts over the one there is. */

import { expect, test } from 'vitest';
import type { LogEvent } from '../domain/event';
import type { Draft, Written } from './log';
import type { Store } from './store';

const ME = 'me';
const FRIEND = 'friend';

export interface Bench {
  /** an empty store of its own */
  fresh(): Promise<Store>;
  /** the same database, opened once more */
  again(store: Store): Promise<Store>;
}

export function said(mid: string, clock: number, more: Partial<LogEvent> = {}): LogEvent {
  return {
    peer: FRIEND, author: FRIEND, mid, dev: 'dev', type: 'chat', kind: 'text', clock, ts: clock, received: clock, body: { text: mid }, hash: `h-${mid}`,
    ...more,
  };
}

function draft(mid: string, now: number, more: Partial<Draft> = {}): Draft {
  return {
    peer: FRIEND, author: ME, dev: 'dev', mid, type: 'chat', kind: 'text', body: { text: mid }, now, copy: true, files: [], logged: true, ...more,
  };
}

async function shown(store: Store): Promise<string[]> {
  return (await store.log.page(FRIEND, undefined, 100)).map(({ mid }) => mid);
}

function touched(written: Written): string[] {
  return written.changes.flatMap(({ messages }) => messages.map(([, mid]) => mid));
}

export function allTests(bench: Bench): void {
  test('an event that comes twice is there once', async () => {
    const store = await bench.fresh();
    expect((await store.log.write(ME, { events: [said('a', 10)] })).fresh).toHaveLength(1);
    expect((await store.log.write(ME, { events: [said('a', 10)] })).fresh).toHaveLength(0);
    expect(await shown(store)).toEqual(['a']);
    expect((await store.log.talk(FRIEND))?.unread).toBe(1);
  });

  test('pages are newest first by clock, then mid, in whatever order things came', async () => {
    const store = await bench.fresh();
    await store.log.write(ME, { events: [said('c', 30), said('b', 20), said('z', 30), said('a', 10)] });
    expect(await shown(store)).toEqual(['z', 'c', 'b', 'a']);
    const [newest] = await store.log.page(FRIEND, undefined, 1);
    expect((await store.log.page(FRIEND, [newest?.clock ?? 0, newest?.mid ?? ''], 2)).map(({ mid }) => mid)).toEqual(['c', 'b']);
  });

  test('two people with one mid are two events', async () => {
    const store = await bench.fresh();
    await store.log.write(ME, { events: [said('a', 10), said('a', 11, { author: ME })] });
    expect(await store.log.page(FRIEND, undefined, 10)).toHaveLength(2);
  });

  test('a floor hides what is older until it is taken away', async () => {
    const store = await bench.fresh();
    await store.log.write(ME, { events: [said('a', 10), said('b', 20), said('c', 30)], floors: [{ peer: FRIEND, floor: [20, 'b'] }] });
    expect(await shown(store)).toEqual(['c', 'b']);
    await store.log.write(ME, { floors: [{ peer: FRIEND, bottom: true }] });
    expect(await shown(store)).toEqual(['c', 'b', 'a']);
    expect(await store.log.page(FRIEND, [10, 'a'], 5)).toEqual([]);
  });

  test('read marks count unread, never go back, and are told', async () => {
    const store = await bench.fresh();
    await store.log.write(ME, { events: [said('a', 10), said('b', 20), said('c', 30)] });
    const mark = (mid: string, author: string, upto: number): LogEvent => said(mid, 40, { author, kind: 'read', body: { upto, mid: 'x' } });
    await store.log.write(ME, { events: [mark('r1', ME, 20)] });
    expect((await store.log.talk(FRIEND))?.unread).toBe(1);
    await store.log.write(ME, { events: [mark('r2', ME, 10)] });
    expect((await store.log.talk(FRIEND))?.mine).toBe(20);
    const written = await store.log.write(ME, { events: [mark('r3', FRIEND, 99)] });
    expect(written.changes).toMatchObject([{ peer: FRIEND, marks: true }]);
    expect((await store.log.talk(FRIEND))?.theirs).toBe(99);
    expect(await shown(store)).toEqual(['c', 'b', 'a']);
  });

  test('what touches a message is found with it, whichever came first', async () => {
    const store = await bench.fresh();
    const react = said('r', 5, { author: ME, kind: 'react', body: { target: 'a', author: FRIEND, emoji: '❤' } });
    await store.log.write(ME, { events: [react] });
    expect(touched(await store.log.write(ME, { events: [said('a', 10)] }))).toEqual(['a']);
    expect((await store.log.touches(FRIEND, ['a'])).get('a')).toMatchObject([{ mid: 'r' }]);
    const edit = said('e', 12, { kind: 'edit', body: { target: 'a', text: 'b' } });
    expect(touched(await store.log.write(ME, { events: [edit] }))).toEqual(['a']);
  });

  test.each(['before', 'after'])('a deletion that comes %s its message leaves nothing of it', async (order) => {
    const store = await bench.fresh();
    const message = said('a', 10, { body: { text: 'secret', file: { id: 'file-1' } } });
    const edit = said('e', 11, { kind: 'edit', body: { target: 'a', text: 'secret too' } });
    const gone = said('d', 12, { kind: 'delete', body: { target: 'a' } });
    const orphans: string[] = [];
    for (const event of order === 'before' ? [gone, message, edit] : [message, edit, gone]) {
      orphans.push(...(await store.log.write(ME, { events: [event] })).orphans);
    }
    expect(orphans).toEqual(['file-1']);
    expect(JSON.stringify([await store.log.event(FRIEND, FRIEND, 'a'), await store.log.event(FRIEND, FRIEND, 'e')])).not.toContain('secret');
    expect(await shown(store)).toEqual(['a']);
  });

  test('only the author deletes', async () => {
    const store = await bench.fresh();
    await store.log.write(ME, { events: [said('a', 10), said('d', 12, { author: ME, kind: 'delete', body: { target: 'a' } })] });
    expect((await store.log.event(FRIEND, FRIEND, 'a'))?.body).toEqual({ text: 'a' });
  });

  test('what is written is in the log and in line, with a later clock and the next number', async () => {
    const store = await bench.fresh();
    await store.log.write(ME, { events: [said('theirs', 500)] });
    await store.log.compose([draft('one', 100), draft('two', 100)], 7);
    const reopened = await bench.again(store);
    expect(await reopened.log.outbox()).toMatchObject([
      { mid: 'one', clock: 501, seq: 1, at: 7, sealed: undefined },
      { mid: 'two', clock: 502, seq: 2 },
    ]);
    expect(await shown(reopened)).toEqual(['two', 'one', 'theirs']);
    expect((await reopened.log.talk(FRIEND))?.unread).toBe(1);
  });

  test('a letter is sealed once, and accepted leaves only the event', async () => {
    const store = await bench.fresh();
    await store.log.compose([draft('one', 100)], 0);
    const [row] = await store.log.outbox();
    await store.log.sealed(ME, row?.order ?? 0, { id: 'env', env: '{}', hash: 'h1', at: 1 }, 100);
    expect((await (await bench.again(store)).log.outbox())[0]?.sealed).toEqual({ id: 'env', env: '{}', hash: 'h1', at: 1 });
    expect(touched(await store.log.accepted(ME, row?.order ?? 0, 'env', 200, true, false))).toEqual(['one']);
    expect(await store.log.outbox()).toEqual([]);
    expect(await store.log.event(FRIEND, ME, 'one')).toMatchObject({ accepted: 200, kept: true, hash: 'h1', ids: ['env'] });
    expect((await store.log.eventOfEnvelope('env'))?.mid).toBe('one');
  });

  /** One's own first message, accepted here and on its way to another courtyard. */
  async function underway(store: Store, more: Partial<Draft> = {}): Promise<void> {
    await store.log.compose([draft('one', 100, more)], 0);
    const [row] = await store.log.outbox();
    await store.log.sealed(ME, row?.order ?? 0, { id: 'env', env: '{}', hash: 'h1', at: 1 }, 100);
    await store.log.accepted(ME, row?.order ?? 0, 'env', 200, false, true);
  }

  test('a letter to another courtyard is on its way until it is there', async () => {
    const store = await bench.fresh();
    await underway(store);
    expect(await store.log.event(FRIEND, ME, 'one')).toMatchObject({ accepted: 200, way: true });
    expect(await (await bench.again(store)).log.ways()).toEqual(new Map([['env', { peer: FRIEND, mid: 'one', kind: 'text' }]]));
    expect(touched(await store.log.carried(ME, 'env', true))).toEqual(['one']);
    const there = await store.log.event(FRIEND, ME, 'one');
    expect(there).toMatchObject({ accepted: 200, kept: true });
    expect(there?.way).toBeUndefined();
    expect(await store.log.ways()).toEqual(new Map());
    await store.log.carried(ME, 'env', true, 'third.example');
    expect((await store.log.event(FRIEND, ME, 'one'))?.by).toBe('third.example');
    // Told twice, and by another tab.
    expect(touched(await store.log.carried(ME, 'env', undefined))).toEqual([]);
    expect((await store.log.event(FRIEND, ME, 'one'))?.kept).toBe(true);
  });

  test('there before it was known to be accepted', async () => {
    const store = await bench.fresh();
    await store.log.compose([draft('one', 100)], 0);
    const [row] = await store.log.outbox();
    await store.log.sealed(ME, row?.order ?? 0, { id: 'env', env: '{}', hash: 'h1', at: 1 }, 100);
    await store.log.carried(ME, 'env', true);
    await store.log.accepted(ME, row?.order ?? 0, 'env', 200, false, true);
    const there = await store.log.event(FRIEND, ME, 'one');
    expect(there).toMatchObject({ accepted: 200, kept: true });
    expect(there?.way).toBeUndefined();
    expect(await store.log.ways()).toEqual(new Map());
  });

  test('what came back before it was known to be accepted is not accepted', async () => {
    const store = await bench.fresh();
    await store.log.compose([draft('one', 100)], 0);
    const [row] = await store.log.outbox();
    await store.log.sealed(ME, row?.order ?? 0, { id: 'env', env: '{}', hash: 'h1', at: 1 }, 100);
    await store.log.returned(ME, { peer: FRIEND, id: 'env', code: 'not-contact', at: 150 });
    await store.log.accepted(ME, row?.order ?? 0, 'env', 200, false, true);
    const event = await store.log.event(FRIEND, ME, 'one');
    expect(event).toMatchObject({ returned: true, failure: { code: 'not-contact' } });
    expect(event?.accepted).toBeUndefined();
    expect(await store.log.outbox()).toMatchObject([{ mid: 'one', retry: false }]);
    expect(await store.log.ways()).toEqual(new Map());
  });

  test('what came back waits for the person, with its file, and goes again under the same mid', async () => {
    const store = await bench.fresh();
    await underway(store, { body: { text: 'long', file: { id: 'file' } }, files: ['file'] });
    const back = { peer: FRIEND, id: 'env', code: 'not-contact', at: 300 };
    expect(touched(await store.log.returned(ME, back))).toEqual(['one']);
    await store.log.returned(ME, back);
    const event = await store.log.event(FRIEND, ME, 'one');
    expect(event).toMatchObject({ returned: true, failure: { code: 'not-contact' } });
    expect(event?.accepted).toBeUndefined();
    expect(await store.log.outbox()).toMatchObject([{ mid: 'one', files: ['file'], copy: true, clock: 100, seq: 1, retry: false, sealed: undefined }]);
    // An older copy, from the own home, does not make it undone.
    await store.log.write(ME, { events: [said('one', 100, { author: ME, accepted: 150, hash: 'h1' })] });
    expect((await store.log.event(FRIEND, ME, 'one'))?.accepted).toBeUndefined();
    await store.log.requeue(ME, FRIEND, 'one', false, 5);
    const [again] = await store.log.outbox();
    await store.log.sealed(ME, again?.order ?? 0, { id: 'env2', env: '{}', hash: 'h2', at: 2 }, 100);
    await store.log.accepted(ME, again?.order ?? 0, 'env2', 400, false, true);
    // The first one's return, heard once more, is about the first one.
    await store.log.returned(ME, back);
    expect(await store.log.event(FRIEND, ME, 'one')).toMatchObject({ accepted: 400, way: true, ids: ['env', 'env2'] });
    expect(await store.log.outbox()).toEqual([]);
  });

  test('sent again by another device, nothing waits here any more', async () => {
    const store = await bench.fresh();
    await store.log.write(ME, { events: [said('one', 100, { author: ME, accepted: 150, ids: ['env'], way: true })] });
    expect((await store.log.ways()).has('env')).toBe(true);
    await store.log.returned(ME, { peer: FRIEND, id: 'env', code: 'not-contact', at: 300 });
    expect(await store.log.outbox()).toHaveLength(1);
    await store.log.write(ME, { events: [said('one', 100, { author: ME, accepted: 350, ids: ['env2'], hash: 'h2', way: true })] });
    const event = await store.log.event(FRIEND, ME, 'one');
    expect(event).toMatchObject({ accepted: 350, way: true });
    expect(event?.failure).toBeUndefined();
    expect(await store.log.outbox()).toEqual([]);
  });

  test('what arrived in the friend’s home, or is somebody else’s, does not come back', async () => {
    const store = await bench.fresh();
    await underway(store);
    await store.log.returned(ME, { peer: 'another', id: 'env', code: 'not-contact', at: 300 });
    expect((await store.log.event(FRIEND, ME, 'one'))?.returned).toBeUndefined();
    await store.log.write(ME, { receipts: [{ peer: FRIEND, mid: 'one', hash: 'h1', at: 301 }] });
    await store.log.returned(ME, { peer: FRIEND, id: 'env', code: 'not-contact', at: 302 });
    expect((await store.log.event(FRIEND, ME, 'one'))?.returned).toBeUndefined();
  });

  test('taken back after it came back, it goes out of the line and stays to be deleted for everybody', async () => {
    const store = await bench.fresh();
    await underway(store);
    await store.log.returned(ME, { peer: FRIEND, id: 'env', code: 'not-contact', at: 300 });
    expect(await store.log.discard(ME, FRIEND, 'one')).toBeUndefined();
    expect(await store.log.outbox()).toEqual([]);
    expect(await store.log.event(FRIEND, ME, 'one')).toBeDefined();
  });

  test('a house tick counts for exactly the letter that was sent', async () => {
    const store = await bench.fresh();
    await store.log.compose([draft('one', 100)], 0);
    const [row] = await store.log.outbox();
    await store.log.sealed(ME, row?.order ?? 0, { id: 'env', env: '{}', hash: 'right', at: 1 }, 100);
    await store.log.write(ME, { receipts: [{ peer: FRIEND, mid: 'one', hash: 'wrong', at: 300 }] });
    expect((await store.log.event(FRIEND, ME, 'one'))?.home).toBeUndefined();
    await store.log.write(ME, { receipts: [{ peer: FRIEND, mid: 'one', hash: 'right', at: 301 }] });
    expect((await store.log.event(FRIEND, ME, 'one'))?.home).toBe(301);
  });

  test('a receipt that comes before the copy of the message waits for it', async () => {
    const store = await bench.fresh();
    await store.log.write(ME, { receipts: [{ peer: FRIEND, mid: 'one', hash: 'h-one', at: 300 }] });
    await store.log.write(ME, { events: [said('one', 100, { author: ME, accepted: 100 })] });
    expect((await store.log.event(FRIEND, ME, 'one'))?.home).toBe(300);
  });

  test('sealed again under the same mid, both letters count', async () => {
    const store = await bench.fresh();
    await store.log.compose([draft('one', 100)], 0);
    const [row] = await store.log.outbox();
    await store.log.sealed(ME, row?.order ?? 0, { id: 'env1', env: '{}', hash: 'h1', at: 1 }, 100);
    await store.log.accepted(ME, row?.order ?? 0, 'env1', 200, false, false);
    await store.log.requeue(ME, FRIEND, 'one', true, 5);
    const [second] = await store.log.outbox();
    expect(second).toMatchObject({ mid: 'one', clock: 100, seq: 1, sealed: undefined, again: true });
    await store.log.sealed(ME, second?.order ?? 0, { id: 'env2', env: '{}', hash: 'h2', at: 2 }, 100);
    await store.log.write(ME, { receipts: [{ peer: FRIEND, mid: 'one', hash: 'h2', at: 400 }] });
    expect(await store.log.event(FRIEND, ME, 'one')).toMatchObject({ home: 400, ids: ['env1', 'env2'], hashes: ['h1', 'h2'] });
    expect(await shown(store)).toEqual(['one']);
  });

  test('a refusal is told and kept; trying again forgets it', async () => {
    const store = await bench.fresh();
    await store.log.compose([draft('one', 100)], 0);
    const [row] = await store.log.outbox();
    const failure = { code: 'not-contact', params: {} };
    await store.log.refused(ME, row?.order ?? 0, failure, false);
    expect(await store.log.event(FRIEND, ME, 'one')).toMatchObject({ failure });
    await store.log.requeue(ME, FRIEND, 'one', false, 5);
    expect((await store.log.event(FRIEND, ME, 'one'))?.failure).toBeUndefined();
    expect((await store.log.outbox())[0]).toMatchObject({ failure: undefined, retry: true });
  });

  test('a message nobody has can be taken back, one that left cannot', async () => {
    const store = await bench.fresh();
    await store.log.compose([draft('one', 100), draft('two', 101)], 0);
    const [first] = await store.log.outbox();
    await store.log.sealed(ME, first?.order ?? 0, { id: 'env', env: '{}', hash: 'h', at: 1 }, 100);
    expect(await store.log.discard(ME, FRIEND, 'one')).toBeUndefined();
    expect(await store.log.discard(ME, FRIEND, 'two')).toBeDefined();
    expect(await shown(store)).toEqual(['one']);
    expect((await store.log.talk(FRIEND))?.last?.mid).toBe('one');
  });

  test('an older read mark that has not left is withdrawn', async () => {
    const store = await bench.fresh();
    await store.log.compose([draft('r1', 100, { kind: 'read', body: { upto: 50, mid: 'x' } })], 0);
    await store.log.compose([draft('r2', 101, { kind: 'read', body: { upto: 60, mid: 'x' } })], 0);
    expect((await store.log.outbox()).map(({ mid }) => mid)).toEqual(['r2']);
    expect(await store.log.event(FRIEND, ME, 'r1')).toBeUndefined();
    expect((await store.log.talk(FRIEND))?.mine).toBe(60);
  });

  test('another window, where less was seen, takes no read mark back', async () => {
    const store = await bench.fresh();
    const other = await bench.again(store);
    await store.log.compose([draft('r1', 100, { kind: 'read', body: { upto: 60, mid: 'x' } })], 0);
    await other.log.compose([draft('r2', 101, { kind: 'read', body: { upto: 50, mid: 'y' } })], 0);
    const [row, ...more] = await store.log.outbox();
    expect([row?.mid, more]).toEqual(['r1', []]);
    await store.log.sealed(ME, row?.order ?? 0, { id: 'env', env: '{}', hash: 'h', at: 1 }, 100);
    await store.log.compose([draft('r3', 102, { kind: 'read', body: { upto: 70, mid: 'z' } })], 0);
    expect((await store.log.outbox()).map(({ mid }) => mid)).toEqual(['r1', 'r3']); // nobody knows whether the first one has left
    expect((await store.log.talk(FRIEND))?.mine).toBe(70);
  });

  test('a change of which something cannot be written is not made at all', async () => {
    const store = await bench.fresh();
    const before = await store.log.talk(FRIEND);
    await expect(store.log.compose([draft('one', 100), draft('two', 101, { body: { text: () => 'no database takes this' } })], 0)).rejects.toThrow();
    expect(await store.log.outbox()).toEqual([]);
    expect(await shown(store)).toEqual([]);
    expect(await store.log.talk(FRIEND)).toEqual(before);
    await store.log.compose([draft('three', 102)], 0);
    expect(await shown(store)).toEqual(['three']);
  });

  test('cursors move with what they stand for', async () => {
    const store = await bench.fresh();
    await store.log.write(ME, { events: [said('a', 10)], cursors: { place: { n: 4 } } });
    expect(await (await bench.again(store)).log.cursor('place')).toEqual({ n: 4 });
  });

  test('two at once give out no number twice', async () => {
    const store = await bench.fresh();
    const other = await bench.again(store);
    const mids = Array.from({ length: 20 }, (_, n) => String(n));
    await Promise.all(mids.map((mid, n) => (n % 2 ? store : other).log.compose([draft(mid, 100)], 0)));
    const rows = await store.log.outbox();
    expect(new Set(rows.map(({ seq }) => seq)).size).toBe(20);
    expect(new Set(rows.map(({ clock }) => clock)).size).toBe(20);
  });

  test('files come in pieces without a gap, go up whole, and the cache keeps its bound', async () => {
    const store = await bench.fresh();
    const { files } = store;
    expect(await files.append('f', 4, 0, Uint8Array.of(1, 2), 1)).toBe(true);
    expect(await files.append('f', 4, 3, Uint8Array.of(4), 1)).toBe(false);
    expect(await files.read('f', 2)).toBeUndefined();
    expect(await files.append('f', 4, 2, Uint8Array.of(3, 4, 5), 1)).toBe(false);
    expect(await files.append('f', 4, 2, Uint8Array.of(3, 4), 1)).toBe(true);
    expect(await files.read('f', 3)).toEqual(Uint8Array.of(1, 2, 3, 4));
    await files.outgoing('up', Uint8Array.of(9, 9, 9), ['x'], 1);
    await files.append('g', 2, 0, Uint8Array.of(7, 7), 2);
    await files.trim(4);
    expect([await files.get('f'), await files.get('g'), await files.get('up')].map((file) => file !== undefined)).toEqual([true, false, true]);
    await files.forget(['f']);
    expect(await files.read('f', 9)).toBeUndefined();
  });

  test('a profile is replaced by a newer one only', async () => {
    const store = await bench.fresh();
    const person = { uid: 'u', name: 'Mei', about: '', picture: undefined, version: 2 };
    expect(await store.savePerson(person)).toBe(true);
    expect(await store.savePerson({ ...person, name: 'old', version: 1 })).toBe(false);
    expect(await store.people()).toEqual([person]);
  });

  test('drafts and settings are kept, and empty ones are not', async () => {
    const store = await bench.fresh();
    await store.saveDraft('u', 'half a sent', 1);
    await store.saveSetting('a', 1);
    expect(await (await bench.again(store)).drafts()).toEqual([{ peer: 'u', text: 'half a sent', at: 1 }]);
    await store.saveDraft('u', '', 2);
    await store.saveSetting('a', undefined);
    expect([await store.drafts(), await store.setting('a')]).toEqual([[], undefined]);
  });

  test('wiping leaves nothing', async () => {
    const store = await bench.fresh();
    await store.log.compose([draft('one', 100)], 0);
    await store.saveDraft('u', 'text', 1);
    await store.wipe();
    const after = await bench.again(store);
    expect([await after.log.outbox(), await after.drafts(), await after.log.talks()]).toEqual([[], [], []]);
  });
}
