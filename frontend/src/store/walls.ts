/**
 * Walls as this browser has read and verified them, what one has posted and not sent yet, and the photos of both. What waits
 * to be sent is never dropped; of the other photos the least recently seen go first.
 */

import type { Failure, Uid } from '../domain/types';
import type { Change } from '../protocol/post';
import { stepsOf } from '../protocol/post';
import { b64 } from '../protocol/bytes';
import type { BoxRow, Database, PhotoRef, PostRecord, WallRecord } from './schema';

/** Photos that are only kept for the next look. */
export const PHOTOS_HELD = 300;

export type NewBoxRow = Omit<BoxRow, 'order'>;

export interface HeldPhoto {
  readonly hash: string;
  readonly data: Uint8Array;
}

export class WallShelf {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  walls(): Promise<WallRecord[]> {
    return this.#db.getAll('walls');
  }

  wall(uid: Uid): Promise<WallRecord | undefined> {
    return this.#db.get('walls', uid);
  }

  post(uid: Uid, id: string): Promise<PostRecord | undefined> {
    return this.#db.get('posts', [uid, id]);
  }

  /**
   * A wall has been read to its end: its new standing and what the changes make of its posts, at once. `anew`: nothing that
   * was held of it counts any more. `after`: what the changes follow. `done`: what was waiting to be sent and is there now.
   * False, and nothing of the wall is taken, when another tab has meanwhile read further, or forgotten what they follow.
   */
  async take(wall: WallRecord, changes: readonly Change[], received: number, { anew = false, after = 0, done }: { anew?: boolean; after?: number; done?: number } = {}): Promise<boolean> {
    const tx = this.#db.transaction(['walls', 'posts', 'wallbox'], 'readwrite');
    const posts = tx.objectStore('posts');
    const held = await tx.objectStore('walls').get(wall.uid);
    const at = held?.seq ?? 0;
    const stale = !anew && (at > wall.seq || at < after);
    if (!stale) {
      if (anew) await posts.delete(IDBKeyRange.bound([wall.uid], [wall.uid, []]));
      for (const change of changes) {
        if (change.op === 'delete') await posts.delete([wall.uid, b64(change.id)]);
        else if (change.op !== 'profile') await posts.put(postOf(wall.uid, change, received));
      }
      await tx.objectStore('walls').put(wall);
    }
    if (done !== undefined) await tx.objectStore('wallbox').delete(done);
    await tx.done;
    return !stale;
  }

  /** Without its posts being touched. */
  async save(wall: WallRecord): Promise<void> {
    await this.#db.put('walls', wall);
  }

  /** No longer read: nothing of it stays. */
  async forget(uid: Uid): Promise<void> {
    const tx = this.#db.transaction(['walls', 'posts'], 'readwrite');
    await tx.objectStore('walls').delete(uid);
    await tx.objectStore('posts').delete(IDBKeyRange.bound([uid], [uid, []]));
    await tx.done;
  }

  /** The newest posts of all walls held, newest first. */
  async newest(count: number): Promise<readonly PostRecord[]> {
    const posts: PostRecord[] = [];
    const tx = this.#db.transaction('posts');
    for (let at = await tx.store.index('posted').openCursor(null, 'prev'); at && posts.length < count; at = await at.continue()) posts.push(at.value);
    await tx.done;
    return posts;
  }

  /** The newest posts of one wall, in the order of their places. */
  async of(uid: Uid, count: number): Promise<readonly PostRecord[]> {
    const posts: PostRecord[] = [];
    const tx = this.#db.transaction('posts');
    const range = IDBKeyRange.bound([uid], [uid, []]);
    for (let at = await tx.store.index('place').openCursor(range, 'prev'); at && posts.length < count; at = await at.continue()) posts.push(at.value);
    await tx.done;
    return posts;
  }

  // ---- what waits to be sent ---------------------------------------------------------------------------------------------

  box(): Promise<BoxRow[]> {
    return this.#db.getAll('wallbox');
  }

  /** On disk, with its photos, when this resolves. */
  async compose(row: NewBoxRow, photos: readonly HeldPhoto[]): Promise<void> {
    const tx = this.#db.transaction(['wallbox', 'wallphotos'], 'readwrite', { durability: 'strict' });
    for (const photo of photos) await tx.objectStore('wallphotos').put(photo);
    // The database gives the number; its type wants one all the same.
    await tx.objectStore('wallbox').add(row as BoxRow);
    await tx.done;
  }

  async settle(order: number): Promise<void> {
    await this.#db.delete('wallbox', order);
  }

  async mark(order: number, failure: Failure | undefined): Promise<void> {
    const tx = this.#db.transaction('wallbox', 'readwrite');
    const row = await tx.store.get(order);
    if (row) await tx.store.put({ ...row, failure });
    await tx.done;
  }

  // ---- photos ------------------------------------------------------------------------------------------------------------

  /** `now`: it is being looked at. */
  async photo(hash: string, now?: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const row = await this.#db.get('wallphotos', hash);
    if (row?.used !== undefined && now !== undefined) await this.#db.put('wallphotos', { ...row, used: now });
    return row?.data.slice();
  }

  async keepPhoto(hash: string, data: Uint8Array, now: number): Promise<void> {
    const tx = this.#db.transaction('wallphotos', 'readwrite');
    if ((await tx.store.get(hash)) === undefined) await tx.store.put({ hash, data, used: now });
    await tx.done;
  }

  /** Photos that no row waits for any more are kept like others; of those the oldest go. */
  async trimPhotos(now: number, most: number = PHOTOS_HELD): Promise<void> {
    const tx = this.#db.transaction(['wallbox', 'wallphotos'], 'readwrite');
    const waiting = new Set((await tx.objectStore('wallbox').getAll()).flatMap(({ photos }) => photos.map(({ hash }) => hash)));
    const photos = tx.objectStore('wallphotos');
    // Names only: the photos themselves would be megabytes.
    const kept = new Set(await photos.index('used').getAllKeys());
    for (const hash of await photos.getAllKeys()) {
      const row = kept.has(hash) || waiting.has(hash) ? undefined : await photos.get(hash);
      if (row) await photos.put({ hash, data: row.data, used: now });
    }
    let over = (await photos.index('used').count()) - most;
    for (let at = await photos.index('used').openCursor(); at && over > 0; at = await at.continue()) {
      await at.delete();
      over -= 1;
    }
    await tx.done;
  }
}

function postOf(uid: Uid, change: Extract<Change, { op: 'post' | 'edit' }>, received: number): PostRecord {
  const steps = stepsOf(change);
  return {
    uid, id: b64(change.id), place: steps[0] ?? change.seq, seq: change.seq, posted: change.op === 'edit' ? change.posted : change.ts,
    edited: change.op === 'edit' ? change.ts : undefined, text: change.text, photos: change.photos.map(refOf), steps, received,
  };
}

function refOf(photo: Extract<Change, { op: 'post' }>['photos'][number]): PhotoRef {
  return { ...photo, hash: b64(photo.hash), alt: photo.alt ?? '' };
}
