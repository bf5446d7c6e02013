/**
 * A window on one conversation. It holds the messages that have been loaded, derives anew only what a change touches,
 * and never moves what is above it.
 */

import type { Change, Log } from '../store/log';
import type { EventRow } from '../store/schema';
import { derive, type Shown } from './conversation';
import { compareEvents } from './event';
import { excerptOf, messageOf, sinceOf, type Excerpt, type MessageSurroundings } from './message';
import type { Message, Mid, Person, TalkView, Uid } from './types';
import { wordsDue } from './waiting';

const PAGE = 50;
/** Unread messages that a view opens with at most; the rest is a page up. */
const UNREAD = 500;

export interface ViewSurroundings {
  readonly log: Log;
  readonly me: Uid;
  readonly peer: Uid;
  person(): Person;
  typing(): boolean;
  /** what a message needs to know of the moment */
  moment(): Omit<MessageSurroundings, 'excerpt'>;
  /** what is beyond the cache: nothing, on the way here, or at home */
  beyond(): 'none' | 'here' | 'home' | 'home-away';
  /** brings older messages into the cache; false when there was nothing to bring */
  fetchOlder(before: readonly [number, Mid] | undefined): Promise<boolean>;
  seen(upto: number, mid: Mid): void;
  /** the view has changed */
  changed(): void;
  after(ms: number, call: () => void): () => void;
  readonly report: (error: unknown) => void;
  closed(view: View): void;
}

interface Entry {
  readonly shown: Shown;
  message: Message;
}

export class View implements TalkView {
  readonly #around: ViewSurroundings;
  readonly #entries = new Map<string, Entry>();
  readonly #excerpts = new Map<string, Excerpt | undefined>();
  #messages: readonly Message[] = [];
  #unreadFrom: Mid | undefined;
  /** the cache has no older message than the oldest here */
  #exhausted = false;
  #closed = false;
  #loading: Promise<void> | undefined;
  #work: Promise<void> = Promise.resolve();
  #cancelWords: () => void = () => undefined;

  constructor(around: ViewSurroundings) {
    this.#around = around;
  }

  get peer(): Person {
    return this.#around.person();
  }

  get messages(): readonly Message[] {
    return this.#messages;
  }

  get unreadFrom(): Mid | undefined {
    return this.#unreadFrom;
  }

  get typing(): boolean {
    return this.#around.typing();
  }

  get older(): TalkView['older'] {
    return this.#exhausted ? this.#around.beyond() : 'here';
  }

  get peerId(): Uid {
    return this.#around.peer;
  }

