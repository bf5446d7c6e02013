/**
 * Which part of a conversation stands in the page: never more than `most` messages, however long the conversation is.
 * Indexes `from` (included) to `to` (excluded) into the engine's list.
 */
import type { Message, Mid } from '../../domain/types';

export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Messages in the page at once; and how many come at its ends when one scrolls there. */
export const most = 120;
export const step = 16; // so few that a picture is not late because of them
const first = 60;

/** What a conversation opens with: its end, or the surroundings of the first message not yet read. */
export function opening(messages: readonly Message[], unreadFrom: Mid | undefined): Span {
  const count = messages.length;
  const unread = unreadFrom === undefined ? -1 : messages.findIndex((message) => message.mid === unreadFrom);
  return unread < 0 || count - unread < first ? { from: Math.max(0, count - first), to: count } : around(unread, count);
}

export function around(index: number, count: number): Span {
  const from = Math.max(0, Math.min(index - first / 2, count - first));
  return { from, to: Math.min(count, from + first) };
}

export function upward(span: Span): Span {
  const from = Math.max(0, span.from - step);
  return { from, to: Math.min(span.to, from + most) };
}

export function downward(span: Span, count: number): Span {
  const to = Math.min(count, span.to + step);
  return { from: Math.max(span.from, to - most), to };
}

/**
 * The same part after the list has changed (older ones put before, new ones after, one taken out).
 * @param anchor the message that stood at `span.from`
 * @param tail whether the span reached the end of the list, and so follows it
 */
export function follow(span: Span, messages: readonly Message[], anchor: Mid | undefined, tail: boolean, before: number): Span {
  const count = messages.length;
  const from = Math.max(0, Math.min(find(messages, anchor, span.from, count - before), count - 1));
  const to = tail ? count : Math.min(count, from + (span.to - span.from));
  return { from: tail ? Math.max(from, to - most) : from, to };
}

/** Where the anchor is now: at its place, moved by as much as the list has grown, or somewhere. */
function find(messages: readonly Message[], anchor: Mid | undefined, place: number, grown: number): number {
  if (anchor === undefined) return 0;
  if (messages[place]?.mid === anchor) return place;
  if (messages[place + grown]?.mid === anchor) return place + grown;
  const at = messages.findIndex((message) => message.mid === anchor);
  return at < 0 ? place : at;
}
