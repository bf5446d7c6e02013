/**
 * The cached log: events, what follows from them for each conversation, and what waits to be sent. Every
 * change is one transaction over all of them, so that no reload finds half of it. Nothing here waits for
 * anything but the database: a browser may end a transaction that waits for something else.
 */

import { roleOf, type LogEvent } from '../domain/event';
import type { Queued } from '../domain/letters';
import type { Failure, Mid, Uid } from '../domain/types';
import { forget, mergeEvent, rowOf } from './fold';
import { arrivedThere, sentBack, setOut, setOutAgain, WAY, type Back, type Way } from './ways';
import type { Database, EventRow, NewOutboxRow, OutboxRow, TalkRecord, Writing } from './schema';

const LOG = ['events', 'talks', 'outbox', 'receipts', 'cursors', 'drafts'] as const;
type LogStores = ['events', 'talks', 'outbox', 'receipts', 'cursors', 'drafts'];
export type LogWriting = Writing<LogStores>;

export interface Receipt {
  readonly peer: Uid;
  readonly mid: Mid;
  /** of the letter the friend's home has on disk */
  readonly hash: string;
  readonly at: number;
}

/** What one transaction brings in. */
export interface Arrival {
  readonly events?: readonly LogEvent[];
  readonly receipts?: readonly Receipt[];
  /** undefined drops one */
  readonly cursors?: Readonly<Record<string, unknown>>;
  readonly floors?: readonly Floor[];
}

/** From where on a conversation is held without a gap. */
export interface Floor {
  readonly peer: Uid;
  readonly floor?: readonly [number, Mid];
  /** from its beginning */
  readonly bottom?: boolean;
  /** there is no gap any more below what is held */
  readonly open?: boolean;
}

/** What a transaction changed, told to whoever shows it. */
export interface Change {
  readonly peer: Uid;
  /** messages to derive anew, as [author, mid] */
  readonly messages: readonly (readonly [Uid, Mid])[];
  /** the friend's read mark moved */
  readonly marks: boolean;
}

export interface Written {
  readonly changes: readonly Change[];
  /** events that were not held before */
  readonly fresh: readonly LogEvent[];
  /** files of messages that were deleted: nothing keeps them any more */
  readonly orphans: readonly string[];
}

/** What an author asks for; clock and sequence number are given inside the transaction. */
export interface Draft {
  readonly peer: Uid;
  readonly author: Uid;
  readonly dev: string;
  readonly mid: Mid;
  readonly type: 'chat' | 'friend' | 'receipt';
  readonly kind: string;
  readonly body: unknown;
  readonly now: number;
  readonly copy: boolean;
  readonly files: readonly string[];
  /** kept in the log (receipts are not) */
  readonly logged: boolean;
  /** what stood in the field: its draft goes in the same transaction, so that it is there once, here or there */
  readonly written?: string;
}

/** One conversation within a transaction. */
interface Pending {
  readonly messages: Map<string, [Uid, Mid]>;
  marks: boolean;
  /** read once and written once, at the end (summarize); undefined: not looked at */
  talk: TalkRecord | undefined;
}

export class Touched {
  readonly #peers = new Map<Uid, Pending>();
  readonly fresh: LogEvent[] = [];
  readonly orphans: string[] = [];

  peer(peer: Uid): Pending {
    let entry = this.#peers.get(peer);
    if (!entry) this.#peers.set(peer, (entry = { messages: new Map(), marks: false, talk: undefined }));
    return entry;
  }

  async talk(tx: LogWriting, peer: Uid): Promise<TalkRecord> {
    const entry = this.peer(peer);
    return (entry.talk ??= (await tx.objectStore('talks').get(peer)) ?? { peer, ...EMPTY_TALK });
  }

  change(talk: TalkRecord): void {
    this.peer(talk.peer).talk = talk;
  }

  message(peer: Uid, author: Uid, mid: Mid): void {
    this.peer(peer).messages.set(author + mid, [author, mid]);
  }

