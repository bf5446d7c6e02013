/**
 * The protocol's few primitives (protocol/README.md section 1), synchronous, on noble. Secret keys that last
 * (device keys, daily keys) are not handled here but by WebCrypto in keys.ts.
 */
import { hsalsa, secretbox } from '@noble/ciphers/salsa.js';
import { ed25519 } from '@noble/curves/ed25519.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { type Bytes, concat, u32, utf8 } from './bytes';

/** Where randomness comes from; the default everywhere is `randomBytes`. Vectors pass their own. */
export type Random = (length: number) => Bytes;

export function randomBytes(length: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(length));
}

/** `"courtyard/" || label || 0x00 || lp(p1) || … || lp(pn)` */
export function preimage(label: string, ...parts: readonly Uint8Array[]): Bytes {
  const pieces: Uint8Array[] = [utf8(`courtyard/${label}\0`)];
  for (const part of parts) pieces.push(u32(part.length), part);
  return concat(...pieces);
}

export function sha256(bytes: Uint8Array): Bytes {
  return nobleSha256(bytes);
}

/** SHA-256 of what comes in pieces. */
export class Sha256 {
  readonly #state = nobleSha256.create();

  update(bytes: Uint8Array): this {
    this.#state.update(bytes);
    return this;
  }

  digest(): Bytes {
    return this.#state.digest();
  }
}

/** 32 bytes. */
export function hash(label: string, ...parts: readonly Uint8Array[]): Bytes {
  return nobleSha256(preimage(label, ...parts));
}

/** 32 bytes; compare with `equal`. */
export function mac(key: Uint8Array, label: string, ...parts: readonly Uint8Array[]): Bytes {
  return hmac(nobleSha256, key, preimage(label, ...parts));
}

/** 32 bytes. */
export function kdf(secret: Uint8Array, label: string, ...parts: readonly Uint8Array[]): Bytes {
  return hkdf(nobleSha256, secret, undefined, preimage(label, ...parts), 32);
}

/** First 24 bytes of a hash, as the nonce of a box. */
export function nonceOf(label: string, ...parts: readonly Uint8Array[]): Bytes {
  return hash(label, ...parts).slice(0, 24);
}

export function sealSecretbox(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array): Bytes {
  return secretbox(key, nonce).seal(plaintext);
}

/** `undefined` when the tag is wrong. */
export function openSecretbox(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array): Bytes | undefined {
  if (sealed.length < 16) return undefined;
  try {
    return secretbox(key, nonce).open(sealed);
  } catch {
    return undefined; // noble's only report of a wrong tag is to throw
  }
}

const sigma = Uint32Array.of(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574); // "expand 32-byte k"

/** NaCl's `beforenm`: HSalsa20(X25519 result, 0). The "box shared key". */
export function boxKey(dh: Bytes): Bytes {
  const words = new Uint32Array(8);
  const source = new DataView(dh.buffer, dh.byteOffset, 32);
  for (let i = 0; i < 8; i++) words[i] = source.getUint32(4 * i, true);
  const out = new Uint32Array(8);
  hsalsa(sigma, words, new Uint32Array(4), out);
  const key = new Uint8Array(32);
  const target = new DataView(key.buffer);
  out.forEach((word, i) => { target.setUint32(4 * i, word, true); });
  return key;
}

/** Ed25519 over `preimage(label, …parts)`; false for any malformed key or signature. */
export function verify(by: Uint8Array, sig: Uint8Array, label: string, ...parts: readonly Uint8Array[]): boolean {
  if (by.length !== 32 || sig.length !== 64) return false;
  try {
    return ed25519.verify(sig, preimage(label, ...parts), by, { zip215: false });
  } catch {
    return false; // noble throws for keys that are no points
  }
}

/** Public key of an Ed25519 seed of 32 bytes. */
export function signPublic(seed: Uint8Array): Bytes {
  return ed25519.getPublicKey(seed);
}

const p25519 = 2n ** 255n - 19n;
const lowOrderPoints: ReadonlySet<bigint> = new Set([
  0n,
  1n,
  p25519 - 1n,
  325606250916557431795983626356110631294008115727848805560023387167927233504n,
  39382357235489614581723060781553021112529911719440698176882885853963445705823n,
]);

/** Whether an X25519 public key gives an all-zero result with every secret. Records that carry one are refused. */
export function lowOrder(pub: Uint8Array): boolean {
  let u = 0n;
  for (let i = 31; i >= 0; i--) u = (u << 8n) | BigInt((pub[i] ?? 0) & (i === 31 ? 0x7f : 0xff));
  return lowOrderPoints.has(u % p25519);
}
