import { describe, expect, test } from 'vitest';
import { fromUtf8, utf8 } from '../bytes';
import { encodeBody, encodeMeta, isLetterType, type Known, limits, nextClock, parseBody, parseMeta, plainName, shownClock, splitText } from '../message';
import { metaOf, person, repeatable } from './cast';

const random = repeatable('message');
const [mid, uid, key, hash] = [random(16), random(32), random(32), random(32)];
const file = { id: mid, key, size: 12_345, hash, type: 'image/jpeg' };
const reply = { mid, author: uid };

async function everyKind(): Promise<Known[]> {
  const { record } = await person('alice');
  return [
    { type: 'chat', kind: 'text', body: { text: '熊猫\n"🐼"', reply, file } },
    { type: 'chat', kind: 'text', body: { text: 'x' } },
    { type: 'chat', kind: 'photo', body: { file, width: 1, height: 20_000, thumb: random(25), text: '', reply } },
    { type: 'chat', kind: 'edit', body: { target: mid, text: '', file } },
    { type: 'chat', kind: 'delete', body: { target: mid } },
    { type: 'chat', kind: 'react', body: { target: mid, author: uid, emoji: '👍🏽' } },
    { type: 'chat', kind: 'react', body: { target: mid, author: uid, emoji: '' } },
    { type: 'chat', kind: 'read', body: { upto: 1, mid } },
    { type: 'chat', kind: 'profile', body: { name: '王伟', about: '', version: 3, picture: random(1000) } },
    { type: 'friend', kind: 'request', body: { name: 'Wei', username: 'wei', words: 'hello' } },
    { type: 'friend', kind: 'joined', body: { name: 'Wei', username: 'wei', invite: mid, proof: key } },
    { type: 'friend', kind: 'accept', body: { name: 'Wei', username: 'wei' } },
    { type: 'friend', kind: 'decline', body: {} },
    { type: 'friend', kind: 'remove', body: {} },
    { type: 'receipt', kind: 'home', body: { items: [{ mid, hash }, { mid: random(16), hash: random(32) }] } },
    { type: 'receipt', kind: 'stale', body: { id: mid, uek: record.signed } },
    { type: 'live', kind: 'typing', body: {} },
    { type: 'live', kind: 'here', body: {} },
    { type: 'live', kind: 'peer', body: { id: mid, to: uid, sdp: { type: 'offer', sdp: 'v=0\r\n' }, candidates: [{ candidate: '', sdpMid: '0' }] } },
    { type: 'live', kind: 'peer', body: { id: mid, to: uid, end: true } },
    { type: 'live', kind: 'call', body: { call: mid, op: 'ring', media: 'video' } },
    { type: 'live', kind: 'call', body: { call: mid, op: 'answer', to: uid, sdp: { type: 'offer', sdp: 'v=0\r\n' } } },
    { type: 'live', kind: 'call', body: { call: mid, op: 'taken', by: uid } },
    { type: 'live', kind: 'call', body: { call: mid, op: 'end' } },
    { type: 'chat', kind: 'call', body: { call: mid, media: 'audio', result: 'answered', seconds: 180 } },
  ];
}

test('every kind is read as it was written', async () => {
  for (const said of await everyKind()) {
    const json = encodeBody(said);
    const read = parseBody(said.type, said.kind, json);
    expect(read).toEqual(said);
    expect(encodeBody(read as Known)).toEqual(json);
  }
});

test('keys and kinds to come: the first left out, the second left alone', () => {
  expect(parseBody('chat', 'text', utf8('{"text":"a","style":{"bold":[1.5]}}'))).toEqual({ type: 'chat', kind: 'text', body: { text: 'a' } });
  for (const kind of ['poll', 'toString', '__proto__', 'constructor']) expect(parseBody('chat', kind, utf8('{"a":[1]}'))).toEqual({ type: 'chat', kind: 'unknown' });
  expect(() => parseBody('chat', 'poll', utf8('{"a":1,"a":2}'))).toThrow('bad-request');
  expect(['chat', 'friend', 'receipt', 'live'].every(isLetterType)).toBe(true);
  expect(['link', 'room', '', 'toString'].some(isLetterType)).toBe(false);
});

test.each([
  ['林美', '林美'], [' Anna\u202e\u200b O’Neil\u0007 ', 'Anna O’Neil'], ['\u2067אבא\u2069', 'אבא'], ['مى\u200cخواهم', 'مى\u200cخواهم'], ['👩\u200d🌾', '👩\u200d🌾'], ['\u200b\u3164\ufeff', ''],
])('the name %j is shown as %j', (name, shown) => {
  expect(plainName(name)).toBe(shown);
});

