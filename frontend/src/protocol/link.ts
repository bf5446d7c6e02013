/**
 * The sealed channel between a device and its home (protocol/README.md section 11), passed on by a relay that can read
 * none of it. The device's side; the home's side is here for the tests and for other clients.
 */
import { type Host, formatHost } from './address';
import { type Bytes, concat, equal, readU64, u64, utf8 } from './bytes';
import { type DeviceKeys, type Ephemeral, ephemeral } from './keys';
import { isProblem, Problem } from './problem';
import { hash, kdf, openSecretbox, type Random, randomBytes, sealSecretbox, verify } from './primitives';

export const linkPlaintextLimit = 60 * 1024;

/** Who speaks with whom, over which relay. */
export interface LinkEnds {
  readonly uid: Bytes;
  readonly device: Bytes;
  readonly home: Bytes;
  readonly relayKey: Bytes;
  readonly host: Host;
}

const kinds = { hello: 1, answer: 2, finish: 3, frame: 4, closed: 5 } as const;
export type LinkKind = keyof typeof kinds;

export interface LinkMessage {
  readonly kind: LinkKind;
  /** 8 bytes */
  readonly session: Bytes;
  readonly payload: Bytes;
}

/** `data` of an envelope of type `link`. Throws `session-bad`. */
export function parseLink(data: Bytes): LinkMessage {
  const kind = Object.entries(kinds).find(([, value]) => value === data[0])?.[0] as LinkKind | undefined;
  const lengths: Record<LinkKind, readonly [number, number]> = {
    hello: [32, 32], answer: [96, 96], finish: [64, 64], frame: [24, 24 + linkPlaintextLimit], closed: [0, 0],
  };
  const payload = data.slice(9);
  if (!kind || data.length < 9) return bad('format');
  const [least, most] = lengths[kind];
  if (payload.length < least || payload.length > most) bad('format');
  return { kind, session: data.slice(1, 9), payload };
}

function message(kind: LinkKind, session: Bytes, payload: Bytes): Bytes {
  return concat(Uint8Array.of(kinds[kind]), session, payload);
}

/** Says that a session is not known (any more). */
export function linkClosed(session: Bytes): Bytes {
  return message('closed', session, new Uint8Array(0));
}

/** The device's side of the opening: send `hello`, give `answer` to `finish`, send what it returns. */
export class LinkInitiator {
  readonly hello: Bytes;
  readonly session: Bytes;
  readonly #ends: LinkEnds;
  readonly #keys: DeviceKeys;
  readonly #eph: Ephemeral;

  private constructor(ends: LinkEnds, keys: DeviceKeys, session: Bytes, eph: Ephemeral) {
    this.#ends = ends;
    this.#keys = keys;
    this.#eph = eph;
    this.session = session;
    this.hello = message('hello', session, eph.key);
  }

  static async start(ends: LinkEnds, keys: DeviceKeys, random: Random = randomBytes): Promise<LinkInitiator> {
    const session = random(8);
    return new LinkInitiator(ends, keys, session, await ephemeral(random));
  }

