/**
 * Signed objects (protocol/README.md section 1): the payload travels as the exact bytes that were signed.
 */
import { b64, type Bytes } from './bytes';
import { blob, bytes, closed, type Read } from './json';
import { verify } from './primitives';

/** Somebody who can sign: a device, the recovery card. */
export interface Signer {
  /** Ed25519 public key, 32 bytes */
  readonly sign: Bytes;
  /** Ed25519 over `preimage(label, …parts)`, 64 bytes */
  signature(label: string, ...parts: readonly Bytes[]): Promise<Bytes>;
}

export interface Signed {
  readonly payload: Bytes;
  readonly by: Bytes;
  readonly sig: Bytes;
}

/** As it stands in JSON. */
export interface SignedJson { readonly payload: string; readonly by: string; readonly sig: string }

export async function signPayload(signer: Signer, label: string, payload: Bytes): Promise<Signed> {
  return { payload, by: signer.sign, sig: await signer.signature(label, payload) };
}

export function verifySigned(signed: Signed, label: string): boolean {
  return verify(signed.by, signed.sig, label, signed.payload);
}

/** Closed; the payload at most 4 KiB. Throws `bad-request` or `too-large`. */
export const readSigned: Read<Signed> = closed({ payload: blob(4096, 1), by: bytes(32), sig: bytes(64) });

export function signedJson(signed: Signed): SignedJson {
  return { payload: b64(signed.payload), by: b64(signed.by), sig: b64(signed.sig) };
}
