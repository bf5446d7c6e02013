/**
 * Sealed files on their way: up to the relay before the letter that names them, down from the relay or the own home
 * when somebody looks. Both go on where they broke off, also after a reload. What is opened has been verified whole.
 */

import type { Api } from '../platform/api';
import type { Platform } from '../platform/platform';
import { formatHost, type Host } from '../protocol/address';
import { b64, unb64, type Bytes } from '../protocol/bytes';
import { describeFile, openFile, sealedSize, sealFile, type Source } from '../protocol/file';
import type { JsonObject } from '../protocol/json';
import type { FileRef } from '../protocol/message';
import { isProblem } from '../protocol/problem';
import type { OutboxRow } from '../store/schema';
import type { Files } from '../store/files';
import { codeOf, failureOf, Trouble } from './failure';
import type { Failure, Uid } from './types';

const PIECE = 512 * 1024;
const LAST = 64 * 1024;
/** What the home gives at a time. */
const HOME_PIECE = 40_000;
/** Pieces asked of the home before the first of them is here: a path with a long way there and back is filled. */
const AHEAD = 8;
const PAUSE = 15_000;
/** For what is partly here and can be had nowhere for now: ms between two looks, and how many. */
const LOOK_EVERY = 3_000;
const LOOKS = 60;

export interface TransferSurroundings {
  readonly platform: Platform;
  readonly api: Api;
  readonly files: Files;
  readonly linked: () => boolean;
  /** the courtyard of somebody who lives in another */
  abroad(peer: Uid): Host | undefined;
  /** whether there is a home to ask for what the relay has no more */
  readonly hasHome: () => boolean;
  askHome(method: string, params: JsonObject): Promise<JsonObject>;
  /** the device of the friend who sent it, while there is a way to it */
  aside(peer: Uid, id: string, offset: number): Promise<Bytes> | undefined;
  /** a file is all up: its letter may go */
  uploaded(): void;
  /** it was refused, so its letter cannot go */
  refused(row: OutboxRow, failure: Failure, retry: boolean): void;
  progress(id: string): void;
}

export class Transfers {
  readonly #around: TransferSurroundings;
  readonly #uploading = new Set<string>();
  /** 0..1 of what is on its way up */
  readonly #parts = new Map<string, number>();
  /** known to be up; asked of the database once */
  readonly #up = new Set<string>();
  /** on their way down, and who is told how far */
  readonly #loading = new Map<string, { readonly done: Promise<Bytes>; readonly told: Set<(part: number) => void> }>();

  constructor(around: TransferSurroundings) {
    this.#around = around;
  }

  /** Seals a source into the database, to go up for these people. */
  async prepare(source: Source, type: string, people: readonly Uid[]): Promise<FileRef> {
    const file = await describeFile(source, type);
    const sealed = new Uint8Array(sealedSize(file.size));
    let at = 0;
    for await (const chunk of sealFile(file, source)) {
      sealed.set(chunk, at);
      at += chunk.length;
    }
    const id = b64(file.id);
    await this.#around.files.outgoing(id, sealed, people, this.#around.platform.now());
    this.#parts.set(id, 0);
    return file;
  }