  /** `homeSign` is from the own chain. Throws `session-bad`: it is not the home, or somebody stands between. */
  async finish(answer: LinkMessage, homeSign: Bytes): Promise<{ readonly finish: Bytes; readonly channel: LinkChannel }> {
    if (answer.kind !== 'answer' || !equal(answer.session, this.session)) bad('order');
    const theirs = answer.payload.slice(0, 32);
    const t = transcript(this.#ends, this.session, this.#eph.key, theirs);
    if (!verify(homeSign, answer.payload.subarray(32), 'sign/link', utf8('r'), t)) bad('home');
    const shared = await agree(this.#eph, theirs);
    const sig = await this.#keys.signature('sign/link', utf8('i'), t);
    return {
      finish: message('finish', this.session, sig),
      channel: new LinkChannel(this.session, directionKey(shared, 'i2r', t), directionKey(shared, 'r2i', t)),
    };
  }
}

/** The home's side: `answer` is sent, `finish` proves the device. */
export class LinkResponder {
  readonly answer: Bytes;
  readonly #session: Bytes;
  readonly #t: Bytes;
  readonly #shared: Bytes;

  private constructor(answer: Bytes, session: Bytes, t: Bytes, shared: Bytes) {
    this.answer = answer;
    this.#session = session;
    this.#t = t;
    this.#shared = shared;
  }

  static async start(ends: LinkEnds, keys: DeviceKeys, hello: LinkMessage, random: Random = randomBytes): Promise<LinkResponder> {
    if (hello.kind !== 'hello') bad('order');
    const eph = await ephemeral(random);
    const t = transcript(ends, hello.session, hello.payload, eph.key);
    const shared = await agree(eph, hello.payload);
    const sig = await keys.signature('sign/link', utf8('r'), t);
    return new LinkResponder(message('answer', hello.session, concat(eph.key, sig)), hello.session, t, shared);
  }

  finish(finish: LinkMessage, deviceSign: Bytes): LinkChannel {
    if (finish.kind !== 'finish' || !equal(finish.session, this.#session)) bad('order');
    if (!verify(deviceSign, finish.payload, 'sign/link', utf8('i'), this.#t)) bad('device');
    return new LinkChannel(
      this.#session, directionKey(this.#shared, 'r2i', this.#t), directionKey(this.#shared, 'i2r', this.#t),
    );
  }
}

/** An open session. After the first error it is over: make a new one. */
export class LinkChannel {
  readonly session: Bytes;
  readonly #out: Bytes;
  readonly #in: Bytes;
  #sent = 0;
  #received = 0;
  #over = false;

  constructor(session: Bytes, out: Bytes, incoming: Bytes) {
    this.session = session;
    this.#out = out;
    this.#in = incoming;
  }

  get over(): boolean {
    return this.#over;
  }

  /** JSON bytes of at most 60 KiB to the data of an envelope. Throws `too-large`, or `session-bad` when it is over. */
  seal(json: Bytes): Bytes {
    if (this.#over) bad('over');
    if (json.length > linkPlaintextLimit) throw new Problem('too-large', { limit: linkPlaintextLimit });
    const counter = u64(this.#sent++);
    return message('frame', this.session, concat(counter, sealSecretbox(this.#out, frameNonce(counter), json)));
  }

  /** Throws `session-bad` for a wrong counter or tag; the session is then over. */
  open(frame: LinkMessage): Bytes {
    if (this.#over) bad('over');
    try {
      if (frame.kind !== 'frame' || !equal(frame.session, this.session)) bad('order');
      if (readU64(frame.payload, 0) !== this.#received) bad('counter');
      const json = openSecretbox(this.#in, frameNonce(frame.payload.subarray(0, 8)), frame.payload.subarray(8)) ?? bad('tag');
      this.#received++;
      return json;
    } catch (error) {
      this.#over = true;
      throw isProblem(error, 'bad-request') ? new Problem('session-bad', { reason: 'counter' }, error) : error;
    }
  }

  close(): void {
    this.#over = true;
  }
}

function frameNonce(counter: Uint8Array): Bytes {
  return concat(new Uint8Array(16), counter);
}

function transcript(ends: LinkEnds, session: Bytes, ephI: Bytes, ephR: Bytes): Bytes {
  const { uid, device, home, relayKey, host } = ends;
  return hash('link', uid, device, home, relayKey, utf8(formatHost(host)), session, ephI, ephR);
}

function directionKey(shared: Bytes, direction: 'i2r' | 'r2i', t: Bytes): Bytes {
  return kdf(shared, `link/${direction}`, t);
}

async function agree(own: Ephemeral, theirs: Bytes): Promise<Bytes> {
  try {
    return await own.dh(theirs);
  } catch (error) {
    throw new Problem('session-bad', { reason: 'key' }, error);
  }
}

function bad(reason: string): never {
  throw new Problem('session-bad', { reason });
}
