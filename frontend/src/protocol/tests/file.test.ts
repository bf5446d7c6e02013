import { describe, expect, test } from 'vitest';
import { type Bytes, concat, equal } from '../bytes';
import { chunkCount, chunkSize, describeFile, openChunk, openFile, openStream, sealChunk, sealedChunkSize, sealedSize, sealFile } from '../file';
import { limits } from '../message';
import { repeatable } from './cast';

const content = (size: number) => repeatable(`file ${String(size)}`)(size);

async function sealed(source: Blob | Bytes, first = 0): Promise<{ file: Awaited<ReturnType<typeof describeFile>>; all: Bytes }> {
  const file = await describeFile(source, 'image/jpeg', repeatable('keys'));
  const chunks: Bytes[] = [];
  for await (const chunk of sealFile(file, source, first)) chunks.push(chunk);
  return { file, all: concat(...chunks) };
}

const whole = (file: Awaited<ReturnType<typeof describeFile>>, all: Bytes) => openFile(file, [all]);

describe.each([0, 1, 1000, chunkSize - 1, chunkSize, chunkSize + 1, 3 * chunkSize, 200_000])('%i bytes', (size) => {
  test('from memory and from a blob, back however the stream is cut', async () => {
    const plain = content(size);
    const { file, all } = await sealed(plain);
    expect(all.length).toBe(sealedSize(size));
    expect(equal(all, (await sealed(new Blob([plain]))).all)).toBe(true);
    for (const cut of [all.length || 1, 1000, 65_536, 65_552, 99_999]) {
      const pieces = Array.from({ length: Math.ceil(all.length / cut) }, (_, i) => all.subarray(i * cut, (i + 1) * cut));
      expect(equal(await openFile(file, pieces), plain)).toBe(true);
    }
    const parts: Bytes[] = [];
    for await (const part of openStream(file, new Blob([all]).stream())) parts.push(part);
    expect(parts.length).toBe(chunkCount(size));
    expect(equal(concat(...parts), plain)).toBe(true);
  });
});

test('an upload goes on where it broke off', async () => {
  const plain = content(200_000);
  const { file, all } = await sealed(plain);
  const again: Bytes[] = [];
  for await (const chunk of sealFile(file, plain, 2)) again.push(chunk);
  expect(equal(concat(all.slice(0, 2 * sealedChunkSize), ...again), all)).toBe(true);
  expect(equal(openChunk(file, 1, await sealChunk(file, plain, 1)), plain.slice(chunkSize, 2 * chunkSize))).toBe(true);
});

test('damaged, cut, lengthened, reordered, another’s: refused', async () => {
  const plain = content(3 * chunkSize);
  const { file, all } = await sealed(plain);
  const chunk = (i: number) => all.subarray(i * sealedChunkSize, (i + 1) * sealedChunkSize);
  const other = await sealed(content(5));
  for (let at = 0; at < all.length; at += 9_973) await expect(whole(file, all.with(at, (all[at] ?? 0) ^ 1))).rejects.toThrow('file-bad');
  for (const wrong of [
    all.slice(0, -1), all.slice(0, 2 * sealedChunkSize), all.slice(0, 16), new Uint8Array(0), concat(all, Uint8Array.of(0)), concat(all, chunk(2)),
    concat(chunk(1), chunk(0), chunk(2)), concat(chunk(0), chunk(0), chunk(2)), concat(chunk(0), chunk(2)), other.all,
  ]) await expect(whole(file, wrong)).rejects.toThrow('file-bad');
  for (const change of [{ size: file.size - 1 }, { size: file.size + 1 }, { size: chunkSize }, { hash: other.file.hash }, { id: file.key.slice(0, 16) }, { key: file.hash }]) {
    await expect(whole({ ...file, ...change }, all)).rejects.toThrow('file-bad');
  }
});

test('a sender who lies about size or hash is found out', async () => {
  const plain = content(100);
  const file = await describeFile(plain, 'image/jpeg');
  const chunk = await sealChunk(file, plain, 0);
  for (const size of [99, 101, 0]) await expect(whole({ ...file, size }, chunk)).rejects.toThrow('file-bad');
});

test('twenty megabytes and not one byte more', async () => {
  expect((await describeFile(new Uint8Array(limits.file), 'image/jpeg')).size).toBe(limits.file);
  await expect(describeFile(new Uint8Array(limits.file + 1), 'image/jpeg')).rejects.toThrow('too-large');
});
