/**
 * One's own daily keys (protocol section 4): the secrets that open letters, held non-extractable, and the
 * issuing of new ones while there is no home to do it.
 */

import type { Api } from '../platform/api';
import type { Platform } from '../platform/platform';
import { b64, type Bytes } from '../protocol/bytes';
import type { Chain } from '../protocol/ident';
import { int, open, parseJson } from '../protocol/json';
import { generateUek, importUek, uekFromStorable, uekToStorable, type UekSecret } from '../protocol/keys';
import { hash } from '../protocol/primitives';
import { isProblem } from '../protocol/problem';
import { makeUek } from '../protocol/uek';
import type { Store } from '../store/store';
import type { Chains } from './chains';
import type { Self } from './self';
import type { VaultKeeper } from './vaultkeeper';

const DAY = 24 * 60 * 60_000;

/** A secret as the vault and the home's `keys` give it. */
export interface GivenUek {
  readonly counter: number;
  readonly secret: Bytes;
  readonly ts: number;
}

interface Held {
  readonly secret: UekSecret;
  readonly ts: number;
}

const readCounter = open({ counter: int(1), ts: int() });

export class Keyring {
  readonly #self: Self;
  readonly #store: Store;
  readonly #api: Api;
  readonly #platform: Platform;
  readonly #chains: Chains;
  readonly #vault: VaultKeeper;
  /** by counter and key: two devices may have made one for the same day */
  readonly #held = new Map<string, Held>();

  constructor(self: Self, store: Store, api: Api, platform: Platform, chains: Chains, vault: VaultKeeper) {
    this.#self = self;
    this.#store = store;
    this.#api = api;
    this.#platform = platform;
    this.#chains = chains;
    this.#vault = vault;
  }

  async load(): Promise<void> {
    for (const record of await this.#store.ueks()) {
      this.#held.set(keyOf(record.counter, record.key), { secret: uekFromStorable(record), ts: record.ts });
    }
  }

  /** Those most likely to open a letter written at `ts` first: the one of that day, then its neighbours. */
  candidates(ts: number): readonly UekSecret[] {
    const distance = ({ ts: issued }: Held): number => (issued <= ts ? ts - issued : 2 * (issued - ts) + DAY);
    return [...this.#held.values()].sort((a, b) => distance(a) - distance(b)).map(({ secret }) => secret);
  }

  /** Takes in secrets. With `only`, those not among them are dropped: the home has deleted them. */
  async take(given: readonly GivenUek[], only: boolean): Promise<boolean> {
    const fresh: { storable: ReturnType<typeof uekToStorable>; ts: number }[] = [];
    for (const { counter, secret, ts } of given) {
      const uek = await importUek(counter, secret);
      const key = keyOf(counter, uek.key);
      if (this.#held.has(key)) continue;
      this.#held.set(key, { secret: uek, ts });
      fresh.push({ storable: uekToStorable(uek), ts });
    }
    const counters = only ? new Set(given.map(({ counter }) => counter)) : undefined;
    if (counters) {
      for (const [key, { secret }] of this.#held) if (!counters.has(secret.counter)) this.#held.delete(key);
    }
    if (fresh.length > 0 || counters) await this.#store.saveUeks(fresh.map(({ storable, ts }) => ({ ...storable, ts })), counters);
    return fresh.length > 0;
  }

  /** Without a home: a new key when the last is a day old, or cannot be used any more. */
  async ensureIssued(chain: Chain): Promise<void> {
    if (chain.home(this.#self.now()) || chain.active(this.#self.keys.id, this.#self.now())?.role !== 'admin') return;
    await this.#platform.lock('uek', async () => {
      if (!(await this.#isDue())) return;
      await this.#issue(chain);
    });
  }

  async #isDue(): Promise<boolean> {
    await this.#chains.doubt(this.#self.id);
    try {
      const current = await this.#chains.uek(this.#self.id);
      const opens = [...this.#held.values()].some(({ secret }) => secret.counter === current.counter && b64(secret.key) === b64(current.key));
      return !opens || this.#self.now() - current.ts > DAY;
    } catch (error) {
      // Signed by a device that was revoked, or below the floor: nobody can write to us until there is another.
      if (isProblem(error, 'uek-bad', 'not-found')) return true;
      throw error;
    }
  }

  async #issue(chain: Chain): Promise<void> {
    const { secret, key } = await generateUek();
    const last = await this.#last();
    const record = await makeUek(this.#self.keys, chain, key, last, this.#self.now());
    const { counter, ts } = record;
    // First where the secret survives this device, then where friends see the key.
    await this.#vault.change((data) => ({ ...data, ueks: [...data.ueks, { counter, secret, ts }] }));
    await this.take([{ counter, secret, ts }], false);
    try {
      await this.#api.addUek(record.signed);
      await this.#chains.takeUek(this.#self.id, record.signed);
    } catch (error) {
      // Another device was first; its secret is in the vault.
      if (!isProblem(error, 'uek-conflict')) throw error;
      await this.#chains.doubt(this.#self.id);
    }
  }

  async #last(): Promise<{ counter: number; hash: Bytes } | undefined> {
    try {
      const { payload } = await this.#api.uek(this.#self.uid);
      return { counter: readCounter(parseJson(payload, { bytes: 4096, depth: 3 })).counter, hash: hash('uek', payload) };
    } catch (error) {
      if (isProblem(error, 'not-found')) return undefined;
      throw error;
    }
  }
}

function keyOf(counter: number, key: Bytes): string {
  return `${String(counter)}/${b64(key)}`;
}
