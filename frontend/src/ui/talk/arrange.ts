/** Lays messages out as rows: day lines, the line above what is new, and bubbles that join those of the same turn. */
import type { Message, Mid } from '../../domain/types';

export interface DayRow {
  readonly kind: 'day';
  readonly key: string;
  readonly at: number;
}

export interface NewRow {
  readonly kind: 'new';
  readonly key: string;
}

export interface MessageRow {
  readonly kind: 'message';
  readonly key: string;
  readonly message: Message;
  /** joins the bubble above: same person, same minute */
  readonly up: boolean;
  /** joins the bubble below */
  readonly down: boolean;
  /** carries the time: once per turn, on its last bubble */
  readonly timed: boolean;
  /** carries the tick: own ones on the last bubble of a turn, an earlier one only when its state differs */
  readonly ticked: boolean;
}

export type Row = DayRow | NewRow | MessageRow;

/**
 * Rows for messages `from` to `to` (excluded). Neighbours outside are looked at, so that a bubble looks the same
 * wherever the window happens to end.
 */
export function arrange(messages: readonly Message[], from: number, to: number, unreadFrom: Mid | undefined): Row[] {
  const rows: Row[] = [];
  for (let at = Math.max(0, from); at < Math.min(to, messages.length); at += 1) {
    const message = messages[at];
    if (message === undefined) break;
    const before = messages[at - 1];
    const after = messages[at + 1];
    if (before === undefined || !sameDay(before.sent, message.sent)) rows.push({ kind: 'day', key: `day ${message.mid}`, at: message.sent });
    if (message.mid === unreadFrom) rows.push({ kind: 'new', key: 'new' });
    const up = before !== undefined && joined(before, message, unreadFrom);
    const down = after !== undefined && joined(message, after, unreadFrom);
    rows.push({
      kind: 'message',
      key: message.mid,
      message,
      up,
      down,
      timed: !down,
      ticked: message.own && message.tick !== undefined && (!down || message.tick !== lastOfTurn(messages, at, unreadFrom).tick),
    });
  }
  return rows;
}

function lastOfTurn(messages: readonly Message[], start: number, unreadFrom: Mid | undefined): { tick: Message['tick'] } {
  for (let at = start; ; at += 1) {
    const message = messages[at];
    const after = messages[at + 1];
    if (message === undefined) return { tick: undefined };
    if (after === undefined || !joined(message, after, unreadFrom)) return { tick: message.tick };
  }
}

function joined(above: Message, below: Message, unreadFrom: Mid | undefined): boolean {
  if (above.kind === 'call' || below.kind === 'call') return false;
  return above.author === below.author && sameMinute(above.sent, below.sent) && below.mid !== unreadFrom && above.waiting === undefined;
}

function sameMinute(one: number, other: number): boolean {
  return Math.floor(one / 60_000) === Math.floor(other / 60_000);
}

/** In the reader's own calendar. */
function sameDay(one: number, other: number): boolean {
  return new Date(one).toDateString() === new Date(other).toDateString();
}

/** Keeps the row objects that say the same as before, so that only changed bubbles are looked at again. */
export function keep(before: readonly Row[], after: readonly Row[]): Row[] {
  const known = new Map(before.map((row) => [row.key, row]));
  return after.map((row) => {
    const old = known.get(row.key);
    return old !== undefined && same(old, row) ? old : row;
  });
}

function same(one: Row, other: Row): boolean {
  if (one.kind === 'message' && other.kind === 'message') {
    return (
      one.message === other.message && one.up === other.up && one.down === other.down && one.timed === other.timed && one.ticked === other.ticked
    );
  }
  if (one.kind === 'day' && other.kind === 'day') return one.at === other.at;
  return one.kind === 'new' && other.kind === 'new';
}