  /** A file came back with its letter: it goes up again. Fetched first if it is not here any more. */
  async again(file: FileRef, people: readonly Uid[]): Promise<void> {
    const id = b64(file.id);
    await this.load(file);
    if (!(await this.#around.files.again(id, people))) throw new Trouble('file-missing');
    this.#up.delete(id);
  }

  /** As the relay has to be told for whom a file is. */
  #named(uid: Uid): string {
    const host = this.#around.abroad(uid);
    return host ? `${uid}@${formatHost(host)}` : uid;
  }

  /** Part of an upload under way, 0..1; undefined for what is not going up. */
  part(id: string): number | undefined {
    return this.#parts.get(id);
  }

  /** Whether all of a letter's files are up; starts those that are not. */
  ready(row: OutboxRow): boolean {
    const missing = row.files.filter((id) => !this.#up.has(id));
    for (const id of missing) {
      if (this.#uploading.has(id) || !this.#around.linked()) continue;
      this.#uploading.add(id);
      this.#upload(id, row)
        .catch((error: unknown) => {
          this.#around.platform.report(error);
        })
        .finally(() => this.#uploading.delete(id));
    }
    return missing.length === 0;
  }

  async #upload(id: string, row: OutboxRow): Promise<void> {
    const { platform, files, api } = this.#around;
    try {
      await platform.lock(`file/${id}`, async () => {
        const file = await files.get(id);
        if (file?.upload !== undefined) {
          const sealed = await files.read(id, platform.now());
          if (!sealed) throw new Trouble('file-missing');
          const people = file.upload.map((uid) => this.#named(uid));
          const there = (await api.fileHas(id)) ?? 0;
          // All of it may be there already for somebody else, or from before it came back: the last piece says for whom.
          const told = there < sealed.length || people.every((name) => !name.includes('@'));
          for (let have = told ? there : Math.max(0, sealed.length - LAST); have < sealed.length; ) {
            this.#show(id, have / sealed.length);
            have = await api.putFile(id, have, sealed.length, people, sealed.slice(have, have + PIECE));
          }
          await files.uploaded(id);
        }
      });
    } catch (error) {
      const code = codeOf(error);
      if (['offline', 'internal', 'unavailable', 'rate-limited', 'unauthorized'].includes(code)) {
        this.#around.platform.after(PAUSE, () => {
          this.#around.uploaded();
        });
      } else this.#around.refused(row, failureOf(error), ['space-full', 'sender-full', 'relay-full'].includes(code));
      return;
    }
    this.#up.add(id);
    this.#parts.delete(id);
    this.#around.progress(id);
    this.#around.uploaded();
  }

  #show(id: string, part: number): void {
    this.#parts.set(id, part);
    this.#around.progress(id);
  }

  /**
   * Fetches, verifies and opens a file. Throws `file-missing`, `home-away`, `offline` or `file-bad`.
   *
   * @param from the friend who sent it: their device is asked first, if there is a way to it
   */
  async load(file: FileRef, from?: Uid, progress?: (part: number) => void): Promise<Bytes> {
    const id = b64(file.id);
    let loading = this.#loading.get(id);
    if (!loading) {
      const told = new Set<(part: number) => void>();
      const done = this.#load(id, file, from, (part) => {
        for (const tell of told) tell(part);
      }).finally(() => this.#loading.delete(id));
      loading = { done, told };
      this.#loading.set(id, loading);
    }
    if (progress) loading.told.add(progress);
    return loading.done;
  }

