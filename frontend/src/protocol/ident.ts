/**
 * Who a person is: the sigchain of devices, card and relay (protocol/README.md sections 2 and 3). A `Chain` exists only
 * in verified form and never changes; appending makes a new one.
 */
import { hostWellFormed } from './address';
import { b64, type Bytes, equal, u64, utf8 } from './bytes';
import { deviceId } from './keys';
import { bytes, closed, int, type Json, oneOf, open, parseJson, type Read, type ReadOf, refuse } from './json';
import { isProblem, Problem } from './problem';
import { hash, lowOrder, type Random, randomBytes, verify } from './primitives';
import { type Signed, type Signer, signPayload, verifySigned } from './signed';

export type Role = 'admin' | 'home' | 'session';

export interface Device {
  readonly sign: Bytes;
  readonly box: Bytes;
  readonly role: Role;
  /** ms, 0 = never */
  readonly exp: number;
}

export interface ChainDevice extends Device {
  readonly id: Bytes;
  /** `ts` of the record that added it */
  readonly added: number;
  /** `seq` of the record that revoked it */
  readonly revoked: number | undefined;
  /** and that record's `ts` */
  readonly revokedAt: number | undefined;
}

export interface Relay {
  readonly key: Bytes;
  readonly host: string;
  readonly port: number;
}

/** Public keys of the recovery card. */
export interface CardPublic {
  readonly ik: Bytes;
  readonly box: Bytes;
}

/** A place in a chain; what friends pin and letters name. */
export interface Place {
  readonly seq: number;
  readonly head: Bytes;
}

/** The recovery card as a signer of records. */
export interface CardSigner extends Signer {
  readonly box: Bytes;
}

const label = 'sign/chain';
const recordLimit = 4096;
const chainLimit = 1000;

const readHost: Read<string> = (value) => (typeof value === 'string' && hostWellFormed(value) ? value : refuse('host'));
const readBox: Read<Bytes> = (value) => {
  const key = bytes(32)(value);
  return lowOrder(key) ? refuse('low-order key') : key;
};
const readDevice: Read<Device> = closed({
  sign: bytes(32), box: readBox, role: oneOf('admin', 'home', 'session'), exp: int(),
});
const readRelay: Read<Relay> = closed({ key: bytes(32), host: readHost, port: int(1, 65535) });

const first = { v: oneOf(1), suite: oneOf(1), seq: int(0, chainLimit - 1), ts: int() };
const later = { ...first, prev: bytes(32) };
const records = {
  genesis: closed({ ...first, op: oneOf('genesis'), nonce: bytes(16), device: readDevice, relay: readRelay }),
  'device.add': closed({ ...later, op: oneOf('device.add'), device: readDevice }),
  'device.revoke': closed({ ...later, op: oneOf('device.revoke'), id: bytes(32), uek_floor: int() }),
  card: closed({ ...later, op: oneOf('card'), ik: bytes(32), box: readBox, proof: bytes(64) }),
  relay: closed({ ...later, op: oneOf('relay'), relay: readRelay }),
};
type Op = keyof typeof records;
/** A record's payload. */
export type ChainRecord = { [K in Op]: ReadOf<(typeof records)[K]> }[Op];

const readOp = open({ op: oneOf('genesis', 'device.add', 'device.revoke', 'card', 'relay') });

function readRecord(payload: Bytes): ChainRecord {
  const json = parseJson(payload, { bytes: recordLimit, depth: 3 });
  return records[readOp(json).op](json);
}

interface State {
  readonly uid: Bytes;
  readonly records: readonly Signed[];
  readonly hashes: readonly Bytes[];
  readonly devices: readonly ChainDevice[];
  /** every Ed25519 key that ever was in the chain, a device's or a card's: none comes twice */
  readonly keys: readonly Bytes[];
  readonly card: CardPublic | undefined;
  readonly relay: Relay;
  readonly uekFloor: number;
  readonly ts: number;
}

export class Chain {
  readonly #state: State;

  private constructor(state: State) {
    this.#state = state;
  }

  /**
   * Verifies a whole chain. `uid` is whose it has to be: the records hash to it, or it throws.
   * Throws `bad-chain`.
   */
  static parse(signed: readonly Signed[], uid: Bytes): Chain {
    return Chain.#read(signed, uid, true);
  }

  /**
   * A chain that this device verified before and kept in its own database. Everything is checked again but the
   * signatures, which cost milliseconds each on a phone. Never for records that came over the network.
   */
  static fromOwnStore(signed: readonly Signed[], uid: Bytes): Chain {
    return Chain.#read(signed, uid, false);
  }

