/** Photos as a phone makes them: JPEG with the place they were taken at written into them. */
import type { Page } from '@playwright/test';

/** In the photo's description; must not be in what a friend receives. */
export const place = 'Lantern Street 7, third floor';

/** A photo of `width` x `height` with EXIF: orientation, description and GPS. `mark` makes it one of its kind. */
export async function photograph(page: Page, width: number, height: number, mark = 1): Promise<Buffer> {
  const base64 = await page.evaluate(
    async ({ width, height, mark }) => {
      const canvas = document.createElement('canvas');
      canvas.width = width;
      canvas.height = height;
      const pen = canvas.getContext('2d');
      if (pen === null) throw new Error('no canvas');
      const sky = pen.createLinearGradient(0, 0, width, height);
      sky.addColorStop(0, '#2b6ca3');
      sky.addColorStop(1, '#e8b04a');
      pen.fillStyle = sky;
      pen.fillRect(0, 0, width, height);
      pen.fillStyle = '#1f6f5c';
      for (let i = 0; i < 40; i++) pen.fillRect((i * 97 * mark) % width, (i * 53 * mark) % height, width / 20, height / 15);
      const blob = await new Promise<Blob | null>((resolve) => { canvas.toBlob(resolve, 'image/jpeg', 0.9); });
      if (blob === null) throw new Error('no jpeg');
      let text = '';
      for (const byte of new Uint8Array(await blob.arrayBuffer())) text += String.fromCharCode(byte);
      return btoa(text);
    },
    { width, height, mark },
  );
  const jpeg = Buffer.from(base64, 'base64');
  return Buffer.concat([jpeg.subarray(0, 2), exif(), jpeg.subarray(2)]);
}

/** An APP1 segment: TIFF, big-endian, with GPS 47°22'36" N, 8°32'30" E. */
function exif(): Buffer {
  const entry = (tag: number, type: number, count: number, value: Buffer | number): Buffer => {
    const out = Buffer.alloc(12);
    out.writeUInt16BE(tag, 0);
    out.writeUInt16BE(type, 2);
    out.writeUInt32BE(count, 4);
    if (typeof value === 'number') out.writeUInt32BE(value, 8);
    else value.copy(out, 8);
    return out;
  };
  const directory = (entries: Buffer[]): Buffer => {
    const count = Buffer.alloc(2);
    count.writeUInt16BE(entries.length);
    return Buffer.concat([count, ...entries, Buffer.alloc(4)]);
  };
  const degrees = (d: number, m: number, s: number): Buffer => {
    const out = Buffer.alloc(24);
    [d, 1, m, 1, s, 1].forEach((part, i) => out.writeUInt32BE(part, i * 4));
    return out;
  };
  const ASCII = 2;
  const LONG = 4;
  const RATIONAL = 5;
  const words = Buffer.from(`${place}\0`);
  const first = 8;
  const gps = first + 2 + 2 * 12 + 4;
  const latitude = gps + 2 + 4 * 12 + 4;
  const longitude = latitude + 24;
  const description = longitude + 24;
  const tiff = Buffer.concat([
    Buffer.from('4d4d002a00000008', 'hex'),
    directory([entry(0x010e, ASCII, words.length, description), entry(0x8825, LONG, 1, gps)]),
    directory([
      entry(1, ASCII, 2, Buffer.from('N\0\0\0')),
      entry(2, RATIONAL, 3, latitude),
      entry(3, ASCII, 2, Buffer.from('E\0\0\0')),
      entry(4, RATIONAL, 3, longitude),
    ]),
    degrees(47, 22, 36),
    degrees(8, 32, 30),
    words,
  ]);
  const body = Buffer.concat([Buffer.from('Exif\0\0'), tiff]);
  const head = Buffer.from([0xff, 0xe1, 0, 0]);
  head.writeUInt16BE(body.length + 2, 2);
  return Buffer.concat([head, body]);
}
