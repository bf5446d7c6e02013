/**
 * Files: sealed in chunks, one after the other (protocol/README.md section 8). Any chunk can be sealed alone, so an
 * upload resumes where it broke off.
 */
import { type Bytes, concat, equal, u32, u8 } from './bytes';
import { type FileRef, limits } from './message';
import { Problem } from './problem';
import { openSecretbox, type Random, randomBytes, sealSecretbox, Sha256 } from './primitives';

/** bytes of plaintext in a chunk */
export const chunkSize = 65_536;
/** the same, sealed */
export const sealedChunkSize = chunkSize + 16;

/** What is to be sealed. */
export type Source = Blob | Bytes;

/** An empty file is one empty chunk. */
export function chunkCount(size: number): number {
  return Math.max(1, Math.ceil(size / chunkSize));
}

/** Bytes of the whole file, sealed: `size` of an upload. */
export function sealedSize(size: number): number {
  return size + 16 * chunkCount(size);
}

/** Makes id and key, and hashes the source piece by piece. Throws `too-large` over 20 MiB. */
export async function describeFile(source: Source, type: string, random: Random = randomBytes): Promise<FileRef> {
  const size = sizeOf(source);
  if (size > limits.file) throw new Problem('too-large', { limit: limits.file });
  const digest = new Sha256();
  for (let i = 0; i < chunkCount(size); i++) digest.update(await chunkOf(source, i));
  return { id: random(16), key: random(32), size, hash: digest.digest(), type };
}

/** Chunk `i` sealed: its place in the upload is `i * sealedChunkSize`. */
export async function sealChunk(file: FileRef, source: Source, i: number): Promise<Bytes> {
  return sealSecretbox(file.key, nonce(file, i), await chunkOf(source, i));
}

/** All of it, chunk after chunk, from chunk `first` on. */
export async function* sealFile(file: FileRef, source: Source, first = 0): AsyncGenerator<Bytes, void, undefined> {
  for (let i = first; i < chunkCount(file.size); i++) yield sealChunk(file, source, i);
}

/** Opens one chunk of sealed bytes. Throws `file-bad`. */
export function openChunk(file: FileRef, i: number, sealed: Uint8Array): Bytes {
  return openSecretbox(file.key, nonce(file, i), sealed) ?? bad('chunk');
}

/**
 * Opens a stream of sealed bytes cut anywhere, and yields chunks of plaintext. Size and hash are known to be right only
 * when it has ended: show nothing before. Throws `file-bad`.
 */
export async function* openStream(
  file: FileRef,
  sealed: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Bytes, void, undefined> {
  const count = chunkCount(file.size);
  const digest = new Sha256();
  let i = 0;
  let size = 0;
  const open = (part: Uint8Array): Bytes => {
    const plain = openChunk(file, i++, part);
    size += plain.length;
    digest.update(plain);
    return plain;
  };
  let pending: Bytes = new Uint8Array(0);
  for await (const piece of sealed) {
    pending = concat(pending, piece);
    while (i < count - 1 && pending.length >= sealedChunkSize) {
      yield open(pending.subarray(0, sealedChunkSize));
      pending = pending.slice(sealedChunkSize);
    }
    if (pending.length > sealedChunkSize) bad('size');
  }
  if (i !== count - 1) bad('size');
  yield open(pending);
  if (size !== file.size || !equal(digest.digest(), file.hash)) bad('hash');
}

/** Opens a whole file. Throws `file-bad`. */
export async function openFile(file: FileRef, sealed: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Bytes> {
  const plain = new Uint8Array(file.size);
  let at = 0;
  for await (const chunk of openStream(file, sealed)) {
    if (at + chunk.length > plain.length) bad('size');
    plain.set(chunk, at);
    at += chunk.length;
  }
  return plain;
}

/** id 16 || u32(i) || 3 zero bytes || u8(last) */
function nonce(file: FileRef, i: number): Bytes {
  const last = i === chunkCount(file.size) - 1;
  return concat(file.id, u32(i), new Uint8Array(3), u8(last ? 1 : 0));
}

function sizeOf(source: Source): number {
  return source instanceof Blob ? source.size : source.length;
}

async function chunkOf(source: Source, i: number): Promise<Bytes> {
  const from = i * chunkSize;
  if (!(source instanceof Blob)) return source.subarray(from, from + chunkSize);
  return new Uint8Array(await source.slice(from, from + chunkSize).arrayBuffer());
}

function bad(reason: string): never {
  throw new Problem('file-bad', { reason });
}
