/**
 * What is said inside letters: meta and bodies (protocol/README.md section 8), from unknown bytes to one closed union.
 * A body of a kind this version does not know comes out as `unknown` and is kept.
 */
import { usernameWellFormed } from './address';
import { allZero, b64, type Bytes, utf8 } from './bytes';
import type { LetterType } from './envelope';
import {
  array, blob, bool, bytes, characters, int, type Json, oneOf, open, parseJson, type Read, type ReadOf, refuse, text,
} from './json';
import { readSigned, signedJson } from './signed';

/** Controls, marks of direction and what has no width; the joiners stay, which scripts and emoji are written with. */
const unseen = /[\p{Cc}\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0]/gu;

/** A name as it is written and shown: by it people recognise each other, so nothing in it is hidden or turns it round. */
export function plainName(name: string): string {
  return name.replace(unseen, '').trim();
}

/** Characters are Unicode code points; the same numbers as in the Go package. */
export const limits = {
  /** characters of a text, wherever it travels */
  text: 20_000,
  /** bytes of UTF-8 of a text that travels in the letter itself */
  inline: 40_000,
  name: 64,
  about: 1000,
  /** characters sent along with a friend request */
  words: 100,
  /** bytes */
  emoji: 64,
  /** bytes of a JPEG in a profile or on an invite */
  picture: 24 * 1024,
  /** pixels of a photo's side */
  side: 20_000,
  /** bytes of a ThumbHash */
  thumb: 64,
  /** messages in one receipt */
  items: 500,
  /** bytes of a file before it is sealed */
  file: 20 * 1024 * 1024,
  /** bytes of the description of a connection, and of one of its candidates */
  sdp: 16 * 1024,
  candidate: 256,
  /** in one letter */
  candidates: 16,
  /** of a call: nobody is believed to have spoken longer than a day */
  seconds: 24 * 60 * 60,
} as const;

const metaLimits = { bytes: 4096, depth: 4 };
const bodyLimits = { bytes: 65_536, depth: 4 };

// ---- meta ------------------------------------------------------------------------------------------------------------

export interface Meta {
  readonly kind: string;
  /** 16 bytes, made once by the author, the same however often the message is sealed again */
  readonly mid: Bytes;
  /** id of the device that sealed it */
  readonly dev: Bytes;
  /** per (device, conversation), from 1 */
  readonly seq: number;
  readonly clock: number;
  /** the sender's chain: its head and that head's seq */
  readonly head: Bytes;
  readonly chain: number;
  /** highest counter seen of the reader's UEKs, 0 = none */
  readonly uek: number;
}

const readKind: Read<string> = (value) =>
  typeof value === 'string' && /^[a-z0-9.-]{1,32}$/.test(value) ? value : refuse('kind');
const readNewMid: Read<Bytes> = (value) => {
  const mid = bytes(16)(value);
  return allZero(mid) ? refuse('mid') : mid;
};
const readMeta: Read<Meta> = open({
  kind: readKind, mid: readNewMid, dev: bytes(32), seq: int(1), clock: int(), head: bytes(32), chain: int(), uek: int(),
});

/** Throws `bad-request`. */
export function parseMeta(source: Bytes): Meta {
  return readMeta(parseJson(source, metaLimits));
}

export function encodeMeta(meta: Meta): Bytes {
  const { kind, mid, dev, seq, clock, head, chain, uek } = meta;
  return utf8(JSON.stringify({ kind, mid: b64(mid), dev: b64(dev), seq, clock, head: b64(head), chain, uek }));
}

/** The clock of a new message: never behind anything seen in the conversation. */
export function nextClock(now: number, highest: number): number {
  return Math.max(now, highest + 1);
}

/** The clock a reader orders by: nobody can put a message far into the future. `ts` is the envelope's. */
export function shownClock(clock: number, ts: number): number {
  return Math.min(clock, ts + 10 * 60_000);
}

// ---- bodies ------------------------------------------------------------------------------------------------------------

/** Whose message, and which. */
export interface Target {
  readonly mid: Bytes;
  readonly author: Bytes;
}

/** Where sealed bytes are, and what opens them (file.ts). */
export interface FileRef {
  readonly id: Bytes;
  readonly key: Bytes;
  /** bytes before sealing */
  readonly size: number;
  /** SHA-256 of the bytes before sealing */
  readonly hash: Bytes;
  readonly type: string;
}

const readMid = bytes(16);
const readUid = bytes(32);
const readName = text(limits.name, 1);
const readUsername: Read<string> = (value) =>
  typeof value === 'string' && usernameWellFormed(value) ? value : refuse('username');
/** May be empty in answers. */
function readAnswerName(value: Json): string {
  return value === '' ? value : readUsername(value);
}
const readTarget: Read<Target> = open({ mid: readMid, author: readUid });
const readMime: Read<string> = (value) =>
  typeof value === 'string' && value.length <= 64 && /^[a-z0-9][a-z0-9.+-]*\/[a-z0-9][a-z0-9.+-]*$/.test(value) ? value : refuse('type');
/** What a letter itself carries of a text. */
const inline =
  (least: number): Read<string> =>
  (value) => {
    const found = text(limits.text, least)(value);
    return utf8(found).length <= limits.inline ? found : refuse('text');
  };
const readEmoji: Read<string> = (value) =>
  typeof value === 'string' && utf8(value).length <= limits.emoji ? value : refuse('emoji');
const readAnswer = open({}, { name: text(limits.name), username: readAnswerName });

/** Of a connection between two devices: what it is like, and where it may be reached (sections 17 and 8). */
export interface Signal {
  readonly sdp?: { readonly type: 'offer' | 'answer'; readonly sdp: string } | undefined;
  readonly candidates?: readonly { readonly candidate: string; readonly sdpMid: string }[] | undefined;
}