describe('bounds', () => {
  const b = 'A'.repeat(22);
  const u = 'A'.repeat(43);
  const f = { id: b, key: u, size: 1, hash: u, type: 'image/jpeg' };
  const photo = { file: f, width: 1, height: 1, thumb: '' };
  test.each<[string, 'chat' | 'friend' | 'receipt' | 'live', string, unknown]>([
    ['no text', 'chat', 'text', {}], ['an empty text', 'chat', 'text', { text: '' }], ['a long text', 'chat', 'text', { text: 'x'.repeat(20_001) }],
    ['a heavy text', 'chat', 'text', { text: '熊'.repeat(13_334) }], ['text that is a number', 'chat', 'text', { text: 1 }], ['a reply to nothing', 'chat', 'text', { text: 'x', reply: {} }],
    ['a null reply', 'chat', 'text', { text: 'x', reply: null }], ['a file without key', 'chat', 'text', { text: 'x', file: { ...f, key: undefined } }],
    ['a large file', 'chat', 'text', { text: 'x', file: { ...f, size: limits.file + 1 } }], ['a file of no type', 'chat', 'text', { text: 'x', file: { ...f, type: 'jpeg' } }],
    ['a type that could be a header', 'chat', 'text', { text: 'x', file: { ...f, type: 'a/b\r\nx' } }], ['a photo of no width', 'chat', 'photo', { ...photo, width: 0 }],
    ['a photo as wide as a road', 'chat', 'photo', { ...photo, width: 20_001 }], ['a large thumb', 'chat', 'photo', { ...photo, thumb: 'A'.repeat(88) }],
    ['a target cut short', 'chat', 'delete', { target: 'AA' }], ['a row of emoji', 'chat', 'react', { target: b, author: u, emoji: '👍'.repeat(17) }],
    ['a negative clock', 'chat', 'read', { upto: -1, mid: b }], ['no name', 'chat', 'profile', { name: '', about: '', version: 1 }],
    ['a long name', 'friend', 'request', { name: '王'.repeat(65), username: 'wei' }], ['many words', 'friend', 'request', { name: 'Wei', username: 'wei', words: '話'.repeat(101) }],
    ['a bad username', 'friend', 'joined', { name: 'Wei', username: 'W', invite: b, proof: u }], ['a large picture', 'chat', 'profile', { name: 'a', about: '', version: 1, picture: 'A'.repeat(32_772) }],
    ['no items', 'receipt', 'home', { items: [] }], ['too many items', 'receipt', 'home', { items: Array(501).fill({ mid: b, hash: u }) }],
    ['an unsigned key', 'receipt', 'stale', { id: b, uek: {} }], ['a list', 'live', 'typing', []], ['nothing', 'live', 'here', null],
    ['a call to nobody', 'live', 'call', { call: b, op: 'signal' }], ['a ring for nothing', 'live', 'call', { call: b, op: 'ring' }],
    ['a large description', 'live', 'peer', { id: b, to: u, sdp: { type: 'offer', sdp: 'x'.repeat(16_385) } }],
    ['a heavy description', 'live', 'peer', { id: b, to: u, sdp: { type: 'offer', sdp: '熊'.repeat(5_462) } }],
    ['many candidates', 'live', 'call', { call: b, op: 'signal', to: u, candidates: Array(17).fill({ candidate: '', sdpMid: '0' }) }],
    ['a long candidate', 'live', 'call', { call: b, op: 'signal', to: u, candidates: [{ candidate: 'x'.repeat(257), sdpMid: '0' }] }],
    ['a call of years', 'chat', 'call', { call: b, media: 'audio', result: 'answered', seconds: 86_401 }],
    ['depth', 'chat', 'text', { text: 'x', more: [[[[1]]]] }],
  ])('%s', (_, type, kind, body) => {
    expect(() => parseBody(type, kind, utf8(JSON.stringify(body)))).toThrow(/bad-request|too-large/);
  });
});

test('meta goes there and back', async () => {
  const meta = metaOf(await person('alice'));
  expect(parseMeta(encodeMeta(meta))).toEqual(meta);
  expect(() => parseMeta(utf8(fromUtf8(encodeMeta(meta)).replace('text', 'te xt')))).toThrow('bad-request');
});

test('the hybrid clock', () => {
  expect(nextClock(100, 50)).toBe(100);
  expect(nextClock(100, 100)).toBe(101);
  expect(nextClock(100, 5000)).toBe(5001);
  expect(shownClock(1_000, 900)).toBe(1_000);
  expect(shownClock(10_000_000, 0)).toBe(600_000);
});

describe('long texts are split between letter and file', () => {
  test('not when they fit', () => {
    for (const text of ['a', 'x'.repeat(20_000), '熊'.repeat(13_333)]) expect(splitText(text)).toEqual({ inline: text, whole: true });
  });

  test.each(['熊'.repeat(20_000), '🐼'.repeat(20_000), '\u0001'.repeat(20_000), '"'.repeat(20_000)])('at a code point, so that any of them fits a letter', (text) => {
    const { inline, whole } = splitText(text);
    expect(text.startsWith(inline)).toBe(true);
    expect(inline).not.toMatch(/\p{Surrogate}/u);
    const json = encodeBody({ type: 'chat', kind: 'text', body: { text: inline, file } });
    expect(json.length).toBeLessThan(41_000);
    expect(parseBody('chat', 'text', json)).toMatchObject({ kind: 'text' });
    if (!whole) expect(utf8(JSON.stringify(inline + String.fromCodePoint(text.codePointAt(inline.length) ?? 0))).length - 2).toBeGreaterThan(40_000);
  });

  test('refused above twenty thousand characters', () => {
    expect(() => splitText('x'.repeat(20_001))).toThrow('bad-request');
  });
});
