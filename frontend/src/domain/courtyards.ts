/**
 * Other courtyards (protocol section 14): whom one refuses for oneself, and what the owner of this one decides for
 * everybody here. Looked up when somebody asks; nothing of it is kept on the device. Loaded with the views that ask.
 */

import { formatHost, parseHost } from '../protocol/address';
import { array, bool, int, type Json, open, text } from '../protocol/json';
import { isProblem } from '../protocol/problem';
import { Trouble } from './failure';
import type { Session } from './session';

/** A courtyard on a list. */
export interface Listed {
  readonly host: string;
  /** `allow` on the owner's list alone */
  readonly state: 'block' | 'allow';
  readonly since: number;
}

/** A courtyard with which this one has had to do. */
export interface Neighbour {
  readonly host: string;
  /** of here, who have a friend there */
  readonly people: number;
  /** letters that wait to go there */
  readonly waiting: number;
  readonly connected: boolean;
  /** why the last try to reach it failed */
  readonly code: string | undefined;
  readonly list: Listed | undefined;
}

/** Letters from there may pass through here. `daily`, `used` (today): bytes. */
export interface Passage {
  readonly host: string;
  readonly until: number;
  readonly daily: number;
  readonly used: number;
}

/** What the owner sees. */
export interface Precinct {
  /** those on the list alone */
  readonly only: boolean;
  readonly neighbours: readonly Neighbour[];
  readonly passages: readonly Passage[];
}

const readListed = open({ host: text(300), state: text(16), since: int() });
const readMine = open({ mine: array(readListed, 1000) });
const readAll = open({
  only: bool, all: array(readListed, 2000),
  known: array(open({ host: text(300), people: int(), waiting: int(), in: int(), out: int() }, { code: text(64) }), 2000),
});
const readGrants = open({ grants: array(open({ host: text(300), until: int(), daily: int(), used: int() }), 1000) });

export class Courtyards {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Whom one refuses for oneself. */
  async mine(): Promise<readonly Listed[]> {
    return listed(readMine(await this.#call('GET', 'courtyards')).mine);
  }

  /** Of the owner alone. */
  async precinct(): Promise<Precinct> {
    const [answer, grants] = await Promise.all([this.#call('GET', 'courtyards'), this.#call('GET', 'grants')]);
    const { only, all, known } = readAll(answer);
    const lists = new Map(listed(all).map((entry) => [entry.host, entry]));
    return {
      only,
      neighbours: known.map((one) => ({
        host: one.host, people: one.people, waiting: one.waiting, connected: one.in + one.out > 0, code: one.code, list: lists.get(one.host),
      })),
      passages: readGrants(grants).grants,
    };
  }

  /** `none` takes it off the list. `address`: as a person types it; resolves to how it is written. */
  async put(address: string, whose: 'me' | 'all', state: 'block' | 'allow' | 'none'): Promise<string> {
    const host = this.#other(address);
    await this.#call('PUT', `courtyards/${inPath(host)}`, { for: whose, state });
    return host;
  }

  async setOnly(only: boolean): Promise<void> {
    await this.#call('PUT', 'courtyards', { only });
  }

  /** Lets letters from there pass until then, up to `daily` bytes a day; `until` 0 withdraws it. */
  async letPass(address: string, until: number, daily: number): Promise<string> {
    const host = this.#other(address);
    try {
      await this.#call('PUT', `grants/${inPath(host)}`, { until, daily });
    } catch (error) {
      // It is the owner who asks: what is not allowed is to deal with that courtyard.
      throw isProblem(error, 'not-allowed') ? new Trouble('courtyard-refused', {}, error) : error;
    }
    return host;
  }

  #other(address: string): string {
    const host = hostOf(address);
    if (host === formatHost(this.#session.self.host)) throw new Trouble('courtyard-own');
    return host;
  }

  async #call(method: string, path: string, body?: unknown): Promise<Json> {
    await this.#session.greeted();
    return this.#session.api.call(method, path, body);
  }
}

function listed(entries: readonly { readonly host: string; readonly state: string; readonly since: number }[]): readonly Listed[] {
  return entries.flatMap(({ host, state, since }) => (state === 'block' || state === 'allow' ? [{ host, state, since }] : []));
}

function hostOf(address: string): string {
  // Also where somebody gives a friend's whole address, or copies the page's.
  const bare = address.trim().replace(/^https?:\/\//u, '').replace(/\/.*$/u, '').replace(/^.*@/u, '');
  try {
    return formatHost(parseHost(bare));
  } catch (error) {
    throw isProblem(error, 'link-bad') ? new Trouble('host-bad', {}, error) : error;
  }
}

/** Where a host stands in a path, its colon is not written as %3A, which the courtyard would refuse. */
function inPath(host: string): string {
  return encodeURIComponent(host).replaceAll('%3A', ':');
}
