import { describe, expect, test } from 'vitest';
import { oneEmoji } from '../talk/emoji';
import { grouped, missing } from '../words/cardcode';
import { bytesOf, daysBetween, formats, length } from '../words/format';
import { linkify } from '../words/linkify';
import { face } from '../words/names';
import { tongue } from '../words/tongue';

function links(text: string): string[] {
  return linkify(text).flatMap((piece) => (piece.kind === 'link' ? [piece.href] : []));
}

function whole(text: string): string {
  return linkify(text)
    .map((piece) => (piece.kind === 'link' ? piece.parts.join('') : piece.text))
    .join('');
}

describe('links', () => {
  test('web and mail addresses become links, everything else stays text', () => {
    expect(links('see https://a.example/x and http://b.example or mailto:wei@c.example')).toEqual([
      'https://a.example/x', 'http://b.example/', 'mailto:wei@c.example',
    ]);
    expect(links('javascript:alert(1) data:text/html,x file:///etc ftp://a.example blob:x vbscript:x')).toEqual([]);
    expect(links('wei@relay.example.org')).toEqual([]);
    expect(links('JAVASCRIPT://%0aalert(1) https:// http://')).toEqual([]);
  });

  test('a name before the host is no link: it pretends to go elsewhere', () => {
    expect(links('https://bank.example@evil.example/')).toEqual([]);
  });

  test('punctuation of the sentence around a link is not part of it', () => {
    expect(links('(https://a.example/x). https://b.example/y, https://c.example/z！https://d.example/?q=1。')).toEqual([
      'https://a.example/x', 'https://b.example/y', 'https://c.example/z', 'https://d.example/?q=1',
    ]);
    expect(links('https://a.example/x_(y)')).toEqual(['https://a.example/x_(y)']);
    expect(links('看「https://a.example/路」吧')).toEqual(['https://a.example/%E8%B7%AF']);
  });

  test('nothing of the text is lost or changed', () => {
    for (const text of ['', 'a', 'https://a.example', ' https://a.example/b?c=d&e#f. x\n\ny', '\u202Ehttps://a.example\u202C']) expect(whole(text)).toBe(text);
  });

  test('a long link may break after its joints, never inside the scheme', () => {
    const [piece] = linkify('https://a.example/b/c?d=1&e=2');
    expect(piece).toMatchObject({ parts: ['https://a.example/', 'b/', 'c?', 'd=1&', 'e=2'] });
  });
});

