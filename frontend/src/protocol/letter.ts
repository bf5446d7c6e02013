/**
 * Letters (protocol/README.md section 8): what people say, sealed to daily keys and bound to the envelope's header.
 */
import { type Bytes, concat, equal, readU32, u16, u32, u8 } from './bytes';
import { type Header, headerHash } from './envelope';
import type { Chain, ChainDevice } from './ident';
import { type DeviceKeys, ephemeral, type UekSecret } from './keys';
import { encodeMeta, type Meta, parseMeta } from './message';
import { isProblem, Problem } from './problem';
import { boxKey, hash, kdf, mac, nonceOf, openSecretbox, type Random, randomBytes, sealSecretbox, sha256, verify } from './primitives';

/** Most readers of one letter. */
export const slotLimit = 200;
const paddedLimit = 65_536;
const slotSize = 56;
const slotsAt = 66;

/** 1: MACs, deniable, between two people. 2: a signature (rooms, posts, records; not in chats). */
export type AuthKind = 1 | 2;

export interface Sealing {
  readonly header: Header;
  readonly device: DeviceKeys;
  /** public keys of the UEKs it is sealed to, in slot order: the friend's, then the writer's own */
  readonly ueks: readonly Bytes[];
  readonly meta: Meta;
  /** JSON, `encodeBody` */
  readonly body: Bytes;
  readonly auth?: AuthKind;
}

/** The letter's bytes. Throws `too-large` when meta and body do not fit 64 KiB, `key-bad` for a low-order UEK. */
export async function sealLetter(sealing: Sealing, random: Random = randomBytes): Promise<Bytes> {
  const { header, device, ueks, body, auth = 1 } = sealing;
  const count = ueks.length;
  if (count < 1 || count > slotLimit) throw new Problem('too-large', { reason: 'slots' });
  const h = headerHash(header);
  // What WebCrypto computes it computes elsewhere: ask for all that is known to be needed at once.
  const [eph, agreed] = await Promise.all([
    ephemeral(random),
    auth === 1 ? Promise.all(ueks.map((uek) => device.dh(uek))) : [],
  ]);
  const mk = random(32);
  const slots = await Promise.all(
    ueks.map(async (uek, i) => {
      const shared = boxKey(await eph.dh(uek));
      return concat(slotName(shared, h), sealSecretbox(shared, wrapNonce(h, i), mk));
    }),
  );
  const prefix = concat(u8(1), eph.key, commitment(h, mk), u8(count), ...slots);
  const prefixHash = sha256(prefix);
  const meta = encodeMeta(sealing.meta);
  const said = concat(u16(meta.length), meta, body);
  const saidHash = sha256(said);
  const proof =
    auth === 2
      ? await device.signature('sign/letter', h, prefixHash, saidHash)
      : concat(...agreed.map((dh, i) => slotMac(dh, h, i, prefixHash, saidHash)));
  const padded = pad(concat(u8(auth), proof, said));
  return concat(prefix, sealSecretbox(mk, bodyNonce(h, prefixHash), padded));
}

/** What a letter said, its sender proven. */
export interface OpenedLetter {
  readonly meta: Meta;
  /** JSON bytes, for `parseBody` */
  readonly body: Bytes;
  /** the sender's device */
  readonly device: ChainDevice;
  readonly auth: AuthKind;
  /** counter of the own UEK that opened it */
  readonly uek: number;
}

/** What opening asks of the sender's chain. */
export type SenderChain = Pick<Chain, 'uid' | 'author'>;

/**
 * Opens a letter with the first of `ueks` that fits (newest first is quickest) and proves its sender.
 * `chainOf` gives the chain of `from.id`, fetched anew where `meta` names a place beyond the copy at hand; what it
 * throws passes through. Everything else that is wrong is one error, `letter-bad`: a letter cannot be asked what is
 * wrong with it.
 */
export async function openLetter(
  header: Header,
  letter: Bytes,
  ueks: readonly UekSecret[],
  chainOf: (uid: Bytes, meta: Meta) => Promise<SenderChain>,
): Promise<OpenedLetter> {
  const opened = await oneError(() => unseal(header, letter, ueks));
  const chain = await chainOf(header.from.id, opened.meta);
  return oneError(() => prove(header, opened, chain));
}

/**
 * Whether some slot is for one of `ueks`: if none is, the keys may be gone and the sender is answered `stale`. Proves
 * nothing else of the letter, and never throws for what the letter holds.
 */
export async function isSealedTo(header: Header, letter: Bytes, ueks: readonly UekSecret[]): Promise<boolean> {
  try {
    const { h, prefix, count } = split(header, letter);
    return (await findSlot(prefix, h, count, ueks)) !== undefined;
  } catch (error) {
    if (isProblem(error)) return false;
    throw error;
  }
}

/** What a home says it has on disk: `hash("letter", H, letter)`. */
export function letterHash(header: Header, letter: Bytes): Bytes {
  return hash('letter', headerHash(header), letter);
}

interface Unsealed {
  readonly h: Bytes;
  readonly prefixHash: Bytes;
  readonly saidHash: Bytes;
  readonly slot: number;
  readonly uek: UekSecret;
  readonly auth: AuthKind;
  readonly proof: Bytes;
  readonly meta: Meta;
  readonly body: Bytes;
}

