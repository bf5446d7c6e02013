/**
 * Who is here and who is typing, from letters that are never kept. Only friends who answered lately are told that one is
 * still here, so that a long list of friends costs little.
 */

import type { Platform } from '../platform/platform';
import type { Uid } from './types';

/** A `here` says so for this long. */
const HERE = 75_000;
const HERE_EVERY = 45_000;
/** Having told somebody so lately is answer enough. */
const ANSWERED = 5_000;
const TYPING = 6_000;
const TYPING_EVERY = 4_000;
/** How long such a letter is worth anything on the way. */
const LASTS = 20_000;

export interface PresenceSurroundings {
  readonly platform: Platform;
  readonly linked: () => boolean;
  friends(): readonly Uid[];
  /** a friend whose key is held: others are not worth a request */
  reachable(peer: Uid): boolean;
  /** seals and sends; what goes wrong is of no account */
  cast(peer: Uid, kind: 'typing' | 'here', lasts: number): Promise<void>;
  changed(peer: Uid): void;
}

export class Presence {
  readonly #around: PresenceSurroundings;
  readonly #here = new Map<Uid, number>();
  readonly #typing = new Map<Uid, number>();
  /** when we last told somebody */
  readonly #toldHere = new Map<Uid, number>();
  readonly #toldTyping = new Map<Uid, number>();
  readonly #timers = new Map<string, () => void>();
  #cancelBeat: () => void = () => undefined;

  constructor(around: PresenceSurroundings) {
    this.#around = around;
  }

  /** Without a connection nobody knows. */
  isHere(peer: Uid): boolean {
    return this.#around.linked() && (this.#here.get(peer) ?? 0) > this.#around.platform.now();
  }

  isTyping(peer: Uid): boolean {
    return this.#around.linked() && (this.#typing.get(peer) ?? 0) > this.#around.platform.now();
  }

  /** Connected, or back in sight: all friends are told once. */
  arrive(): void {
    this.#toldHere.clear();
    for (const friend of this.#around.friends()) this.#tellHere(friend);
    this.#beat();
  }

  leave(): void {
    this.#cancelBeat();
  }

  heard(peer: Uid, kind: 'typing' | 'here'): void {
    const { platform } = this.#around;
    const news = !this.isHere(peer);
    const map = kind === 'here' ? this.#here : this.#typing;
    const lasts = kind === 'here' ? HERE : TYPING;
    map.set(peer, platform.now() + lasts);
    // Somebody who types is here.
    if (kind === 'typing') this.#here.set(peer, Math.max(this.#here.get(peer) ?? 0, platform.now() + HERE));
    this.#around.changed(peer);
    this.#after(`${kind}/${peer}`, lasts + 50, () => {
      this.#around.changed(peer);
    });
    // Whoever says so may have come just now and not know of us. Two who answer each other stop at once.
    if (news || (this.#toldHere.get(peer) ?? 0) + ANSWERED < platform.now()) this.#tellHere(peer);
  }

  /** They are out of reach: whatever was heard of them before says nothing any more. */
  lose(peer: Uid): void {
    const heard = this.#here.delete(peer);
    if (this.#typing.delete(peer) || heard) this.#around.changed(peer);
  }

  /** A message came: whoever wrote it has stopped typing, and may be glad to know that we are here. */
  wrote(peer: Uid): void {
    if (this.#typing.delete(peer)) this.#around.changed(peer);
    this.met(peer);
  }

  /** They call: whoever looks at the app says so, at once. */
  answer(peer: Uid): void {
    this.#tellHere(peer);
  }

  /** Something went to or came from a friend. */
  met(peer: Uid): void {
    if ((this.#toldHere.get(peer) ?? 0) + HERE_EVERY < this.#around.platform.now()) this.#tellHere(peer);
  }

  type(peer: Uid): void {
    const now = this.#around.platform.now();
    if ((this.#toldTyping.get(peer) ?? 0) + TYPING_EVERY > now || !this.#around.linked() || !this.#around.reachable(peer)) return;
    this.#toldTyping.set(peer, now);
    this.#cast(peer, 'typing');
  }

  /** A message went: whoever writes on is writing another. */
  said(peer: Uid): void {
    this.#toldTyping.delete(peer);
  }

  stop(): void {
    this.#cancelBeat();
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
  }

  #beat(): void {
    this.#cancelBeat();
    this.#cancelBeat = this.#around.platform.after(HERE_EVERY, () => {
      if (!this.#around.platform.visible || !this.#around.linked()) return;
      for (const friend of this.#around.friends()) if (this.isHere(friend)) this.#tellHere(friend);
      this.#beat();
    });
  }

  #tellHere(peer: Uid): void {
    if (!this.#around.platform.visible || !this.#around.linked() || !this.#around.reachable(peer)) return;
    this.#toldHere.set(peer, this.#around.platform.now());
    this.#cast(peer, 'here');
  }

  #cast(peer: Uid, kind: 'typing' | 'here'): void {
    // Nobody waits for it and nothing depends on it: a friend whose key cannot be had is simply not told.
    this.#around.cast(peer, kind, LASTS).catch(() => undefined);
  }

  #after(name: string, ms: number, call: () => void): void {
    this.#timers.get(name)?.();
    this.#timers.set(name, this.#around.platform.after(ms, call));
  }
}