  get talks(): TalkRecord[] {
    return [...this.#peers.values()].flatMap(({ talk }) => talk ?? []);
  }

  written(): Written {
    const changes = [...this.#peers].map(([peer, { messages, marks }]) => ({ peer, messages: [...messages.values()], marks }));
    return { changes, fresh: this.fresh, orphans: this.orphans };
  }
}

export const EMPTY_TALK: Omit<TalkRecord, 'peer'> = {
  clock: 0, seq: 0, mine: 0, theirs: 0, last: undefined, unread: 0, floor: undefined, bottom: false,
};

export class Log {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Brings in events from wherever; those already held are merged, never doubled. */
  write(me: Uid, arrival: Arrival): Promise<Written> {
    return this.#change(async (tx, touched) => {
      for (const event of arrival.events ?? []) await insert(tx, me, event, touched);
      for (const receipt of arrival.receipts ?? []) await receive(tx, me, receipt, touched);
      for (const { peer, floor, bottom, open } of arrival.floors ?? []) {
        const talk = await touched.talk(tx, peer);
        const gone = bottom === true || open === true;
        touched.change({ ...talk, floor: gone ? undefined : (floor ?? talk.floor), bottom: bottom ?? talk.bottom });
      }
      for (const [name, value] of Object.entries(arrival.cursors ?? {})) {
        if (value === undefined) await tx.objectStore('cursors').delete(name);
        else await tx.objectStore('cursors').put(value, name);
      }
    });
  }

