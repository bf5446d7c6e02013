/**
 * Pairing a home (protocol/README.md section 10): ephemeral Diffie-Hellman, both sides prove a short code over the whole
 * transcript. The app is the approver; the newcomer's side is the home's, here for the tests and for other clients.
 */
import { formatHost, type Host, parseHost, usernameWellFormed } from './address';
import { b64, type Bytes, concat, equal, utf8 } from './bytes';
import { decode32, encode32, grouped } from './code';
import { bytes, open, parseJson, type Read, refuse, text } from './json';
import { deviceId, type Ephemeral, ephemeral } from './keys';
import { limits } from './message';
import { Problem } from './problem';
import { hash, kdf, mac, openSecretbox, type Random, randomBytes, sealSecretbox } from './primitives';

export interface PublicDevice {
  readonly sign: Bytes;
  readonly box: Bytes;
}

/** What each side believes; the code's host is the one dialled. */
export interface PairingPlace {
  /** 10 bytes */
  readonly code: Bytes;
  readonly host: Host;
  readonly relayKey: Bytes;
}

/** What the home is told once it is trusted. */
export interface Bundle {
  readonly uid: Bytes;
  readonly username: string;
  readonly name: string;
}

const noNonce = new Uint8Array(24); // the key is used once

export function makePairingCode(random: Random = randomBytes): Bytes {
  return random(10);
}

/** `host[:port]/XXXX-XXXX-XXXX-XXXX` */
export function formatPairing(host: Host, code: Bytes): string {
  return `${formatHost(host)}/${grouped(encode32(code))}`;
}

/** As pasted or typed, with or without `https://`. Throws `code-bad`. */
export function parsePairing(typed: string): { readonly host: Host; readonly code: Bytes } {
  const found = /^(?:https?:\/\/)?([^/]+)\/([0-9A-Za-z\s-]+)$/.exec(typed.trim());
  const [, authority = '', code = ''] = found ?? [];
  try {
    return { host: parseHost(authority), code: decode32(code, 10) };
  } catch (error) {
    throw new Problem('code-bad', {}, error);
  }
}

/** Name of the mailbox at the relay, 16 bytes. */
export function pairingBox(code: Bytes): Bytes {
  return hash('pair/box', code).slice(0, 16);
}

/** The app's side. `a1` is put, `take(n1)` names the home, `a2` is put after `device.add`, `done(n2)` ends it. */
export class PairingApprover {
  readonly a1: Bytes;
  readonly #place: PairingPlace;
  readonly #uid: Bytes;
  readonly #app: PublicDevice;
  readonly #eph: Ephemeral;
  #taken = false;
  #secrets: Secrets | undefined;

  private constructor(place: PairingPlace, uid: Bytes, app: PublicDevice, eph: Ephemeral) {
    this.#place = place;
    this.#uid = uid;
    this.#app = app;
    this.#eph = eph;
    this.a1 = concat(eph.key, uid, app.sign, app.box);
  }

  static async start(place: PairingPlace, uid: Bytes, app: PublicDevice, random: Random = randomBytes): Promise<PairingApprover> {
    return new PairingApprover(place, uid, app, await ephemeral(random));
  }

