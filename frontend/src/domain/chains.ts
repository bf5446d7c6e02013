/**
 * Who everybody is, as pinned: chains and daily keys of friends and of oneself, verified, kept, and compared
 * with what the relay shows now. A chain that goes back or forks stops everything to that person until the
 * reader decides (protocol section 3).
 */

import type { Api } from '../platform/api';
import { formatHost, sameHost, type Host } from '../protocol/address';
import { b64, equal, unb64, type Bytes } from '../protocol/bytes';
import { Chain, type Place } from '../protocol/ident';
import { parseJson } from '../protocol/json';
import { isProblem, Problem } from '../protocol/problem';
import { readSigned, signedJson, type Signed } from '../protocol/signed';
import { compareUek, verifyUek, type Uek } from '../protocol/uek';
import type { ChainRecord } from '../store/schema';
import type { Store } from '../store/store';
import { Trouble } from './failure';
import type { Uid } from './types';

/** A daily key is asked for again after this. */
const FRESH = 60 * 60_000;
/** A courtyard that did not answer is asked again after this; until then what is pinned does, and nobody waits for it. */
const AWAY = 30_000;
/** A letter waits no longer than this for the answer of another courtyard, where a key is pinned. */
const PATIENCE = 2_000;
/** People of whom only an envelope or a name has told where they live. */
const HINTS = 500;

/** What the vault remembers of somebody this device has not seen yet. */
export interface Pin extends Place {
  /** counter, 0 = none seen */
  readonly uek: number;
  readonly uekKey: Bytes | undefined;
}

interface Known {
  readonly record: ChainRecord;
  /** undefined when the first thing ever seen was a fork of what the vault remembers */
  readonly chain: Chain | undefined;
}

export interface ChainSurroundings {
  readonly self: Uid;
  /** the own relay */
  readonly here: Host;
  readonly relayKey: Bytes;
  readonly store: Store;
  readonly api: Api;
  now(): number;
  /** Calls once, later. Returns the way not to. */
  after(ms: number, call: () => void): () => void;
  /** from the vault, for a first look on a new device */
  pin(uid: Uid): Pin | undefined;
  /** where the vault has somebody */
  lived(uid: Uid): Host | undefined;
  /** somebody's chain grew, forked, or was decided about */
  changed(uid: Uid): void;
}

export class Chains {
  readonly #around: ChainSurroundings;
  readonly #known = new Map<Uid, Known>();
  /** one fetch at a time for each person */
  readonly #fetching = new Map<Uid, Promise<Chain>>();
  /** said by a link, a handle or an envelope of somebody whose chain is not known yet */
  readonly #hints = new Map<Uid, Host>();
  /** courtyards that did not answer: asked again from then on */
  readonly #away = new Map<string, number>();
  /** first looks at somebody elsewhere */
  readonly #meeting = new Map<Uid, Promise<Uek>>();
  /** the newest daily key that was verified by each */
  readonly #verdicts = new WeakMap<Chain, { readonly text: string; readonly uek: Uek | undefined }>();

  constructor(around: ChainSurroundings) {
    this.#around = around;
  }

