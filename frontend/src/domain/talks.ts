/** The list of conversations and the windows open on them; told of every change of the log. */

import type { Platform } from '../platform/platform';
import { open, parseJson, text } from '../protocol/json';
import { limits, type FileRef } from '../protocol/message';
import { isProblem } from '../protocol/problem';
import { EMPTY_TALK, type Change, type Log } from '../store/log';
import type { TalkRecord } from '../store/schema';
import type { Store } from '../store/store';
import { derive, type Shown } from './conversation';
import { messageOf, sinceOf, type MessageSurroundings } from './message';
import type { Lack } from './outbox';
import type { Message, Mid, Person, State, Talk, TalkView, Uid } from './types';
import { View } from './view';
import { wordsDue } from './waiting';

/** Between the last key and the draft's way to disk. */
const DRAFT_PAUSE = 400;

export interface TalkSurroundings {
  readonly me: Uid;
  readonly platform: Platform;
  readonly store: Store;
  readonly log: Log;
  readonly link: () => State['link'];
  now(): number;
  people(): readonly Person[];
  person(uid: Uid): Person;
  isTyping(uid: Uid): boolean;
  /** by the pinned chain */
  hasHome(uid: Uid): boolean;
  /** why messages to them wait on this device, if they do */
  lack(peer: Uid): Lack | undefined;
  readonly uploadedPart: (file: string) => number | undefined;
  readonly placeholder: (thumb: Uint8Array) => string;
  readonly loadText: (file: FileRef, from: Uid | undefined) => Promise<string>;
  readonly loadPhoto: (file: FileRef, from: Uid | undefined, progress?: (part: number) => void) => Promise<string>;
  /** whether conversations of which nothing is here may still come */
  coming(): boolean;
  beyond(talk: TalkRecord | undefined): 'none' | 'here' | 'home' | 'home-away';
  fetchOlder(peer: Uid, before: readonly [number, Mid] | undefined): Promise<boolean>;
  seen(peer: Uid, upto: number, mid: Mid): Promise<void>;
  /** drafts are on disk that were not, or not so */
  draftsSaved(): void;
  readonly changed: () => void;
}

interface Held {
  readonly peer: Uid;
  readonly text: string;
  readonly mid: Mid;
}

const readHeld = open({ peer: text(43), text: text(limits.text), mid: text(22) });
/** of a note: a text of the greatest length, every character written out */
const NOTE_BYTES = 16 * limits.text;

interface Last {
  readonly shown: Shown;
  message: Message;
}

export class Talks {
  readonly #around: TalkSurroundings;
  readonly #records = new Map<Uid, TalkRecord>();
  readonly #last = new Map<Uid, Last>();
  readonly #drafts = new Map<Uid, string>();
  /** drafts that are not on disk as they are here */
  readonly #dirty = new Set<Uid>();
  /** their words are on their way from the field to the log */
  readonly #held = new Set<Uid>();
  readonly #views = new Set<View>();
  #list: readonly Talk[] | undefined;
  /** what the list was built with */
  #coming = false;
  #cancelDraft: () => void = () => undefined;
  #cancelWords: () => void = () => undefined;
  #work: Promise<void> = Promise.resolve();
  /** changes that nobody has been shown yet, and the turn in which they will be */
  readonly #news: Change[] = [];
  #turn: Promise<void> | undefined;
  /** up to where it was asked to be noted that somebody has read */
  readonly #noting = new Map<Uid, number>();
  #over = false;

  constructor(around: TalkSurroundings) {
    this.#around = around;
  }

