/**
 * Where older messages come from: the home's log when there is one, the relay's keep when there is none. What is fetched
 * goes the same way as what arrives, so nothing is shown twice and everything in the same order.
 */

import type { Api } from '../platform/api';
import type { Platform } from '../platform/platform';
import { any, array, bool, bytes, int, open, text, type Json, type JsonObject, type Read } from '../protocol/json';
import { b64 } from '../protocol/bytes';
import type { Log } from '../store/log';
import type { TalkRecord } from '../store/schema';
import type { Store } from '../store/store';
import { clampClock, roleOf, type LogEvent } from './event';
import type { Inbox } from './inbox';
import type { Self } from './self';
import type { Mid, Uid } from './types';

const SINCE = 200;
const PAGE = 50;
const TALKS = 50;
const KEEP = 100;
/** Pages of the keep that are read again after a fork was decided. */
const REREAD = 5;
/** Pages that are fetched at once to close a gap; a longer one is closed as one scrolls. */
const GAP_PAGES = 6;

const readUid: Read<Uid> = (value) => b64(bytes(32)(value));
const readEvent = open(
  {
    peer: readUid, author: readUid, dev: readUid, mid: (value: Json) => b64(bytes(16)(value)), type: text(32), kind: text(32), clock: int(), ts: int(),
    received: int(), body: any, hash: readUid,
  },
  { home: int(), read: int() },
);
const readSince = open({ epoch: text(64), n: int(), events: array(any, 1000), more: bool });
const readPage = open({ events: array(any, 1000), more: bool });
const readTalks = open({ talks: array(open({ peer: readUid, events: array(any, 200) }, { at: any }), 1000) }, { more: bool });

interface HomeCursor {
  readonly epoch: string;
  readonly n: number;
}

/** The part of the relay's keep that has been taken: from `low` up to `high`. */
interface KeepCursor {
  readonly low: number;
  readonly high: number;
  readonly done: boolean;
}

export interface HistorySurroundings {
  readonly self: Self;
  readonly platform: Platform;
  readonly api: Api;
  readonly store: Store;
  readonly log: Log;
  readonly inbox: Inbox;
  /** what this home's log is called here; undefined without one */
  readonly home: () => string | undefined;
  readonly homeOpen: () => boolean;
  ask(method: string, params: JsonObject): Promise<JsonObject>;
  /** how far this device has confirmed the relay's queue */
  readonly confirmed: () => number;
  changed(): void;
}

export class History {
  readonly #around: HistorySurroundings;
  /** nothing is missing below what is held */
  #complete = false;
  #keep: KeepCursor | undefined;
  /** the home's log has been met: what it has of each conversation is known */
  #met = false;
  #syncing: Promise<void> = Promise.resolve();
  #filling: Promise<void> | undefined;

  constructor(around: HistorySurroundings) {
    this.#around = around;
  }

  async load(): Promise<void> {
    this.#complete = (await this.#around.store.setting('complete')) === true;
    this.#keep = keepCursor(await this.#around.store.cursor('keep'));
  }