  /** Everything held, opened: what the app starts from without a network. */
  async load(): Promise<void> {
    for (const record of await this.#around.store.chains()) this.#remember(record);
  }

  /** After another tab stored something. */
  async reload(uid: Uid): Promise<void> {
    const record = await this.#around.store.chain(uid);
    if (record) this.#remember(record);
  }

  /**
   * Where somebody may live, as long as no chain says it. Believed for asking there, and for nothing else. `anew`: somebody
   * waits for the answer, so it is asked for even if there was none just now.
   */
  hint(uid: Uid, host: Host, anew = false): void {
    if (anew) this.#away.delete(formatHost(host));
    if (this.held(uid)) return;
    this.#hints.delete(uid);
    this.#hints.set(uid, host);
    for (const oldest of this.#hints.keys()) {
      if (this.#hints.size <= HINTS) break;
      this.#hints.delete(oldest);
    }
  }

  /** Where somebody lives: the relay that their chain names; before it is known what a hint or the vault says, or else here. */
  whereIs(uid: Uid): Host {
    const { self, here, relayKey } = this.#around;
    if (uid === self) return here;
    const relay = this.held(uid)?.relay;
    if (relay) return equal(relay.key, relayKey) ? here : { host: relay.host, port: relay.port };
    return this.#hints.get(uid) ?? this.#around.lived(uid) ?? here;
  }

  /** The courtyard of somebody who lives in another; undefined for the people of this one. */
  abroad(uid: Uid): Host | undefined {
    const host = this.whereIs(uid);
    return sameHost(host, this.#around.here) ? undefined : host;
  }

  /** What is pinned, without asking anybody. */
  held(uid: Uid): Chain | undefined {
    return this.#known.get(uid)?.chain;
  }

  /** The pinned chain, fetched first if there is none. Throws `fork` while one waits for a decision. */
  async of(uid: Uid): Promise<Chain> {
    const known = this.#known.get(uid);
    if (known?.record.fork) throw new Trouble('fork');
    return known?.chain ?? this.fetch(uid);
  }

  /** The chain that a letter names a place of. Throws `chain-behind` when not even the relay has it. */
  async reaching(uid: Uid, place: Place): Promise<Chain> {
    let chain = await this.of(uid);
    if (chain.compare(place) === 'beyond') chain = await this.fetch(uid);
    const found = chain.compare(place);
    if (found === 'other') await this.#dispute(uid);
    if (found === 'beyond') throw new Problem('chain-behind');
    return chain;
  }

  isForked(uid: Uid): boolean {
    return this.#known.get(uid)?.record.fork !== undefined;
  }

  /** Asks the relay for what is new. */
  fetch(uid: Uid): Promise<Chain> {
    const running = this.#fetching.get(uid);
    if (running) return running;
    const fetching = this.#fetch(uid).finally(() => this.#fetching.delete(uid));
    this.#fetching.set(uid, fetching);
    return fetching;
  }

  /** A letter that names another chain than the one the relay shows us: it shows its writer that other one. */
  async #dispute(uid: Uid): Promise<never> {
    const record = this.#known.get(uid)?.record;
    if (!record || uid === this.#around.self) throw new Problem('letter-bad', { reason: 'chain' });
    await this.#save({ ...record, fork: record.records });
    throw new Trouble('fork');
  }

  /** Own records that were accepted by the relay. */
  async extend(uid: Uid, chain: Chain): Promise<void> {
    await this.#save({ ...blank(uid), ...this.#known.get(uid)?.record, ...placeOf(chain) });
  }

  /**
   * What letters to this person are sealed to. While the courtyard of a friend elsewhere does not answer, what is pinned
   * stays in use. Throws `fork`, `uek-bad` (the relay showed an older key or swapped one), `not-found` for somebody who
   * has none, or `peer-away` for somebody of whom nothing is pinned.
   */
  async uek(uid: Uid): Promise<Uek> {
    const chain = await this.of(uid);
    const { record } = this.#known.get(uid) ?? { record: blank(uid) };
    const held = record.uek === undefined ? undefined : this.#verified(record.uek, chain);
    if (held && this.#around.now() - record.checked < FRESH) return held;
    const renewing = this.#renew(uid);
    if (!held || !this.abroad(uid)) return renewing;
    // Answered later, it is pinned for the next letter.
    renewing.catch(() => undefined);
    try {
      return await Promise.race([renewing, this.#patience()]);
    } catch (error) {
      const pinned = isProblem(error, ...UNANSWERED) ? this.uekHeld(uid) : undefined;
      if (!pinned) throw error;
      return pinned;
    }
  }

  async #renew(uid: Uid): Promise<Uek> {
    // A device may have been revoked, and the floor raised, since.
    await this.fetch(uid);
    return this.takeUek(uid, await this.#asked(uid, (host) => this.#around.api.uek(unb64(uid, 32), host)));
  }

  #patience(): Promise<never> {
    return new Promise((_, reject) => {
      this.#around.after(PATIENCE, () => {
        reject(new Problem('peer-away'));
      });
    });
  }

  /** The first look at somebody in another courtyard, which may take its time; undefined where nobody has to be waited for. */
  meet(uid: Uid): Promise<unknown> | undefined {
    if (!this.abroad(uid) || this.isForked(uid) || this.uekHeld(uid)) return undefined;
    let meeting = this.#meeting.get(uid);
    if (!meeting) {
      meeting = this.uek(uid).finally(() => this.#meeting.delete(uid));
      this.#meeting.set(uid, meeting);
    }
    return meeting;
  }

  /** Asks where somebody lives; not again for a while where there was no answer. */
  async #asked<T>(uid: Uid, ask: (host: Host | undefined) => Promise<T>): Promise<T> {
    const host = this.abroad(uid);
    if (!host) return ask(undefined);
    const name = formatHost(host);
    if (this.#around.now() < (this.#away.get(name) ?? 0)) throw new Problem('peer-away');
    try {
      return await ask(host);
    } catch (error) {
      if (isProblem(error, 'peer-away')) this.#away.set(name, this.#around.now() + AWAY);
      throw error;
    }
  }

  /** A new connection: courtyards that did not answer may do so now. */
  renew(): void {
    this.#away.clear();
  }

  /** The pinned key, however old, without asking anybody: good enough for what is worthless in a minute. */
  uekHeld(uid: Uid): Uek | undefined {
    const known = this.#known.get(uid);
    if (!known?.chain || known.record.fork || known.record.uek === undefined) return undefined;
    return this.#verified(known.record.uek, known.chain);
  }

  /** Pins a record that came from the relay, or from the person in answer to a letter that could not be opened. */
  async takeUek(uid: Uid, signed: Signed): Promise<Uek> {
    let chain = await this.of(uid);
    let uek: Uek;
    try {
      uek = verifyUek(signed, chain);
    } catch (error) {
      // The record's signer or head may be newer than our copy of the chain.
      if (!isProblem(error, 'chain-behind', 'uek-bad')) throw error;
      chain = await this.fetch(uid);
      uek = verifyUek(signed, chain);
    }
    const record = this.#known.get(uid)?.record ?? blank(uid);
    const compared = compareUek(uek, { counter: record.counter, key: record.key === '' ? new Uint8Array(32) : unb64(record.key, 32) });
    if (compared === 'older' || compared === 'swapped') throw new Problem('uek-bad', { reason: compared });
    await this.#save({
      ...record, uek: JSON.stringify(signedJson(signed)), counter: uek.counter, key: b64(uek.key), checked: this.#around.now(),
    });
    return uek;
  }

  /** Asks for the key anew before the next letter. */
  async doubt(uid: Uid): Promise<void> {
    const record = this.#known.get(uid)?.record;
    if (record && record.checked !== 0) await this.#save({ ...record, checked: 0 });
  }

  /** Highest counter seen of this person's keys; 0 = none. */
  counter(uid: Uid): number {
    return this.#known.get(uid)?.record.counter ?? 0;
  }

  pinOf(uid: Uid): Pin | undefined {
    const known = this.#known.get(uid);
    if (!known?.chain) return undefined;
    const { counter, key } = known.record;
    return { ...known.chain.place, uek: counter, uekKey: key === '' ? undefined : unb64(key, 32) };
  }

  /** After a fork: `trust` takes the chain the relay shows now, otherwise the pinned one stays. */
  async decide(uid: Uid, trust: boolean): Promise<void> {
    const record = this.#known.get(uid)?.record;
    if (!record?.fork) return;
    const { fork, ...rest } = record;
    if (trust) {
      const chain = Chain.parse(fork.map(signedOf), unb64(uid, 32));
      await this.#save({ ...blank(uid), ...placeOf(chain) });
    } else {
      await this.#save({ ...rest, fork: undefined, checked: this.#around.now() });
    }
  }

  async #fetch(uid: Uid): Promise<Chain> {
    const bytes = unb64(uid, 32);
    const known = this.#known.get(uid);
    if (known?.record.fork) throw new Trouble('fork');
    if (known?.chain) {
      const grown = await this.#grow(known.chain, bytes);
      if (grown) {
        if (grown.seq !== known.chain.seq) await this.#save({ ...known.record, ...placeOf(grown) });
        return grown;
      }
    }
    const chain = Chain.parse(await this.#asked(uid, (host) => this.#around.api.chain(bytes, -1, host)), bytes);
    const pin = known?.chain?.place ?? this.#around.pin(uid);
    if (pin && chain.isForkOf(pin)) {
      await this.#save({ ...blank(uid), ...known?.record, fork: chain.records.map(recordText) });
      throw new Trouble('fork');
    }
    const remembered = this.#around.pin(uid);
    const nothing = blank(uid);
    const fromVault = remembered?.uekKey && remembered.uek > 0 ? { counter: remembered.uek, key: b64(remembered.uekKey) } : {};
    await this.#save({ ...nothing, ...fromVault, ...known?.record, ...placeOf(chain) });
    return chain;
  }

  /**
   * The pinned chain with what is new; undefined when what the relay shows does not go on from it. The last record known
   * is asked for again: a relay that has another in its place, or none, is found out even when nothing is new.
   */
  async #grow(pinned: Chain, uid: Bytes): Promise<Chain | undefined> {
    const [known, ...news] = await this.#asked(b64(uid), (host) => this.#around.api.chain(uid, pinned.seq - 1, host));
    const last = pinned.records[pinned.seq];
    if (!known || !last || !equal(known.payload, last.payload)) return undefined;
    let chain = pinned;
    try {
      for (const record of news) chain = chain.append(record);
      return chain;
    } catch (error) {
      if (isProblem(error, 'bad-chain')) return undefined;
      throw error;
    }
  }

  /** undefined: its signer was revoked since. Each record is verified once by each chain: letters are sealed to it one after another. */
  #verified(text: string, chain: Chain): Uek | undefined {
    const last = this.#verdicts.get(chain);
    if (last?.text === text) return last.uek;
    let uek: Uek | undefined;
    try {
      uek = verifyUek(signedOf(text), chain);
    } catch (error) {
      if (!isProblem(error, 'uek-bad', 'chain-behind')) throw error;
    }
    this.#verdicts.set(chain, { text, uek });
    return uek;
  }