  /** Stores something of one's own and puts it in line, before anything else happens to it. */
  compose(drafts: readonly Draft[], deviceClock: number): Promise<Written> {
    return this.#change(async (tx, touched) => {
      for (const draft of drafts) await compose(tx, draft, deviceClock, touched);
    });
  }

  /** Remembers the exact letter before it leaves, under the outbox row and the event. */
  async sealed(me: Uid, order: number, sealed: { id: string; env: string; hash: string; at: number }, clock: number): Promise<OutboxRow | undefined> {
    let next: OutboxRow | undefined;
    await this.#settle(order, async (tx, row, touched) => {
      next = { ...row, sealed, failure: undefined, again: false };
      await tx.objectStore('outbox').put(next);
      const event = await tx.objectStore('events').get([row.peer, me, row.mid]);
      if (!event) return;
      const carried = {
        ...event, clock,
        hash: event.hash || sealed.hash,
        ids: [...(event.ids ?? []), sealed.id],
        hashes: [...(event.hashes ?? []), sealed.hash],
      };
      await tx.objectStore('events').put(rowOf(me, carried));
      if (clock !== event.clock) await touched.talk(tx, row.peer);
    });
    return next;
  }

  /**
   * The relay has this envelope on disk: the row goes, the event says so. `abroad`: it has to go on to another courtyard. Of
   * an envelope that came back already, or was sealed anew meanwhile, it says nothing.
   */
  accepted(me: Uid, order: number, id: string, at: number, kept: boolean, abroad: boolean): Promise<Written> {
    return this.#settle(order, async (tx, row, touched) => {
      if (row.sealed?.id !== id) return;
      await tx.objectStore('outbox').delete(order);
      const event = await tx.objectStore('events').get([row.peer, me, row.mid]);
      const { peer, mid, kind } = row;
      const letter = !event || kind === 'read' || kind === 'profile' ? { letter: bare(row) } : {};
      const way = abroad ? await setOut(tx, id, { peer, mid, kind, ...letter }) : undefined;
      if (!event) return;
      const { failure: _f, returned: _r, way: _w, ...rest } = event;
      // Of one's own read mark the conversation keeps the clock; the event was only there to be sent.
      if (kind === 'read') await tx.objectStore('events').delete([peer, me, mid]);
      else {
        await tx.objectStore('events').put({ ...rest, accepted: event.accepted ?? at, ...(way ?? { kept }) });
      }
      mark(touched, event);
    });
  }

  /**
   * The friend's courtyard has the letter; `kept`: for somebody without a home. `undefined`: it is known only that it is
   * not at the own one any more. `by`: the courtyard by way of which it went.
   */
  carried(me: Uid, id: string, kept: boolean | undefined, by = ''): Promise<Written> {
    return this.#change((tx, touched) => arrivedThere(tx, me, id, { kept, by }, touched));
  }

  /** The friend's courtyard has sent it back for good: it waits for the person, who may try again. */
  returned(me: Uid, back: Back): Promise<Written> {
    return this.#change((tx, touched) => sentBack(tx, me, back, touched));
  }

  /** A letter that is not in the log goes to another courtyard; should it come back, this says what it was. */
  async setOut(id: string, { peer, mid, type, kind, body, clock, seq, copy }: Queued, at: number): Promise<void> {
    const letter: NewOutboxRow = { peer, mid, type, kind, body, clock, seq, at, copy, files: [], sealed: undefined, failure: undefined, retry: true, again: false };
    await this.#db.put('cursors', { peer, mid, kind, letter } satisfies Way, WAY + id);
  }

  /** What the other courtyard may not have yet, by envelope. */
  async ways(): Promise<ReadonlyMap<string, Way>> {
    const range = IDBKeyRange.bound(WAY, `${WAY}\uffff`);
    const [names, ways] = await Promise.all([this.#db.getAllKeys('cursors', range), this.#db.getAll('cursors', range)]);
    return new Map(names.map((name, at) => [name.slice(WAY.length), ways[at] as Way]));
  }

  /** Values of all cursors whose name begins so. */
  async cursors(prefix: string): Promise<readonly unknown[]> {
    return this.#db.getAll('cursors', IDBKeyRange.bound(prefix, `${prefix}\uffff`));
  }

  /** It was refused. Without `retry` only the person can send it again. */
  refused(me: Uid, order: number, failure: Failure, retry: boolean): Promise<Written> {
    return this.#settle(order, async (tx, row, touched) => {
      await tx.objectStore('outbox').put({ ...row, failure, retry });
      const event = await tx.objectStore('events').get([row.peer, me, row.mid]);
      if (!event) return;
      await tx.objectStore('events').put({ ...event, failure });
      mark(touched, event);
    });
  }

  /** Its envelope was no good, what it says is: a new one is made. */
  async reseal(order: number): Promise<void> {
    await this.#settle(order, async (tx, row) => {
      await tx.objectStore('outbox').put({ ...row, sealed: undefined });
    });
  }

  /** In line once more, as if new; `again`: with a new letter under the same mid. */
  requeue(me: Uid, peer: Uid, mid: Mid, again: boolean, now: number): Promise<Written> {
    return this.#change(async (tx, touched) => {
      const event = await tx.objectStore('events').get([peer, me, mid]);
      const row = await tx.objectStore('outbox').index('mid').get([peer, mid]);
      if (row) {
        await tx.objectStore('outbox').put({
          ...row, failure: undefined, retry: true, again: row.again || again, sealed: again || row.failure ? undefined : row.sealed,
        });
      } else if (event && again && (event.type === 'chat' || event.type === 'friend')) {
        const next: NewOutboxRow = {
          peer, mid, type: event.type, kind: event.kind, body: event.body, clock: event.clock, seq: event.seq ?? 1, at: now,
          copy: event.type === 'chat', files: [], sealed: undefined, failure: undefined, retry: true, again: true,
        };
        await tx.objectStore('outbox').add(next as OutboxRow);
      }
      if (event) {
        const { failure: _, ...rest } = event;
        await tx.objectStore('events').put(rest);
        mark(touched, event);
      }
    });
  }

  /**
   * Takes back a message that was refused or never sealed, so that nobody has it; undefined if somebody may. Of one that
   * came back from another courtyard one's own devices and home have a copy: it only goes out of the line.
   */
  async discard(me: Uid, peer: Uid, mid: Mid): Promise<Written | undefined> {
    const written = await this.#change(async (tx, touched) => {
      const row = await tx.objectStore('outbox').index('mid').get([peer, mid]);
      const event = await tx.objectStore('events').get([peer, me, mid]);
      if (row && event?.returned) await tx.objectStore('outbox').delete(row.order);
      if (row === undefined || event === undefined || event.returned || (row.sealed !== undefined && row.failure === undefined)) return;
      await tx.objectStore('outbox').delete(row.order);
      await tx.objectStore('events').delete([peer, me, mid]);
      touched.message(peer, me, mid);
      touched.orphans.push(...row.files);
      await touched.talk(tx, peer);
    });
    return written.changes.length === 0 ? undefined : written;
  }

  #settle(order: number, change: (tx: LogWriting, row: OutboxRow, touched: Touched) => Promise<void>): Promise<Written> {
    return this.#change(async (tx, touched) => {
      const row = await tx.objectStore('outbox').get(order);
      if (row) await change(tx, row, touched);
    });
  }

  /** One transaction: all of it is on disk when it resolves, and nothing of it when it throws. */
  async #change(work: (tx: LogWriting, touched: Touched) => Promise<void>): Promise<Written> {
    const tx = this.#db.transaction(LOG, 'readwrite', { durability: 'strict' }) as LogWriting;
    const touched = new Touched();
    try {
      await work(tx, touched);
      await summarize(tx, touched);
    } catch (error) {
      try {
        tx.abort();
      } catch {
        // The database has ended it already.
      }
      await tx.done.catch(() => undefined);
      throw error;
    }
    await tx.done;
    return touched.written();
  }

  /** In order of sending. */
  outbox(): Promise<OutboxRow[]> {
    return this.#db.getAll('outbox');
  }

  outboxOf(peer: Uid, mid: Mid): Promise<OutboxRow | undefined> {
    return this.#db.getFromIndex('outbox', 'mid', [peer, mid]);
  }

  talk(peer: Uid): Promise<TalkRecord | undefined> {
    return this.#db.get('talks', peer);
  }

  talks(): Promise<TalkRecord[]> {
    return this.#db.getAll('talks');
  }

  event(peer: Uid, author: Uid, mid: Mid): Promise<EventRow | undefined> {
    return this.#db.get('events', [peer, author, mid]);
  }

  /** The own event that travelled in this envelope. */
  eventOfEnvelope(id: string): Promise<EventRow | undefined> {
    return this.#db.getFromIndex('events', 'ids', id);
  }

  /** Events that are shown, newest first, older than `before`, not older than the floor. */
  async page(peer: Uid, before: readonly [number, Mid] | undefined, limit: number): Promise<EventRow[]> {
    const tx = this.#db.transaction(['events', 'talks']);
    const floor = (await tx.objectStore('talks').get(peer))?.floor;
    const lower = floor ? [peer, floor[0], floor[1]] : [peer];
    const upper = before ? [peer, before[0], before[1]] : [peer, []];
    const rows: EventRow[] = [];
    if (indexedDB.cmp(lower, upper) >= 0) return rows;
    const range = IDBKeyRange.bound(lower, upper, false, true);
    for (let at = await tx.objectStore('events').index('shown').openCursor(range, 'prev'); at && rows.length < limit; at = await at.continue()) {
      rows.push(at.value);
    }
    return rows;
  }

  /** What changes these messages, in one go. */
  async touches(peer: Uid, mids: readonly Mid[]): Promise<Map<Mid, EventRow[]>> {
    const index = this.#db.transaction('events').store.index('touch');
    const found = await Promise.all(mids.map(async (mid) => [mid, await index.getAll([peer, mid])] as const));
    return new Map(found);
  }

  /** First shown event by somebody else after this clock. */
  async firstIncoming(peer: Uid, after: number): Promise<EventRow | undefined> {
    return this.#db.getFromIndex('events', 'incoming', IDBKeyRange.bound([peer, after], [peer, []], true, true));
  }

  cursor(name: string): Promise<unknown> {
    return this.#db.get('cursors', name);
  }
}