  /**
   * Gives the home's public keys once it has proven the code. `expected` is the device id that a claim link insists on.
   * Throws `pair-bad`: somebody stands between, or the code was another.
   */
  async take(n1: Bytes, expected?: Bytes): Promise<PublicDevice> {
    if (this.#taken) bad('order');
    this.#taken = true; // one answer for one code: after a wrong one the code is used up
    if (n1.length !== 128) bad('length');
    const home = { sign: n1.slice(32, 64), box: n1.slice(64, 96) };
    if (expected && !equal(deviceId(home.sign, home.box), expected)) bad('another home');
    const secrets = await derive(this.#place, this.#uid, this.#app, home, this.#eph, n1.slice(0, 32), 'app');
    if (!equal(n1.subarray(96), mac(secrets.k, 'pair/newcomer', secrets.t))) bad('proof');
    this.#secrets = secrets;
    return home;
  }

  /** Only after `take`. */
  a2(bundle: Omit<Bundle, 'uid'>): Bytes {
    const { k, t } = this.#secrets ?? bad('order');
    const { username, name } = bundle;
    const json = utf8(JSON.stringify({ uid: b64(this.#uid), username, name }));
    return concat(mac(k, 'pair/approver', t), sealSecretbox(kdf(k, 'pair/bundle'), noNonce, json));
  }

  /** The home has connected. Throws `pair-bad`. */
  done(n2: Bytes): void {
    const { k, t } = this.#secrets ?? bad('order');
    if (!equal(n2, mac(k, 'pair/done', t))) bad('proof');
  }
}

/** The home's side: `take(a1)` gives n1, `open(a2)` the bundle, `n2` ends it. */
export class PairingNewcomer {
  readonly #place: PairingPlace;
  readonly #home: PublicDevice;
  readonly #eph: Ephemeral;
  #taken = false;
  #secrets: Secrets | undefined;
  #uid: Bytes | undefined;

  private constructor(place: PairingPlace, home: PublicDevice, eph: Ephemeral) {
    this.#place = place;
    this.#home = home;
    this.#eph = eph;
  }

  static async start(place: PairingPlace, home: PublicDevice, random: Random = randomBytes): Promise<PairingNewcomer> {
    return new PairingNewcomer(place, home, await ephemeral(random));
  }

  /** Gives n1. Throws `pair-bad`. */
  async take(a1: Bytes): Promise<Bytes> {
    if (this.#taken) bad('order');
    this.#taken = true;
    if (a1.length !== 128) bad('length');
    const uid = a1.slice(32, 64);
    const app = { sign: a1.slice(64, 96), box: a1.slice(96, 128) };
    this.#secrets = await derive(this.#place, uid, app, this.#home, this.#eph, a1.slice(0, 32), 'home');
    this.#uid = uid;
    const { k, t } = this.#secrets;
    return concat(this.#eph.key, this.#home.sign, this.#home.box, mac(k, 'pair/newcomer', t));
  }

  /** Throws `pair-bad`. */
  open(a2: Bytes): Bundle {
    const { k, t } = this.#secrets ?? bad('order');
    if (!equal(a2.subarray(0, 32), mac(k, 'pair/approver', t))) bad('proof');
    const json = openSecretbox(kdf(k, 'pair/bundle'), noNonce, a2.subarray(32)) ?? bad('bundle');
    let bundle: Bundle;
    try {
      bundle = readBundle(parseJson(json, { bytes: 8192, depth: 8 }));
    } catch (error) {
      throw new Problem('pair-bad', { reason: 'bundle' }, error);
    }
    return this.#uid && equal(bundle.uid, this.#uid) ? bundle : bad('bundle');
  }

  get n2(): Bytes {
    const { k, t } = this.#secrets ?? bad('order');
    return mac(k, 'pair/done', t);
  }
}

const readUsername: Read<string> = (value) =>
  typeof value === 'string' && usernameWellFormed(value) ? value : refuse('username');
const readBundle = open({ uid: bytes(32), username: readUsername, name: text(limits.name) });

interface Secrets {
  readonly k: Bytes;
  readonly t: Bytes;
}

async function derive(
  place: PairingPlace,
  uid: Bytes,
  app: PublicDevice,
  home: PublicDevice,
  own: Ephemeral,
  theirs: Bytes,
  side: 'app' | 'home',
): Promise<Secrets> {
  const [ephA, ephN] = side === 'app' ? [own.key, theirs] : [theirs, own.key];
  const t = hash(
    'pair', utf8('home'), uid, app.sign, app.box, home.sign, home.box, place.relayKey, utf8(formatHost(place.host)), ephA, ephN,
  );
  let shared: Bytes;
  try {
    shared = await own.dh(theirs);
  } catch (error) {
    throw new Problem('pair-bad', { reason: 'key' }, error);
  }
  return { k: kdf(concat(shared, place.code), 'pair/key', t), t };
}

function bad(reason: string): never {
  throw new Problem('pair-bad', { reason });
}
