import { describe, expect, test } from 'vitest';
import { utf8 } from '../bytes';
import {
  any, array, blob, bool, bytes, characters, closed, Decimal, int, isObject, type Json, oneOf, open, parseJson, text,
} from '../json';
import { repeatable } from './cast';

const limits = { bytes: 10_000, depth: 4 };

describe('accepted as JSON.parse reads it', () => {
  test.each([
    '{}', '[]', ' [ ] ', 'null', 'true', 'false', '0', '-17', '""', '"\\u00e9\\n\\"\\\\\\/\\b\\f\\r\\t"', '"\\ud83d\\udc3c"', '"熊"',
    '{"a":{"b":[1,2,{"c":"d"}]}}', '\t{\r\n"a" : 1 , "b" : [ 1 , 2 ] }\n', '9007199254740991',
  ])('%s', (source) => {
    const expected = JSON.parse(source) as unknown;
    expect(JSON.parse(JSON.stringify(parseJson(source, limits)))).toEqual(expected);
    expect(JSON.parse(JSON.stringify(parseJson(utf8(source), limits)))).toEqual(expected);
  });
});

describe('refused', () => {
  test.each([
    '', ' ', '{', '}', '[', '[1,]', '[,1]', '{"a"}', '{"a":}', '{"a":1,}', '{,}', '{a:1}', "{'a':1}", '01', '1.', '.5', '+1', '-', '1e', '0x10', 'NaN',
    'Infinity', 'nul', 'TRUE', '"', '"a', '"\n"', '"\u0000"', '"\\x"', '"\\u12"', '"\\u12g4"', '1 2', '{}{}', '[]x', '"\\ud800"', '"\\udc00\\ud800"',
    '{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '{"__proto__":1,"__proto__":2}', '[[[[[1]]]]]', '\ufeff{}', '/**/1', '[1 2]',
  ])('%j', (source) => {
    expect(() => parseJson(source, limits)).toThrow('bad-request');
  });

  test('a broken byte, too much of everything', () => {
    expect(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22), limits)).toThrow('bad-request');
    expect(() => parseJson('"' + 'a'.repeat(10_000) + '"', limits)).toThrow('too-large');
    expect(() => parseJson('"' + '熊'.repeat(4_000) + '"', limits)).toThrow('too-large');
    expect(() => parseJson(utf8('"' + '熊'.repeat(4_000) + '"'), limits)).toThrow('too-large');
    expect(() => parseJson('['.repeat(100_000), { bytes: 200_000, depth: 64 })).toThrow('bad-request');
  });
});

test('keys that mean something to JavaScript are only keys', () => {
  const value = parseJson('{"__proto__":{"polluted":1},"constructor":2,"toString":3}', limits);
  expect(isObject(value) && Object.keys(value)).toEqual(['__proto__', 'constructor', 'toString']);
  expect('polluted' in {}).toBe(false);
  for (const key of ['toString', '__proto__', 'constructor', 'hasOwnProperty']) {
    expect(() => closed({ a: int() })(parseJson(`{"a":1,"${key}":2}`, limits))).toThrow('bad-request');
    expect(Object.keys(open({ a: int() })(parseJson(`{"a":1,"${key}":2}`, limits)))).toEqual(['a']);
  }
  expect(() => closed({ a: int() })(value)).toThrow('bad-request');
  expect(() => open({ hasOwnProperty: any })(parseJson('{}', limits))).toThrow('bad-request');
});

test('what is written like a fraction is no integer, and survives', () => {
  for (const source of ['1.0', '1e3', '-0', '9007199254740992', '1.5', '-1E-2']) {
    const value = parseJson(source, limits);
    expect(value).toBeInstanceOf(Decimal);
    expect(JSON.stringify(value)).toBe(JSON.stringify(JSON.parse(source)));
    expect(() => int(-10, 1e9)(value)).toThrow('bad-request');
  }
});

test('parse and serialise come to the same for values of every shape', () => {
  const random = repeatable('json');
  const value = (depth: number): Json => {
    const [kind = 0, size = 0, n = 0] = random(3);
    switch (depth > 2 ? kind % 4 : kind % 6) {
      case 0: return n - 128;
      case 1: return String.fromCodePoint(...random(size % 20).map((byte) => byte)) + (n > 128 ? '🐼"\\' : '');
      case 2: return n > 128;
      case 3: return null;
      case 4: return Array.from({ length: size % 4 }, () => value(depth + 1));
      default: return Object.fromEntries(Array.from({ length: size % 4 }, (_, i) => [`k${String(i)}"`, value(depth + 1)]));
    }
  };
  for (let i = 0; i < 300; i++) {
    const source = JSON.stringify(value(0));
    expect(JSON.stringify(parseJson(source, { bytes: 100_000, depth: 8 }))).toBe(source);
  }
});

test('readers', () => {
  const read = closed({ n: int(1, 5), s: text(2), b: bytes(2), k: oneOf('x', 'y') }, { o: bool, l: array(int(), 2), d: blob(3) });
  const good = { n: 1, s: '🐼🐼', b: 'AAA', k: 'x' };
  const parse = (value: unknown) => read(parseJson(JSON.stringify(value), limits));
  expect(parse(good)).toEqual({ n: 1, s: '🐼🐼', b: new Uint8Array(2), k: 'x' });
  expect(parse({ ...good, o: true, l: [1, 2], d: 'AAAA' })).toMatchObject({ o: true, l: [1, 2] });
  for (const wrong of [
    { ...good, n: 0 }, { ...good, n: 6 }, { ...good, n: '1' }, { ...good, n: null }, { ...good, s: 'abc' }, { ...good, s: 1 }, { ...good, b: 'AA' },
    { ...good, b: 'AAAA' }, { ...good, k: 'z' }, { ...good, o: 1 }, { ...good, l: [1, 2, 3] }, { ...good, l: {} }, { ...good, d: 'AAAAAA' }, { ...good, x: 1 },
    { n: 1, s: '', b: 'AAA' }, [], 'text', null,
  ]) expect(() => parse(wrong)).toThrow(/bad-request|too-large/);
  expect(characters('a🐼熊')).toBe(3);
});
