/**
 * Letters that arrive: opened, acted upon, stored, and only then confirmed. What a letter sets off is done before the
 * cursor moves and can be done twice, so that a reload in between loses nothing.
 */

import { b64, equal } from '../protocol/bytes';
import { readEnvelope, type Envelope } from '../protocol/envelope';
import type { Json } from '../protocol/json';
import { isLetterType, readBody, type FriendSaid, type Said } from '../protocol/message';
import { isProblem } from '../protocol/problem';
import type { Signed } from '../protocol/signed';
import type { Arrival, Log, Receipt, Written } from '../store/log';
import { LATER_CODES } from './crossing';
import { codeOf, passes } from './failure';
import type { LogEvent } from './event';
import type { Letters, Received } from './letters';
import type { Self } from './self';
import type { Uid } from './types';

/** Rows of the relay's queue or keep. */
export interface Row {
  readonly n: number;
  readonly env: Json;
}

export interface InboxSurroundings {
  readonly self: Self;
  readonly log: Log;
  readonly letters: Letters;
  isBlocked(peer: Uid): boolean;
  /** several connections in a row could not take what they brought: one letter shall not stop all others */
  stuck(): boolean;
  /** a letter about friendship; resolves when what it changes is stored */
  friend(event: LogEvent, said: FriendSaid): Promise<void>;
  /** a friend's name, words and picture */
  profile(event: LogEvent, said: Extract<Said, { kind: 'profile' }>): Promise<void>;
  /** one of our letters could not be opened; this is what to seal to */
  stale(peer: Uid, envelopeId: string, uek: Signed): Promise<void>;
  /** what is never queued, from somebody else */
  live(event: LogEvent): void;
  /** own daily keys may be missing here; true if there are new ones now */
  moreKeys(): Promise<boolean>;
  /** a letter for which nobody of us has the key; the friend is asked to seal it again */
  unopened(peer: Uid, envelopeId: string): Promise<void>;
  /** cursors that keep letters on this device until they can be opened */
  later(envelopes: readonly Envelope[]): Promise<Readonly<Record<string, unknown>>>;
  /** one's own to somebody in another courtyard */
  isAway(event: LogEvent): boolean;
  /** a row by which the relay gives a letter back; undefined for one that is none */
  returnedRow(envelope: Envelope): LogEvent | undefined;
  /** one of our letters came back; resolves when that is stored */
  cameBack(event: LogEvent): Promise<void>;
  /** a receipt of a letter that was sealed anew elsewhere, and of which no copy has come here */
  unsure(peer: Uid): void;
  /** told of what was committed; resolves when it is shown */
  written(written: Written): Promise<void>;
}

export class Inbox {
  readonly #around: InboxSurroundings;
  readonly #live = new Map<Uid, Promise<unknown>>();

  constructor(around: InboxSurroundings) {
    this.#around = around;
  }

