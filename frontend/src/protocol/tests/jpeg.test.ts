import { describe, expect, test } from 'vitest';
import { bearable, jpegSize } from '../jpeg';

/** A JPEG as far as anybody looks before decoding: an application segment, a table, the frame. */
function jpeg(width: number, height: number, frame = 0xc0): Uint8Array<ArrayBuffer> {
  const u16 = (n: number): number[] => [n >> 8, n & 255];
  return Uint8Array.from([
    0xff, 0xd8, 0xff, 0xe1, ...u16(6), 1, 2, 3, 4, 0xff, 0xff, 0xff, 0xc4, ...u16(3), 0,
    0xff, frame, ...u16(17), 8, ...u16(height), ...u16(width), 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1, 0xff, 0xda,
  ]);
}

describe('the size of a JPEG', () => {
  test('is read from its first frame, baseline or progressive', () => {
    expect(jpegSize(jpeg(640, 480))).toEqual({ width: 640, height: 480 });
    expect(jpegSize(jpeg(480, 640, 0xc2))).toEqual({ width: 480, height: 640 });
  });

  test('bounds what is shown', () => {
    expect(bearable(jpeg(4096, 4096))).toBe(true);
    expect(bearable(jpeg(4097, 4096))).toBe(false);
    expect(bearable(jpeg(65_535, 65_535))).toBe(false);
    expect(bearable(jpeg(65_535, 0))).toBe(false);
  });

  test('nothing else has one', () => {
    const whole = jpeg(64, 64);
    // The scan's marker is the last; without a frame there is no size.
    for (let length = 0; length < whole.length - 12; length += 1) expect(jpegSize(whole.slice(0, length)), String(length)).toBeUndefined();
    for (const text of ['', '<svg onload="alert(1)"/>', 'GIF89a\u0001\u0001', '\u0089PNG\r\n\u001a\n']) {
      expect(bearable(new TextEncoder().encode(text))).toBe(false);
    }
    expect(jpegSize(Uint8Array.of(0xff, 0xd8, 0xff, 0xe1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0))).toBeUndefined();
    expect(jpegSize(Uint8Array.of(0xff, 0xd8, 0xff, 0xd9, ...whole))).toBeUndefined();
  });

  test('whatever the bytes are, an answer comes', () => {
    for (let round = 0; round < 5_000; round += 1) {
      const bytes = jpeg(640, 480);
      for (let n = 0; n < 3; n += 1) bytes[Math.floor(Math.random() * bytes.length)] = Math.floor(Math.random() * 256);
      const size = jpegSize(bytes.slice(0, Math.floor(Math.random() * (bytes.length + 1))));
      expect(size === undefined || (size.width <= 65_535 && size.height <= 65_535)).toBe(true);
    }
  });
});
