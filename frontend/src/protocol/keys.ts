/**
 * Secret keys that last, held by WebCrypto so that no script can read them back: device keys and daily keys (UEK).
 * Works on pages, in workers and in Node 20. Secrets given to this module as bytes are imported non-extractable;
 * the caller drops the bytes.
 */
import { allZero, type Bytes, concat } from './bytes';
import { hash, preimage, type Random, randomBytes, signPublic } from './primitives';
import { Problem } from './problem';
import type { Signer } from './signed';

/** X25519 with a secret that stays where it is. */
export interface Agreement {
  /** 32 bytes; throws `key-bad` when the result is all zero (low-order `pub`). */
  dh(pub: Bytes): Promise<Bytes>;
}

export interface DeviceKeys extends Signer, Agreement {
  /** `hash("device", sign, box)` */
  readonly id: Bytes;
  /** X25519 public key */
  readonly box: Bytes;
}

/** What IndexedDB keeps: CryptoKeys are stored as they are, by structured clone. */
export interface StorableDeviceKeys {
  readonly sign: Bytes;
  readonly box: Bytes;
  readonly signKey: CryptoKey;
  readonly boxKey: CryptoKey;
}

export interface UekSecret extends Agreement {
  readonly counter: number;
  /** X25519 public key */
  readonly key: Bytes;
}

export interface StorableUek {
  readonly counter: number;
  readonly key: Bytes;
  readonly secret: CryptoKey;
}

/** A pair for one use. */
export interface Ephemeral extends Agreement {
  readonly key: Bytes;
}

export function deviceId(sign: Bytes, box: Bytes): Bytes {
  return hash('device', sign, box);
}

/** Whether this browser can hold keys at all (secure context, Ed25519 and X25519 in WebCrypto). */
export async function keysSupported(): Promise<boolean> {
  try {
    const keys = await generateDeviceKeys();
    await keys.dh((await ephemeral()).key);
    return true;
  } catch {
    return false; // the question was whether it throws
  }
}

export async function generateDeviceKeys(): Promise<DeviceKeys> {
  const [sign, box] = await Promise.all([
    crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify']),
    crypto.subtle.generateKey('X25519', false, ['deriveBits']),
  ]);
  const [signPub, boxPub] = await Promise.all([
    crypto.subtle.exportKey('raw', sign.publicKey),
    crypto.subtle.exportKey('raw', box.publicKey),
  ]);
  return new WebDeviceKeys({
    sign: new Uint8Array(signPub),
    box: new Uint8Array(boxPub),
    signKey: sign.privateKey,
    boxKey: box.privateKey,
  });
}

/** From an Ed25519 seed and an X25519 secret, 32 bytes each (handover; the recovery card). */
export async function deviceKeysFromSecrets(seed: Bytes, boxSecret: Bytes): Promise<DeviceKeys> {
  const [signKey, boxKey] = await Promise.all([
    crypto.subtle.importKey('pkcs8', pkcs8(0x70, seed), 'Ed25519', false, ['sign']),
    importAgreement(boxSecret),
  ]);
  return new WebDeviceKeys({ sign: signPublic(seed), box: await agree(boxKey, basepoint), signKey, boxKey });
}

/** Throws `key-bad` for keys that were not made here. */
export function deviceKeysToStorable(keys: DeviceKeys): StorableDeviceKeys {
  if (!(keys instanceof WebDeviceKeys)) throw new Problem('key-bad');
  return keys.storable();
}

export function deviceKeysFromStorable(stored: StorableDeviceKeys): DeviceKeys {
  return new WebDeviceKeys(stored);
}

class WebDeviceKeys implements DeviceKeys {
  readonly id: Bytes;
  readonly sign: Bytes;
  readonly box: Bytes;
  readonly #signKey: CryptoKey;
  readonly #boxKey: CryptoKey;

  constructor(stored: StorableDeviceKeys) {
    this.sign = stored.sign;
    this.box = stored.box;
    this.id = deviceId(stored.sign, stored.box);
    this.#signKey = stored.signKey;
    this.#boxKey = stored.boxKey;
  }

  storable(): StorableDeviceKeys {
    return { sign: this.sign, box: this.box, signKey: this.#signKey, boxKey: this.#boxKey };
  }

  async signature(label: string, ...parts: readonly Bytes[]): Promise<Bytes> {
    return new Uint8Array(await crypto.subtle.sign('Ed25519', this.#signKey, preimage(label, ...parts)));
  }

  dh(pub: Bytes): Promise<Bytes> {
    return agree(this.#boxKey, pub);
  }
}

/** A new random daily key. The secret's bytes go into the vault or to the home, nowhere else. */
export async function generateUek(random: Random = randomBytes): Promise<{ readonly secret: Bytes; readonly key: Bytes }> {
  const secret = random(32);
  return { secret, key: await boxPublic(secret) };
}

export async function importUek(counter: number, secret: Bytes): Promise<UekSecret> {
  const key = await importAgreement(secret);
  return new WebUek({ counter, key: await agree(key, basepoint), secret: key });
}

/** Throws `key-bad` for keys that were not made here. */
export function uekToStorable(uek: UekSecret): StorableUek {
  if (!(uek instanceof WebUek)) throw new Problem('key-bad');
  return uek.storable();
}

export function uekFromStorable(stored: StorableUek): UekSecret {
  return new WebUek(stored);
}

class WebUek implements UekSecret {
  readonly counter: number;
  readonly key: Bytes;
  readonly #secret: CryptoKey;

  constructor(stored: StorableUek) {
    this.counter = stored.counter;
    this.key = stored.key;
    this.#secret = stored.secret;
  }

  storable(): StorableUek {
    return { counter: this.counter, key: this.key, secret: this.#secret };
  }

  dh(pub: Bytes): Promise<Bytes> {
    return agree(this.#secret, pub);
  }
}

export async function ephemeral(random: Random = randomBytes): Promise<Ephemeral> {
  const secret = await importAgreement(random(32));
  return { key: await agree(secret, basepoint), dh: (pub) => agree(secret, pub) };
}

/** Public key of an X25519 secret of 32 bytes. */
export async function boxPublic(secret: Bytes): Promise<Bytes> {
  return agree(await importAgreement(secret), basepoint);
}

const basepoint = Uint8Array.of(9, ...new Uint8Array(31));

/** The fixed frame RFC 8410 puts round 32 secret bytes; `algorithm` is the last byte of the object identifier. */
function pkcs8(algorithm: 0x6e | 0x70, secret: Bytes): Bytes {
  if (secret.length !== 32) throw new Problem('key-bad');
  return concat(
    Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, algorithm, 4, 0x22, 4, 0x20),
    secret,
  );
}

function importAgreement(secret: Bytes): Promise<CryptoKey> {
  return crypto.subtle.importKey('pkcs8', pkcs8(0x6e, secret), 'X25519', false, ['deriveBits']);
}

async function agree(secret: CryptoKey, pub: Bytes): Promise<Bytes> {
  if (pub.length !== 32) throw new Problem('key-bad');
  let shared: Bytes;
  try {
    const key = await crypto.subtle.importKey('raw', pub, 'X25519', true, []);
    shared = new Uint8Array(await crypto.subtle.deriveBits({ name: 'X25519', public: key }, secret, 256));
  } catch (error) {
    throw new Problem('key-bad', {}, error); // engines refuse low-order points themselves
  }
  if (allZero(shared)) throw new Problem('key-bad');
  return shared;
}