  /** Takes rows in, and moves `cursors` in the same transaction. `fresh`: from the queue, so another courtyard may not have them yet. */
  async take(rows: readonly Row[], cursors: Readonly<Record<string, unknown>> = {}, fresh = false): Promise<void> {
    const events: LogEvent[] = [];
    const later: Envelope[] = [];
    for (const row of rows) {
      const envelope = this.#envelopeIn(row.env);
      if (!envelope) continue;
      const event = await this.#open(envelope);
      if (event === 'later') later.push(envelope);
      else if (event) events.push(fresh && this.#around.isAway(event) ? { ...event, way: true } : event);
    }
    await this.takeEvents(events, { cursors: { ...cursors, ...(await this.#around.later(later)) } });
  }

  /** Once more, for a letter that was kept; `cursors` are written when it needs not be kept any more. The code of why it must. */
  async retry(envelope: Envelope, cursors: Readonly<Record<string, unknown>>): Promise<string | undefined> {
    let why: string | undefined;
    const event = await this.#open(envelope, (code) => (why = code));
    if (event === 'later') return why;
    await this.takeEvents(event ? [event] : [], { cursors });
    return undefined;
  }

  /** The same for what the home has opened and verified already. */
  async takeEvents(arrived: readonly LogEvent[], along: Omit<Arrival, 'events' | 'receipts'>): Promise<Written> {
    const events: LogEvent[] = [];
    const receipts: Receipt[] = [];
    const back: LogEvent[] = [];
    for (const event of arrived) await this.#act(event, events, receipts, back);
    const { log, self } = this.#around;
    // What came back is looked for among what is written; the cursors move when that is done.
    const written = await log.write(self.id, { ...(back.length === 0 ? along : {}), events, receipts });
    await this.#around.written(written);
    for (const { peer, mid } of receipts) {
      const event = await log.event(peer, self.id, mid);
      if (event && event.home === undefined) this.#around.unsure(peer);
    }
    for (const event of back) await this.#around.cameBack(event);
    if (back.length > 0) await this.#around.written(await log.write(self.id, along));
    return written;
  }

  /** What is never queued; of one person in the order it came: a connection is set up by several. */
  live(envelope: Envelope): Promise<void> {
    const author = b64(envelope.from.id);
    const turn = (this.#live.get(author) ?? Promise.resolve()).then(() => this.#takeLive(envelope));
    const done = turn.catch(() => undefined).then(() => {
      if (this.#live.get(author) === done) this.#live.delete(author);
    });
    this.#live.set(author, done);
    return turn;
  }

  async #takeLive(envelope: Envelope): Promise<void> {
    if (envelope.type !== 'live' || !this.#isOurs(envelope)) return;
    if (envelope.exp !== 0 && envelope.exp < this.#around.self.now()) return;
    try {
      const { event } = await this.#around.letters.open(envelope);
      if (event.author !== this.#around.self.id) this.#around.live(event);
    } catch (error) {
      // Worthless later, so nothing is tried twice.
      if (!isProblem(error) && codeOf(error) === 'internal') throw error;
    }
  }

  #envelopeIn(env: Json): Envelope | undefined {
    try {
      return readEnvelope(env);
    } catch (error) {
      if (isProblem(error)) return undefined; // the relay let something through that is no envelope
      throw error;
    }
  }

  /** `later`: its writer's courtyard does not answer now; `why` is told the code. */
  async #open(envelope: Envelope, why?: (code: string) => void): Promise<LogEvent | 'later' | undefined> {
    if (envelope.type === 'returned') return this.#around.returnedRow(envelope);
    if (!isLetterType(envelope.type) || envelope.type === 'live' || !this.#isOurs(envelope)) return undefined;
    const author = b64(envelope.from.id);
    if (this.#around.isBlocked(author)) return undefined;
    try {
      return (await this.#around.letters.open(envelope)).event;
    } catch (error) {
      const code = codeOf(error);
      // Of one that was put aside, or where nothing else helps, whatever may be otherwise another time says no more than that.
      const later = LATER_CODES.has(code) || ((why !== undefined || this.#around.stuck()) && passes(error));
      if (later && author !== this.#around.self.id) {
        why?.(code);
        return 'later';
      }
      return (await this.#again(envelope, author, error))?.event;
    }
  }

  /** With keys that another device or the home has issued meanwhile; else the writer is asked to seal it again. */
  async #again(envelope: Envelope, author: Uid, error: unknown): Promise<Received | undefined> {
    const code = codeOf(error);
    if (code !== 'letter-bad') {
      if (passes(error) || code === 'internal') throw error;
      return undefined; // the sender's chain is forked: the row stays at the relay or at home
    }
    if (await this.#around.moreKeys()) {
      try {
        return await this.#around.letters.open(envelope);
      } catch (second) {
        if (codeOf(second) !== 'letter-bad') throw second;
      }
    }
    if (author !== this.#around.self.id && !(await this.#around.letters.fits(envelope))) await this.#around.unopened(author, b64(envelope.id));
    return undefined;
  }

  #isOurs(envelope: Envelope): boolean {
    const { uid } = this.#around.self;
    return equal(envelope.to.id, uid) || equal(envelope.from.id, uid);
  }

  async #act(event: LogEvent, events: LogEvent[], receipts: Receipt[], back: LogEvent[]): Promise<void> {
    if (event.type === 'returned') {
      back.push(event);
      return;
    }
    const theirs = event.author === event.peer;
    const said = saidIn(event);
    if (event.type === 'receipt') {
      if (!theirs || !said) return;
      if (said.kind === 'home') {
        for (const item of said.body.items) {
          receipts.push({ peer: event.peer, mid: b64(item.mid), hash: b64(item.hash), at: event.received });
        }
      } else if (said.kind === 'stale') await this.#around.stale(event.peer, b64(said.body.id), said.body.uek);
      return;
    }
    if (said?.type === 'friend' && said.kind !== 'unknown' && theirs) await this.#around.friend(event, said);
    if (said?.kind === 'profile') {
      // Kept as what it says about the person, not as an event.
      if (theirs) await this.#around.profile(event, said);
      return;
    }
    events.push(event);
  }
}

/** undefined for a body that its kind cannot have. */
function saidIn(event: LogEvent): Said | undefined {
  if (!isLetterType(event.type)) return undefined;
  try {
    return readBody(event.type, event.kind, event.body as Json);
  } catch (error) {
    if (isProblem(error)) return undefined;
    throw error;
  }
}
