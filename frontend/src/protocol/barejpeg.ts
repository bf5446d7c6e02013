/**
 * Photos for the wall (protocol/README.md section 15, `PUT /api/1/media`): one baseline picture and nothing in it but what
 * is needed to show it. ITU-T T.81, table B.1.
 */
import { type Bytes, concat, equal, utf8 } from './bytes';
import { MOST_PIXELS } from './jpeg';

const SOI = 0xd8;
const EOI = 0xd9;
const SOS = 0xda;
const APP0 = 0xe0;
const APP2 = 0xe2;
const FRAMES: readonly number[] = [0xc0, 0xc1];
/** DHT, DQT, DRI */
const TABLES: readonly number[] = [0xc4, 0xdb, 0xdd];
const maxSide = 20_000;

interface Segment {
  readonly marker: number;
  /** with its marker and its length */
  readonly from: number;
  readonly to: number;
}

/** Takes out what a wall does not take: place, camera, comments, what stands behind the end. Undefined for what is no JPEG. */
export function bareJpeg(bytes: Bytes): Bytes | undefined {
  const segments = segmentsOf(bytes);
  if (!segments) return undefined;
  const kept = segments.filter((segment) => isKept(bytes, segment));
  return concat(Uint8Array.of(0xff, SOI), ...kept.map(({ from, to }) => bytes.subarray(from, to)), Uint8Array.of(0xff, EOI));
}

/** The sides of a picture that may stand on a wall; undefined for any other. */
export function wallPhotoSize(bytes: Bytes): { readonly width: number; readonly height: number } | undefined {
  const segments = segmentsOf(bytes);
  if (!segments || segments.some((segment) => !isKept(bytes, segment))) return undefined;
  const end = segments.at(-1)?.to ?? 2;
  const frame = segments.findIndex(({ marker }) => FRAMES.includes(marker));
  const scan = segments.findIndex(({ marker }) => marker === SOS);
  const frames = segments.filter(({ marker }) => FRAMES.includes(marker));
  const at = frames[0]?.from;
  if (at === undefined || frames.length !== 1 || scan < frame || end + 2 !== bytes.length) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const components = (frames[0]?.to ?? 0) - at >= 10 ? view.getUint8(at + 9) : 0;
  if (view.getUint8(at + 4) !== 8 || (components !== 1 && components !== 3) || view.getUint16(at + 2) !== 8 + 3 * components) return undefined;
  const [height, width] = [view.getUint16(at + 5), view.getUint16(at + 7)];
  const bearable = width > 0 && height > 0 && width <= maxSide && height <= maxSide && width * height <= MOST_PIXELS;
  return bearable ? { width, height } : undefined;
}

/** A scan goes on to the next marker that is neither a stuffed byte nor a restart. Undefined unless there is a scan, and an end. */
function segmentsOf(bytes: Bytes): readonly Segment[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4 || view.getUint16(0) !== (0xff00 | SOI)) return undefined;
  const segments: Segment[] = [];
  for (let at = 2; ; ) {
    if (at + 2 > bytes.length || bytes[at] !== 0xff) return undefined;
    const marker = view.getUint8(at + 1);
    if (marker === EOI) return segments.some((segment) => segment.marker === SOS) ? segments : undefined;
    if (at + 4 > bytes.length) return undefined;
    const length = view.getUint16(at + 2);
    let to = at + 2 + length;
    if (length < 2 || to > bytes.length) return undefined;
    if (marker === SOS) to = scanEnd(bytes, to);
    segments.push({ marker, from: at, to });
    at = to;
  }
}

function scanEnd(bytes: Bytes, from: number): number {
  for (let at = from; ; at += 2) {
    at = bytes.indexOf(0xff, at);
    if (at < 0 || at + 1 >= bytes.length) return bytes.length;
    const next = bytes[at + 1] ?? 0;
    if (next !== 0 && (next < 0xd0 || next > 0xd7)) return at;
  }
}

function isKept(bytes: Bytes, { marker, from, to }: Segment): boolean {
  const begins = (text: string): boolean => to - from - 4 >= text.length && equal(bytes.subarray(from + 4, from + 4 + text.length), utf8(text));
  // Without a thumbnail.
  if (marker === APP0) return to - from === 18 && begins('JFIF\0') && bytes[from + 16] === 0 && bytes[from + 17] === 0;
  if (marker === APP2) return begins('ICC_PROFILE\0');
  return marker === SOS || FRAMES.includes(marker) || TABLES.includes(marker);
}
