/**
 * What people read out and type: Crockford base32 in groups of four (protocol/README.md sections 6 and 10).
 */
import type { Bytes } from './bytes';
import { Problem } from './problem';

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** Most significant bits first, the last character filled up with zero bits. */
export function encode32(bytes: Uint8Array): string {
  let text = '';
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet.charAt((held >>> bits) & 31);
    }
    held &= 31;
  }
  return bits > 0 ? text + alphabet.charAt((held << (5 - bits)) & 31) : text;
}

/**
 * Exactly `length` bytes. Lower case, `O` for `0`, `I` and `L` for `1`, hyphens and spaces anywhere are accepted.
 * Throws `code-bad`.
 */
export function decode32(text: string, length: number): Bytes {
  const clean = text.replace(/[\s-]/g, '').replace(/[a-z]/g, (letter) => letter.toUpperCase()).replaceAll('O', '0').replace(/[IL]/g, '1');
  if (clean.length !== Math.ceil((length * 8) / 5)) throw new Problem('code-bad');
  const bytes = new Uint8Array(length);
  let bits = 0;
  let held = 0;
  let at = 0;
  for (const character of clean) {
    const value = alphabet.indexOf(character);
    if (value < 0) throw new Problem('code-bad');
    held = (held << 5) | value;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = held >>> bits;
      held &= (1 << bits) - 1;
    }
  }
  if (held !== 0) throw new Problem('code-bad'); // filling bits
  return bytes;
}

/** `XXXX-XXXX-…` */
export function grouped(code: string): string {
  return code.replace(/(.{4})(?=.)/g, '$1-');
}
