/**
 * One thing that was said: what a letter becomes once it is opened, whether it came from the relay's
 * queue, its keep, or a page of the home's log. Everything shown is derived from these.
 */

import type { Failure, Mid, Uid } from './types';

export interface LogEvent {
  readonly peer: Uid;
  readonly author: Uid;
  readonly mid: Mid;
  /** the device that wrote it */
  readonly dev: string;
  readonly type: string;
  readonly kind: string;
  /** what it is ordered by, already clamped to ts + 10 min */
  readonly clock: number;
  readonly ts: number;
  readonly received: number;
  /** JSON as it came out of the letter; read through `content` */
  readonly body: unknown;
  /** of the letter it came in, base64url; empty until sealed */
  readonly hash: string;
  /** when the friend's home had it on disk */
  readonly home?: number;
  /** when the friend had read it, as told by the own home */
  readonly read?: number;

  // Own events only.
  /** as it was sealed with, and is again */
  readonly seq?: number;
  /** when the relay had it on disk */
  readonly accepted?: number;
  /** the relay keeps it for a friend without a home */
  readonly kept?: boolean;
  /** the own courtyard has it, the friend's in another place not yet */
  readonly way?: true;
  /** host of a third courtyard that passed it on */
  readonly by?: string;
  readonly failure?: Failure;
  /** the friend's courtyard sent it back; no older copy of it makes that undone */
  readonly returned?: true;
  /** ids of all envelopes, and hashes of all letters, that carried this mid */
  readonly ids?: readonly string[];
  readonly hashes?: readonly string[];
}

/** The reader's bound on a clock, in ms past the envelope's own time. */
export const CLOCK_LEAD = 10 * 60_000;

export function clampClock(clock: number, ts: number): number {
  return Math.min(clock, ts + CLOCK_LEAD);
}

/** Order of display; equal only for the same message. */
export function compareEvents(a: { clock: number; mid: string }, b: { clock: number; mid: string }): number {
  return a.clock - b.clock || (a.mid < b.mid ? -1 : a.mid > b.mid ? 1 : 0);
}

export type Role =
  | { readonly as: 'shown' }
  /** changes another event */
  | { readonly as: 'touch'; readonly target: Mid }
  /** a read mark: everything up to that clock */
  | { readonly as: 'mark'; readonly upto: number }
  | { readonly as: 'silent' };

/** What an event is for the conversation it belongs to. */
export function roleOf(event: { type: string; kind: string; body: unknown }): Role {
  if (event.type !== 'chat') return { as: 'silent' };
  const body = asRecord(event.body);
  switch (event.kind) {
    case 'text':
    case 'photo':
    case 'call':
      return { as: 'shown' };
    case 'edit':
    case 'delete':
    case 'react':
      return typeof body['target'] === 'string' ? { as: 'touch', target: body['target'] } : { as: 'silent' };
    case 'read':
      return Number.isSafeInteger(body['upto']) ? { as: 'mark', upto: body['upto'] as number } : { as: 'silent' };
    case 'profile':
      return { as: 'silent' };
    default:
      // A kind from later: kept, and shown as something this version cannot show, unless it only
      // changes another message.
      return 'target' in body ? { as: 'silent' } : { as: 'shown' };
  }
}

export function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
