/**
 * One's own wall: what waits in the box is signed and posted in order, each on top of the wall as it stands then. Nothing is
 * written onto a wall that is not the one this device knows.
 */

import { bareJpeg, wallPhotoSize } from '../../protocol/barejpeg';
import { b64, unb64, type Bytes } from '../../protocol/bytes';
import type { Json } from '../../protocol/json';
import { Altered, type Change, type Content, makeChange, makeHead, type Pin, postedJson, type PostPhoto, verifyHead, wallLimits } from '../../protocol/post';
import { sha256 } from '../../protocol/primitives';
import { isProblem, Problem } from '../../protocol/problem';
import type { BoxRow, PhotoRef, PostRecord, WallRecord } from '../../store/schema';
import type { WallShelf } from '../../store/walls';
import { codeOf, failureOf } from '../failure';
import type { Session } from '../session';
import { pinOf, readWall, recordOf } from './reading';

const DAY = 24 * 60 * 60_000;
/** Conflicts in a row; each means that another device got in between. */
const TRIES = 8;
/** What says nothing about the post: it waits and goes out later. */
const LATER: ReadonlySet<string> = new Set(['offline', 'unauthorized', 'unavailable', 'rate-limited', 'peer-away', 'cancelled']);

export interface PublishingSurroundings {
  /** something on the shelf is another now */
  changed(): Promise<void>;
  /** the own wall is not the one that was there before */
  alarm(uid: string): Promise<void>;
}

export class Publishing {
  readonly #session: Session;
  readonly #shelf: WallShelf;
  readonly #around: PublishingSurroundings;

  constructor(session: Session, shelf: WallShelf, around: PublishingSurroundings) {
    this.#session = session;
    this.#shelf = shelf;
    this.#around = around;
  }

  /** Sends what waits, one after another. Resolves when nothing more can be done now. */
  send(): Promise<void> {
    return this.#alone(async () => {
      for (const row of await this.#shelf.box()) {
        if (row.failure) continue;
        if (!(await this.#sendRow(row))) return;
      }
      await this.#shelf.trimPhotos(this.#session.platform.now());
    });
  }

