/**
 * Between courtyards: what has set out and is not there yet, what came back, and letters from elsewhere that cannot be
 * opened before their writer's courtyard answers. Of these the exact text is kept on this device, and nothing is confirmed
 * before it is.
 */

import { bytes, closed, int, open, parseJson, text, type Json, type JsonObject } from '../protocol/json';
import { b64, equal } from '../protocol/bytes';
import { encodeEnvelope, envelopeLimit, parseEnvelope, type Envelope } from '../protocol/envelope';
import { isProblem, wireCode } from '../protocol/problem';
import type { Back } from '../store/ways';
import type { LogEvent } from './event';
import type { Session } from './session';

/** Names of cursors: this and the envelope's id. */
const LATER = 'later/';
/** Letters of one person that wait here; more of them stay where they are, and are not shown. */
const LATER_EACH = 50;
/** A letter that names a place which its writer's chain never reached was a lie. */
const LIES = 40;
const FIRST_PAUSE = 40_000;
const LONGEST_PAUSE = 15 * 60_000;
/** Between a copy from another device and the question where it is. */
const ASKING = 3_000;
/** What has set out so long ago and does not wait here has arrived. */
const LONG_AGO = 24 * 60 * 60_000;
/** What came back with the right date waits no longer for the courtyards to agree with it. */
const DATE_PATIENCE = 10 * 60_000;
const PAGE = 500;
/** Pages of what waits at the own courtyard: more than it takes for one person. */
const PAGES = 40;

/** Reasons to try again that say nothing about the letter. `chain-behind`: another answer may know more. */
export const LATER_CODES: ReadonlySet<string> = new Set(['peer-away', 'rate-limited', 'unavailable', 'chain-behind']);

interface LaterLetter {
  readonly env: string;
  readonly author: string;
  readonly tries: number;
  /** when it came */
  readonly since: number;
}

const readLater = open({ env: text(envelopeLimit), author: text(43), tries: int(), since: int() });
const readRow = closed({ id: bytes(16), to: bytes(32), code: text(64) });
const readBody = open({ id: bytes(16), to: bytes(32), code: text(64) }, { mid: bytes(16), kind: text(32) });

export class Crossing {
  readonly #session: Session;
  #pause = FIRST_PAUSE;
  #cancelTimer: () => void = () => undefined;
  #cancelAsking: (() => void) | undefined;
  #trying: Promise<void> = Promise.resolve();

  constructor(session: Session) {
    this.#session = session;
  }

  // ---- what was sent -------------------------------------------------------------------------------------------------------

  /** The relay says that another has a letter on disk. */
  async carried(params: Readonly<Record<string, Json>>): Promise<void> {
    const { id, kept, by } = params;
    if (typeof id !== 'string') return;
    const { store, self } = this.#session;
    await this.#session.written(await store.log.carried(self.id, id, kept === true, typeof by === 'string' ? by.slice(0, 300) : ''));
  }

  /** After a time without a connection: what does not wait at the own courtyard any more has arrived, or comes back. */
  async reconcile(): Promise<void> {
    const { store, self, platform } = this.#session;
    const ways = await store.log.ways();
    if (ways.size === 0) return;
    const waiting = new Set((await this.waiting()).map(({ id }) => id));
    for (const [id, { letter }] of ways) {
      // Should what is known nowhere else have come back, that is still to be heard.
      if (letter && platform.now() - letter.at < LONG_AGO) continue;
      if (!waiting.has(id)) await this.#session.written(await store.log.carried(self.id, id, undefined));
    }
  }

