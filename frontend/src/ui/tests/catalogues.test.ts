import { describe, expect, test } from 'vitest';
import type { Catalogue } from '../../i18n/catalogue';
import { languages, loadCatalogue, locale, preferred } from '../../i18n/languages';
import { localCodes, wireCodes } from '../../protocol/problem';
import { codeOf, explain } from '../words/failure';
import { tickLabel, tickWords, waitingWords } from '../words/ticks';

const catalogues = await Promise.all(languages.map(async (language) => [language, await loadCatalogue(language)] as const));

/** Every entry as text: what is a function is called with names and numbers. */
function entries(part: unknown, at: string): [string, string][] {
  if (typeof part === 'string') return [[at, part]];
  if (typeof part === 'function') {
    const say = part as (...args: unknown[]) => unknown;
    return [1, 2].map((n) => [`${at}(${String(n)})`, String(say.length > 1 && /unread|requests|left|short|Messages|sendPhotos|latestNew|letters/iu.test(at) ? say(n, String(n)) : say('Wei', '2', 'courtyard.example', '14:02'))]);
  }
  return Object.entries(part as object).flatMap(([name, value]) => entries(value, `${at}.${name}`));
}

function names(part: object, at = ''): string[] {
  return Object.entries(part).flatMap(([name, value]: [string, unknown]) => (typeof value === 'object' && value !== null ? names(value, `${at}.${name}`) : [`${at}.${name}`])).sort();
}

describe.each(catalogues)('%s', (language, t) => {
  test('has exactly the entries of the English catalogue', () => {
    const english = catalogues.find(([name]) => name === 'en')?.[1];
    expect(names(t)).toEqual(names(english ?? {}));
  });

  test('has no empty entry, no stray space, nothing undefined', () => {
    for (const [at, text] of entries(t, '')) {
      expect(text.trim(), at).toBe(text);
      expect(text, at).not.toBe('');
      expect(text, at).not.toMatch(/undefined|\[object/u);
    }
  });

  test('speaks of courtyards and homes, not of machines', () => {
    const machines = /\brelays?\b|\bkeys?\b|\bnodes?\b|\bfederat|websocket|webrtc|\bTURN\b|\bSTUN\b|\bNAT\b|\bserver|中继|中繼|密钥|密鑰|金鑰|节点|節點|联邦|聯邦|服务器|伺服器/iu;
    // But for the one page where one looks at them.
    for (const [at, text] of entries({ ...t, diagnosis: {} }, '')) expect(text, at).not.toMatch(machines);
  });

  test('has a sentence for every code, which says what is safe or what to do', () => {
    for (const code of [...wireCodes, ...localCodes]) {
      const sentence = explain({ code, params: {} }, t);
      expect(sentence.length, code).toBeGreaterThan(language === 'en' ? 40 : 15);
      if (code !== 'version') expect(sentence, code).not.toContain(code);
      // At least two sentences: what happened, and what is safe or what to do.
      expect(sentence.match(/[.。！]/gu)?.length ?? 0, code).toBeGreaterThan(1);
    }
  });

  test('tells each place of a message in other words', () => {
    const labels = (['waiting', 'accepted', 'kept', 'home', 'read', 'failed'] as const).map((tick) => tickLabel(tick, 'Wei', t));
    expect(new Set(labels).size).toBe(6);
    for (const tick of ['kept', 'home', 'read'] as const) expect(tickLabel(tick, 'Wei', t)).toContain('Wei');
    for (const tick of ['waiting', 'accepted', 'kept', 'home', 'read'] as const) expect(tickWords(tick, 'Wei', t)).not.toBe('');
    for (const wait of [{ for: 'network' }, { for: 'nothing' }, { for: 'courtyard' }, { for: 'home', name: 'Wei' }, { for: 'carry', name: 'Wei' }, { for: 'key', name: 'Wei' }, { for: 'away', name: 'Wei' }, { for: 'decision', name: 'Wei' }] as const) {
      expect(waitingWords(wait, t)).not.toBe('');
    }
  });
});

test('an app is called in Chinese what Chinese call it', () => {
  for (const [language, t] of catalogues) {
    expect(t.lost.embeddedWords('WeChat').startsWith(language === 'en' ? 'WeChat ' : '微信')).toBe(true);
    expect(t.lost.embeddedWords('WhatsApp').startsWith('WhatsApp')).toBe(true);
  }
});

test('Chinese catalogues are written in their own characters', () => {
  const hans = JSON.stringify(textOf('zh-Hans'));
  const hant = JSON.stringify(textOf('zh-Hant'));
  expect(hans).not.toMatch(/[這們說個來對會為國過還後開見長門問間東車馬嗎沒關電話謝學書買賣給讓請認識誰現愛親點歲氣聽遠進運邊樣應實際發動務號寫圖園頭萬]/u);
  expect(hant).not.toMatch(/[这们说个来对会为国过还后开见长门问间东车马吗没关电话谢学书买卖给让请认识谁现爱亲点岁气听远进运边样应实际发动务号写图园头万]/u);
  expect(hant).not.toMatch(/[“”‘’]/u);

  function textOf(language: string): string[] {
    const t = catalogues.find(([name]) => name === language)?.[1];
    return entries({ ...t, language: {} }, '').map(([, text]) => text);
  }
});

describe('failures', () => {
  const t: Catalogue | undefined = catalogues[0]?.[1];

  test('a code that nobody knows is told after a general sentence', () => {
    if (t === undefined) throw new Error('no catalogue');
    expect(explain({ code: 'brand-new', params: {} }, t)).toContain('brand-new');
    expect(explain({ code: 'constructor' }, t)).toContain('(constructor)');
    expect(explain({ code: 'code' }, t)).toContain('(code)');
  });

  test('what is no failure at all is told as one', () => {
    if (t === undefined) throw new Error('no catalogue');
    for (const thrown of [undefined, null, 'x', new Error('x'), { code: 5 }]) {
      expect(codeOf(thrown)).toBeUndefined();
      expect(explain(thrown, t)).toBe(t.error.unexpected);
    }
  });
});

describe('the language of the app', () => {
  test('is the first of the reader’s that we have', () => {
    expect(preferred(['de-CH', 'zh-TW', 'en'])).toBe('zh-Hant');
    expect(preferred(['zh'])).toBe('zh-Hans');
    expect(preferred(['zh-HK'])).toBe('zh-Hant');
    expect(preferred(['zh-Hans-HK'])).toBe('zh-Hans');
    expect(preferred(['zh-Hant-CN'])).toBe('zh-Hant');
    expect(preferred(['en-GB', 'zh-CN'])).toBe('en');
    expect(preferred(['de', 'fr'])).toBe('en');
    expect(preferred([])).toBe('en');
  });

  test('dates follow the reader’s own variety of it', () => {
    expect(locale('en', ['de-CH', 'en-GB'])).toBe('en-GB');
    expect(locale('en', ['de-CH'])).toBe('en');
    expect(locale('zh-Hant', ['zh-CN', 'zh-TW'])).toBe('zh-TW');
    expect(locale('zh-Hans', ['zh-bad tag'])).toBe('zh-Hans');
  });
});
