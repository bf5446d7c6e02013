/**
 * How large a JPEG says it is, before anything decodes it: a picture of a few hundred bytes may unfold to gigabytes
 * (protocol section 8, files). ITU-T T.81, B.1.1.3 and B.2.2.
 */

/** Of photos and of pictures of people. What the app itself makes has no side longer than 2048. */
export const MOST_PIXELS = 4096 * 4096;

const MARKER = 0xff;
const START = 0xd8;
const END = 0xd9;
const SCAN = 0xda;
const TEMPORARY = 0x01;

/** Whether these bytes begin as a JPEG of a size that a phone can bear to decode. */
export function bearable(bytes: Uint8Array): boolean {
  const size = jpegSize(bytes);
  return size !== undefined && size.width > 0 && size.height > 0 && size.width * size.height <= MOST_PIXELS;
}

/** Of the first frame; undefined for what is no JPEG. */
export function jpegSize(bytes: Uint8Array): { readonly width: number; readonly height: number } | undefined {
  if (bytes[0] !== MARKER || bytes[1] !== START) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 2; at + 9 <= bytes.length; ) {
    if (view.getUint8(at) !== MARKER) return undefined;
    const marker = view.getUint8(at + 1);
    if (marker === MARKER) {
      at += 1; // filled up
      continue;
    }
    if (marker === END || marker === SCAN) return undefined;
    if (marker === TEMPORARY || (marker >= 0xd0 && marker <= START)) {
      at += 2; // stands alone
      continue;
    }
    if (isFrame(marker)) return { height: view.getUint16(at + 5), width: view.getUint16(at + 7) };
    const length = view.getUint16(at + 2);
    if (length < 2) return undefined;
    at += 2 + length;
  }
  return undefined;
}

/** SOF0 to SOF15 without the tables (DHT, DAC) and the reserved one between them. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}