  static #read(signed: readonly Signed[], uid: Bytes, signatures: boolean): Chain {
    let state: State | undefined;
    for (const record of signed) state = apply(state, record, signatures);
    if (!state || !equal(state.uid, uid)) throw new Problem('bad-chain', { reason: 'uid' });
    return new Chain(state);
  }

  /** The first record of a new person. `keys` become its `admin` device. */
  static async begin(
    keys: Signer & { readonly box: Bytes },
    relay: Relay,
    ts: number,
    random: Random = randomBytes,
  ): Promise<Chain> {
    const payload = encode({
      v: 1, suite: 1, op: 'genesis', seq: 0, ts, nonce: b64(random(16)),
      device: deviceJson({ sign: keys.sign, box: keys.box, role: 'admin', exp: 0 }), relay: relayJson(relay),
    });
    return new Chain(apply(undefined, await signPayload(keys, label, payload), true));
  }

  get uid(): Bytes {
    return this.#state.uid;
  }

  /** of the last record */
  get seq(): number {
    return this.#state.records.length - 1;
  }

  /** `hash("chain", payload)` of the last record */
  get head(): Bytes {
    return this.#state.hashes.at(-1) ?? refuse('empty chain');
  }

  get place(): Place {
    return { seq: this.seq, head: this.head };
  }

  /** As they travel, to store and to send. */
  get records(): readonly Signed[] {
    return this.#state.records;
  }

  /** All that ever were, in the order they were added. */
  get devices(): readonly ChainDevice[] {
    return this.#state.devices;
  }

  get card(): CardPublic | undefined {
    return this.#state.card;
  }

  get relay(): Relay {
    return this.#state.relay;
  }

  /** Nothing is sealed to a UEK counter below it. */
  get uekFloor(): number {
    return this.#state.uekFloor;
  }

  /** Time of the last record. */
  get ts(): number {
    return this.#state.ts;
  }

  device(id: Bytes): ChainDevice | undefined {
    return this.#state.devices.find((device) => equal(device.id, id));
  }

  /** The device, if it is neither revoked nor expired at `now`. */
  active(id: Bytes, now: number): ChainDevice | undefined {
    const device = this.device(id);
    return device && isActive(device, now) ? device : undefined;
  }

  /**
   * The device, if what is dated `ts` may be from it: neither expired then nor revoked at or before it. A letter that
   * waited in a queue while its device was revoked still counts; the relay takes no more of them.
   */
  author(id: Bytes, ts: number): ChainDevice | undefined {
    const device = this.device(id);
    if (!device || (device.exp !== 0 && device.exp <= ts)) return undefined;
    return device.revokedAt === undefined || device.revokedAt > ts ? device : undefined;
  }

  /** The active `home` device. */
  home(now: number): ChainDevice | undefined {
    return this.#state.devices.find((device) => device.role === 'home' && isActive(device, now));
  }

  /** Active `admin` and `home` devices: who may sign records and opens the vault. */
  keepers(now: number): readonly ChainDevice[] {
    return this.#state.devices.filter((device) => device.role !== 'session' && isActive(device, now));
  }

  hashAt(seq: number): Bytes | undefined {
    return this.#state.hashes[seq];
  }

  /** Whether the head named is one of this chain's, and which: undefined when it is not. */
  seqOf(head: Bytes): number | undefined {
    const seq = this.#state.hashes.findIndex((each) => equal(each, head));
    return seq < 0 ? undefined : seq;
  }

  /**
   * What this chain says of a place named elsewhere: `held`; `other` (another hash stands there: somebody shows two
   * chains); `beyond` (this copy is shorter: fetch the rest, then ask again).
   */
  compare(place: Place): 'held' | 'other' | 'beyond' {
    const held = this.hashAt(place.seq);
    return held === undefined ? 'beyond' : equal(held, place.head) ? 'held' : 'other';
  }

  /** Whether this chain, freshly fetched, contradicts what was pinned before: shorter, or another hash there. */
  isForkOf(pin: Place): boolean {
    return this.compare(pin) !== 'held';
  }

  /** Verifies one more record. Throws `bad-chain`. */
  append(record: Signed): Chain {
    return new Chain(apply(this.#state, record, true));
  }

  // ---- new records; each resolves to a record that `append` has accepted -------------------------------------------

  addDevice(signer: Signer, device: Device, ts: number): Promise<Signed> {
    return this.#sign(signer, { ...this.#next('device.add', ts), device: deviceJson(device) });
  }

  /** `uekFloor`: the first UEK counter that the revoked device never held. */
  revokeDevice(signer: Signer, id: Bytes, uekFloor: number, ts: number): Promise<Signed> {
    return this.#sign(signer, { ...this.#next('device.revoke', ts), id: b64(id), uek_floor: uekFloor });
  }

  /** Sets the recovery card; from the second on `signer` is the present card. */
  async setCard(signer: Signer, card: CardSigner, ts: number): Promise<Signed> {
    const proof = await card.signature('card-proof', this.uid, u64(this.seq + 1), card.sign, card.box);
    return this.#sign(signer, {
      ...this.#next('card', ts), ik: b64(card.sign), box: b64(card.box), proof: b64(proof),
    });
  }

  setRelay(signer: Signer, relay: Relay, ts: number): Promise<Signed> {
    return this.#sign(signer, { ...this.#next('relay', ts), relay: relayJson(relay) });
  }

  #next(op: Op, ts: number): Record<string, Json> {
    return { v: 1, suite: 1, op, seq: this.seq + 1, prev: b64(this.head), ts };
  }

  async #sign(signer: Signer, record: Record<string, Json>): Promise<Signed> {
    const signed = await signPayload(signer, label, encode(record));
    this.append(signed);
    return signed;
  }
}