  async #load(id: string, file: FileRef, from?: Uid, progress?: (part: number) => void): Promise<Bytes> {
    const { files, platform } = this.#around;
    const size = sealedSize(file.size);
    const held = await files.get(id);
    // Of another size than the letter says: not what was sent.
    if (held && held.size !== size && held.upload === undefined) await files.forget([id]);
    let sealed = await files.read(id, platform.now());
    if (!sealed) {
      await this.#fetch(id, size, from, progress);
      sealed = await files.read(id, platform.now());
    }
    if (!sealed) throw new Trouble('file-missing');
    try {
      return await openFile(file, [sealed]);
    } catch (error) {
      if (!isProblem(error, 'file-bad') || (await files.get(id))?.upload !== undefined) throw error;
      await files.forget([id]);
      // What their device gave is not what they sent; the courtyard or the home may have that.
      if (from === undefined) throw error;
      return await this.#load(id, file, undefined, progress);
    }
  }

  /**
   * What the friend's device has begun to give, or was asked for in vain, is still on its way up to the courtyard: until it
   * is there, or the device answers again, it is looked for anew. So is what has begun to come when the network goes, or the home.
   */
  async #fetch(id: string, size: number, from?: Uid, progress?: (part: number) => void): Promise<void> {
    const { files, platform } = this.#around;
    let begun = false;
    for (let looks = LOOKS; ; looks--) {
      const straight = from === undefined ? 'none' : await this.#fetchAside(from, id, size, progress);
      if (straight === 'whole') break;
      begun ||= straight === 'broken' || ((await files.get(id))?.have ?? 0) > 0;
      try {
        await this.#fetchKept(id, size, progress);
        break;
      } catch (error) {
        const code = codeOf(error);
        const broke = (code === 'offline' || code === 'home-away') && ((await files.get(id))?.have ?? 0) > 0;
        if (!(broke || (begun && code === 'file-missing')) || looks === 0) throw error;
      }
      await new Promise<void>((resolve) => platform.after(LOOK_EVERY, resolve));
    }
    await files.trim();
  }

  async #fetchKept(id: string, size: number, progress?: (part: number) => void): Promise<void> {
    try {
      await this.#pieces(id, size, progress, PIECE, 1, (offset) => this.#fromRelay(id, offset));
    } catch (error) {
      // The home has taken it from the relay, or is about to.
      if (codeOf(error) !== 'not-found') throw error;
      if (!this.#around.hasHome()) throw new Trouble('file-missing', {}, error);
      await this.#pieces(id, size, progress, HOME_PIECE, AHEAD, (offset) => this.#fromHome(id, offset));
    }
  }

  /** Straight from the friend's device; what of it has come stays when the way ends. `none`: there is no way, or nothing there. */
  async #fetchAside(from: Uid, id: string, size: number, progress?: (part: number) => void): Promise<'whole' | 'broken' | 'none'> {
    try {
      await this.#pieces(id, size, progress, HOME_PIECE, AHEAD, (offset) => this.#fromFriend(from, id, offset, size));
      return 'whole';
    } catch (error) {
      const code = codeOf(error);
      if (code === 'internal') throw error;
      return code === 'offline' ? 'broken' : 'none';
    }
  }

  /** Asks for `ahead` pieces at a time, as if each were of `piece` bytes; one that is not throws the guess away. */
  async #pieces(
    id: string, size: number, progress: ((part: number) => void) | undefined, piece: number, ahead: number, next: (offset: number) => Promise<Bytes>,
  ): Promise<void> {
    const { files, platform } = this.#around;
    let have = (await files.get(id))?.have ?? 0;
    let asked = have;
    let coming: Promise<Bytes>[] = [];
    while (have < size) {
      progress?.(have / size);
      for (; coming.length < ahead && asked < size; asked += piece) {
        const one = next(asked);
        one.catch(() => undefined); // whoever takes it hears of it; behind one that failed nobody does
        coming.push(one);
      }
      const data = await coming.shift();
      if (!data || data.length === 0) throw new Trouble('file-missing');
      if (!(await files.append(id, size, have, data, platform.now()))) throw new Trouble('file-missing', { reason: 'size' });
      if (data.length !== Math.min(piece, size - have)) coming = [];
      have += data.length;
      if (coming.length === 0) asked = have;
    }
    progress?.(1);
  }

  /** Whole pieces or nothing: one byte at a time would go on for ever. */
  async #fromFriend(from: Uid, id: string, offset: number, size: number): Promise<Bytes> {
    const data = await this.#around.aside(from, id, offset);
    if (data?.length !== Math.min(HOME_PIECE, size - offset)) throw new Trouble('file-missing');
    return data;
  }

  async #fromRelay(id: string, offset: number): Promise<Bytes> {
    return this.#around.api.getFile(id, offset, PIECE);
  }

  async #fromHome(id: string, offset: number): Promise<Bytes> {
    let answer: JsonObject;
    try {
      answer = await this.#around.askHome('file', { id, offset });
    } catch (error) {
      if (codeOf(error) === 'not-found') throw new Trouble('file-missing', {}, error);
      throw error;
    }
    const { data } = answer;
    if (typeof data !== 'string' || data.length > 2 * HOME_PIECE) throw new Trouble('file-missing', { reason: 'answer' });
    return unb64(data);
  }
}