/** The part before the body, of a letter with a possible size. */
function split(header: Header, letter: Bytes): { readonly h: Bytes; readonly prefix: Bytes; readonly count: number } {
  const count = letter[slotsAt - 1] ?? 0;
  const prefixLength = slotsAt + count * slotSize;
  const paddedLength = letter.length - prefixLength - 16;
  if (letter[0] !== 1 || count < 1 || count > slotLimit || !paddedSize(paddedLength)) return wrong();
  return { h: headerHash(header), prefix: letter.slice(0, prefixLength), count };
}

async function unseal(header: Header, letter: Bytes, ueks: readonly UekSecret[]): Promise<Unsealed> {
  const { h, prefix, count } = split(header, letter);
  const { slot, uek, wrapped } = (await findSlot(prefix, h, count, ueks)) ?? wrong();
  const mk = openSecretbox(wrapped.key, wrapNonce(h, slot), wrapped.box) ?? wrong();
  if (!equal(letter.subarray(33, 65), commitment(h, mk))) wrong();

  const prefixHash = sha256(prefix);
  const padded = openSecretbox(mk, bodyNonce(h, prefixHash), letter.subarray(prefix.length)) ?? wrong();
  const inner = unpad(padded);
  const auth = inner[0];
  if (auth !== 1 && auth !== 2) return wrong();
  const saidAt = 1 + (auth === 1 ? 32 * count : 64);
  const said = inner.slice(saidAt);
  const metaLength = said.length < 2 ? wrong() : ((said[0] ?? 0) << 8) | (said[1] ?? 0);
  if (2 + metaLength > said.length) wrong();
  return {
    h, prefixHash, saidHash: sha256(said), slot, uek, auth,
    proof: inner.slice(1, saidAt),
    meta: parseMeta(said.slice(2, 2 + metaLength)),
    body: said.slice(2 + metaLength),
  };
}

interface Slot {
  readonly slot: number;
  readonly uek: UekSecret;
  readonly wrapped: { readonly key: Bytes; readonly box: Bytes };
}

/** The first slot that names one of `ueks`. */
async function findSlot(
  prefix: Bytes,
  h: Bytes,
  count: number,
  ueks: readonly UekSecret[],
): Promise<Slot | undefined> {
  const eph = prefix.slice(1, 33);
  for (const uek of ueks) {
    const shared = boxKey(await uek.dh(eph));
    const name = slotName(shared, h);
    for (let slot = 0; slot < count; slot++) {
      const at = slotsAt + slot * slotSize;
      if (!equal(prefix.subarray(at, at + 8), name)) continue;
      return { slot, uek, wrapped: { key: shared, box: prefix.slice(at + 8, at + slotSize) } };
    }
  }
  return undefined;
}

async function prove(header: Header, opened: Unsealed, chain: SenderChain): Promise<OpenedLetter> {
  const { h, prefixHash, saidHash, slot, uek, auth, proof, meta, body } = opened;
  if (!equal(chain.uid, header.from.id)) wrong();
  const device = chain.author(meta.dev, header.ts) ?? wrong();
  if (auth === 2) {
    const personal = ['chat', 'friend', 'receipt', 'live'].includes(header.type);
    if (personal || !verify(device.sign, proof, 'sign/letter', h, prefixHash, saidHash)) wrong();
  } else {
    const expected = slotMac(await uek.dh(device.box), h, slot, prefixHash, saidHash);
    if (!equal(proof.subarray(32 * slot, 32 * slot + 32), expected)) wrong();
  }
  // Only a home may say what is on its disk.
  if (header.type === 'receipt' && meta.kind === 'home' && device.role !== 'home') wrong();
  return { meta, body, device, auth, uek: uek.counter };
}

function wrong(): never {
  throw new Problem('letter-bad');
}

async function oneError<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (isProblem(error)) throw new Problem('letter-bad');
    throw error; // a defect of this program, not of the letter
  }
}

function commitment(h: Bytes, mk: Bytes): Bytes {
  return hash('letter/commit', h, mk);
}

function slotName(shared: Bytes, h: Bytes): Bytes {
  return hash('letter/kid', shared, h).slice(0, 8);
}

function wrapNonce(h: Bytes, slot: number): Bytes {
  return nonceOf('letter/wrap', h, u8(slot));
}

function bodyNonce(h: Bytes, prefixHash: Bytes): Bytes {
  return nonceOf('letter/body', h, prefixHash);
}

/** `dh` is between the sender's device and the UEK of the slot: either side can compute it, nobody else. */
function slotMac(dh: Bytes, h: Bytes, slot: number, prefixHash: Bytes, saidHash: Bytes): Bytes {
  return mac(kdf(dh, 'letter/auth-key', h, u8(slot)), 'letter/auth', h, prefixHash, saidHash);
}

function paddedSize(length: number): boolean {
  for (let size = 512; size <= paddedLimit; size *= 2) if (size === length) return true;
  return false;
}

function pad(inner: Bytes): Bytes {
  let size = 512;
  while (size < inner.length + 4) size *= 2;
  if (size > paddedLimit) throw new Problem('too-large', { limit: paddedLimit });
  return concat(u32(inner.length), inner, new Uint8Array(size - inner.length - 4));
}

function unpad(padded: Bytes): Bytes {
  const length = readU32(padded, 0);
  if (length > padded.length - 4 || padded.subarray(4 + length).some((byte) => byte !== 0)) wrong();
  return padded.slice(4, 4 + length);
}