function isActive(device: ChainDevice, at: number): boolean {
  return device.revoked === undefined && (device.exp === 0 || device.exp > at);
}

function encode(record: Record<string, Json>): Bytes {
  return utf8(JSON.stringify(record));
}

function deviceJson({ sign, box, role, exp }: Device): Json {
  return { sign: b64(sign), box: b64(box), role, exp };
}

function relayJson({ key, host, port }: Relay): Json {
  return { key: b64(key), host, port };
}

function bad(reason: string, cause?: unknown): never {
  throw new Problem('bad-chain', { reason }, cause);
}

function apply(state: State | undefined, signed: Signed, signatures: boolean): State {
  let record: ChainRecord;
  try {
    record = readRecord(signed.payload);
  } catch (error) {
    return isProblem(error, 'bad-request', 'too-large') ? bad(String(error.params['reason'] ?? error.code), error) : bad('record', error);
  }
  if (signatures && !verifySigned(signed, label)) bad('signature');
  if (record.op === 'genesis') return state ? bad('second genesis') : begin(record, signed);
  if (!state) return bad('no genesis');
  return continued(state, record, signed, signatures);
}

function begin(record: ReadOf<(typeof records)['genesis']>, signed: Signed): State {
  if (record.seq !== 0) bad('seq');
  if (record.device.role !== 'admin') bad('genesis role');
  if (!equal(signed.by, record.device.sign)) bad('signer');
  return {
    uid: hash('uid', signed.payload),
    records: [signed],
    hashes: [hash('chain', signed.payload)],
    devices: [newDevice(record.device, record.ts)],
    keys: [record.device.sign],
    card: undefined,
    relay: record.relay,
    uekFloor: 0,
    ts: record.ts,
  };
}

function newDevice(device: Device, added: number): ChainDevice {
  return { ...device, id: deviceId(device.sign, device.box), added, revoked: undefined, revokedAt: undefined };
}

function continued(state: State, record: Exclude<ChainRecord, { op: 'genesis' }>, signed: Signed, signatures: boolean): State {
  const prev = state.hashes.at(-1);
  if (record.seq !== state.records.length || !prev || !equal(record.prev, prev)) bad('place');

  const byCard = state.card !== undefined && equal(signed.by, state.card.ik);
  const byDevice = state.devices.some(
    (device) => device.role !== 'session' && isActive(device, record.ts) && equal(device.sign, signed.by),
  );
  // The card outranks devices: once there is one, only it sets another.
  if (!(byCard || (byDevice && !(record.op === 'card' && state.card)))) bad('signer');

  const next = {
    ...state,
    records: [...state.records, signed],
    hashes: [...state.hashes, hash('chain', signed.payload)],
    ts: record.ts,
  };
  switch (record.op) {
    case 'device.add': {
      const device = newDevice(record.device, record.ts);
      const keys = oneMore(state.keys, device.sign);
      const homes = state.devices.some((each) => each.role === 'home' && isActive(each, record.ts));
      if (device.role === 'home' && homes) bad('second home');
      return { ...next, keys, devices: [...state.devices, device] };
    }
    case 'device.revoke': {
      const revoked = state.devices.find((each) => equal(each.id, record.id) && each.revoked === undefined);
      if (!revoked) return bad('no such device');
      const devices = state.devices.map((each) => (each === revoked ? { ...each, revoked: record.seq, revokedAt: record.ts } : each));
      return { ...next, devices, uekFloor: Math.max(state.uekFloor, record.uek_floor) };
    }
    case 'card': {
      const { ik, box, proof, seq } = record;
      const keys = oneMore(state.keys, ik);
      if (signatures && !verify(ik, proof, 'card-proof', state.uid, u64(seq), ik, box)) bad('card proof');
      return { ...next, keys, card: { ik, box } };
    }
    case 'relay':
      return { ...next, relay: record.relay };
  }
}

function oneMore(keys: readonly Bytes[], key: Bytes): readonly Bytes[] {
  return keys.some((each) => equal(each, key)) ? bad('key twice') : [...keys, key];
}
