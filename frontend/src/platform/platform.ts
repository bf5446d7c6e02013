/**
 * Everything the engine needs from outside, injected, so that it runs in a page and in a test alike. What
 * is standard in both (crypto, IndexedDB, TextEncoder, URL) is not repeated here.
 */

import type { Bytes } from '../protocol/bytes';

export interface Socket {
  send(text: string): void;
  /** Nothing is heard of it any more. */
  close(): void;
}

export interface SocketListener {
  message(data: unknown): void;
  /** it broke, or could not be opened */
  closed(): void;
}

export interface Channel {
  post(message: unknown): void;
  close(): void;
}

export type Turn = 'online' | 'offline' | 'shown' | 'hidden';

export interface PhotoTools {
  /**
   * A JPEG without metadata, upright, no side longer than `side`, at most `bytes` long if that is given.
   * Throws `photo-unreadable`.
   */
  shrink(file: Blob, side: number, bytes?: number): Promise<{ jpeg: Uint8Array<ArrayBuffer>; width: number; height: number; thumb: Uint8Array }>;
  /** data URL of a ThumbHash */
  placeholder(thumb: Uint8Array): string;
}

/** A browser's subscription to pushes. */
export interface PushAddress {
  readonly endpoint: string;
  readonly p256dh: Bytes;
  readonly auth: Bytes;
  /** for which it was made, where the browser tells */
  readonly key: Bytes | undefined;
}

export interface PushTools {
  /** what stands in the way whatever the person allows: nothing, the browser, or that it is no icon on an iPhone */
  readonly lack: 'unsupported' | 'icon' | undefined;
  readonly permission: 'default' | 'granted' | 'denied';
  /** Asks the person; only in answer to a tap. */
  ask(): Promise<'default' | 'granted' | 'denied'>;
  current(): Promise<PushAddress | undefined>;
  /** undefined: the browser cannot, mostly because its maker's service is out of reach */
  subscribe(key: Bytes): Promise<PushAddress | undefined>;
  unsubscribe(): Promise<void>;
  /** Shows a notification about somebody, unless a page of the app is looked at. */
  tell(kind: 'chat' | 'friend', uid: string): Promise<void>;
  /** Takes away what is shown about these people. */
  clear(uids: Iterable<string>): Promise<void>;
  /** On the app's icon, where there is one; 0 takes it away. */
  badge(n: number): Promise<void>;
  /** What the service worker says to its pages. Returns the way to stop. */
  hear(listener: (word: unknown) => void): () => void;
}

export interface Platform {
  /** of the courtyard that served the app: `https://host[:port]` */
  readonly origin: string;
  /** name of the database */
  readonly database: string;
  /** what this device calls itself among the others, such as `Chrome · Android` */
  readonly deviceName: string;
  readonly online: boolean;
  readonly visible: boolean;
  now(): number;
  fetch(url: string, init: RequestInit): Promise<Response>;
  socket(url: string, listener: SocketListener): Socket;
  /** Calls once, later. Returns the way not to. */
  after(ms: number, call: () => void): () => void;
  /** One at a time over all tabs of this browser. */
  lock<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** To and from the other tabs. */
  channel(name: string, receive: (message: unknown) => void): Channel;
  watch(listener: (turn: Turn) => void): () => void;
  /** A note that is there again even if the page ends in this very moment. Short, and for a moment: it stands in the way of nothing else. */
  note(text: string | undefined): void;
  noted(): string | undefined;
  /** Asks the browser not to clear our storage; whether it agreed. */
  persist(): Promise<boolean>;
  objectUrl(blob: Blob): string;
  releaseUrl(url: string): void;
  /** Loaded when first needed. */
  photos(): Promise<PhotoTools>;
  /** Likewise. */
  push(): Promise<PushTools>;
  /** A defect of this program, for whoever looks at the console. Never with what somebody wrote. */
  readonly report: (error: unknown) => void;
  /** The app stands: time for what it needs only the next time (the service worker). */
  settle(): void;
  /** Loads the page again, from a clean state. */
  reload(): void;
}
