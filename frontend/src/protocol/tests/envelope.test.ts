import { beforeAll, describe, expect, test } from 'vitest';
import { b64, utf8 } from '../bytes';
import { encodeEnvelope, type Envelope, headerHash, parseEnvelope } from '../envelope';
import { headerBetween, person, type Person, repeatable } from './cast';

let alice: Person;
let bob: Person;
let good: Envelope;
let json: Record<string, unknown>;

beforeAll(async () => {
  [alice, bob] = [await person('alice'), await person('bob')];
  good = { ...headerBetween(alice, bob), data: repeatable('data')(100) };
  json = JSON.parse(encodeEnvelope(good)) as Record<string, unknown>;
});

test('there and back, byte for byte', () => {
  const text = encodeEnvelope(good);
  expect(parseEnvelope(text)).toEqual(good);
  expect(parseEnvelope(utf8(text))).toEqual(good);
  expect(encodeEnvelope(parseEnvelope(text))).toBe(text);
  expect(Object.keys(JSON.parse(text) as object)).toEqual(['v', 'id', 'ts', 'exp', 'from', 'to', 'type', 'data']);
});

describe('refused', () => {
  test('a field that is missing, wrong or unknown', () => {
    const address = { ip: 'a.example', port: 443, username: 'bob', id: b64(new Uint8Array(32)) };
    const changes: Record<string, unknown>[] = [
      ...Object.keys(json).map((key) => ({ [key]: undefined })), { more: 1 }, { v: 2 }, { v: '1' }, { id: 'AA' }, { id: b64(new Uint8Array(17)) },
      { ts: -1 }, { ts: '0' }, { ts: null }, { exp: -1 }, { type: '' }, { type: 'x'.repeat(33) }, { type: 'Chat' }, { type: 'a b' }, { type: 'é' }, { data: 'A' },
      { data: 'AA==' }, { data: 7 }, { from: [] }, { from: null }, { to: { ...address, x: 1 } }, { to: { ...address, ip: undefined } },
      { to: { ...address, ip: '' } }, { to: { ...address, ip: 'a b' } }, { to: { ...address, ip: 'x'.repeat(254) } }, { to: { ...address, port: 0 } },
      { to: { ...address, port: 65_536 } }, { to: { ...address, username: 'A' } }, { to: { ...address, id: 'AA' } }, { to: { ...address, id: { a: { b: 1 } } } },
    ];
    for (const change of changes) {
      expect(() => parseEnvelope(JSON.stringify({ ...json, ...change })), JSON.stringify(change)).toThrow('bad-request');
    }
    expect(parseEnvelope(JSON.stringify({ ...json, to: { ...address, username: '' }, type: 'some.new-type' })).to.username).toBe('');
  });

  test('a key twice, a number that is no integer, anything after it', () => {
    const text = encodeEnvelope(good);
    for (const other of [
      text.replace('{', '{"v":1,'), text.replace('"port":443', '"port":443,"port":443'), text.replace('"v":1', '"v":1.0'), text.replace('"exp":0', '"exp":0e0'),
      text.replace('"exp":0', '"exp":-0'), `${text} {}`, `${text}x`, `[${text}]`, text.replace('"v"', '"V"'), '', 'null',
    ]) expect(() => parseEnvelope(other)).toThrow('bad-request');
  });

  test('one that is too large', () => {
    expect(() => parseEnvelope(JSON.stringify({ ...json, data: 'A'.repeat(131_072) }))).toThrow('too-large');
    expect(() => encodeEnvelope({ ...good, data: new Uint8Array(100_000) })).toThrow('too-large');
  });
});

test('H is over what it says, and over nothing else', () => {
  const h = headerHash(good);
  const other = repeatable('other');
  const bound: Partial<Envelope>[] = [
    { v: 2 as 1 }, { id: other(16) }, { ts: good.ts + 1 }, { exp: 1 }, { type: 'friend' }, { from: { ...good.from, id: other(32) } }, { to: { ...good.to, id: other(32) } },
  ];
  for (const change of bound) expect(headerHash({ ...good, ...change })).not.toEqual(h);
  const hints = { ip: 'elsewhere.example', port: 1, username: '' };
  expect(headerHash({ ...good, from: { ...good.from, ...hints }, to: { ...good.to, ...hints } })).toEqual(h);
});
