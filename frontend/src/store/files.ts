/**
 * Sealed bytes of photos and long texts: going up, coming down, or kept for the next look. What must go up
 * is never dropped; of the rest the least recently used goes first when the cache is over its bound.
 */

import type { Uid } from '../domain/types';
import type { Database, FileRecord } from './schema';

/** Bytes of sealed files that are only kept for the next look. */
export const CACHE_LIMIT = 200 * 1024 * 1024;

export class Files {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  get(id: string): Promise<FileRecord | undefined> {
    return this.#db.get('files', id);
  }

  /** A whole sealed file that has to go up for these people. */
  async outgoing(id: string, sealed: Uint8Array, people: readonly Uid[], now: number): Promise<void> {
    const tx = this.#db.transaction(['files', 'chunks'], 'readwrite', { durability: 'strict' });
    await tx.objectStore('chunks').put({ id, offset: 0, data: sealed });
    await tx.objectStore('files').put({ id, size: sealed.length, have: sealed.length, used: now, upload: people });
    await tx.done;
  }

  /** A file that is held whole has to go up once more; false if it is not. */
  async again(id: string, people: readonly Uid[]): Promise<boolean> {
    const tx = this.#db.transaction('files', 'readwrite', { durability: 'strict' });
    const file = await tx.store.get(id);
    const whole = file !== undefined && file.have === file.size;
    if (whole) await tx.store.put({ ...file, upload: people });
    await tx.done;
    return whole;
  }

  async uploaded(id: string): Promise<void> {
    const tx = this.#db.transaction('files', 'readwrite');
    const file = await tx.store.get(id);
    if (file) await tx.store.put({ ...file, upload: undefined });
    await tx.done;
  }

  /** The next bytes of a file that is coming down; out of order or beyond `size` they are refused. */
  async append(id: string, size: number, offset: number, data: Uint8Array, now: number): Promise<boolean> {
    const tx = this.#db.transaction(['files', 'chunks'], 'readwrite');
    const file = (await tx.objectStore('files').get(id)) ?? { id, size, have: 0, used: now, upload: undefined };
    const fits = file.size === size && file.have === offset && offset + data.length <= size;
    if (fits) {
      await tx.objectStore('chunks').put({ id, offset, data });
      await tx.objectStore('files').put({ ...file, have: offset + data.length, used: now });
    }
    await tx.done;
    return fits;
  }

  /** All bytes, or undefined while some are missing. */
  async read(id: string, now: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const tx = this.#db.transaction(['files', 'chunks'], 'readwrite');
    const file = await tx.objectStore('files').get(id);
    const whole = file !== undefined && file.have === file.size;
    const chunks = whole ? await tx.objectStore('chunks').getAll(IDBKeyRange.bound([id], [id, []])) : [];
    if (whole) await tx.objectStore('files').put({ ...file, used: now });
    await tx.done;
    if (!whole) return undefined;
    const bytes = new Uint8Array(file.size);
    for (const chunk of chunks) bytes.set(chunk.data, chunk.offset);
    return bytes;
  }

  async forget(ids: readonly string[]): Promise<void> {
    const tx = this.#db.transaction(['files', 'chunks'], 'readwrite');
    for (const id of ids) {
      await tx.objectStore('files').delete(id);
      await tx.objectStore('chunks').delete(IDBKeyRange.bound([id], [id, []]));
    }
    await tx.done;
  }

  /** Brings the cache back under `limit` bytes, least recently used first. */
  async trim(limit: number = CACHE_LIMIT): Promise<void> {
    const cached = (await this.#db.getAll('files')).filter((file) => file.upload === undefined);
    cached.sort((a, b) => b.used - a.used);
    let total = 0;
    const over = cached.filter((file) => (total += file.have) > limit);
    if (over.length > 0) await this.forget(over.map((file) => file.id));
  }
}