  async load(): Promise<void> {
    for (const { peer, text } of await this.#around.store.drafts()) this.#drafts.set(peer, text);
    await this.#recover();
    const records = await this.#around.log.talks();
    for (const record of records) await this.#take(record);
    this.#schedule();
  }

  get list(): readonly Talk[] {
    const coming = this.#around.coming();
    if (coming !== this.#coming) this.#list = undefined;
    this.#coming = coming;
    return (this.#list ??= this.#build(coming));
  }

  get unread(): number {
    let unread = 0;
    for (const { peer, unread: each } of this.list) if (peer.state !== 'blocked') unread += each;
    return unread;
  }

  record(peer: Uid): TalkRecord | undefined {
    return this.#records.get(peer);
  }

  /** Whether anything was ever said, by anybody. */
  get begun(): boolean {
    return [...this.#records.values()].some(({ last }) => last !== undefined);
  }

  /**
   * What a transaction changed, here or in another tab. Resolves when the list shows it. What comes while others are being
   * shown is shown in one go after them.
   */
  apply(changes: readonly Change[]): Promise<void> {
    this.#news.push(...changes);
    if (this.#turn) return this.#turn;
    this.#work = this.#work.then(async () => {
      this.#turn = undefined;
      const changes = joined(this.#news.splice(0));
      if (this.#over) return;
      // Of one conversation that cannot be shown the others know nothing.
      await Promise.all(changes.map((change) => this.#show(change).catch(this.#around.platform.report)));
      this.#list = undefined;
      this.#schedule();
      this.#around.changed();
    });
    this.#work = this.#work.catch((error: unknown) => {
      this.#around.platform.report(error);
    });
    this.#turn = this.#work;
    return this.#turn;
  }

  /** Names, ticks, words or presence may be others now. */
  refresh(peer?: Uid): void {
    for (const [uid, last] of this.#last) if (peer === undefined || uid === peer) last.message = messageOf(last.shown, this.#moment(uid));
    for (const view of this.#views) if (peer === undefined || view.peerId === peer) view.refresh();
    this.#list = undefined;
    this.#schedule();
    this.#around.changed();
  }

  /** Whether the conversation is before somebody's eyes. */
  isOpen(peer: Uid): boolean {
    return [...this.#views].some(({ peerId }) => peerId === peer);
  }

  async open(peer: Uid): Promise<TalkView> {
    const { log, platform } = this.#around;
    const view: View = new View({
      log, me: this.#around.me, peer,
      person: () => this.#around.person(peer),
      typing: () => this.#around.isTyping(peer),
      moment: () => this.#moment(peer),
      beyond: () => this.#around.beyond(this.#records.get(peer)),
      fetchOlder: (before) => this.#around.fetchOlder(peer, before),
      seen: (upto, mid) => {
        if (upto <= Math.max(this.#records.get(peer)?.mine ?? 0, this.#noting.get(peer) ?? 0)) return;
        this.#noting.set(peer, upto);
        this.#around.seen(peer, upto, mid).catch((error: unknown) => {
          this.#noting.delete(peer);
          platform.report(error);
        });
      },
      changed: this.#around.changed,
      after: (ms, call) => platform.after(ms, call),
      report: platform.report,
      closed: (closed) => this.#views.delete(closed),
    });
    this.#views.add(view);
    await view.start();
    return view;
  }

  draft(peer: Uid, text: string): void {
    if ((this.#drafts.get(peer) ?? '') === text) return;
    if (text === '') this.#drafts.delete(peer);
    else this.#drafts.set(peer, text);
    this.#soil(peer);
    this.#list = undefined;
    this.#around.changed();
  }

  /**
   * Words on their way from the field to the log. Should the page end before they are there, they stand in the field
   * again the next time. Their draft is not written meanwhile: they would be in both.
   */
  hold(words: Held): void {
    this.#held.add(words.peer);
    this.#around.platform.note(JSON.stringify(words));
  }

  /** They are in the log, or it was said why not; the field has them until somebody clears it. */
  release(peer: Uid): void {
    this.#around.platform.note(undefined);
    this.#held.delete(peer);
    if (this.#drafts.has(peer) || this.#dirty.has(peer)) this.#soil(peer);
  }

  #soil(peer: Uid): void {
    this.#dirty.add(peer);
    this.#cancelDraft();
    this.#cancelDraft = this.#around.platform.after(DRAFT_PAUSE, () => {
      this.saveDrafts().catch(this.#around.platform.report);
    });
  }

  async #recover(): Promise<void> {
    const { platform, log, me } = this.#around;
    const noted = platform.noted();
    if (noted === undefined) return;
    try {
      const held = readHeld(parseJson(noted, { bytes: NOTE_BYTES, depth: 1 }));
      if (!(await log.event(held.peer, me, held.mid))) {
        const standing = this.#drafts.get(held.peer) ?? '';
        if (!standing.includes(held.text)) this.draft(held.peer, standing === '' ? held.text : `${held.text}\n${standing}`);
        await this.saveDrafts();
      }
    } catch (error) {
      // Not our note; it must not keep the app from opening.
      if (!isProblem(error)) throw error;
      platform.report(error);
    }
    platform.note(undefined);
  }

  async saveDrafts(): Promise<void> {
    this.#cancelDraft();
    const { store, platform } = this.#around;
    const due = [...this.#dirty].filter((peer) => !this.#held.has(peer));
    if (due.length === 0) return;
    await Promise.all(due.map(async (peer) => {
      const text = this.#drafts.get(peer) ?? '';
      await store.saveDraft(peer, text, platform.now());
      if ((this.#drafts.get(peer) ?? '') === text) this.#dirty.delete(peer);
    }));
    this.#around.draftsSaved();
  }

  /** After another tab saved some. What is being written here stays: it stands in the field. */
  async reloadDrafts(): Promise<void> {
    const saved = new Map((await this.#around.store.drafts()).map(({ peer, text }) => [peer, text]));
    for (const peer of new Set([...this.#drafts.keys(), ...saved.keys()])) {
      if (this.#dirty.has(peer) || this.#held.has(peer) || (this.isOpen(peer) && this.#drafts.has(peer))) continue;
      const text = saved.get(peer);
      if (text === undefined) this.#drafts.delete(peer);
      else this.#drafts.set(peer, text);
    }
    this.#list = undefined;
    this.#around.changed();
  }

  /** Resolves when the database is left alone. */
  async stop(): Promise<void> {
    this.#over = true;
    this.#cancelDraft();
    this.#cancelWords();
    for (const view of [...this.#views]) view.close();
    await this.saveDrafts();
    await this.#work;
  }

  async #show(change: Change): Promise<void> {
    const record = await this.#around.log.talk(change.peer);
    if (record) await this.#take(record);
    await Promise.all([...this.#views].filter(({ peerId }) => peerId === change.peer).map((view) => view.apply(change)));
  }

  async #take(record: TalkRecord): Promise<void> {
    const { log } = this.#around;
    this.#records.set(record.peer, record);
    const row = record.last && (await log.event(record.peer, record.last.author, record.last.mid));
    if (!row) {
      this.#last.delete(record.peer);
      return;
    }
    const touches = await log.touches(record.peer, [row.mid]);
    const shown = derive(row, touches.get(row.mid) ?? []);
    this.#last.set(record.peer, { shown, message: messageOf(shown, this.#moment(record.peer)) });
  }

  #moment(peer: Uid): MessageSurroundings {
    const around = this.#around;
    const person = around.person(peer);
    return {
      me: around.me, now: around.now(), link: around.link(), name: person.name, fork: person.fork,
      marks: { theirs: (this.#records.get(peer) ?? EMPTY_TALK).theirs, friendHome: around.hasHome(peer) },
      lack: around.lack(peer),
      excerpt: () => undefined,
      uploaded: around.uploadedPart, placeholder: around.placeholder, loadText: around.loadText, loadPhoto: around.loadPhoto,
    };
  }

  #build(coming: boolean): readonly Talk[] {
    const peers = new Set<Uid>([...this.#last.keys(), ...this.#drafts.keys()]);
    for (const person of this.#around.people()) if (person.state === 'friend') peers.add(person.uid);
    const talks: Talk[] = [];
    for (const peer of peers) {
      const person = this.#around.person(peer);
      if (person.state === 'blocked') continue;
      const last = this.#last.get(peer)?.message;
      talks.push({
        peer: person, last, coming: coming && last === undefined,
        unread: this.#records.get(peer)?.unread ?? 0, draft: this.#drafts.get(peer) ?? '',
        typing: this.#around.isTyping(peer), at: last?.clock ?? person.since,
      });
    }
    return talks.sort((a, b) => b.at - a.at || (a.peer.uid < b.peer.uid ? -1 : 1));
  }

  /** Wakes when the last message of some conversation has waited long enough to be told why. */
  #schedule(): void {
    this.#cancelWords();
    const now = this.#around.now();
    let due = Infinity;
    for (const { shown, message } of this.#last.values()) {
      if (message.tick) due = Math.min(due, wordsDue(message.tick, sinceOf(shown), now) ?? Infinity);
    }
    if (due === Infinity) return;
    this.#cancelWords = this.#around.platform.after(due - now + 20, () => {
      this.refresh();
    });
  }
}

/** One change for each conversation. */
function joined(changes: readonly Change[]): readonly Change[] {
  const all = new Map<Uid, { readonly messages: Map<string, readonly [Uid, Mid]>; marks: boolean }>();
  for (const { peer, messages, marks } of changes) {
    const one = all.get(peer) ?? { messages: new Map<string, readonly [Uid, Mid]>(), marks: false };
    for (const message of messages) one.messages.set(message.join(' '), message);
    one.marks ||= marks;
    all.set(peer, one);
  }
  return [...all].map(([peer, { messages, marks }]) => ({ peer, messages: [...messages.values()], marks }));
}
