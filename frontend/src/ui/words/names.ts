/** What stands in a face without a picture, and its quiet tone. */

const han = /\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}/u;
const letter = /[\p{L}\p{N}]/u;

export interface Face {
  readonly letters: string;
  /** one character of Chinese, Japanese or Korean, set in serif like a name seal */
  readonly seal: boolean;
  /** 1 to 8 */
  readonly tone: number;
}

/** Two initials of a Latin name, or the first character of a Chinese one. Never empty. */
export function face(name: string, seed: string): Face {
  const tone = (hash(seed) % 8) + 1;
  const words = name
    .trim()
    .split(/[\s·•]+/u)
    .filter((word) => letter.test(word));
  const first = words[0];
  if (first === undefined) return { letters: '·', seal: false, tone };
  const opening = firstMatch(first, letter);
  if (han.test(opening)) return { letters: opening, seal: true, tone };
  const last = words.length > 1 ? words[words.length - 1] : undefined;
  const second = last === undefined ? '' : firstMatch(last, letter);
  const letters = han.test(second) ? opening : opening + second;
  return { letters: letters.toLocaleUpperCase(), seal: false, tone };
}

function firstMatch(word: string, pattern: RegExp): string {
  return pattern.exec(word)?.[0] ?? '';
}

/** FNV-1a, 32 bits: the same tone for the same person on every device. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (const char of text) {
    h ^= char.codePointAt(0) ?? 0;
    h = Math.imul(h, 0x01000193);
  }
  return h >>> 0;
}
