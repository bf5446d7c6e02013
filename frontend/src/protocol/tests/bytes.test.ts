import { expect, test } from 'vitest';
import { allZero, b64, concat, equal, fromUtf8, readU32, readU64, u16, u32, u64, unb64, utf8 } from '../bytes';
import { repeatable } from './cast';

test('base64url goes there and back at every length', () => {
  const random = repeatable('b64');
  for (let length = 0; length < 200; length++) {
    const bytes = random(length);
    expect(b64(bytes)).toBe(Buffer.from(bytes).toString('base64url'));
    expect(unb64(b64(bytes), length)).toEqual(bytes);
  }
  const large = random(100_000);
  expect(unb64(b64(large))).toEqual(large);
});

test.each(['A', 'AA=', 'AA==', 'AB', 'AAB', '+A', '/A', 'A A', 'AAAA\n', 'ÀA', 'AAAAA'])('base64url refuses %j', (text) => {
  expect(() => unb64(text)).toThrow('bad-request');
});

test('base64url refuses another length', () => {
  expect(() => unb64('AAAA', 2)).toThrow('bad-request');
});

test('integers are big-endian and bounded', () => {
  expect(u16(0x1234)).toEqual(Uint8Array.of(0x12, 0x34));
  expect(u32(0xfedcba98)).toEqual(Uint8Array.of(0xfe, 0xdc, 0xba, 0x98));
  for (const n of [0, 1, 255, 2 ** 32 - 1, 2 ** 32, 1_790_000_000_123, Number.MAX_SAFE_INTEGER]) expect(readU64(u64(n), 0)).toBe(n);
  expect(readU32(concat(u32(7), u32(4_000_000_000)), 4)).toBe(4_000_000_000);
  for (const n of [-1, 0.5, 2 ** 53, NaN]) expect(() => u64(n)).toThrow('bad-request');
  expect(() => readU64(new Uint8Array(8).fill(255), 0)).toThrow('bad-request');
});

test('comparison', () => {
  expect(equal(utf8('abc'), utf8('abc'))).toBe(true);
  expect(equal(utf8('abc'), utf8('abd'))).toBe(false);
  expect(equal(utf8('abc'), utf8('ab'))).toBe(false);
  expect(allZero(new Uint8Array(32))).toBe(true);
  expect(allZero(Uint8Array.of(0, 4))).toBe(false);
});

test('text has to be UTF-8, and a byte order mark stays', () => {
  expect(fromUtf8(utf8('熊猫 🐼'))).toBe('熊猫 🐼');
  expect(fromUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61))).toBe('\ufeffa');
  expect(() => fromUtf8(Uint8Array.of(0xc0, 0xaf))).toThrow('bad-request');
});