describe('faces', () => {
  test('two initials, or one Chinese character as a seal', () => {
    expect(face('Mei Lindqvist', 'u').letters).toBe('ML');
    expect(face('Papa', 'u').letters).toBe('P');
    expect(face('Maximilian von Featherstone', 'u').letters).toBe('MF');
    expect(face('外婆', 'u')).toMatchObject({ letters: '外', seal: true });
    expect(face('陈薇 Wei Chen', 'u')).toMatchObject({ letters: '陈', seal: true });
    expect(face('Wei 陈', 'u')).toMatchObject({ letters: 'W', seal: false });
  });

  test('a name without letters still has a face', () => {
    for (const name of ['', '   ', '🌷', '…']) expect(face(name, 'u').letters).not.toBe('');
  });

  test('the tone is one of eight, and the same for the same person', () => {
    const tones = new Set(Array.from({ length: 200 }, (_, n) => face('x', `uid ${String(n)}`).tone));
    expect([...tones].sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(face('A', 'same').tone).toBe(face('B', 'same').tone);
  });
});

describe('the language of what somebody wrote', () => {
  test('is told where it differs from the page', () => {
    expect(tongue('好的，六点见。', 'en')).toBe('zh-Hans');
    expect(tongue('這裡說得對', 'en')).toBe('zh-Hant');
    expect(tongue('這裡說得對', 'zh-Hans')).toBe('zh-Hant');
    expect(tongue('这里说得对', 'zh-Hant')).toBe('zh-Hans');
    expect(tongue('明日の朝', 'en')).toBe('ja');
    expect(tongue('안녕', 'zh-Hans')).toBe('ko');
    expect(tongue('Mei Lindqvist', 'zh-Hans')).toBe('en');
    expect(tongue('看 https://kitchen.example.org/hoshigaki/dried-slowly', 'en')).toBe('zh-Hans');
    expect(tongue('陈薇 Wei', 'en')).toBe('zh-Hans');
  });

  test('is not told where it fits, or cannot be known', () => {
    expect(tongue('Hello', 'en')).toBeUndefined();
    expect(tongue('We say 你好 when we meet in the morning', 'en')).toBeUndefined();
    expect(tongue('好的', 'zh-Hans')).toBeUndefined();
    expect(tongue('好的', 'zh-Hant')).toBeUndefined();
    expect(tongue('12:30 👍', 'zh-Hans')).toBeUndefined();
    expect(tongue('', 'en')).toBeUndefined();
  });
});

describe('dates and numbers', () => {
  const now = new Date(2026, 10, 20, 14, 30).getTime();
  const before = (days: number): number => new Date(2026, 10, 20 - days, 9, 5).getTime();

  test('beside a chat: the time, yesterday, the weekday, the date, the year', () => {
    const { listTime } = formats('en-GB');
    expect(listTime(before(0), now)).toBe('09:05');
    expect(listTime(before(1), now)).toBe('Yesterday');
    expect(listTime(before(2), now)).toBe('Wed');
    expect(listTime(before(30), now)).toBe('21 Oct');
    expect(listTime(before(400), now)).toBe('16 Oct 2025');
    expect(formats('zh-CN').listTime(before(1), now)).toBe('昨天');
  });

  test('above a day', () => {
    const { day } = formats('en-GB');
    expect(day(before(0), now)).toBe('Today');
    expect(day(before(1), now)).toBe('Yesterday');
    expect(day(before(2), now)).toBe('Wednesday 18 November');
  });

  test('the time as the reader writes it', () => {
    expect(formats('en-US').time(before(0))).toMatch(/^9:05\sAM$/u);
    expect(formats('zh-TW').time(new Date(2026, 0, 1, 15, 0).getTime())).toBe('下午3:00');
  });

  test('days are counted by the calendar, also over a change of the clocks', () => {
    expect(daysBetween(new Date(2026, 2, 28, 23, 59).getTime(), new Date(2026, 2, 29, 23, 59).getTime())).toBe(1);
    expect(daysBetween(new Date(2026, 9, 24, 12).getTime(), new Date(2026, 9, 26, 1).getTime())).toBe(2);
    expect(daysBetween(now, now - 1)).toBe(0);
  });

  test('sizes', () => {
    expect(bytesOf(0, 'en')).toBe('0 bytes');
    expect(bytesOf(41_000_000, 'en')).toBe('41 MB');
    expect(bytesOf(2_100_000_000, 'en')).toBe('2.1 GB');
    expect(bytesOf(999_999, 'en')).toBe('1 MB');
    expect(bytesOf(1_500, 'en')).toBe('1.5 kB');
  });

  test('time that is left', () => {
    const { left } = formats('en');
    expect(left(600_000)).toBe('10:00');
    expect(left(59_001)).toBe('1:00');
    expect(left(9_000)).toBe('0:09');
    expect(left(-5)).toBe('0:00');
  });

  test('characters are what a person would count', () => {
    expect(length('院子')).toBe(2);
    expect(length('👍')).toBe(1);
    expect(length('')).toBe(0);
  });
});

describe('one emoji', () => {
  test('is taken whole', () => {
    expect(oneEmoji('❤️')).toBe('❤️');
    expect(oneEmoji('👨‍👩‍👧 and more')).toBe('👨‍👩‍👧');
    expect(oneEmoji('🇨🇭')).toBe('🇨🇭');
    expect(oneEmoji('👍🏽')).toBe('👍🏽');
    expect(oneEmoji('so 🎉')).toBe('🎉');
  });

  test('words and numbers are none', () => {
    for (const text of ['', 'ok', '42', '好', '#']) expect(oneEmoji(text)).toBeUndefined();
  });
});

describe('the characters of a card', () => {
  test('fall into groups, whatever is typed between them', () => {
    expect(grouped('7q2k m9ta-4xyz')).toBe('7Q2K-M9TA-4XYZ');
    expect(grouped('')).toBe('');
  });

  test('those that are missing are counted', () => {
    expect(missing('')).toBe(28);
    expect(missing('7Q2K-M9TA-4XYZ-C3D8-0RTV-5WEG-H1JN')).toBe(0);
    expect(missing('7Q2K-M9TA-4XYZ-C3D8-0RTV-5WEG-H1JNX')).toBe(-1);
  });
});