  /**
   * Looks whether the own wall is as it was, and has strangers see the profile as it is now. Without a home, whoever
   * opens says once a day that the wall ends where it does.
   */
  renew(): Promise<void> {
    return this.#alone(async () => {
      const { self } = this.#session;
      const wall = await this.#dressed(await this.catchUp());
      if (this.#session.home) return; // it does so itself
      const last = pinOf(wall);
      const now = self.now();
      if (!wall || !last || now - last.ts < DAY) return;
      const chain = await this.#session.chain();
      const head = await makeHead(self.keys, chain, last, now);
      await this.#post(postedJson(head));
      await this.#shelf.take({ ...wall, ts: verifyHead(head, chain).ts }, [], now, { after: wall.seq });
    });
  }

  /** The own wall as the relay has it; undefined when there is none yet. Throws `Altered`. */
  async catchUp(): Promise<WallRecord | undefined> {
    const { self, platform } = this.#session;
    const before = await this.#shelf.wall(self.id);
    if (before?.altered) throw new Altered('waits for a decision');
    try {
      const read = await readWall(this.#session, { uid: self.id, username: self.username }, pinOf(before));
      const wall = recordOf(before, self.id, read, platform.now());
      await this.#shelf.take(wall, read.changes, 0, { after: before?.seq ?? 0 });
      return wall;
    } catch (error) {
      if (codeOf(error) !== 'not-found') throw error;
      if (before) throw new Altered('gone', error);
      return undefined;
    }
  }

  #alone(work: () => Promise<void>): Promise<void> {
    return this.#session.platform.lock('wall', async () => {
      try {
        await work();
      } catch (error) {
        if (!(error instanceof Altered)) throw error;
        await this.#around.alarm(this.#session.self.id);
      } finally {
        await this.#around.changed();
      }
    });
  }

  /** False: the others wait as well. */
  async #sendRow(row: BoxRow): Promise<boolean> {
    try {
      for (let attempt = 0; attempt < TRIES; attempt++) {
        if (await this.#tryRow(row)) return true;
      }
      return false;
    } catch (error) {
      if (error instanceof Altered) throw error;
      if (LATER.has(codeOf(error))) return false;
      if (codeOf(error) === 'internal' && !isProblem(error)) this.#session.platform.report(error);
      await this.#shelf.mark(row.order, failureOf(error));
      return true;
    } finally {
      await this.#around.changed();
    }
  }

  /** False after a conflict. What turns out to be on the wall already, an answer having been lost, is done. */
  async #tryRow(row: BoxRow): Promise<boolean> {
    const { self, platform } = this.#session;
    const wall = await this.catchUp();
    const post = await this.#shelf.post(self.id, row.id);
    const content = contentOf(row, post);
    if (!content) {
      await this.#shelf.settle(row.order);
      return true;
    }
    if (row.op !== 'delete') {
      const profile = await this.#profile(wall);
      if (profile) {
        await this.#write(wall, profile);
        return this.#tryRow(row);
      }
      for (const photo of row.photos) {
        const data = await this.#shelf.photo(photo.hash);
        if (data && !post?.photos.some(({ hash }) => hash === photo.hash)) await this.#upload(photo.hash, data);
      }
    }
    try {
      await this.#write(wall, content, row.order);
      return true;
    } catch (error) {
      if (isProblem(error, 'wall-conflict')) return false;
      if (isProblem(error, 'clock-ahead')) {
        await this.#session.askTime();
        return false;
      }
      // A photo that the relay has dropped meanwhile.
      const missing = isProblem(error, 'not-found') ? error.params['hash'] : undefined;
      const data = typeof missing === 'string' ? await this.#shelf.photo(missing, platform.now()) : undefined;
      if (typeof missing !== 'string' || !data) throw error;
      await this.#upload(missing, data);
      return false;
    }
  }

  /** The wall with the profile of now; one that has only just begun elsewhere gets it with its first post. */
  async #dressed(wall: WallRecord | undefined): Promise<WallRecord | undefined> {
    for (let attempt = 0; wall && attempt < TRIES; attempt++) {
      const profile = await this.#profile(wall);
      if (!profile) break;
      try {
        await this.#write(wall, profile);
      } catch (error) {
        if (!isProblem(error, 'wall-conflict')) throw error;
      }
      wall = await this.catchUp();
    }
    return wall;
  }

  /** What strangers see of the author, where it is not what they see now. */
  async #profile(wall: WallRecord | undefined): Promise<Content | undefined> {
    const { name, about, picture } = this.#session.vault.data;
    const bare = picture && bareJpeg(picture.slice());
    const sides = bare && wallPhotoSize(bare);
    const face = bare && sides ? { hash: sha256(bare), size: bare.length, ...sides } : undefined;
    const hash = face && b64(face.hash);
    if (wall && wall.steps.length > 0 && wall.name === name && wall.about === about && wall.picture?.hash === hash) return undefined;
    if (bare && hash !== undefined) await this.#upload(hash, bare);
    return { op: 'profile', name, about, ...(face && { picture: face }), gone: (wall?.steps ?? []).slice(-wallLimits.gone) };
  }

  async #write(wall: WallRecord | undefined, content: Content, done?: number): Promise<void> {
    const { self, platform } = this.#session;
    const chain = await this.#session.chain();
    const { change, signed, head } = await makeChange(self.keys, chain, pinOf(wall), content, self.now());
    await this.#post(postedJson(head, signed));
    const end: Pin = verifyHead(head, chain);
    const changes: readonly Change[] = [change];
    const standing = recordOf(wall, self.id, { changes, end, username: self.username, host: self.host }, platform.now());
    await this.#shelf.take(standing, changes, 0, { after: wall?.seq ?? 0, ...(done === undefined ? {} : { done }) });
  }

  async #post(body: unknown): Promise<Json> {
    return this.#session.api.call('POST', 'wall', body);
  }

  async #upload(hash: string, data: Bytes): Promise<void> {
    await this.#session.api.bytes('PUT', `media/${hash}`, 4096, data);
  }
}

/** Undefined: nothing is left to do. */
function contentOf(row: BoxRow, post: PostRecord | undefined): Content | undefined {
  const id = unb64(row.id, 16);
  switch (row.op) {
    case 'post':
      return post ? undefined : { op: 'post', id, text: row.text, photos: row.photos.map(photoOf) };
    case 'edit':
      if (!post || sameAs(row, post)) return undefined;
      if (post.steps.length >= wallLimits.gone) throw new Problem('too-large', { limit: wallLimits.gone });
      return { op: 'edit', id, text: row.text, photos: row.photos.map(photoOf), posted: post.posted, gone: post.steps };
    case 'delete':
      return post && { op: 'delete', id, gone: post.steps };
  }
}

function sameAs(row: BoxRow, post: PostRecord): boolean {
  const names = ({ photos }: { readonly photos: readonly PhotoRef[] }): string => photos.map(({ hash, alt }) => `${hash} ${alt}`).join('\n');
  return row.text === post.text && names(row) === names(post);
}

function photoOf({ hash, size, width, height, thumb, alt }: PhotoRef): PostPhoto {
  return { hash: unb64(hash, 32), size, width, height, thumb: thumb.slice(), ...(alt === '' ? {} : { alt }) };
}
