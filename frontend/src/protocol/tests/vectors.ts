/**
 * The vectors that the Go packages run as well: protocol/testdata, read with this folder's own strict reader.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { Bytes } from '../bytes';
import { blob, parseJson, type Read, refuse, text } from '../json';
import type { Random } from '../primitives';

const folder = new URL('../../../../protocol/testdata/', import.meta.url);

/** Names of all vector files. */
export function vectorFiles(): readonly string[] {
  return readdirSync(folder).filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -5)).sort();
}

export function vectors<T>(name: string, read: Read<T>): T {
  const file = new URL(`${name}.json`, folder);
  return read(parseJson(Uint8Array.from(readFileSync(file)), { bytes: 64 * 1024 * 1024, depth: 24 }));
}

export const any = blob(64 * 1024 * 1024);
export const words = text(64 * 1024 * 1024);

/** An absent list is written `null` by Go. */
export function orEmpty<T>(read: Read<readonly T[]>): Read<readonly T[]> {
  return (value) => (value === null ? [] : read(value));
}

export const hex: Read<Bytes> = (value) => {
  if (typeof value !== 'string') return refuse('hex');
  return Uint8Array.from(value.match(/../g) ?? [], (byte) => parseInt(byte, 16));
};

/** Gives the pieces in turn; each has to be asked for by its length, and all of them. */
export function given(...pieces: readonly Bytes[]): Random & { readonly left: () => number } {
  const queue = [...pieces];
  const random = (length: number): Bytes => {
    const next = queue.shift();
    if (next?.length !== length) throw new Error(`asked for ${String(length)} bytes, ${String(next?.length)} were next`);
    return next;
  };
  return Object.assign(random, { left: () => queue.length });
}
