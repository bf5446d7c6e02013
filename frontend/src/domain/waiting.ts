/** What a message waits for, once it has waited ten seconds for its next tick. */

import type { Lack } from './outbox';
import type { State, Tick, Waiting } from './types';

export const PATIENCE = 10_000;

export interface Circumstances {
  readonly tick: Tick;
  /** when the present tick was reached, or the message written */
  readonly since: number;
  readonly now: number;
  readonly link: State['link'];
  readonly name: string;
  /** the friend's list of devices waits for a decision */
  readonly fork: boolean;
  /** it has been answered `stale`, or the friend's key could not be had; or nobody answers who could tell it */
  readonly lack: Lack | undefined;
  /** the own courtyard has it and has to pass it on to another */
  readonly way: boolean;
}

export function waitingFor(message: Circumstances): Waiting | undefined {
  const { tick, since, now, link, name, fork, lack, way } = message;
  if (tick !== 'waiting' && tick !== 'accepted') return undefined;
  if (now - since < PATIENCE) return undefined;
  if (tick === 'accepted') return { for: way ? 'carry' : 'home', name };
  if (fork) return { for: 'decision', name };
  if (link === 'refused') return { for: 'nothing' };
  if (link !== 'online') return { for: 'network' };
  if (lack) return { for: lack, name };
  return { for: 'courtyard' };
}

/** When the words are due, if they still are. */
export function wordsDue(tick: Tick, since: number, now: number): number | undefined {
  if (tick !== 'waiting' && tick !== 'accepted') return undefined;
  return since + PATIENCE > now ? since + PATIENCE : undefined;
}
