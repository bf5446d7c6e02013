/** The vocabulary of the Wall: what its views may know and ask for. Types only. Times are ms since 1970. */

import type { Failure, Photo, Uid } from '../types';

export interface WallPhoto extends Photo {
  /** SHA-256 of the JPEG, base64url */
  readonly hash: string;
  readonly alt: string;
}

export interface Author {
  readonly uid: Uid;
  /** what a friend is called here, else what the wall says, else the username */
  readonly name: string;
  /** `wei@host[:port]` */
  readonly handle: string;
  readonly own: boolean;
  /** object or data URL of a friend's picture, or one's own */
  readonly picture: string | undefined;
  /** the picture on their wall, for those one knows no other of */
  readonly face: WallPhoto | undefined;
  /** of the wall's page that anybody can read */
  readonly page: string;
}

export interface Post {
  /** unique among all walls */
  readonly key: string;
  readonly id: string;
  readonly author: Author;
  readonly text: string;
  readonly photos: readonly WallPhoto[];
  readonly posted: number;
  readonly edited: number | undefined;
  /** of the page that anybody can read */
  readonly link: string;
  /** of one's own: on its way, or refused */
  readonly waiting: boolean;
  readonly failure: Failure | undefined;
}

/** A photo that has been made fit for the wall, on this device. */
export interface NewPhoto {
  readonly hash: string;
  readonly width: number;
  readonly height: number;
  /** object URL, of whoever asked for it */
  readonly url: string;
  readonly alt: string;
  /** undefined: it is on the wall already */
  readonly jpeg: Uint8Array<ArrayBuffer> | undefined;
  readonly thumb: Uint8Array;
  readonly size: number;
}

/** Whose wall one follows, or one's own. */
export interface Wall {
  readonly author: Author;
  readonly about: string;
  readonly followed: boolean;
  /** when its author last said where it ends; 0: it has not been read yet */
  readonly at: number;
  /** it was altered, hidden or rolled back; `kept`: the reader keeps what was there before */
  readonly altered: 'asks' | 'kept' | undefined;
  /** why it could not be read the last time */
  readonly failure: Failure | undefined;
}

/** A window on one wall. */
export interface WallView {
  readonly wall: Wall;
  readonly posts: readonly Post[];
  readonly more: boolean;
  loadMore(): Promise<void>;
  close(): void;
}

/** Promises reject with a `Failure`. */
export interface WallRoom {
  /** newest first, one's own among them */
  readonly feed: readonly Post[];
  /** how many of them came since one looked here last: the line goes beneath */
  readonly fresh: number;
  readonly more: boolean;
  readonly looking: boolean;
  /** all walls answered when they were last asked */
  readonly current: boolean;
  readonly own: Wall;
  /** one has agreed that name and picture become public, or has a wall already */
  readonly public: boolean;
  readonly follows: readonly Wall[];
  loadMore(): Promise<void>;
  /** The room is looked at until the returned way to stop is called: walls are asked now and then. */
  visit(): () => void;
  refresh(): Promise<void>;

  /** Throws `photo-unreadable` or `photo-large`. */
  prepare(picture: Blob): Promise<NewPhoto>;
  /** What the composer was left with. */
  draft(): Promise<string>;
  saveDraft(text: string): Promise<void>;
  /** From now on name and picture may be public. */
  agree(): Promise<void>;
  /** On this device's disk when it resolves; goes out by itself. */
  post(text: string, photos: readonly NewPhoto[]): Promise<void>;
  edit(id: string, text: string, photos: readonly NewPhoto[]): Promise<void>;
  remove(id: string): Promise<void>;
  retry(id: string): Promise<void>;
  /** The photos of a post, for changing it. */
  photosOf(post: Post): Promise<readonly NewPhoto[]>;

  /** Looks for somebody's wall. Throws `handle-bad`, `self`, `not-found`, `peer-away`. */
  find(handle: string): Promise<Wall>;
  follow(uid: Uid): Promise<void>;
  unfollow(uid: Uid): Promise<void>;
  /** After an alarm: keep what was there before, or trust what is there now. */
  decide(uid: Uid, trust: boolean): Promise<void>;
  /** Somebody's wall; `not-found` for somebody of whom nothing is known. */
  open(uid: Uid): Promise<WallView>;
}