function bare({ order: _, ...row }: OutboxRow): NewOutboxRow {
  return { ...row, sealed: undefined };
}

export function mark(touched: Touched, event: LogEvent): void {
  if (roleOf(event).as === 'shown') touched.message(event.peer, event.author, event.mid);
}

async function compose(tx: LogWriting, draft: Draft, at: number, touched: Touched): Promise<void> {
  const talk = await touched.talk(tx, draft.peer);
  const role = roleOf(draft);
  if (role.as === 'mark') {
    // The newest read mark says it all: an older one says nothing, and one that has not left yet needs not leave.
    if (role.upto <= talk.mine) return;
    for (const row of await tx.objectStore('outbox').getAll()) {
      if (row.peer !== draft.peer || row.kind !== draft.kind || row.sealed) continue;
      await tx.objectStore('outbox').delete(row.order);
      await tx.objectStore('events').delete([draft.peer, draft.author, row.mid]);
    }
  }
  const clock = Math.max(draft.now, talk.clock + 1);
  // Counted for letters of a chat only; the others say 1.
  const seq = draft.type === 'chat' ? talk.seq + 1 : 1;
  touched.change({ ...talk, clock, seq: Math.max(talk.seq, draft.type === 'chat' ? seq : 0) });
  const row: NewOutboxRow = {
    peer: draft.peer, mid: draft.mid, type: draft.type, kind: draft.kind, body: draft.body, clock, seq,
    at, copy: draft.copy, files: draft.files, sealed: undefined, failure: undefined, retry: true, again: false,
  };
  // The key is given by the database.
  await tx.objectStore('outbox').add(row as OutboxRow);
  if (draft.written !== undefined && (await tx.objectStore('drafts').get(draft.peer))?.text.trim() === draft.written) {
    await tx.objectStore('drafts').delete(draft.peer);
  }
  if (!draft.logged) return;
  const event: LogEvent = {
    peer: draft.peer, author: draft.author, mid: draft.mid, dev: draft.dev, type: draft.type, kind: draft.kind,
    clock, ts: draft.now, received: draft.now, body: draft.body, hash: '', seq,
  };
  await insert(tx, draft.author, event, touched);
}

