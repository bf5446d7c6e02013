import { describe, expect, test } from 'vitest';
import type { Traffic } from '../../domain/traffic';
import { languages, loadCatalogue } from '../../i18n/languages';
import { bounds, line, speed } from '../me/traffic';
import { formats } from '../words/format';

const GB = 1_000_000_000;
const quiet: Traffic = { at: 0, on: true, month: '2026-11', limit: 100 * GB, second: 2_500_000, mine: { bytes: 0, open: 0 }, everybody: undefined };

describe.each(languages)('%s', (language) => {
  test('what somebody has used, in a line', async () => {
    const t = await loadCatalogue(language);
    const w = t.traffic;
    const format = formats(language);
    const of = (used: number, limit: number): string => t.me.spaceOf(format.bytes(used), format.bytes(limit));
    expect(line({ bytes: 3 * GB, open: 0 }, 100 * GB, 0, t, format)).toBe(of(3 * GB, 100 * GB));
    expect(line({ bytes: 0, open: 2 }, 0, 240_000, t, format)).toBe(`${format.bytes(0)} · ${w.open(2, '2')} · ${w.speed(format.bytes(240_000))}`);
    expect(line({ bytes: 100 * GB, open: 0 }, 100 * GB, 0, t, format)).toBe(`${of(100 * GB, 100 * GB)} · ${w.spent}`);
  });

  test('what each person has', async () => {
    const t = await loadCatalogue(language);
    const w = t.traffic;
    const format = formats(language);
    const says = (limit: number, second: number): string => bounds({ ...quiet, limit, second }, t, format);
    expect(says(100 * GB, 2_500_000)).toBe(w.both(format.bytes(100 * GB), format.bytes(2_500_000)));
    expect(says(100 * GB, 0)).toBe(w.monthly(format.bytes(100 * GB)));
    expect(says(0, 2_500_000)).toBe(w.atOnce(format.bytes(2_500_000)));
    expect(says(0, 0)).toBe(w.unbounded);
  });
});

test('how fast it goes is told from two looks that lie apart, within one month', () => {
  const look = (at: number, bytes: number, month = '2026-11'): Traffic => ({ ...quiet, at, month, mine: { bytes, open: 1 } });
  const of = (traffic: Traffic): Traffic['mine'] => traffic.mine;
  expect(speed(undefined, look(10_000, 500), of)).toBe(0);
  expect(speed(look(0, 1_000), look(10_000, 21_000), of)).toBe(2_000);
  expect(speed(look(9_900, 1_000), look(10_000, 21_000), of)).toBe(0);
  expect(speed(look(0, 9_000), look(10_000, 500, '2026-12'), of)).toBe(0);
  expect(speed(look(0, 9_000), look(10_000, 500), of)).toBe(0);
  // Whoever was not there before has used nothing then.
  expect(speed(look(0, 0), look(10_000, 5_000), (traffic) => (traffic.at === 0 ? undefined : traffic.mine))).toBe(500);
});
