/** Dates, times, sizes and counts as the reader's own language writes them (Intl). Times are ms since 1970. */

export interface Formats {
  /** 14:32 */
  time: (at: number) => string;
  /** beside a chat: a time today, "Yesterday", a weekday, a date */
  listTime: (at: number, now: number) => string;
  /** above a day's messages: "Today", "Yesterday", "Wednesday 18 November" */
  day: (at: number, now: number) => string;
  /** "Today", "Yesterday", 3 Nov */
  shortDay: (at: number, now: number) => string;
  /** in a sentence: 14:02 today, else the date and the time */
  moment: (at: number, now: number) => string;
  /** 3 November 2026 */
  date: (at: number) => string;
  /** 2.1 GB */
  bytes: (size: number) => string;
  number: (n: number) => string;
  /** 9:41, time that is left */
  left: (ms: number) => string;
  /** 3 min, 40 sec, 1 hr */
  length: (seconds: number) => string;
  list: (items: readonly string[]) => string;
}

/** @param locale a BCP 47 tag; what the browser does not know falls back to its own. */
export function formats(locale: string): Formats {
  const twelve = new Intl.DateTimeFormat(locale, { hour: 'numeric' }).resolvedOptions().hour12 === true;
  const hour = twelve ? 'numeric' : '2-digit'; // 2:05 PM, but 02:05
  const time = new Intl.DateTimeFormat(locale, { hour, minute: '2-digit' });
  const weekday = new Intl.DateTimeFormat(locale, { weekday: 'short' });
  const near = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short' });
  const far = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', year: 'numeric' });
  const longNear = new Intl.DateTimeFormat(locale, { weekday: 'long', day: 'numeric', month: 'long' });
  const longFar = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'long', year: 'numeric' });
  const moment = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', hour, minute: '2-digit' });
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });
  const number = new Intl.NumberFormat(locale);
  const list = new Intl.ListFormat(locale, { type: 'conjunction' });

  const named = (days: number): string => capital(relative.format(days, 'day'), locale);

  return {
    time: (at) => time.format(at),
    listTime: (at, now) => {
      const days = daysBetween(at, now);
      if (days <= 0) return time.format(at);
      if (days === 1) return named(-1);
      if (days < 7) return weekday.format(at);
      return sameYear(at, now) ? near.format(at) : far.format(at);
    },
    day: (at, now) => {
      const days = daysBetween(at, now);
      if (days === 0 || days === 1) return named(days === 0 ? 0 : -1);
      return sameYear(at, now) ? longNear.format(at) : longFar.format(at);
    },
    shortDay: (at, now) => {
      const days = daysBetween(at, now);
      if (days === 0 || days === 1) return named(days === 0 ? 0 : -1);
      return sameYear(at, now) ? near.format(at) : far.format(at);
    },
    moment: (at, now) => (daysBetween(at, now) === 0 ? time.format(at) : moment.format(at)),
    date: (at) => longFar.format(at),
    bytes: (size) => bytesOf(size, locale),
    number: (n) => number.format(n),
    left: (ms) => {
      const seconds = Math.max(0, Math.ceil(ms / 1000));
      return `${String(Math.floor(seconds / 60))}:${String(seconds % 60).padStart(2, '0')}`;
    },
    length: (seconds) => {
      const [n, unit] = seconds < 60 ? [seconds, 'second'] : seconds < 3600 ? [Math.round(seconds / 60), 'minute'] : [Math.round(seconds / 360) / 10, 'hour'];
      return new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'short' }).format(n);
    },
    list: (items) => list.format(items),
  };
}

const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'] as const;

/** 2.1 GB, 41 MB, 512 bytes: decimal units, one digit after the point below ten. */
export function bytesOf(size: number, locale: string): string {
  let step = size < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(size) / 3));
  // 999,950 bytes are 1 MB, not 1,000 kB
  if (step > 0 && step < units.length - 1 && Math.round(size / 1000 ** step) >= 1000) step += 1;
  const value = size / 1000 ** step;
  return new Intl.NumberFormat(locale, {
    style: 'unit',
    unit: units[step] ?? 'byte',
    unitDisplay: step === 0 ? 'long' : 'short',
    maximumFractionDigits: value < 10 && step > 0 ? 1 : 0,
  }).format(value);
}

/** Whole days of the local calendar from `at` to `now`; negative when `at` lies ahead. */
export function daysBetween(at: number, now: number): number {
  return Math.round((midnight(now) - midnight(at)) / 86_400_000);
}

function midnight(at: number): number {
  return new Date(at).setHours(0, 0, 0, 0);
}

function sameYear(one: number, other: number): boolean {
  return new Date(one).getFullYear() === new Date(other).getFullYear();
}

function capital(text: string, locale: string): string {
  return text.charAt(0).toLocaleUpperCase(locale) + text.slice(1);
}

/** What a person would count as characters: code points. */
export function length(text: string): number {
  let n = 0;
  for (const _ of text) n += 1;
  return n;
}
