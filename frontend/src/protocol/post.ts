/**
 * The public wall (protocol/README.md section 15): changes, heads, and the check that a reader makes. It fetches and stores
 * nothing, and does not decide what becomes of a wall that was altered.
 */
import { formatHost, parseHost, usernameWellFormed } from './address';
import { b64, type Bytes, equal, utf8 } from './bytes';
import type { Chain } from './ident';
import {
  array, blob, bool, bytes, closed, int, isObject, type Json, oneOf, open, parseJson, type Read, type ReadOf, refuse, text,
} from './json';
import { hash } from './primitives';
import { isProblem, Problem } from './problem';
import { readSigned, type Signed, signedJson, type Signer, signPayload, verifySigned } from './signed';

/** Characters unless said otherwise. */
export const wallLimits = {
  text: 20_000, textBytes: 40_000, photos: 4, photoBytes: 2 * 1024 * 1024, alt: 500, name: 64, about: 1000, gone: 2000, pageItems: 100, pageBytes: 1024 * 1024,
} as const;
const maxPayload = 43_008;
const maxSide = 20_000;

const picture = { hash: bytes(32), size: int(1, wallLimits.photoBytes), width: int(1, maxSide), height: int(1, maxSide) };
const alt = { alt: text(wallLimits.alt) };
const readPicture = closed(picture, alt);
const readPhoto = closed({ ...picture, thumb: blob(64) }, alt);
export type PostPicture = ReadOf<typeof readPicture>;
export type PostPhoto = ReadOf<typeof readPhoto>;

const readText: Read<string> = (value) => {
  const read = text(wallLimits.text)(value);
  return utf8(read).length <= wallLimits.textBytes ? read : refuse('text');
};
const readGone = array(int(1), wallLimits.gone);
const all = { v: oneOf(1), uid: bytes(32), seq: int(1), ts: int() };
const prev = { prev: bytes(32) };
const post = { id: bytes(16), text: readText, photos: array(readPhoto, wallLimits.photos) };
const shapes = {
  post: closed({ ...all, op: oneOf('post'), ...post }, prev),
  edit: closed({ ...all, op: oneOf('edit'), ...post, posted: int(), gone: readGone }, prev),
  delete: closed({ ...all, op: oneOf('delete'), id: bytes(16), gone: readGone }, prev),
  profile: closed({ ...all, op: oneOf('profile'), name: text(wallLimits.name, 1), about: text(wallLimits.about), gone: readGone }, { ...prev, picture: readPicture }),
};
type Op = keyof typeof shapes;
type Payload = { [K in Op]: ReadOf<(typeof shapes)[K]> }[Op];
const readOp = open({ op: oneOf('post', 'edit', 'delete', 'profile') });
const readHead = closed({ v: oneOf(1), uid: bytes(32), seq: int(1), hash: bytes(32), ts: int() });
const readChange = closed({ payload: blob(maxPayload, 1), by: bytes(32), sig: bytes(64) });
const readStub = closed({ seq: int(1), hash: bytes(32) });

/** What a change says. */
export type Content =
  | { readonly op: 'post'; readonly id: Bytes; readonly text: string; readonly photos: readonly PostPhoto[] }
  | { readonly op: 'edit'; readonly id: Bytes; readonly text: string; readonly photos: readonly PostPhoto[]; readonly posted: number; readonly gone: readonly number[] }
  | { readonly op: 'delete'; readonly id: Bytes; readonly gone: readonly number[] }
  | { readonly op: 'profile'; readonly name: string; readonly about: string; readonly picture?: PostPicture | undefined; readonly gone: readonly number[] };

/** One change of a wall; `hash` is its own. */
export type Change = Payload & { readonly hash: Bytes };

/** What a reader remembers of a wall: the last head that was read to the end; `ts` is the head's. */
export interface Pin {
  readonly seq: number;
  readonly hash: Bytes;
  readonly ts: number;
}

/** A part of a wall as a relay gives it, ascending; nothing of it has been verified. */
export interface WallPage {
  readonly uid: Bytes;
  readonly username: string;
  readonly host: string;
  readonly head: Signed;
  readonly changes: readonly (Signed | { readonly seq: number; readonly hash: Bytes })[];
  readonly more: boolean;
}

/** Not the wall that its author wrote, or not the one that was there before. */
export class Altered extends Error {
  constructor(reason: string, cause?: unknown) {
    super(reason, cause === undefined ? undefined : { cause });
    this.name = 'Altered';
  }
}

const readFrame = open({
  uid: bytes(32), username: text(32), host: text(300), head: readSigned, more: bool,
  changes: array((value) => (isObject(value) && 'payload' in value ? readChange(value) : readStub(value)), wallLimits.pageItems),
});