  async #save(record: ChainRecord): Promise<void> {
    await this.#around.store.saveChain(record);
    this.#remember(record);
    this.#around.changed(record.uid);
  }

  #remember(record: ChainRecord): void {
    const chain = record.records.length === 0 ? undefined : Chain.fromOwnStore(record.records.map(signedOf), unb64(record.uid, 32));
    this.#known.set(record.uid, { record, chain });
    if (chain) this.#hints.delete(record.uid);
  }
}

/** Of a lookup elsewhere: it says nothing about the person, only that there is no answer now. */
export const UNANSWERED = ['peer-away', 'rate-limited', 'unavailable'] as const;

/** A person's record as it is first stored. */
export function chainRecordOf(chain: Chain, uek: Uek | undefined): ChainRecord {
  const pinned = uek ? { uek: JSON.stringify(signedJson(uek.signed)), counter: uek.counter, key: b64(uek.key) } : {};
  return { ...blank(b64(chain.uid)), ...placeOf(chain), ...pinned };
}

function blank(uid: Uid): ChainRecord {
  return { uid, records: [], seq: -1, head: '', uek: undefined, counter: 0, key: '', checked: 0, fork: undefined };
}

function placeOf(chain: Chain): { records: string[]; seq: number; head: string } {
  return { records: chain.records.map(recordText), seq: chain.seq, head: b64(chain.head) };
}

function recordText(signed: Signed): string {
  return JSON.stringify(signedJson(signed));
}

function signedOf(text: string): Signed {
  return readSigned(parseJson(text, { bytes: 8192, depth: 2 }));
}

