/** From something said to an envelope, and back: where the protocol's sealing meets whom we know and what we hold. */

import { b64, unb64, utf8 } from '../protocol/bytes';
import { encodeEnvelope, makeHeader, type Address, type Envelope, type LetterType } from '../protocol/envelope';
import { parseJson } from '../protocol/json';
import { isSealedTo, letterHash, openLetter, sealLetter, type OpenedLetter } from '../protocol/letter';
import { isProblem } from '../protocol/problem';
import type { Chains } from './chains';
import { clampClock, type LogEvent } from './event';
import type { Keyring } from './keyring';
import type { Self } from './self';
import type { Mid, Uid } from './types';

const BODY_LIMIT = 65_536;

export interface Outgoing {
  readonly peer: Uid;
  readonly type: LetterType;
  readonly kind: string;
  readonly mid: Mid;
  readonly clock: number;
  readonly seq: number;
  readonly body: unknown;
  /** with a slot for oneself */
  readonly copy: boolean;
  /** ms it is worth something, for what is never queued */
  readonly lasts?: number;
}

/** What relays keep until it is where it belongs. */
export type Queued = Outgoing & { readonly type: Exclude<LetterType, 'live'> };

export interface SealedLetter {
  readonly id: string;
  /** the envelope's exact text */
  readonly env: string;
  readonly hash: string;
  /** as every reader will order by it */
  readonly clock: number;
}

export interface Received {
  readonly event: LogEvent;
  readonly opened: OpenedLetter;
  readonly envelope: Envelope;
}

export class Letters {
  readonly #self: Self;
  readonly #chains: Chains;
  readonly #keyring: Keyring;
  readonly #addressOf: (peer: Uid) => Address;

  constructor(self: Self, chains: Chains, keyring: Keyring, addressOf: (peer: Uid) => Address) {
    this.#self = self;
    this.#chains = chains;
    this.#keyring = keyring;
    this.#addressOf = addressOf;
  }

  async seal(out: Outgoing): Promise<SealedLetter> {
    const self = this.#self;
    const friend = (out.type === 'live' ? this.#chains.uekHeld(out.peer) : undefined) ?? (await this.#chains.uek(out.peer));
    const own = out.copy ? [(await this.#chains.uek(self.id)).key] : [];
    const chain = await this.#chains.of(self.id);
    const ts = out.lasts === undefined ? self.date : self.now();
    const header = makeHeader({
      from: self.address, to: this.#addressOf(out.peer), type: out.type, ts, ...(out.lasts === undefined ? {} : { exp: ts + out.lasts }),
    });
    const meta = {
      kind: out.kind, mid: unb64(out.mid, 16), dev: self.keys.id, seq: out.seq, clock: out.clock,
      head: chain.head, chain: chain.seq, uek: this.#chains.counter(out.peer),
    };
    const data = await sealLetter({
      header, device: self.keys, ueks: [friend.key, ...own], meta, body: utf8(JSON.stringify(out.body)),
    });
    return {
      id: b64(header.id), env: encodeEnvelope({ ...header, data }), hash: b64(letterHash(header, data)), clock: clampClock(out.clock, ts),
    };
  }

  /** Whether one of our keys fits; if none does, it may have been deleted. */
  fits(envelope: Envelope): Promise<boolean> {
    return isSealedTo(envelope, envelope.data, this.#keyring.candidates(envelope.ts));
  }

  /** Throws `letter-bad`, `chain-behind`, `fork`, or what went wrong while the sender's chain was fetched. */
  async open(envelope: Envelope): Promise<Received> {
    const self = this.#self;
    const author = b64(envelope.from.id);
    const peer = author === self.id ? b64(envelope.to.id) : author;
    if (author !== self.id) this.#chains.hint(author, { host: envelope.from.ip, port: envelope.from.port });
    const opened = await openLetter(
      envelope,
      envelope.data,
      this.#keyring.candidates(envelope.ts),
      (uid, meta) => this.#chains.reaching(b64(uid), { seq: meta.chain, head: meta.head }),
    );
    const { meta } = opened;
    const received = self.now();
    const event: LogEvent = {
      peer, author, mid: b64(meta.mid), dev: b64(meta.dev), type: envelope.type, kind: meta.kind,
      clock: clampClock(meta.clock, envelope.ts), ts: envelope.ts, received, body: bodyOf(opened),
      hash: b64(letterHash(envelope, envelope.data)),
      // One's own letter came back: the relay has it.
      ...(author === self.id ? { accepted: received, ids: [b64(envelope.id)] } : {}),
    };
    return { event, opened, envelope };
  }
}

/** Whatever it is; what a kind needs is checked where the kind is known. */
function bodyOf(opened: OpenedLetter): unknown {
  try {
    // Twice through JSON: what the database clones has to be plain.
    return JSON.parse(JSON.stringify(parseJson(opened.body, { bytes: BODY_LIMIT, depth: 8 }))) as unknown;
  } catch (error) {
    if (isProblem(error)) return {};
    throw error;
  }
}
