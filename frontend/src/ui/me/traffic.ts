/** What went by way of the courtyard, in lines of words. */
import type { Traffic, Used } from '../../domain/traffic';
import type { Catalogue } from '../../i18n/catalogue';
import type { Formats } from '../words/format';

/** Two looks must lie so far apart, ms, that what passed between them says how fast it passes. */
const APART = 2_000;

/** Bytes a second between two looks, 0 where that cannot be told. */
export function speed(before: Traffic | undefined, now: Traffic, of: (traffic: Traffic) => Used | undefined): number {
  if (before?.month !== now.month || now.at - before.at < APART) return 0;
  const passed = (of(now)?.bytes ?? 0) - (of(before)?.bytes ?? 0);
  return Math.max(0, Math.round((passed * 1000) / (now.at - before.at)));
}

/** One person: how much of the month, what is open, how fast. */
export function line(one: Used, limit: number, perSecond: number, t: Catalogue, format: Formats): string {
  const w = t.traffic;
  return [
    limit === 0 ? format.bytes(one.bytes) : t.me.spaceOf(format.bytes(one.bytes), format.bytes(limit)),
    ...(limit > 0 && one.bytes >= limit ? [w.spent] : []),
    ...(one.open === 0 ? [] : [w.open(one.open, format.number(one.open))]),
    ...(perSecond === 0 ? [] : [w.speed(format.bytes(perSecond))]),
  ].join(' · ');
}

/** What each person has. */
export function bounds({ limit, second }: Traffic, t: Catalogue, format: Formats): string {
  const w = t.traffic;
  if (limit === 0 && second === 0) return w.unbounded;
  if (second === 0) return w.monthly(format.bytes(limit));
  if (limit === 0) return w.atOnce(format.bytes(second));
  return w.both(format.bytes(limit), format.bytes(second));
}