  /** The newest page, and all that is unread within reason. */
  async start(): Promise<void> {
    const { log, peer } = this.#around;
    const talk = await log.talk(peer);
    const first = talk && talk.unread > 0 ? await log.firstIncoming(peer, talk.mine) : undefined;
    this.#unreadFrom = first?.mid;
    await this.#more(Math.min(UNREAD, Math.max(PAGE, (talk?.unread ?? 0) + 10)));
    if (this.#entries.size === 0 && this.#around.beyond() !== 'none') this.loadOlder().catch(this.#around.report);
  }

  loadOlder(): Promise<void> {
    this.#loading ??= this.#loadOlder().finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  /** What has to be fetched is waited for outside the turns: what is said meanwhile is shown meanwhile. */
  async #loadOlder(): Promise<void> {
    const beyond = this.older;
    if (beyond === 'none' || beyond === 'home-away') return;
    if (this.#exhausted) {
      const oldest = this.#messages[0];
      if (!(await this.#around.fetchOlder(oldest && [oldest.clock, oldest.mid]))) return;
    }
    await this.#inTurn(() => this.#more(PAGE));
  }

  seen(): void {
    for (const message of this.#messages.toReversed()) {
      if (message.own) continue;
      this.#around.seen(message.clock, message.mid);
      return;
    }
  }

  close(): void {
    this.#closed = true;
    this.#cancelWords();
    this.#around.closed(this);
  }

  /** Something in this conversation changed in the database. */
  apply(change: Change): Promise<void> {
    return this.#inTurn(async () => {
      const { log, peer } = this.#around;
      const rows = await Promise.all(change.messages.map(([author, mid]) => log.event(peer, author, mid)));
      const oldest = this.#messages[0];
      // What is above the window is read when one gets there.
      const within = rows.filter((row) => row?.shown !== undefined && (!oldest || this.#exhausted || compareEvents(row, oldest) >= 0));
      for (const [at, [author, mid]] of change.messages.entries()) {
        this.#excerpts.delete(author + mid);
        if (rows[at] === undefined) this.#entries.delete(author + mid);
      }
      await this.#show(within.filter((row) => row !== undefined), false);
      if (change.marks) this.refresh();
    }).catch(this.#around.report);
  }

  /** Ticks, words and names as they are now; for when only the moment changed. */
  refresh(): void {
    const around = this.#surroundings();
    let changed = false;
    for (const entry of this.#entries.values()) {
      const message = messageOf(entry.shown, around);
      if (sameMessage(message, entry.message)) continue;
      entry.message = message;
      changed = true;
    }
    if (changed) this.#publish();
    this.#schedule();
  }

  async #more(count: number): Promise<void> {
    const { log, peer } = this.#around;
    const oldest = this.#messages[0];
    const rows = await log.page(peer, oldest && [oldest.clock, oldest.mid], count + 1);
    this.#exhausted = rows.length <= count;
    await this.#show(rows.slice(0, count), true);
  }

  async #show(rows: readonly EventRow[], fresh: boolean): Promise<void> {
    const { log, peer } = this.#around;
    const touches = await log.touches(peer, rows.map(({ mid }) => mid));
    const derived = rows.map((row) => derive(row, touches.get(row.mid) ?? []));
    await this.#loadExcerpts(derived);
    if (this.#closed) return;
    const around = this.#surroundings();
    for (const shown of derived) {
      const { author, mid } = shown.event;
      this.#entries.set(author + mid, { shown, message: messageOf(shown, around) });
    }
    // Answers above which a changed message is quoted change with it.
    if (!fresh) this.#requote(around);
    this.#publish();
    this.#schedule();
  }

  #requote(around: MessageSurroundings): void {
    for (const entry of this.#entries.values()) {
      if (!entry.shown.reply) continue;
      const message = messageOf(entry.shown, around);
      if (!sameMessage(message, entry.message)) entry.message = message;
    }
  }

  async #loadExcerpts(derived: readonly Shown[]): Promise<void> {
    const { log, peer } = this.#around;
    const replies = [...derived, ...[...this.#entries.values()].map(({ shown }) => shown)];
    for (const { reply } of replies) {
      if (!reply || this.#excerpts.has(reply.author + reply.mid)) continue;
      const row = await log.event(peer, reply.author, reply.mid);
      const touches = row && (await log.touches(peer, [reply.mid]));
      this.#excerpts.set(reply.author + reply.mid, row && excerptOf(derive(row, touches?.get(reply.mid) ?? [])));
    }
  }

  #surroundings(): MessageSurroundings {
    return { ...this.#around.moment(), excerpt: (author, mid) => this.#excerpts.get(author + mid) };
  }

  #publish(): void {
    this.#messages = [...this.#entries.values()].map(({ message }) => message).sort(compareEvents);
    this.#around.changed();
  }

  /** Wakes when the next message has waited long enough to be told why. */
  #schedule(): void {
    this.#cancelWords();
    const { now } = this.#around.moment();
    let due = Infinity;
    for (const { shown, message } of this.#entries.values()) {
      if (message.tick) due = Math.min(due, wordsDue(message.tick, sinceOf(shown), now) ?? Infinity);
    }
    if (due === Infinity || this.#closed) return;
    this.#cancelWords = this.#around.after(due - now + 20, () => {
      this.refresh();
    });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#work.then(() => (this.#closed ? undefined : work()));
    this.#work = turn.catch(() => undefined);
    return turn;
  }
}

function sameMessage(a: Message, b: Message): boolean {
  return (Object.keys(b) as (keyof Message)[]).every((key) => {
    if (key === 'photo') return a.photo?.uploaded === b.photo?.uploaded;
    if (key === 'more') return (a.more === undefined) === (b.more === undefined);
    return a[key] === b[key] || JSON.stringify(a[key]) === JSON.stringify(b[key]);
  });
}