const ascii = (most: number, least = 0): Read<string> => (value) =>
  typeof value === 'string' && value.length >= least && utf8(value).length <= most ? value : refuse('text');
const signal = {
  sdp: open({ type: oneOf('offer', 'answer'), sdp: ascii(limits.sdp, 1) }),
  candidates: array(open({ candidate: ascii(limits.candidate), sdpMid: ascii(16) }), limits.candidates),
};
const media = oneOf('audio', 'video');
const readAnyCall = open(
  { call: bytes(16), op: oneOf('ring', 'answer', 'taken', 'decline', 'busy', 'end', 'signal') }, { media, to: bytes(32), by: bytes(32), ...signal },
);
const readCall: Read<ReturnType<typeof readAnyCall>> = (value) => {
  const call = readAnyCall(value);
  const { op } = call;
  const lacks = op === 'ring' ? !call.media : op === 'taken' ? !call.by : (op === 'answer' || op === 'signal') && !call.to;
  return lacks ? refuse(op) : call;
};

export const readFileRef: Read<FileRef> = open({
  id: bytes(16), key: bytes(32), size: int(0, limits.file), hash: bytes(32), type: readMime,
});

const bodies = {
  chat: {
    text: open({ text: inline(1) }, { reply: readTarget, file: readFileRef }),
    photo: open(
      { file: readFileRef, width: int(1, limits.side), height: int(1, limits.side), thumb: blob(limits.thumb) },
      { text: inline(0), reply: readTarget },
    ),
    edit: open({ target: readMid, text: inline(0) }, { file: readFileRef }),
    delete: open({ target: readMid }),
    react: open({ target: readMid, author: readUid, emoji: readEmoji }),
    read: open({ upto: int(), mid: readMid }),
    profile: open({ name: readName, about: text(limits.about), version: int() }, { picture: blob(limits.picture) }),
    call: open({ call: bytes(16), media, result: oneOf('answered', 'missed', 'declined', 'busy', 'failed'), seconds: int(0, limits.seconds) }),
  },
  friend: {
    request: open({ name: readName, username: readUsername }, { words: text(limits.words) }),
    joined: open({ name: readName, username: readUsername, invite: bytes(16), proof: bytes(32) }),
    accept: readAnswer,
    decline: readAnswer,
    remove: readAnswer,
  },
  receipt: {
    home: open({ items: array(open({ mid: readMid, hash: bytes(32) }), limits.items, 1) }),
    stale: open({ id: bytes(16), uek: readSigned }),
  },
  live: { typing: open({}), here: open({}), peer: open({ id: bytes(16), to: bytes(32) }, { end: bool, ...signal }), call: readCall },
} as const;

type Bodies = typeof bodies;
/** Every known (type, kind) with its body. */
export type Known = {
  [T in keyof Bodies]: { [K in keyof Bodies[T]]: { readonly type: T; readonly kind: K; readonly body: ReadOf<Bodies[T][K]> } }[keyof Bodies[T]];
}[keyof Bodies];
export interface Unknown { readonly type: LetterType; readonly kind: 'unknown' }
export type Said = Known | Unknown;

export type ChatSaid = Extract<Known, { type: 'chat' }>;
export type FriendSaid = Extract<Known, { type: 'friend' }>;
export type ReceiptSaid = Extract<Known, { type: 'receipt' }>;
export type LiveSaid = Extract<Known, { type: 'live' }>;
/** Body of one kind: `BodyOf<'chat', 'text'>`. */
export type BodyOf<T extends Known['type'], K extends string> = Extract<Known, { type: T; kind: K }>['body'];

export function isLetterType(type: string): type is LetterType {
  return Object.hasOwn(bodies, type);
}

/** Throws `bad-request` for a known kind with a body it cannot have. */
export function parseBody(type: LetterType, kind: string, source: Bytes): Said {
  return readBody(type, kind, parseJson(source, bodyLimits));
}

/** The same from JSON that was parsed already (events of the home's log). */
export function readBody(type: LetterType, kind: string, value: Json): Said {
  const kinds: Readonly<Record<string, Read<unknown>>> = bodies[type];
  const read = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  if (!read) return { type, kind: 'unknown' };
  return { type, kind, body: read(value) } as Known; // `read` is the reader of exactly this type and kind
}

/** The JSON of a body; what it reads back as is the same body. */
export function encodeBody(said: Known): Bytes {
  return utf8(JSON.stringify(bodyJson(said)));
}

export function bodyJson(said: Known): Json {
  return plain(said.kind === 'stale' ? { ...said.body, uek: signedJson(said.body.uek) } : said.body);
}

/** Byte strings become base64url wherever they stand. */
function plain(value: unknown): Json {
  if (value instanceof Uint8Array) return b64(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).filter(([, field]) => field !== undefined);
    return Object.fromEntries(entries.map(([key, field]) => [key, plain(field)]));
  }
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  return refuse('body');
}

/**
 * What of a text travels in the letter. `whole` false: the rest needs a file with all of the text, and `inline` is its
 * beginning. Cut between code points.
 */
export function splitText(full: string): { readonly inline: string; readonly whole: boolean } {
  if (characters(full) > limits.text) return refuse('text');
  if (fits(full)) return { inline: full, whole: true };
  const points = Array.from(full);
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (fits(points.slice(0, middle).join(''))) low = middle;
    else high = middle - 1;
  }
  return { inline: points.slice(0, low).join(''), whole: false };
}

/** By its JSON form, in which some characters take six bytes: so it fits a letter whatever it holds. */
function fits(part: string): boolean {
  return utf8(JSON.stringify(part)).length - 2 <= limits.inline;
}