  /** A copy of one's own that another device sent to another courtyard: whether it is there already is asked in a moment. */
  isAway(event: LogEvent): boolean {
    const { self, chains, platform, shrug } = this.#session;
    if (event.author !== self.id || event.type !== 'chat' || !chains.abroad(event.peer)) return false;
    this.#cancelAsking ??= platform.after(ASKING, () => {
      this.#cancelAsking = undefined;
      if (this.#session.linked) this.reconcile().catch(shrug);
    });
    return true;
  }

  /** Letters that the own courtyard has for others. */
  async waiting(): Promise<Awaited<ReturnType<Session['api']['outbound']>>['rows']> {
    const rows = [];
    for (let page = 0, after = 0; page < PAGES; page++) {
      const answer = await this.#session.api.outbound(after, PAGE);
      rows.push(...answer.rows);
      const last = answer.rows.at(-1);
      if (!answer.more || !last) break;
      after = last.n;
    }
    return rows;
  }

  /** An event for a row of type `returned`; undefined unless the own relay says it. */
  returnedRow(envelope: Envelope): LogEvent | undefined {
    const { self, chains } = this.#session;
    const relay = chains.held(self.id)?.relay.key ?? self.relayKey;
    if (!equal(envelope.from.id, relay) || !equal(envelope.to.id, self.uid)) return undefined;
    let row: ReturnType<typeof readRow>;
    try {
      row = readRow(parseJson(envelope.data, { bytes: 4096, depth: 2 }));
    } catch (error) {
      if (isProblem(error)) return undefined;
      throw error;
    }
    const body = { id: b64(row.id), to: b64(row.to), code: row.code };
    return {
      peer: body.to, author: b64(relay), mid: b64(envelope.id), dev: b64(relay), type: 'returned', kind: 'returned', clock: envelope.ts, ts: envelope.ts,
      received: self.now(), body, hash: '',
    };
  }

  /**
   * A letter came back for good: the message says so, and so does a friend who was asked. What was only dated ahead is sealed
   * anew by itself: by the device that wrote it, and where there is no home by any.
   */
  async cameBack(event: LogEvent): Promise<void> {
    const { store, self, friends, home, outbox, platform } = this.#session;
    let body: ReturnType<typeof readBody>;
    try {
      body = readBody(event.body as Json);
    } catch (error) {
      if (isProblem(error)) return;
      throw error;
    }
    const id = b64(body.id);
    const peer = b64(body.to);
    const anew = body.code === 'clock-ahead' ? { by: home && self.device, until: platform.now() + DATE_PATIENCE } : undefined;
    if (anew) {
      self.doubt();
      await this.#session.askTime().catch(this.#session.shrug); // what it was at the beginning may be the trouble
    }
    const back: Back = {
      peer, id, mid: body.mid && b64(body.mid), code: body.code === 'not-allowed' ? 'courtyard-refused' : wireCode(body.code), at: event.received, anew,
    };
    const kind = (await store.log.ways()).get(id)?.kind ?? (await store.log.eventOfEnvelope(id))?.kind ?? body.kind;
    await this.#session.written(await store.log.returned(self.id, back));
    if (anew) outbox.kick();
    else await friends.cameBack(peer, kind, back.code);
  }

  // ---- what cannot be opened yet -------------------------------------------------------------------------------------------

  /** Cursors that keep letters until they can be opened, to be written with whatever else they came with. */
  async keep(envelopes: readonly Envelope[]): Promise<Readonly<Record<string, LaterLetter>>> {
    if (envelopes.length === 0) return {};
    const counts = new Map<string, number>();
    for (const { author } of await this.unopened()) counts.set(author, (counts.get(author) ?? 0) + 1);
    const kept: Record<string, LaterLetter> = {};
    for (const envelope of envelopes) {
      const author = b64(envelope.from.id);
      const count = counts.get(author) ?? 0;
      if (count >= LATER_EACH) continue;
      counts.set(author, count + 1);
      kept[LATER + b64(envelope.id)] = { env: encodeEnvelope(envelope), author, tries: 0, since: this.#session.self.now() };
    }
    this.#schedule();
    return kept;
  }

  /** A new connection: what could not be opened may be now. */
  renew(): void {
    this.#pause = FIRST_PAUSE;
    this.#again();
  }

  stop(): void {
    this.#cancelTimer();
    this.#cancelAsking?.();
  }

  #schedule(): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#session.platform.after(this.#pause, () => {
      this.#pause = Math.min(LONGEST_PAUSE, this.#pause * 2);
      this.#again();
    });
  }

  #again(): void {
    if (!this.#session.linked) return;
    // After the one under way, which may wait for an answer that a dead connection was asked for.
    this.#trying = this.#trying
      .then(() => this.#session.platform.lock('later', () => this.#try()))
      .catch((error: unknown) => {
        this.#session.shrug(error);
        this.#schedule();
      });
  }

  /** One after another; of somebody whose courtyard does not answer no second one is tried. */
  async #try(): Promise<void> {
    const { inbox, friends } = this.#session;
    const away = new Set<string>();
    for (const { env, author, tries, since } of await this.unopened()) {
      if (away.has(author)) continue;
      const envelope = parseEnvelope(env);
      const name = LATER + b64(envelope.id);
      if (friends.get(author)?.state === 'blocked') {
        await inbox.takeEvents([], { cursors: { [name]: undefined } });
        continue;
      }
      const code = await inbox.retry(envelope, { [name]: undefined });
      if (code === undefined) continue;
      away.add(author);
      if (code !== 'chain-behind') continue;
      await inbox.takeEvents([], { cursors: { [name]: tries < LIES ? { env, author, since, tries: tries + 1 } : undefined } });
    }
    if (away.size > 0) this.#schedule();
  }

  /** Letters that wait to be opened. */
  async unopened(): Promise<readonly LaterLetter[]> {
    return (await this.#session.store.log.cursors(LATER)).map((value) => readLater(value as JsonObject));
  }
}