/** Keys that are not known are allowed. Throws `bad-request` or `too-large`. */
export const readWallPage: Read<WallPage> = (value) => {
  const page = readFrame(value);
  if (!usernameWellFormed(page.username)) refuse('username');
  try {
    if (formatHost(parseHost(page.host)) !== page.host) refuse('host');
  } catch (error) {
    return isProblem(error, 'link-bad') ? refuse('host') : rethrow(error);
  }
  return page;
};

function rethrow(error: unknown): never {
  throw error;
}

/** Form alone: neither who signed it nor the signature. Throws `bad-request` or `too-large`. */
export function parseChange(signed: Signed): Change {
  const json = parseJson(signed.payload, { bytes: maxPayload, depth: 3 });
  const change: Payload = shapes[readOp(json).op](json);
  if ((change.seq === 1) !== (change.prev === undefined)) refuse('prev');
  if (change.op === 'post' || change.op === 'edit') {
    if (change.text === '' && change.photos.length === 0) refuse('empty');
    if (new Set(change.photos.map((photo) => b64(photo.hash))).size < change.photos.length) refuse('a photo twice');
  }
  if (change.op === 'edit' && change.posted > change.ts) refuse('posted');
  if (change.op !== 'post') {
    if (change.gone.length === 0 && change.op !== 'profile') refuse('gone');
    let last = 0;
    for (const seq of change.gone) {
      if (seq <= last || seq >= change.seq) refuse('gone');
      last = seq;
    }
  }
  return { ...change, hash: hash('post', signed.payload) };
}

/** Throws `bad-request`, `too-large`, or `bad-chain` when the signer is not in this chain, or was not active then. */
export function verifyChange(signed: Signed, chain: Chain): Change {
  const change = parseChange(signed);
  verifySigner(signed, 'sign/post', change, chain);
  return change;
}

/** As `verifyChange`. */
export function verifyHead(signed: Signed, chain: Chain): Pin {
  const head = readHead(parseJson(signed.payload, { bytes: 4096, depth: 1 }));
  verifySigner(signed, 'sign/wall-head', head, chain);
  return { seq: head.seq, hash: head.hash, ts: head.ts };
}

function verifySigner(signed: Signed, label: string, { uid, ts }: { readonly uid: Bytes; readonly ts: number }, chain: Chain): void {
  if (!equal(uid, chain.uid)) refuse('another person’s');
  if (!verifySigned(signed, label)) refuse('signature');
  const device = chain.devices.find(({ sign }) => equal(sign, signed.by));
  if (!device || device.role === 'session' || !chain.author(device.id, ts)) throw new Problem('bad-chain', { reason: 'wall signer' });
}

/** The seqs of a post with this change as the newest: what the next one names as `gone`. */
export function stepsOf(change: Change): readonly number[] {
  return change.op === 'post' ? [change.seq] : [...change.gone, change.seq];
}

/**
 * The change that follows `last`, and the head that comes with it; both are dated with the later of `now` and `last.ts`.
 * Throws `bad-request`.
 */
export async function makeChange(signer: Signer, chain: Chain, last: Pin | undefined, content: Content, now: number): Promise<{ change: Change; signed: Signed; head: Signed }> {
  const ts = Math.max(now, last?.ts ?? 0);
  const frame: Record<string, Json> = { v: 1, uid: b64(chain.uid), seq: (last?.seq ?? 0) + 1, ts, ...(last && { prev: b64(last.hash) }) };
  const signed = await signPayload(signer, 'sign/post', utf8(JSON.stringify({ ...frame, ...wire(content) })));
  const change = verifyChange(signed, chain);
  return { change, signed, head: await makeHead(signer, chain, { seq: change.seq, hash: change.hash, ts }, now) };
}

/** Says at `now` that the wall ends where `last` does. */
export async function makeHead(signer: Signer, chain: Chain, last: Pin, now: number): Promise<Signed> {
  const head = { v: 1, uid: b64(chain.uid), seq: last.seq, hash: b64(last.hash), ts: Math.max(now, last.ts) };
  const signed = await signPayload(signer, 'sign/wall-head', utf8(JSON.stringify(head)));
  verifyHead(signed, chain);
  return signed;
}

function wire(content: Content): Record<string, Json> {
  switch (content.op) {
    case 'post':
      return { op: 'post', id: b64(content.id), text: content.text, photos: content.photos.map(pictureWire) };
    case 'edit':
      return { op: 'edit', id: b64(content.id), text: content.text, photos: content.photos.map(pictureWire), posted: content.posted, gone: content.gone };
    case 'delete':
      return { op: 'delete', id: b64(content.id), gone: content.gone };
    case 'profile':
      return { op: 'profile', name: content.name, about: content.about, ...(content.picture && { picture: pictureWire(content.picture) }), gone: content.gone };
  }
}

