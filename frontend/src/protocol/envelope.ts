/**
 * Envelopes (protocol/README.md section 7): what a relay reads. `headerHash` is H, to which the letter inside is bound.
 */
import { hostWellFormed, usernameWellFormed } from './address';
import { b64, type Bytes, u64, u8, utf8 } from './bytes';
import { blob, bytes, closed, int, type Json, oneOf, parseJson, type Read, refuse } from './json';
import { Problem } from './problem';
import { hash, type Random, randomBytes } from './primitives';

export const envelopeLimit = 128 * 1024;

/** Types that clients of this version make; others are passed on by relays and left alone by readers. */
export type LetterType = 'chat' | 'friend' | 'receipt' | 'live';

export interface Address {
  /** address literal or host name */
  readonly ip: string;
  readonly port: number;
  /** may be empty */
  readonly username: string;
  /** uid; a device id in envelopes of type `link` */
  readonly id: Bytes;
}

export interface Header {
  readonly v: 1;
  /** 16 bytes, fresh for every envelope */
  readonly id: Bytes;
  readonly ts: number;
  /** 0, or the time after which it is worthless */
  readonly exp: number;
  readonly from: Address;
  readonly to: Address;
  readonly type: string;
}

export interface Envelope extends Header {
  readonly data: Bytes;
}

export function makeHeader(
  parts: { readonly from: Address; readonly to: Address; readonly type: string; readonly ts: number; readonly exp?: number },
  random: Random = randomBytes,
): Header {
  const { from, to, type, ts, exp = 0 } = parts;
  return { v: 1, id: random(16), ts, exp, from, to, type };
}

/** H: what of an envelope is bound to its letter. Addresses and names are hints and not in it. */
export function headerHash(header: Header): Bytes {
  const { v, id, ts, exp, from, to, type } = header;
  return hash('envelope', u8(v), id, u64(ts), u64(exp), from.id, to.id, utf8(type));
}

const readHost: Read<string> = (value) => (typeof value === 'string' && hostWellFormed(value) ? value : refuse('ip'));
const readName: Read<string> = (value) =>
  typeof value === 'string' && (value === '' || usernameWellFormed(value)) ? value : refuse('username');
const readType: Read<string> = (value) =>
  typeof value === 'string' && /^[a-z0-9.-]{1,32}$/.test(value) ? value : refuse('type');
const readAddress: Read<Address> = closed({ ip: readHost, port: int(1, 65535), username: readName, id: bytes(32) });

/** From a frame that has been parsed already. Throws `bad-request`. */
export const readEnvelope: Read<Envelope> = closed({
  v: oneOf(1), id: bytes(16), ts: int(), exp: int(), from: readAddress, to: readAddress, type: readType, data: blob(envelopeLimit),
});

/** Throws `bad-request` or `too-large`. */
export function parseEnvelope(source: string | Bytes): Envelope {
  return readEnvelope(parseJson(source, { bytes: envelopeLimit, depth: 3 }));
}

/** The value to put into a frame. Keep its text: a retransmission sends the same bytes. */
export function envelopeJson(envelope: Envelope): Json {
  const address = ({ ip, port, username, id }: Address): Json => ({ ip, port, username, id: b64(id) });
  const { v, id, ts, exp, from, to, type, data } = envelope;
  return { v, id: b64(id), ts, exp, from: address(from), to: address(to), type, data: b64(data) };
}

/** Throws `too-large` beyond 128 KiB. */
export function encodeEnvelope(envelope: Envelope): string {
  const text = JSON.stringify(envelopeJson(envelope));
  if (text.length > envelopeLimit) throw new Problem('too-large'); // ASCII throughout, so characters are bytes
  return text;
}
