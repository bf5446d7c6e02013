/**
 * Daily keys that letters are sealed to: their signed records (protocol/README.md section 4). The secrets are in keys.ts.
 */
import { b64, type Bytes, equal, utf8 } from './bytes';
import type { Chain } from './ident';
import { bytes, closed, int, oneOf, parseJson } from './json';
import { Problem } from './problem';
import { hash, lowOrder } from './primitives';
import { type Signed, type Signer, signPayload, verifySigned } from './signed';

/** A record that has been verified. */
export interface Uek {
  readonly uid: Bytes;
  /** from 1 */
  readonly counter: number;
  /** hash of the previous payload; absent for counter 1 */
  readonly prev: Bytes | undefined;
  readonly ts: number;
  readonly head: Bytes;
  /** X25519 public key */
  readonly key: Bytes;
  /** `hash("uek", payload)` */
  readonly hash: Bytes;
  readonly signed: Signed;
}

/** What a reader remembers of a friend's newest. */
export interface UekPin {
  /** 0: none seen */
  readonly counter: number;
  readonly key: Bytes;
}

const label = 'sign/uek';
const readPayload = closed(
  { v: oneOf(1), uid: bytes(32), counter: int(1), ts: int(), head: bytes(32), key: bytes(32) },
  { prev: bytes(32) },
);

/** `after`: the newest record so far, absent for the first. */
export async function makeUek(
  signer: Signer,
  chain: Chain,
  key: Bytes,
  after: { readonly counter: number; readonly hash: Bytes } | undefined,
  ts: number,
): Promise<Uek> {
  const payload = utf8(
    JSON.stringify({
      v: 1, uid: b64(chain.uid), counter: (after?.counter ?? 0) + 1, ...(after && { prev: b64(after.hash) }), ts,
      head: b64(chain.head), key: b64(key),
    }),
  );
  return verifyUek(await signPayload(signer, label, payload), chain);
}

/**
 * Verifies a record before something is sealed to it. `chain` is its owner's, as this device knows it. Throws `chain-behind` when the record names a head that this copy lacks (fetch, try again), else
 * `uek-bad`.
 */
export function verifyUek(signed: Signed, chain: Chain): Uek {
  const record = payloadOf(signed);
  if (!equal(record.uid, chain.uid)) bad('uid');
  if (lowOrder(record.key)) bad('low-order key');
  if ((record.counter === 1) !== (record.prev === undefined)) bad('prev');
  if (chain.seqOf(record.head) === undefined) throw new Problem('chain-behind');
  if (!chain.keepers(record.ts).some((device) => equal(device.sign, signed.by))) bad('signer');
  if (!verifySigned(signed, label)) bad('signature');
  if (record.counter < chain.uekFloor) bad('floor');
  return { ...record, prev: record.prev, hash: hash('uek', signed.payload), signed };
}

/**
 * A verified record beside the pin: `newer` and `same` may be sealed to; `older` and `swapped` (another key at the
 * pinned counter) are refused.
 */
export function compareUek(uek: Uek, pin: UekPin): 'newer' | 'same' | 'older' | 'swapped' {
  if (uek.counter !== pin.counter) return uek.counter > pin.counter ? 'newer' : 'older';
  return equal(uek.key, pin.key) ? 'same' : 'swapped';
}

function payloadOf(signed: Signed): ReturnType<typeof readPayload> {
  try {
    return readPayload(parseJson(signed.payload, { bytes: 4096, depth: 3 }));
  } catch (error) {
    return bad('record', error);
  }
}

function bad(reason: string, cause?: unknown): never {
  throw new Problem('uek-bad', { reason }, cause);
}
