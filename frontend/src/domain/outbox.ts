/**
 * Letters on their way out (promise 1: nothing is lost). What is written is stored first; it is sealed once,
 * its exact bytes stored before they leave, and sent again unchanged until the relay says that it has them.
 * One tab at a time does this.
 */

import type { Accepted } from '../platform/connection';
import type { Platform } from '../platform/platform';
import type { Log, Written } from '../store/log';
import type { OutboxRow } from '../store/schema';
import { UNANSWERED } from './chains';
import { asRecord, clampClock } from './event';
import { codeOf, failureOf } from './failure';
import type { Letters } from './letters';
import { SKEW, type Self } from './self';
import type { Failure, Mid, Uid } from './types';

/** Letters on the wire at once. */
const WINDOW = 8;
const PAUSE = 15_000;
/** remembered, so that none goes twice */
const COPIES = 1_000;
/** A letter that never got an answer is sealed again after this: the friend's key of that day may be gone. */
const SEALED_TOO_LONG = 36 * 60 * 60_000;

/** Refusals that say nothing about the letter: the same bytes go again later. */
const LATER = new Set(['internal', 'unavailable', 'rate-limited', 'unauthorized', 'home-away']);
/** Refusals of this envelope, not of what it says: a new one is made. */
const RESEAL = new Set(['clock-ahead', 'expired', 'id-reused']);
/** There is no answer from another courtyard, or none that tells more. */
const AWAY: ReadonlySet<string> = new Set(UNANSWERED);
const AWAY_PAUSE = 60_000;

/** A friend's key cannot be had: nobody shows one that may be sealed to, or their courtyard does not answer. */
export type Lack = 'key' | 'away';

/** Told to the person, and tried again when the connection is new: room may have been made. */
const FULL = new Set(['space-full', 'sender-full', 'relay-full']);
/** What is no message: nobody is woken for it (protocol section 16). */
const QUIET = new Set(['edit', 'delete', 'react', 'read', 'profile', 'decline', 'remove']);

function isQuiet({ kind, body }: OutboxRow): boolean {
  return QUIET.has(kind) || (kind === 'call' && asRecord(body)['result'] !== 'missed');
}

export interface OutboxSurroundings {
  readonly self: Self;
  readonly platform: Platform;
  readonly log: Log;
  readonly letters: Letters;
  readonly linked: () => boolean;
  put(id: string, env: string, people: readonly Uid[], quiet: boolean): Promise<Accepted>;
  /** brings a row's files up; false while they are not all there */
  uploaded(row: OutboxRow): boolean;
  /** there is a way to the friend's device besides */
  near(peer: Uid): boolean;
  /** a copy goes that way; whether it arrives is of no account */
  copied(peer: Uid, env: string, files: readonly string[]): void;
  /** the body as it stands now, for what is worth nothing when old (the profile) */
  bodyNow(row: OutboxRow): unknown;
  isForked(peer: Uid): boolean;
  /** lives in another courtyard */
  isAbroad(peer: Uid): boolean;
  /** the first look at somebody there, while it lasts; undefined where nobody has to be waited for */
  meet(peer: Uid): Promise<unknown> | undefined;
  /** the key pinned for somebody has to be asked for again */
  doubt(peer: Uid): Promise<void>;
  /** this device's clock is not what it was: the relay's time is asked for */
  askTime(): Promise<void>;
  /** told of what was committed; resolves when it is shown */
  written(written: Written): Promise<void>;
}

export class Outbox {
  readonly #around: OutboxSurroundings;
  /** people whose key cannot be had now, until then, and why */
  readonly #keyless = new Map<Uid, { readonly until: number; readonly why: Lack }>();
  /** people in other courtyards who are being looked up: everybody else is written to meanwhile */
  readonly #meeting = new Set<Uid>();
  /** envelopes of which a copy went the other way */
  readonly #copies = new Set<string>();
  /** rows tried and refused on this connection */
  readonly #tried = new Set<number>();
  /** envelopes made anew once because of a refusal */
  readonly #resealed = new Set<Mid>();
  #running: Promise<void> | undefined;
  #again = false;
  #pausedUntil = 0;
  /** when the relay was asked for its time, because of a letter that waits for it */
  #timeAsked = 0;
  /** when the timer goes off */
  #due = Infinity;
  #cancelTimer: () => void = () => undefined;

