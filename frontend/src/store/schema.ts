/**
 * The database of this browser: one per origin. It holds a cache of the log, what waits to be sent, and
 * this device's keys, which no script can read out. It is never the only copy of anything but keys.
 */

import { deleteDB, openDB, type DBSchema, type IDBPDatabase, type IDBPTransaction, type StoreNames } from 'idb';
import type { LogEvent } from '../domain/event';
import type { Failure, Mid, Uid } from '../domain/types';
import type { StorableDeviceKeys, StorableUek } from '../protocol/keys';

export interface AccountRecord {
  /** `joining`: the keys exist, the relay's yes has not been seen yet; `restoring`: the vault has not been opened yet */
  readonly stage: 'joining' | 'restoring' | 'in';
  readonly uid: Uid;
  readonly username: string;
  /** `host[:port]` of the own relay */
  readonly host: string;
  readonly relayKey: string;
  readonly keys: StorableDeviceKeys;
  /** while joining: the request's bytes, so that a retry is the same request */
  readonly request: string;
  /** the invite's link, until its maker has been told */
  readonly invite: string | undefined;
}

/** The sealed vault as the relay has it, and the next version while it is on its way there. */
export interface VaultRecord {
  readonly version: number;
  /** the whole vault object as it travels, JSON text */
  readonly wire: string;
  readonly pending: string | undefined;
}

/** A person's chain as verified and pinned, and the newest UEK record seen. Own chain included. */
export interface ChainRecord {
  readonly uid: Uid;
  /** signed objects, JSON texts */
  readonly records: readonly string[];
  readonly seq: number;
  readonly head: string;
  /** signed UEK record, JSON text */
  readonly uek: string | undefined;
  readonly counter: number;
  readonly key: string;
  /** when the relay was last asked */
  readonly checked: number;
  /** the other chain, while a fork waits for a decision */
  readonly fork: readonly string[] | undefined;
}

/** An own daily key. */
export interface UekRecord extends StorableUek {
  readonly ts: number;
}

/** An event as stored: index keys exist only where the event belongs in the index. */
export interface EventRow extends LogEvent {
  readonly shown?: [Uid, number, Mid];
  readonly incoming?: [Uid, number];
  readonly touch?: [Uid, Mid];
}

export interface TalkRecord {
  readonly peer: Uid;
  /** highest clock seen */
  readonly clock: number;
  /** last sequence number this device has given out here */
  readonly seq: number;
  /** read up to: by me, by the friend */
  readonly mine: number;
  readonly theirs: number;
  /** newest event that is shown */
  readonly last: { readonly author: Uid; readonly mid: Mid; readonly clock: number } | undefined;
  readonly unread: number;
  /** everything from here on is in this cache; undefined: nothing is missing below what is held */
  readonly floor: readonly [number, Mid] | undefined;
  /** the beginning of the conversation is in this cache */
  readonly bottom: boolean;
}

/** A letter on its way out. `order` is the order of sending. */
export interface OutboxRow {
  readonly order: number;
  readonly peer: Uid;
  readonly mid: Mid;
  readonly type: 'chat' | 'friend' | 'receipt';
  readonly kind: string;
  readonly body: unknown;
  readonly clock: number;
  readonly seq: number;
  readonly at: number;
  /** also to oneself, for one's other devices and home */
  readonly copy: boolean;
  /** files whose sealed bytes have to be up first */
  readonly files: readonly string[];
  /** once sealed: the envelope's id, its exact bytes as text, the letter's hash; sent again unchanged */
  readonly sealed: { readonly id: string; readonly env: string; readonly hash: string; readonly at: number } | undefined;
  readonly failure: Failure | undefined;
  /** whether a new connection tries it again by itself */
  readonly retry: boolean;
  /** has been answered `stale` and is sealed again */
  readonly again: boolean;
  /** it came back as dated ahead: until then, ms by this device's clock, it may wait for its own date */
  readonly until?: number;
}

export type NewOutboxRow = Omit<OutboxRow, 'order'>;

export interface ReceiptRow {
  readonly peer: Uid;
  readonly mid: Mid;
  readonly hash: string;
  readonly at: number;
}

export interface ProfileRecord {
  readonly uid: Uid;
  readonly name: string;
  readonly about: string;
  readonly picture: Uint8Array | undefined;
  readonly version: number;
}

/** A file's sealed bytes, whole or on their way; the bytes are in `chunks`. */
export interface FileRecord {
  readonly id: string;
  /** sealed bytes in all */
  readonly size: number;
  /** bytes held here, from the start without a gap */
  readonly have: number;
  readonly used: number;
  /** set while it has to go up: for whom */
  readonly upload: readonly Uid[] | undefined;
}

export interface ChunkRecord {
  readonly id: string;
  readonly offset: number;
  readonly data: Uint8Array;
}

/** A photo on a wall; its bytes are in `wallphotos`, or still to be fetched. */
export interface PhotoRef {
  /** SHA-256 of the JPEG */
  readonly hash: string;
  readonly size: number;
  readonly width: number;
  readonly height: number;
  readonly thumb: Uint8Array;
  readonly alt: string;
}

