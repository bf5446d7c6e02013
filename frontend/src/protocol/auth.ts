/**
 * Proofs of the websocket's opening (protocol/README.md section 12): the device to the relay, the relay to the device.
 */
import { type Host, formatHost } from './address';
import { type Bytes, equal, utf8 } from './bytes';
import type { DeviceKeys } from './keys';
import { Problem } from './problem';
import { verify } from './primitives';

/** What the relay sent in `challenge`. */
export interface Challenge {
  readonly nonce: Bytes;
  readonly key: Bytes;
}

/**
 * `sig` of the `auth` frame. `host` is what this client dialled and `relayKey` what it knows the relay by, so a relay in
 * the middle gets a proof that is good for nobody. Throws `auth-bad` when another relay answers.
 */
export async function authProof(
  keys: DeviceKeys,
  uid: Bytes,
  relay: { readonly key: Bytes; readonly host: Host },
  challenge: Challenge,
): Promise<Bytes> {
  if (!equal(challenge.key, relay.key)) throw new Problem('auth-bad', { reason: 'relay key' });
  return keys.signature('sign/auth', challenge.nonce, relay.key, utf8(formatHost(relay.host)), uid, keys.id);
}

/** The `proof` of `ready`. Throws `auth-bad`. */
export function checkReady(relayKey: Bytes, clientNonce: Bytes, uid: Bytes, proof: Bytes): void {
  if (!verify(relayKey, proof, 'sign/ready', clientNonce, uid)) throw new Problem('auth-bad', { reason: 'ready' });
}

/** The relay's side of `authProof`, for tests and other relays. */
export function verifyAuth(
  device: { readonly sign: Bytes; readonly id: Bytes },
  uid: Bytes,
  relay: { readonly key: Bytes; readonly host: Host },
  nonce: Bytes,
  sig: Bytes,
): boolean {
  return verify(device.sign, sig, 'sign/auth', nonce, relay.key, utf8(formatHost(relay.host)), uid, device.id);
}
