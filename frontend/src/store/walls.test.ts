import 'fake-indexeddb/auto';
import { beforeEach, expect, test } from 'vitest';
import { b64 } from '../protocol/bytes';
import type { Change } from '../protocol/post';
import type { WallRecord } from './schema';
import { Store } from './store';
import { type NewBoxRow, WallShelf } from './walls';

const bytes = (n: number, length = 32): Uint8Array<ArrayBuffer> => new Uint8Array(length).fill(n);
const frame = (seq: number) => ({ v: 1 as const, uid: bytes(1), seq, ts: 1000 + seq, hash: bytes(seq) });
const post = (seq: number, id: number): Change => ({ ...frame(seq), op: 'post', id: bytes(id, 16), text: `post ${String(id)}`, photos: [] });
const edit = (seq: number, id: number, gone: readonly number[], text: string): Change => ({ ...frame(seq), op: 'edit', id: bytes(id, 16), text, photos: [], posted: 1000 + (gone[0] ?? 0), gone });
const wall = (seq: number, uid = 'mei'): WallRecord => ({
  uid, username: uid, host: 'h', name: uid, about: '', picture: undefined, steps: [], seq, hash: b64(bytes(seq)), ts: 1000 + seq, checked: 0, altered: undefined,
});
const row: NewBoxRow = { op: 'post', id: 'x', text: 'waits', photos: [{ hash: 'p1', size: 1, width: 1, height: 1, thumb: bytes(0, 5), alt: '' }], at: 1, failure: undefined };

let shelf: WallShelf;
beforeEach(async () => {
  shelf = new WallShelf((await Store.open(crypto.randomUUID(), () => undefined)).database);
});
const texts = async (): Promise<string[]> => (await shelf.newest(10)).map(({ text }) => text);

test('an edit moves nothing and knows all steps; a deletion leaves nothing', async () => {
  await shelf.take(wall(3), [post(1, 7), post(2, 8), edit(3, 7, [1], 'better')], 0);
  expect(await texts()).toEqual(['post 8', 'better']);
  expect(await shelf.post('mei', b64(bytes(7, 16)))).toMatchObject({ place: 1, seq: 3, posted: 1001, edited: 1003, steps: [1, 3] });
  await shelf.take(wall(4), [{ ...frame(4), op: 'delete', id: bytes(8, 16), gone: [2] }], 0);
  expect(await texts()).toEqual(['better']);
  expect((await shelf.of('mei', 10)).map(({ place }) => place)).toEqual([1]);
});

test('an edit of a post whose beginning was never seen here is the post', async () => {
  await shelf.take(wall(3), [edit(3, 7, [1], 'as it is now')], 0);
  expect(await shelf.of('mei', 10)).toMatchObject([{ place: 1, posted: 1001, steps: [1, 3] }]);
});

test('who has read less does not write over who has read more; anew, nothing from before counts', async () => {
  await shelf.take(wall(2), [post(1, 7), post(2, 8)], 0);
  await shelf.take(wall(1), [post(1, 7)], 0);
  expect((await shelf.wall('mei'))?.seq).toBe(2);
  expect(await shelf.take(wall(5), [post(5, 9)], 0, { after: 4 })).toBe(false);
  expect(await shelf.take(wall(3), [post(3, 9)], 0, { after: 2 })).toBe(true);
  await shelf.forget('mei');
  expect(await shelf.take(wall(4), [post(4, 9)], 0, { after: 3 })).toBe(false);
  expect(await shelf.wall('mei')).toBeUndefined();
  await shelf.take(wall(1), [post(1, 7)], 0, { anew: true });
  expect((await shelf.wall('mei'))?.seq).toBe(1);
  expect(await texts()).toEqual(['post 7']);
});

test('walls are forgotten one by one', async () => {
  await shelf.take(wall(1), [post(1, 7)], 0);
  await shelf.take(wall(1, 'wei'), [post(1, 9)], 0);
  await shelf.forget('mei');
  expect(await texts()).toEqual(['post 9']);
  expect((await shelf.walls()).map(({ uid }) => uid)).toEqual(['wei']);
});

test('what waits stays with its photos until it is done; then the photos are like others, and the oldest go', async () => {
  await shelf.compose(row, [{ hash: 'p1', data: bytes(1) }]);
  await shelf.keepPhoto('p2', bytes(2), 5);
  await shelf.keepPhoto('p3', bytes(3), 6);
  await shelf.trimPhotos(10, 1);
  expect([await shelf.photo('p1'), await shelf.photo('p2'), await shelf.photo('p3')]).toEqual([bytes(1), undefined, bytes(3)]);
  const [waiting] = await shelf.box();
  if (!waiting) throw new Error('nothing waits');
  await shelf.mark(waiting.order, { code: 'space-full', params: {} });
  expect((await shelf.box())[0]?.failure?.code).toBe('space-full');
  await shelf.take(wall(1), [post(1, 7)], 0, { done: waiting.order });
  expect(await shelf.box()).toEqual([]);
  await shelf.trimPhotos(20, 1);
  expect([await shelf.photo('p1'), await shelf.photo('p3')]).toEqual([bytes(1), undefined]);
});