  /** Where messages older than the cache are. */
  beyond(talk: TalkRecord | undefined): 'none' | 'here' | 'home' | 'home-away' {
    if (talk?.bottom || (this.#complete && talk?.floor === undefined)) return 'none';
    if (this.#around.home() !== undefined) return this.#around.homeOpen() ? 'home' : 'home-away';
    return this.#keep?.done === false || (!this.#complete && !this.#keep) ? 'here' : 'none';
  }

  /** Whether a conversation of which nothing is here may still come. */
  get coming(): boolean {
    if (this.#complete) return false;
    return this.#around.home() === undefined ? !this.#keep?.done : !this.#met;
  }

  /** A row that has been taken from the keep need not be opened again. */
  isTaken(n: number): boolean {
    return this.#keep !== undefined && n >= this.#keep.low && n <= this.#keep.high;
  }

  // ---- without a home: the relay's keep ------------------------------------------------------------------------------

  /** On a fresh device: everything the relay keeps, newest first. Goes on where it broke off. */
  backfill(): Promise<void> {
    if (this.#complete || this.#keep?.done) return Promise.resolve();
    // What an older connection asked for may never be answered.
    if (this.#filling) return this.#filling.catch(() => this.backfill());
    this.#filling = this.#around.platform
      .lock('keep', async () => {
        while (this.#around.home() === undefined && !(await this.#fill())) this.#around.changed();
      })
      .finally(() => {
        this.#filling = undefined;
        this.#around.changed();
      });
    return this.#filling;
  }

  /** One page; true when it was the last. */
  async #fill(): Promise<boolean> {
    const { api, inbox, store } = this.#around;
    const confirmed = this.#around.confirmed();
    this.#keep = keepCursor(await store.cursor('keep'));
    if (this.#keep?.done) return true;
    const { rows, more } = await api.keep(this.#keep?.low, KEEP);
    const first = rows[0]?.n ?? 0;
    const last = rows.at(-1)?.n ?? 0;
    // What was delivered has been taken the other way.
    const done = !more || rows.length === 0 || last <= confirmed + 1;
    const keep: KeepCursor = { low: last || (this.#keep?.low ?? 0), high: this.#keep?.high ?? first, done };
    await inbox.take(rows.filter(({ n }) => n > confirmed), { keep });
    this.#keep = keep;
    if (done) await this.#finish();
    return done;
  }

  /** The newest of the keep once more: what could not be opened then may be now. */
  async reread(): Promise<void> {
    if (this.#around.home() !== undefined) return;
    let before: number | undefined;
    for (let page = 0; page < REREAD; page++) {
      const { rows, more } = await this.#around.api.keep(before, KEEP);
      await this.#around.inbox.take(rows);
      before = rows.at(-1)?.n;
      if (!more || before === undefined) return;
    }
  }

  async #finish(): Promise<void> {
    this.#complete = true;
    await this.#around.store.saveSetting('complete', true);
  }

  // ---- with a home ---------------------------------------------------------------------------------------------------

  /** The channel to the home is open, or its log has grown. */
  sync(): Promise<void> {
    this.#syncing = this.#syncing.then(() => this.#around.platform.lock('since', () => this.#since()));
    const syncing = this.#syncing;
    this.#syncing = syncing.catch(() => undefined);
    return syncing;
  }

  async #since(): Promise<void> {
    const { store } = this.#around;
    const home = this.#around.home();
    if (home === undefined) return;
    const name = `home/${home}`;
    let cursor = homeCursor(await store.cursor(name));
    for (;;) {
      if (!cursor) {
        await this.#meet(name);
        this.#met = true;
        this.#around.changed();
        return;
      }
      this.#met = true;
      const { epoch, n, events, more } = readSince(await this.#around.ask('since', { epoch: cursor.epoch, n: cursor.n, limit: SINCE }));
      if (epoch !== cursor.epoch) {
        // The home was restored from a backup: its places are others now.
        cursor = undefined;
        continue;
      }
      cursor = { epoch, n };
      await this.#around.inbox.takeEvents(this.#events(events), { cursors: { [name]: cursor } });
      if (!more) return;
    }
  }

  /** First contact of this device with this log: the end of it, then each conversation from its end backwards. */
  async #meet(name: string): Promise<void> {
    const end = readSince(await this.#around.ask('since', { epoch: '', n: 0, limit: 0 }));
    for (let before: Json | undefined; ; ) {
      const params: JsonObject = before === undefined ? { limit: TALKS } : { limit: TALKS, before };
      const { talks, more = false } = readTalks(await this.#around.ask('talks', params));
      for (const { peer, events } of talks) await this.#join(peer, this.#events(events));
      before = talks.at(-1)?.at;
      if (!more || before === undefined || talks.length === 0) break;
    }
    await this.#around.inbox.takeEvents([], { cursors: { [name]: { epoch: end.epoch, n: end.n } } });
  }

  /** Puts a conversation's newest events to what is held, and closes the gap between them or notes where it begins. */
  async #join(peer: Uid, newest: readonly LogEvent[]): Promise<void> {
    const { log, inbox } = this.#around;
    const talk = await log.talk(peer);
    const message = newest.find((event) => roleOf(event).as === 'shown');
    const meets = message !== undefined && (await log.event(peer, message.author, message.mid)) !== undefined;
    if (!message || meets) {
      await inbox.takeEvents(newest, {});
      return;
    }
    const hadAny = talk?.last !== undefined;
    // Nothing that is there now may be shown as if it went on from what comes.
    const floor = [message.clock, message.mid] as const;
    await inbox.takeEvents(newest, { floors: [{ peer, floor, bottom: false }] });
    for (let page = 0; page < (hadAny ? GAP_PAGES : 1); page++) {
      const reached = await this.#page(peer, undefined, talk);
      if (reached) return;
    }
  }

  /** The newest of a conversation as the home has them now: it knows of letters whose copy it confirmed before this device had one. */
  async recheck(peer: Uid): Promise<void> {
    if (!this.#around.homeOpen()) return;
    const { events } = readPage(await this.#around.ask('page', { peer, limit: PAGE }));
    await this.#around.inbox.takeEvents(this.#events(events), {});
  }

  /** Brings older messages into the cache. False when there was nothing to bring. */
  async older(peer: Uid, before: readonly [number, Mid] | undefined): Promise<boolean> {
    if (this.#around.home() === undefined) {
      if (this.#complete) return false;
      await this.backfill();
      return true;
    }
    await this.#page(peer, before, undefined);
    return true;
  }

  /**
   * One page below the floor. `held`: the conversation as it was before this log was met; true when the page reached it,
   * so that nothing is missing in between.
   */
  async #page(peer: Uid, before: readonly [number, Mid] | undefined, held: TalkRecord | undefined): Promise<boolean> {
    const { log, inbox } = this.#around;
    const at = (await log.talk(peer))?.floor ?? before;
    const params: JsonObject = at === undefined ? { peer, limit: PAGE } : { peer, limit: PAGE, before: [at[0], at[1]] };
    const { events: raw, more } = readPage(await this.#around.ask('page', params));
    const events = this.#events(raw);
    const shown = events.filter((event) => roleOf(event).as === 'shown');
    const oldest = shown.at(-1);
    const reached = held?.last !== undefined && shown.some(({ author, mid }) => author === held.last?.author && mid === held.last.mid);
    const bottom = !more || !oldest;
    const floor = reached ? held.floor : oldest && ([oldest.clock, oldest.mid] as const);
    await inbox.takeEvents(events, { floors: [{ peer, ...(floor ? { floor } : {}), bottom: bottom || (reached && held.bottom), open: reached && !held.floor }] });
    return bottom || reached;
  }

  /** As the log keeps them here. Throws `bad-request` for what is no event. */
  #events(raw: readonly Json[]): LogEvent[] {
    const { self } = this.#around;
    return raw.map((value) => {
      const { body, clock, ts, home, read, ...rest } = readEvent(value);
      return {
        ...rest, clock: clampClock(clock, ts), ts, body: body === null ? {} : plainJson(body),
        ...(home ? { home } : {}), ...(read ? { read } : {}),
        ...(rest.author === self.id ? { accepted: rest.received } : {}),
      };
    });
  }
}

/** Objects of the strict parser have no prototype, which the database does not mind, and odd numbers, which it does. */
function plainJson(value: Json): unknown {
  return JSON.parse(JSON.stringify(value)) as unknown;
}

function homeCursor(value: unknown): HomeCursor | undefined {
  const { epoch, n } = (value ?? {}) as { epoch?: unknown; n?: unknown };
  return typeof epoch === 'string' && typeof n === 'number' ? { epoch, n } : undefined;
}

function keepCursor(value: unknown): KeepCursor | undefined {
  const { low, high, done } = (value ?? {}) as { low?: unknown; high?: unknown; done?: unknown };
  return typeof low === 'number' && typeof high === 'number' ? { low, high, done: done === true } : undefined;
}