async function insert(tx: LogWriting, me: Uid, event: LogEvent, touched: Touched): Promise<void> {
  const events = tx.objectStore('events');
  const role = roleOf(event);
  const held = await events.get([event.peer, event.author, event.mid]);
  const talk = await touched.talk(tx, event.peer);
  if (event.clock > talk.clock) touched.change({ ...talk, clock: event.clock });

  if (held) {
    let merged = await meetReceipts(tx, me, mergeEvent(held, event));
    if (held.returned && !merged.returned) merged = { ...merged, ...(await setOutAgain(tx, event)) };
    if (merged !== held) {
      await events.put(rowOf(me, merged));
      mark(touched, held);
    }
    return;
  }
  if (role.as === 'mark') {
    const entry = touched.peer(event.peer);
    const now = await touched.talk(tx, event.peer);
    const by = event.author === me ? 'mine' : 'theirs';
    if (role.upto > now[by]) {
      touched.change({ ...now, [by]: role.upto });
      entry.marks = true;
    }
    // A friend's mark is kept as the clock alone; one's own has to be at hand if it must be sealed again.
    if (event.author === me && event.hash === '') await events.put(rowOf(me, event));
    return;
  }

  const id = event.ids?.at(-1);
  let row = rowOf(me, event);
  if (event.way && id !== undefined) {
    const { way: _, ...rest } = row;
    row = { ...rest, ...(await setOut(tx, id, { peer: event.peer, mid: event.mid, kind: event.kind })) };
  }
  if (role.as === 'shown') {
    const touches = await events.index('touch').getAll([event.peer, event.mid]);
    if (touches.some((touch) => touch.kind === 'delete' && touch.author === event.author)) row = drop(row, touched);
    row = await meetReceipts(tx, me, row);
    touched.message(event.peer, event.author, event.mid);
  } else if (role.as === 'touch') {
    // A reaction may be to anybody's message; an edit or deletion only to its author's own.
    const reacted = (event.body as { author?: unknown }).author;
    const author = event.kind === 'react' && typeof reacted === 'string' ? reacted : event.author;
    touched.message(event.peer, author, role.target);
    if (event.kind === 'delete') {
      const target = await events.get([event.peer, event.author, role.target]);
      if (target) await events.put(drop(target, touched));
      for (const other of await events.index('touch').getAll([event.peer, role.target])) {
        if (other.kind === 'edit' && other.author === event.author) await events.put(drop(other, touched));
      }
    }
    const deleted = (await events.index('touch').getAll([event.peer, role.target])).some((other) => other.kind === 'delete' && other.author === event.author);
    if (event.kind === 'edit' && deleted) row = drop(row, touched);
  }
  await events.put(row);
  touched.fresh.push(row);
}

function drop(row: EventRow, touched: Touched): EventRow {
  const { row: bare, files } = forget(row);
  touched.orphans.push(...files);
  return bare;
}

/** Receipts that came before the copy of one's own message they are about. */
async function meetReceipts(tx: LogWriting, me: Uid, row: EventRow): Promise<EventRow> {
  if (row.author !== me || row.home !== undefined) return row;
  for (const hash of hashesOf(row)) {
    const receipt = await tx.objectStore('receipts').get([row.peer, row.mid, hash]);
    if (!receipt) continue;
    await tx.objectStore('receipts').delete([row.peer, row.mid, hash]);
    return { ...row, home: receipt.at };
  }
  return row;
}

/** Counts only for the exact letter that was sent; another letter's receipt waits until that letter is known. */
async function receive(tx: LogWriting, me: Uid, receipt: Receipt, touched: Touched): Promise<void> {
  const event = await tx.objectStore('events').get([receipt.peer, me, receipt.mid]);
  if (event?.home !== undefined) return;
  if (!event || !hashesOf(event).includes(receipt.hash)) {
    await tx.objectStore('receipts').put(receipt);
    return;
  }
  await tx.objectStore('events').put({ ...event, home: receipt.at });
  mark(touched, event);
}

function hashesOf(event: LogEvent): readonly string[] {
  return [...new Set([event.hash, ...(event.hashes ?? [])])].filter((hash) => hash !== '');
}

/** Works out anew what the list of conversations shows of those that were looked at, and writes them. */
async function summarize(tx: LogWriting, touched: Touched): Promise<void> {
  const events = tx.objectStore('events');
  for (const talk of touched.talks) {
    const { peer } = talk;
    const newest = await events.index('shown').openCursor(IDBKeyRange.bound([peer], [peer, []]), 'prev');
    const last = newest ? { author: newest.value.author, mid: newest.value.mid, clock: newest.value.clock } : undefined;
    const unread = await events.index('incoming').count(IDBKeyRange.bound([peer, talk.mine], [peer, []], true, true));
    await tx.objectStore('talks').put({ ...talk, last, unread });
  }
}