  constructor(around: OutboxSurroundings) {
    this.#around = around;
  }

  /** A new connection: everything that may work now is tried. */
  renew(): void {
    this.#tried.clear();
    this.#keyless.clear();
    this.#pausedUntil = 0;
    this.kick();
  }

  /** There is something to send. */
  kick(): void {
    this.#again = true;
    this.#running ??= this.#run()
      .catch((error: unknown) => {
        if (codeOf(error) === 'internal') this.#around.platform.report(error);
        else this.#later();
      })
      .finally(() => {
        this.#running = undefined;
      });
  }

  /** When nothing is being sent by this tab any more. */
  async settled(): Promise<void> {
    await this.#running;
  }

  stop(): void {
    this.#cancelTimer();
  }

  /** Why messages to this friend wait here rather than at the courtyard, if they do. */
  lacks(peer: Uid): Lack | undefined {
    return this.#keyless.get(peer)?.why;
  }

  async #run(): Promise<void> {
    while (this.#again && this.#around.linked()) {
      this.#again = false;
      await this.#around.platform.lock('outbox', () => this.#flush());
    }
  }

  async #flush(): Promise<void> {
    const flying = new Set<Promise<void>>();
    const seen = new Set<number>();
    for (;;) {
      const held = new Set<Uid>();
      const rows = (await this.#around.log.outbox()).filter((row) => {
        if (this.#tooSoon(row)) held.add(row.peer);
        // What was written after it waits as well, or it would be shown before it.
        return !seen.has(row.order) && !(held.has(row.peer) && row.type === 'chat') && this.#isReady(row);
      });
      if (rows.length === 0) break;
      for (const row of rows) {
        seen.add(row.order);
        if (!this.#around.linked() || this.#paused()) break;
        const sealed = await this.#seal(row);
        if (!sealed) continue;
        this.#copy(sealed);
        // Its files are still on their way up; what goes the other way need not wait for them.
        if (sealed.files.length > 0 && !this.#around.uploaded(sealed)) continue;
        const flight = this.#send(sealed).finally(() => flying.delete(flight));
        flying.add(flight);
        if (flying.size >= WINDOW) await Promise.race(flying);
      }
      if (!this.#around.linked() || this.#paused()) break;
    }
    await Promise.all(flying);
  }

  #paused(): boolean {
    return this.#pausedUntil > this.#around.platform.now();
  }

  #isReady(row: OutboxRow): boolean {
    if (this.#around.isForked(row.peer)) return false;
    if (row.failure !== undefined && (!row.retry || this.#tried.has(row.order))) return false;
    if ((this.#keyless.get(row.peer)?.until ?? 0) > this.#around.platform.now()) return false;
    if (!row.sealed && this.#meets(row.peer)) return false;
    return row.files.length === 0 || this.#around.uploaded(row) || (row.type === 'chat' && this.#around.near(row.peer));
  }

  /** Once for each sealing. */
  #copy({ peer, type, sealed, files }: OutboxRow): void {
    if (type !== 'chat' || !sealed || this.#copies.has(sealed.id) || !this.#around.near(peer)) return;
    if (this.#copies.size >= COPIES) this.#copies.clear();
    this.#copies.add(sealed.id);
    this.#around.copied(peer, sealed.env, files);
  }

  /**
   * What came back as dated ahead, though this device's clock calls its time right: then the courtyards' clocks are behind,
   * and dated by them it would be shown before what was written earlier. So it waits.
   */
  isEarly({ clock, until = 0 }: OutboxRow): boolean {
    const { self, platform } = this.#around;
    const now = platform.now();
    return now < until && clock <= now + SKEW && clampClock(clock, self.date) < clock;
  }

  #tooSoon(row: OutboxRow): boolean {
    if (!this.isEarly(row)) return false;
    const now = this.#around.platform.now();
    if (now >= this.#timeAsked + PAUSE) {
      this.#timeAsked = now;
      this.#around.askTime().catch(() => undefined); // without an answer it is what it was
    }
    this.#later();
    return true;
  }

  /** Whether somebody is being looked up, which is begun here. */
  #meets(peer: Uid): boolean {
    if (this.#meeting.has(peer)) return true;
    const meeting = this.#around.meet(peer);
    if (!meeting) return false;
    this.#meeting.add(peer);
    meeting
      .catch((error: unknown) => this.#unmet(peer, error))
      .finally(() => {
        this.#meeting.delete(peer);
        this.kick();
      })
      .catch(this.#around.platform.report);
    return true;
  }

  /** What letters to them wait for now, and until when. */
  async #unmet(peer: Uid, error: unknown): Promise<void> {
    const code = codeOf(error);
    if (code === 'fork') return;
    if (code === 'offline' || (LATER.has(code) && !(AWAY.has(code) && this.#around.isAbroad(peer)))) {
      this.#pause();
      return;
    }
    const now = this.#around.platform.now();
    if (AWAY.has(code) && this.#around.isAbroad(peer)) {
      // Nothing is pinned yet of somebody whose courtyard does not answer.
      this.#keyless.set(peer, { until: now + AWAY_PAUSE, why: 'away' });
      this.#later(AWAY_PAUSE);
      return;
    }
    // No key that may be sealed to: the friend's devices, or the relay, have to show another first.
    this.#keyless.set(peer, { until: now + PAUSE, why: 'key' });
    await this.#around.doubt(peer);
    this.#later();
  }

  async #seal(row: OutboxRow): Promise<OutboxRow | undefined> {
    const { self, letters, log } = this.#around;
    const now = this.#around.platform.now();
    if (row.sealed && now - row.sealed.at < SEALED_TOO_LONG) return row;
    try {
      const { id, env, hash, clock } = await letters.seal({ ...row, body: this.#around.bodyNow(row) });
      this.#keyless.delete(row.peer);
      return await log.sealed(self.id, row.order, { id, env, hash, at: now }, clock);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'fork') return undefined;
      if (code === 'too-large' || code === 'bad-request') {
        await this.#refuse(row, failureOf(error), false);
        return undefined;
      }
      await this.#unmet(row.peer, error);
      return undefined;
    }
  }

  async #send(row: OutboxRow): Promise<void> {
    const { self, log } = this.#around;
    const { sealed } = row;
    if (!sealed) return;
    try {
      const accepted = await this.#around.put(sealed.id, sealed.env, row.copy ? [row.peer, self.id] : [row.peer], isQuiet(row));
      const kept = accepted.kept.includes(row.peer);
      await this.#around.written(await log.accepted(self.id, row.order, sealed.id, self.now(), kept, this.#around.isAbroad(row.peer)));
    } catch (error) {
      const code = codeOf(error);
      if (code === 'offline') return; // the next connection sends the same bytes
      if (LATER.has(code)) this.#pause();
      else if (RESEAL.has(code) && !this.#resealed.has(row.mid)) {
        this.#resealed.add(row.mid);
        if (code === 'clock-ahead') await this.#around.askTime();
        await this.#around.log.reseal(row.order);
        this.#again = true;
      } else await this.#refuse(row, failureOf(error), FULL.has(code));
    }
  }

  async #refuse(row: OutboxRow, failure: Failure, retry: boolean): Promise<void> {
    this.#tried.add(row.order);
    await this.#around.written(await this.#around.log.refused(this.#around.self.id, row.order, failure, retry));
  }

  #pause(): void {
    this.#pausedUntil = this.#around.platform.now() + PAUSE;
    this.#later();
  }

  /** Tries again after a while; what is due sooner stays due. */
  #later(pause = PAUSE): void {
    const due = this.#around.platform.now() + pause + 100;
    if (due >= this.#due) return;
    this.#due = due;
    this.#cancelTimer();
    this.#cancelTimer = this.#around.platform.after(pause + 100, () => {
      this.#due = Infinity;
      this.kick();
    });
  }
}
