/** A username from a name in any script. Display names never reach the relay; this is what does, if the person lets it. */

import { usernameAllowed } from '../protocol/address';

/** The letters of other scripts, in Latin: a large table, so loaded only for a name that needs it. */
async function latin(name: string): Promise<string> {
  if (/^[\x20-\x7e]*$/.test(name)) return name;
  return (await import('any-ascii')).default(spaced(wordless(name)));
}

/** An emoji is no part of an address; its name in English would be an odd one. */
function wordless(name: string): string {
  return name.replace(/[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Regional_Indicator}\u200d\ufe0f]/gu, ' ');
}

/** Chinese and Japanese write no spaces: each character is a syllable and gets one, so that 外婆 is `wai po`. */
function spaced(name: string): string {
  return name.replace(/\p{Script=Han}/gu, ' $& ');
}

/** Only `a-z 0-9 . - _`, first and last a letter or digit, at most `longest`; may be too short to be one. */
export function plain(text: string, longest = 24): string {
  return text
    .toLowerCase()
    .replace(/['’`]/g, '')
    .replace(/[^a-z0-9._-]+/g, '.')
    .replace(/[._-]*\.[._-]*/g, '.')
    .slice(0, longest)
    .replace(/^[._-]+|[._-]+$/g, '');
}

/** Candidates in order: the name, then 2, 3 … after it, then with random digits. Never empty. */
export async function* candidates(name: string, random: () => number): AsyncGenerator<string> {
  const short = plain((await latin(name)).trim());
  const base = short.length >= 2 ? short : '';
  if (base !== '') {
    if (usernameAllowed(base)) yield base;
    for (let n = 2; n <= 9; n++) if (usernameAllowed(base + String(n))) yield base + String(n);
  }
  for (;;) yield `${base || 'friend'}${String(100 + Math.floor(random() * 99_900))}`;
}