/** A public wall, as far as it has been read and verified. One's own included. */
export interface WallRecord {
  readonly uid: Uid;
  readonly username: string;
  /** `host[:port]` where it was read */
  readonly host: string;
  readonly name: string;
  readonly about: string;
  readonly picture: Omit<PhotoRef, 'thumb'> | undefined;
  /** seqs of all changes of the profile */
  readonly steps: readonly number[];
  /** the pin: last change, its hash, time of the head */
  readonly seq: number;
  readonly hash: string;
  readonly ts: number;
  /** when it was last read to its end */
  readonly checked: number;
  /** not the wall that was there before: nothing more is taken until the reader decides; `kept`: that it stays so */
  readonly altered: { readonly at: number; readonly kept: boolean } | undefined;
}

export interface PostRecord {
  readonly uid: Uid;
  readonly id: string;
  /** seq of its first change: the place where it is shown */
  readonly place: number;
  /** of the newest change */
  readonly seq: number;
  readonly posted: number;
  readonly edited: number | undefined;
  readonly text: string;
  readonly photos: readonly PhotoRef[];
  /** seqs of all its changes */
  readonly steps: readonly number[];
  /** when this device got it; 0: with the first look at the wall */
  readonly received: number;
}

/** Something of one's own on its way to the wall. `order` is the order of sending. */
export interface BoxRow {
  readonly order: number;
  readonly op: 'post' | 'edit' | 'delete';
  readonly id: string;
  readonly text: string;
  readonly photos: readonly PhotoRef[];
  readonly at: number;
  readonly failure: Failure | undefined;
}

export interface WallPhotoRecord {
  readonly hash: string;
  readonly data: Uint8Array;
  /** absent while it waits to be sent */
  readonly used?: number;
}

export interface Schema extends DBSchema {
  account: { key: string; value: AccountRecord };
  vault: { key: string; value: VaultRecord };
  chains: { key: string; value: ChainRecord };
  ueks: { key: number; value: UekRecord };
  events: {
    key: [Uid, Uid, Mid];
    value: EventRow;
    indexes: { shown: [Uid, number, Mid]; incoming: [Uid, number]; touch: [Uid, Mid]; ids: string };
  };
  talks: { key: string; value: TalkRecord };
  outbox: { key: number; value: OutboxRow; indexes: { mid: [Uid, Mid] } };
  receipts: { key: [Uid, Mid, string]; value: ReceiptRow };
  drafts: { key: string; value: { peer: Uid; text: string; at: number } };
  people: { key: string; value: ProfileRecord };
  files: { key: string; value: FileRecord };
  chunks: { key: [string, number]; value: ChunkRecord };
  cursors: { key: string; value: unknown };
  settings: { key: string; value: unknown };
  walls: { key: string; value: WallRecord };
  posts: { key: [Uid, string]; value: PostRecord; indexes: { posted: [number, number, Uid]; place: [Uid, number] } };
  wallbox: { key: number; value: BoxRow };
  wallphotos: { key: string; value: WallPhotoRecord; indexes: { used: number } };
}

export type Database = IDBPDatabase<Schema>;
export type Names = StoreNames<Schema>;
export type Writing<S extends Names[]> = IDBPTransaction<Schema, S, 'readwrite'>;

/**
 * Opens the database, making or raising it. `lost` is called when another tab raises it or the browser
 * drops the connection: the tab has to be loaded again.
 */
export function openDatabase(name: string, lost: () => void): Promise<Database> {
  const opening: Promise<Database> = openDB<Schema>(name, 2, {
    upgrade(db, before) {
      if (before < 1) first(db);
      walls(db);
    },
    blocking() {
      void opening.then((db) => {
        db.close();
        lost();
      });
    },
    terminated: lost,
  });
  return opening;
}

/** Version 1. */
function first(db: Database): void {
  db.createObjectStore('account');
  db.createObjectStore('vault');
  db.createObjectStore('chains', { keyPath: 'uid' });
  db.createObjectStore('ueks', { keyPath: 'counter' });
  const events = db.createObjectStore('events', { keyPath: ['peer', 'author', 'mid'] });
  events.createIndex('shown', 'shown');
  events.createIndex('incoming', 'incoming');
  events.createIndex('touch', 'touch');
  events.createIndex('ids', 'ids', { multiEntry: true });
  db.createObjectStore('talks', { keyPath: 'peer' });
  const outbox = db.createObjectStore('outbox', { keyPath: 'order', autoIncrement: true });
  outbox.createIndex('mid', ['peer', 'mid']);
  db.createObjectStore('receipts', { keyPath: ['peer', 'mid', 'hash'] });
  db.createObjectStore('drafts', { keyPath: 'peer' });
  db.createObjectStore('people', { keyPath: 'uid' });
  db.createObjectStore('files', { keyPath: 'id' });
  db.createObjectStore('chunks', { keyPath: ['id', 'offset'] });
  db.createObjectStore('cursors');
  db.createObjectStore('settings');
}

/** Version 2. */
function walls(db: Database): void {
  db.createObjectStore('walls', { keyPath: 'uid' });
  const posts = db.createObjectStore('posts', { keyPath: ['uid', 'id'] });
  posts.createIndex('posted', ['posted', 'place', 'uid']);
  posts.createIndex('place', ['uid', 'place']);
  db.createObjectStore('wallbox', { keyPath: 'order', autoIncrement: true });
  db.createObjectStore('wallphotos', { keyPath: 'hash' }).createIndex('used', 'used');
}

export function deleteDatabase(name: string): Promise<void> {
  return deleteDB(name);
}
