/**
 * The recovery card (protocol/README.md section 6). Its bits exist in memory only while the card is made or used.
 */
import { type Handle, formatHandle, parseHandle } from './address';
import { type Bytes, concat } from './bytes';
import { decode32, encode32, grouped } from './code';
import type { CardPublic } from './ident';
import { type DeviceKeys, deviceKeysFromSecrets } from './keys';
import { Problem } from './problem';
import { hash, kdf, type Random, randomBytes } from './primitives';

/** Card keys sign records (`sign` is the chain's `ik`) and open the vault, as device keys do. */
export type CardKeys = DeviceKeys;

export interface Card {
  /** 16 bytes */
  readonly bits: Bytes;
  /** 28 characters in groups of four */
  readonly code: string;
}

export function makeCard(random: Random = randomBytes): Card {
  const bits = random(16);
  return { bits, code: cardCode(bits) };
}

export function cardCode(bits: Bytes): string {
  return grouped(encode32(concat(bits, check(bits))));
}

/** The 16 bytes. Throws `card-bad` when a character was misread. */
export function readCardCode(text: string): Bytes {
  let bytes: Bytes;
  try {
    bytes = decode32(text, 17);
  } catch (error) {
    throw new Problem('card-bad', {}, error);
  }
  const bits = bytes.slice(0, 16);
  if (bytes[16] !== check(bits)[0]) throw new Problem('card-bad');
  return bits;
}

/** What a QR and a file hold: the handle, a line break, the code. */
export function cardText(handle: Handle, code: string): string {
  return `${formatHandle(handle)}\n${code}`;
}

/** A card as scanned, picked or typed; words before and between are let go. Throws `card-bad`. */
export function readCardText(text: string): { readonly handle: Handle; readonly bits: Bytes } {
  const handle = /\S+@\S+/.exec(text);
  if (!handle) throw new Problem('card-bad');
  const code = /(?:[0-9A-Za-z][\s-]*){28}\s*$/.exec(text.slice(handle.index + handle[0].length));
  try {
    return { handle: parseHandle(handle[0]), bits: readCardCode(code?.[0] ?? '') };
  } catch (error) {
    throw new Problem('card-bad', {}, error);
  }
}

export function cardKeys(bits: Bytes): Promise<CardKeys> {
  return deviceKeysFromSecrets(kdf(bits, 'card/sign'), kdf(bits, 'card/box'));
}

/** As the chain names it. */
export function cardPublic(keys: CardKeys): CardPublic {
  return { ik: keys.sign, box: keys.box };
}

function check(bits: Bytes): Bytes {
  return hash('card/check', bits).slice(0, 1);
}
