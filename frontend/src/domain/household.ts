/** The own home while it is connected: what it knows is fetched, what it says is heard. */

import { isObject, parseJson, type Json, type JsonObject } from '../protocol/json';
import { codeOf } from './failure';
import type { Session } from './session';

/** Between a new letter and the question how many there are now. */
const COUNT_PAUSE = 2_000;

export interface HomeAsk {
  readonly id: string;
  readonly at: number;
}

export class Household {
  readonly #session: Session;
  #asks: readonly HomeAsk[] = [];
  /** the home of the claim link is being paired */
  coming = false;
  #status: JsonObject = {};
  #cancelCount: (() => void) | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Pairings typed at the home's own page that wait for consent. */
  get asks(): readonly HomeAsk[] {
    return this.#asks;
  }

  /** A figure of the home's status, as it was when the channel opened. */
  figure(name: string): number | undefined {
    const value = this.#status[name];
    return typeof value === 'number' ? value : undefined;
  }

  /** As the home tells it; empty while nobody knows. */
  get version(): string {
    const { version } = this.#status;
    return typeof version === 'string' ? version.slice(0, 100) : '';
  }

  /** The channel is open. */
  opened(): void {
    this.#open().catch(this.#session.shrug);
  }

  /** Something unasked. */
  said(method: string, params: JsonObject): void {
    if (method === 'asks') this.#take(params);
    else if (method === 'new') {
      const { history } = this.#session;
      history
        .sync()
        .then(() => {
          this.#count();
        })
        .catch(this.#session.shrug);
    }
  }

  /** Asks for the figures anew, a while after the log has grown and not for every letter. */
  #count(): void {
    this.#cancelCount ??= this.#session.platform.after(COUNT_PAUSE, () => {
      this.#cancelCount = undefined;
      this.#figures().catch(this.#session.shrug);
    });
  }

  async #figures(): Promise<void> {
    this.#status = await this.#session.homeLink.ask('status');
    await this.#session.store.saveSetting('status', JSON.stringify(this.#status));
    this.#session.changed();
  }

  /** The figures as they were when the app was last open. */
  async load(): Promise<void> {
    const stored = await this.#session.store.setting('status');
    const status = typeof stored === 'string' ? parseJson(stored, { bytes: 64 * 1024, depth: 8 }) : {};
    this.#status = isObject(status) ? status : {};
  }

  stop(): void {
    this.#cancelCount?.();
  }

  async #open(): Promise<void> {
    const { mending, talks, history, homeLink } = this.#session;
    await mending.homeKeys().catch((error: unknown) => {
      // Not for this device; it has the events all the same.
      if (codeOf(error) !== 'not-allowed') throw error;
    });
    talks.refresh();
    await this.#figures();
    this.#take(await homeLink.ask('asks'));
    await history.sync();
  }

  #take({ asks }: JsonObject): void {
    if (!Array.isArray(asks)) return;
    this.#asks = (asks as readonly Json[]).flatMap((ask) => {
      const { id, ts } = (ask ?? {}) as { id?: unknown; ts?: unknown };
      return typeof id === 'string' && id.length <= 100 ? [{ id, at: typeof ts === 'number' ? ts : this.#session.self.now() }] : [];
    });
    this.#session.changed();
  }

  /** Answered here; the home says so to the other devices. */
  settle(id: string): void {
    this.#asks = this.#asks.filter((ask) => ask.id !== id);
    this.#session.changed();
  }
}
