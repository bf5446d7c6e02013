/** The languages of the app; only the chosen one's words are loaded, and those of the first screen before the others. */
import type { Catalogue, FirstWords, RoomWords } from './catalogue';

export type Language = 'en' | 'zh-Hans' | 'zh-Hant';

export const languages: readonly Language[] = ['en', 'zh-Hans', 'zh-Hant'];

export async function loadFirst(language: Language): Promise<FirstWords> {
  switch (language) {
    case 'en':
      return (await import('./en')).first;
    case 'zh-Hans':
      return (await import('./zh-Hans')).first;
    case 'zh-Hant':
      return (await import('./zh-Hant')).first;
  }
}

async function loadRooms(language: Language): Promise<RoomWords> {
  switch (language) {
    case 'en':
      return (await import('./en/rooms')).rooms;
    case 'zh-Hans':
      return (await import('./zh-Hans/rooms')).rooms;
    case 'zh-Hant':
      return (await import('./zh-Hant/rooms')).rooms;
  }
}

/** All words of a language. */
export async function loadCatalogue(language: Language): Promise<Catalogue> {
  const [first, rooms] = await Promise.all([loadFirst(language), loadRooms(language)]);
  return { ...first, ...rooms };
}

export function isLanguage(text: unknown): text is Language {
  return text === 'en' || text === 'zh-Hans' || text === 'zh-Hant';
}

/** The first of the reader's languages that we have; English when none is. */
export function preferred(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const lower = tag.toLowerCase();
    if (lower === 'zh' || lower.startsWith('zh-')) {
      return /-(?:hant|tw|hk|mo)\b/u.test(lower) && !lower.includes('hans') ? 'zh-Hant' : 'zh-Hans';
    }
    if (lower === 'en' || lower.startsWith('en-')) return 'en';
  }
  return 'en';
}

/** For Intl: the reader's own variety of the language (en-GB, zh-TW) where there is one. */
export function locale(language: Language, wanted: readonly string[]): string {
  return wanted.find((tag) => preferred([tag]) === language && sameTongue(tag, language) && known(tag)) ?? language;
}

function sameTongue(tag: string, language: Language): boolean {
  return tag.slice(0, 2).toLowerCase() === language.slice(0, 2);
}

function known(tag: string): boolean {
  try {
    return Intl.DateTimeFormat.supportedLocalesOf(tag).length > 0;
  } catch {
    return false; // not a language tag at all
  }
}
