import { describe, expect, test } from 'vitest';
import { bareJpeg, wallPhotoSize } from '../barejpeg';
import { b64, concat } from '../bytes';
import { Chain } from '../ident';
import { any as anyJson, array, bool, bytes, int, oneOf, open, text } from '../json';
import { Altered, makeChange, makeHead, parseChange, readWallPage, stepsOf, verifyChange, verifyHead, Walk, type Content, type Pin } from '../post';
import { isProblem, Problem } from '../problem';
import { readSigned, type Signed } from '../signed';
import { now, person } from './cast';
import { any, vectors, words } from './vectors';

const readRecord = open({ payload: any, by: bytes(32), sig: bytes(64) });
const readPin = open({ seq: int(), hash: bytes(32), ts: int() });
const wall = vectors('wall', open({
  chain: array(readSigned, 100), uid: bytes(32),
  good: array(open({ record: readRecord, head: readSigned, op: text(10), seq: int(1), ts: int(), hash: bytes(32), first: int(1) }, { text: words, photos: int() }), 100),
  bad: array(open({ why: words, record: readRecord }), 1000),
  walks: array(open({ why: words, pin: readPin, pages: array(anyJson, 100), verdict: oneOf('fine', 'altered', 'chain') }, { seqs: array(int(1), 1000), end: readPin }), 1000),
  photos: array(open({ why: words, jpeg: any, ok: bool }), 100),
}));
const chain = Chain.parse(wall.chain, wall.uid);

test.each(wall.good)('change $seq of the good wall: $op', (vector) => {
  const change = verifyChange(vector.record, chain);
  expect([change.op, change.seq, change.ts, b64(change.hash), stepsOf(change)[0]]).toEqual([vector.op, vector.seq, vector.ts, b64(vector.hash), vector.first]);
  if (change.op === 'post' || change.op === 'edit') expect([change.text, change.photos.length]).toEqual([vector.text, vector.photos]);
  expect(verifyHead(vector.head, chain)).toMatchObject({ seq: vector.seq, hash: vector.hash });
});

test.each(wall.bad)('refused: $why', ({ record }) => {
  let thrown: unknown;
  try {
    verifyChange(record, chain);
  } catch (error) {
    thrown = error;
  }
  expect(isProblem(thrown, 'bad-request', 'too-large', 'bad-chain')).toBe(true);
});

test.each(wall.walks)('a walk, $verdict: $why', ({ pin, pages, verdict, seqs, end }) => {
  const walk = new Walk(chain, pin.seq === 0 ? undefined : pin);
  const met: number[] = [];
  let found = 'fine';
  try {
    for (const page of pages) met.push(...walk.take(readWallPage(page)).map(({ seq }) => seq));
    if (!walk.end) found = 'unfinished';
  } catch (error) {
    found = error instanceof Altered ? 'altered' : isProblem(error, 'bad-chain') ? 'chain' : `threw ${String(error)}`;
  }
  expect(found).toBe(verdict);
  if (verdict !== 'fine') return;
  expect(met).toEqual(seqs);
  expect(walk.end).toEqual(end);
});

test.each(wall.photos)('photo, taken: $ok: $why', ({ jpeg, ok }) => {
  expect(wallPhotoSize(jpeg) !== undefined).toBe(ok);
});

test('what a photo carries besides the picture is taken out', () => {
  const photo = wall.photos.find(({ ok }) => ok)?.jpeg;
  if (!photo) throw new Error('no photo');
  const secret = new TextEncoder().encode('Exif\0\0Lantern Street 7');
  const segment = concat(Uint8Array.of(0xff, 0xe1, 0, secret.length + 2), secret);
  const loaded = concat(photo.subarray(0, 2), segment, photo.subarray(2), secret);
  expect(wallPhotoSize(loaded)).toBeUndefined();
  expect(bareJpeg(loaded)).toEqual(photo);
  expect(bareJpeg(Uint8Array.of(0xff, 0xd8, 0xff, 0xd9))).toBeUndefined();
});

describe('a wall of one’s own', () => {
  const id = new Uint8Array(16).fill(7);

  test('is what its readers accept: posted, edited, taken back', async () => {
    const { keys, chain: own } = await person('alice');
    const contents: Content[] = [
      { op: 'profile', name: '林美', about: '', gone: [] },
      { op: 'post', id, text: '你好 👋', photos: [] },
      { op: 'edit', id, text: 'Hello', photos: [], posted: now, gone: [2] },
      { op: 'delete', id, gone: [2, 3] },
    ];
    let last: Pin | undefined;
    let head: Signed | undefined;
    const changes = [];
    for (const content of contents) {
      const made = await makeChange(keys, own, last, content, now);
      last = verifyHead(made.head, own);
      changes.push(made.signed);
      ({ head } = made);
    }
    if (!head || !last) throw new Error('nothing made');
    const page = { uid: own.uid, username: 'alice', host: 'relay.example', head, changes, more: false };
    const walk = new Walk(own, undefined);
    expect(walk.take(page).map(stepsOf)).toEqual([[1], [2], [2, 3], [2, 3, 4]]);
    expect(walk.end).toEqual(last);

    // Another of the reader's devices saw it before: the same past, or an alarm.
    expect(new Walk(own, undefined, last).take(page)).toHaveLength(4);
    expect(() => new Walk(own, undefined, { ...last, hash: new Uint8Array(32) }).take(page)).toThrow(Altered);
    expect(() => new Walk(own, undefined, { ...last, ts: last.ts + 1 }).take(page)).toThrow(Altered);
    expect(() => new Walk(own, undefined, { ...last, seq: 5 }).take(page)).toThrow(Altered);

    const renewed = verifyHead(await makeHead(keys, own, last, now - 5), own);
    expect(renewed.ts).toBe(last.ts);
  });

  test('takes nothing that its readers would refuse', async () => {
    const { keys, chain: own } = await person('alice');
    const make = (content: Content): Promise<unknown> => makeChange(keys, own, undefined, content, now);
    await expect(make({ op: 'post', id, text: '', photos: [] })).rejects.toThrow(Problem);
    await expect(make({ op: 'post', id, text: 'a'.repeat(20_001), photos: [] })).rejects.toThrow(Problem);
    await expect(make({ op: 'delete', id, gone: [] })).rejects.toThrow(Problem);
    expect(() => parseChange({ payload: new Uint8Array(50_000), by: own.uid, sig: own.uid })).toThrow('too-large');
  });
});
