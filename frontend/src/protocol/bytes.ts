/**
 * Byte strings: base64url, lengths, comparison (protocol/README.md section 1). Knows nothing of what they mean.
 */
import { Problem } from './problem';

/** Bytes with memory of their own, as WebCrypto wants them. */
export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function utf8(text: string): Bytes {
  return encoder.encode(text);
}

/** Throws `bad-request` on anything that is not UTF-8. */
export function fromUtf8(bytes: Bytes): string {
  try {
    return decoder.decode(bytes);
  } catch (error) {
    throw new Problem('bad-request', { reason: 'utf-8' }, error);
  }
}

export function concat(...parts: readonly Uint8Array[]): Bytes {
  let length = 0;
  for (const part of parts) length += part.length;
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export function u8(n: number): Bytes {
  return Uint8Array.of(n);
}

export function u16(n: number): Bytes {
  return Uint8Array.of(n >>> 8, n);
}

export function u32(n: number): Bytes {
  return Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n);
}

/** 8 bytes, big-endian; `n` is an integer from 0 to 2^53 - 1. */
export function u64(n: number): Bytes {
  if (!Number.isSafeInteger(n) || n < 0) throw new Problem('bad-request', { reason: 'u64' });
  return concat(u32(Math.floor(n / 0x1_0000_0000)), u32(n));
}

/** Throws `bad-request` from 2^53 on. */
export function readU64(bytes: Uint8Array, at: number): number {
  const n = readU32(bytes, at) * 0x1_0000_0000 + readU32(bytes, at + 4);
  if (!Number.isSafeInteger(n)) throw new Problem('bad-request', { reason: 'u64' });
  return n;
}

export function readU32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at);
}

/** Takes as long for equal as for different bytes of one length. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let differing = 0;
  for (let i = 0; i < a.length; i++) differing |= (a[i] ?? 0) ^ (b[i] ?? 0);
  return differing === 0;
}

export function allZero(bytes: Uint8Array): boolean {
  let any = 0;
  for (const byte of bytes) any |= byte;
  return any === 0;
}

/** base64url without padding. */
export function b64(bytes: Uint8Array): string {
  let binary = '';
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const base64url = /^[A-Za-z0-9_-]*$/;

/**
 * Strict: no padding, no other alphabet, unused bits zero; `length` bytes exactly where it is given.
 * Throws `bad-request`.
 */
export function unb64(text: string, length?: number): Bytes {
  const rest = text.length % 4;
  const unused = rest === 2 ? 15 : rest === 3 ? 3 : 0;
  const wellFormed =
    base64url.test(text) && rest !== 1 && (alphabet.indexOf(text.charAt(text.length - 1)) & unused) === 0;
  if (!wellFormed) throw new Problem('bad-request', { reason: 'base64url' });
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  if (length !== undefined && binary.length !== length) throw new Problem('bad-request', { reason: 'length' });
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