function pictureWire(photo: PostPicture & { readonly thumb?: Bytes }): Json {
  const { hash: sum, size, width, height, thumb, alt: words } = photo;
  return { hash: b64(sum), size, width, height, ...(thumb && { thumb: b64(thumb) }), ...(words !== undefined && words !== '' && { alt: words }) };
}

/** As it is posted. */
export function postedJson(head: Signed, change?: Signed): { readonly head: unknown; readonly change?: unknown } {
  return { head: signedJson(head), ...(change && { change: signedJson(change) }) };
}

/** Reads a wall from a pin to its end, page by page, and checks all of it. Of no use after it has thrown. */
export class Walk {
  readonly #chain: Chain;
  /** what another of one's devices has seen of the wall, to be met on the way */
  readonly #known: Pin | undefined;
  readonly #stubs = new Set<number>();
  #seq: number;
  #hash: Bytes;
  #ts: number;
  #head: Pin;
  #ended = false;

  constructor(chain: Chain, pin: Pin | undefined, known?: Pin) {
    this.#chain = chain;
    this.#known = known && known.seq > (pin?.seq ?? 0) ? known : undefined;
    this.#seq = pin?.seq ?? 0;
    this.#hash = pin?.hash ?? new Uint8Array(32);
    this.#ts = pin?.ts ?? 0;
    this.#head = { seq: this.#seq, hash: this.#hash, ts: this.#ts };
  }

  /** Where the next page begins. */
  get after(): number {
    return this.#seq;
  }

  /** The new pin, when the walk is at the head: only then count the changes. */
  get end(): Pin | undefined {
    return this.#ended ? this.#head : undefined;
  }

  /** Throws `Altered`, or `bad-chain` for a signer that this copy of the chain does not know: fetch it anew and walk once more. */
  take(page: WallPage): readonly Change[] {
    if (this.#ended || !equal(page.uid, this.#chain.uid)) throw new Altered('another person’s wall, or beyond its end');
    this.#takeHead(page.head);
    const changes: Change[] = [];
    for (const item of page.changes) {
      if (this.#seq >= this.#head.seq) throw new Altered('goes on behind its head');
      if ('payload' in item) changes.push(this.#takeChange(item));
      else this.#takeStub(item);
      if (this.#known?.seq === this.#seq && !equal(this.#known.hash, this.#hash)) throw new Altered('another past than was seen before');
    }
    if (!page.more) this.#finish();
    else if (page.changes.length === 0 || this.#seq >= this.#head.seq) throw new Altered('no more where more was promised');
    return changes;
  }

  #takeHead(signed: Signed): void {
    const head = this.#distrust(() => verifyHead(signed, this.#chain));
    if (head.seq < this.#head.seq || head.ts < this.#head.ts) throw new Altered('the head went back');
    if (this.#known && (head.seq < this.#known.seq || head.ts < this.#known.ts)) throw new Altered('the head went back');
    this.#head = head;
  }

  #takeStub({ seq, hash: sum }: { readonly seq: number; readonly hash: Bytes }): void {
    if (seq !== this.#seq + 1) throw new Altered('a gap');
    this.#seq = seq;
    this.#hash = sum;
    this.#stubs.add(seq);
  }

  #takeChange(signed: Signed): Change {
    const change = this.#distrust(() => verifyChange(signed, this.#chain));
    if (change.seq !== this.#seq + 1) throw new Altered('a gap');
    if (change.prev && !equal(change.prev, this.#hash)) throw new Altered('a change does not continue its predecessor');
    if (change.ts < this.#ts) throw new Altered('a change is dated before its predecessor');
    this.#seq = change.seq;
    this.#hash = change.hash;
    this.#ts = change.ts;
    for (const seq of change.op === 'post' ? [] : change.gone) this.#stubs.delete(seq);
    return change;
  }

  #finish(): void {
    if (this.#seq !== this.#head.seq || !equal(this.#hash, this.#head.hash)) throw new Altered('does not end at its head');
    if (this.#head.ts < this.#ts) throw new Altered('the head is older than the last change');
    if (this.#stubs.size > 0) throw new Altered('a stub that nothing accounts for');
    this.#ended = true;
  }

  #distrust<T>(verify: () => T): T {
    try {
      return verify();
    } catch (error) {
      if (isProblem(error, 'bad-request', 'too-large')) throw new Altered(String(error.params['reason'] ?? error.code), error);
      throw error;
    }
  }
}
