/**
 * What a call goes through, as a function: from where it stands and what happens to where it stands then and what is to
 * be done. No clock, no network, no browser (protocol section 17).
 */

import { limits, type Signal } from '../../protocol/message';
import type { CallMedia, CallOver, Uid } from '../types';

export const RING_EVERY = 3_000;
export const RINGS = 45_000;
/** Without a ring for so long the caller has gone. */
export const SILENCE = 12_000;
export const ANSWER_EVERY = 2_000;
/** From the answer to the first word. */
export const JOINS = 30_000;

export interface Standing {
  readonly call: string;
  readonly peer: Uid;
  readonly media: CallMedia;
  /** `joining`: taken, and the path is being looked for */
  readonly phase: 'calling' | 'ringing' | 'joining' | 'talking';
  /** this side rang */
  readonly out: boolean;
  /** the device at the other end, once there is one */
  readonly other: string | undefined;
  readonly began: number;
  /** since when they speak */
  readonly spoke: number | undefined;
  /** when to look again */
  readonly due: number;
  /** when it is given up if nothing comes */
  readonly until: number;
  /** the other side knows that this device has taken it */
  readonly sure: boolean;
}

/** The body of a `live` letter of kind `call`, as it stands in JSON. */
export interface CallSays extends Signal {
  readonly call: string;
  readonly op: 'ring' | 'answer' | 'taken' | 'decline' | 'busy' | 'end' | 'signal';
  readonly media?: CallMedia;
  readonly to?: string;
  readonly by?: string;
}

export type Input =
  | { readonly what: 'start'; readonly call: string; readonly peer: Uid; readonly media: CallMedia }
  | { readonly what: 'heard'; readonly peer: Uid; readonly dev: string; readonly said: CallSays }
  | { readonly what: 'accept' | 'decline' | 'hang-up' | 'tick' | 'connected' | 'gone' | 'lost' };

export interface Note {
  readonly call: string;
  readonly media: CallMedia;
  readonly result: 'answered' | 'missed' | 'declined' | 'busy' | 'failed';
  readonly seconds: number;
}

export type Effect =
  /** `first`: wakes who sleeps */
  | { readonly do: 'send'; readonly peer: Uid; readonly said: CallSays; readonly first?: true }
  /** the answer with the present offer, to the caller's device */
  | { readonly do: 'answer' }
  /** a connection to `other`; `offer`: of the device that has taken it, otherwise the offer is ours to make */
  | { readonly do: 'join'; readonly offer?: Signal }
  | { readonly do: 'signal'; readonly signal: Signal }
  | { readonly do: 'note'; readonly peer: Uid; readonly note: Note }
  | { readonly do: 'over'; readonly call: string; readonly why: CallOver };

export interface Step {
  readonly standing: Standing | undefined;
  readonly effects: readonly Effect[];
}

export function step(standing: Standing | undefined, input: Input, now: number, device: string): Step {
  switch (input.what) {
    case 'start':
      return standing ? same(standing) : start(input, now);
    case 'heard':
      return heard(standing, input, now, device);
    case 'accept':
      if (standing?.phase !== 'ringing') return same(standing);
      return { standing: { ...standing, phase: 'joining', due: now + ANSWER_EVERY, until: now + JOINS }, effects: [{ do: 'join' }] };
    case 'decline':
      return standing?.phase === 'ringing' ? over(standing, 'declined', now, 'decline') : same(standing);
    case 'hang-up':
      return standing ? over(standing, 'hung-up', now, 'end') : same(standing);
    case 'connected':
      return standing?.phase === 'joining' ? { standing: { ...standing, phase: 'talking', spoke: now, due: Infinity, until: Infinity, sure: true }, effects: [] } : same(standing);
    case 'gone':
      return standing ? over(standing, standing.phase === 'talking' ? 'ended' : 'failed', now, 'end') : same(standing);
    case 'lost':
      return standing ? over(standing, 'lost', now, 'end') : same(standing);
    case 'tick':
      return standing && now >= standing.due ? tick(standing, now) : same(standing);
  }
}

function same(standing: Standing | undefined): Step {
  return { standing, effects: [] };
}

function start({ call, peer, media }: Extract<Input, { what: 'start' }>, now: number): Step {
  return {
    standing: { call, peer, media, phase: 'calling', out: true, other: undefined, began: now, spoke: undefined, due: now + RING_EVERY, until: now + RINGS, sure: false },
    effects: [{ do: 'send', peer, said: { call, op: 'ring', media }, first: true }],
  };
}

function tick(standing: Standing, now: number): Step {
  const { call, peer, media, phase } = standing;
  if (now >= standing.until) {
    if (phase === 'ringing') return over(standing, 'ended', now);
    return over(standing, phase === 'calling' ? 'unanswered' : 'failed', now, 'end');
  }
  if (phase === 'calling') {
    return { standing: { ...standing, due: Math.min(now + RING_EVERY, standing.until) }, effects: [{ do: 'send', peer, said: { call, op: 'ring', media } }] };
  }
  if (phase === 'joining' && !standing.sure && !standing.out) return { standing: { ...standing, due: now + ANSWER_EVERY }, effects: [{ do: 'answer' }] };
  return same({ ...standing, due: standing.until });
}

function heard(standing: Standing | undefined, input: Extract<Input, { what: 'heard' }>, now: number, device: string): Step {
  const { peer, dev, said } = input;
  if (said.op === 'ring') return rung(standing, peer, dev, said, now);
  if (standing?.peer !== peer || standing.call !== said.call) return same(standing);
  if (said.to !== undefined && said.to !== device) return same(standing);
  if (standing.out && standing.phase === 'calling') return reached(standing, dev, said, now);
  if (said.op === 'answer' && standing.out) {
    // Again, because the word was lost; or another device that was slower.
    return { standing, effects: [{ do: 'send', peer, said: { call: said.call, op: 'taken', by: standing.other ?? dev } }] };
  }
  if (dev !== standing.other) return same(standing);
  switch (said.op) {
    case 'taken':
      if (standing.out) return same(standing);
      return said.by === device && standing.phase !== 'ringing' ? same({ ...standing, sure: true }) : standing.phase === 'talking' ? same(standing) : over(standing, 'elsewhere', now);
    case 'signal':
      if (standing.phase === 'ringing') return same(standing);
      return { standing: { ...standing, sure: true }, effects: [{ do: 'signal', signal: signalOf(said) }] };
    case 'end':
      return over(standing, standing.phase === 'joining' ? 'failed' : 'ended', now);
    default:
      return same(standing);
  }
}

/** What the others say to one who rings. */
function reached(standing: Standing, dev: string, said: CallSays, now: number): Step {
  const { call, peer } = standing;
  switch (said.op) {
    case 'answer':
      return {
        standing: { ...standing, phase: 'joining', other: dev, due: now + JOINS, until: now + JOINS, sure: true },
        effects: [{ do: 'send', peer, said: { call, op: 'taken', by: dev } }, { do: 'join', offer: signalOf(said) }],
      };
    case 'decline':
      return over(standing, 'declined', now, 'end');
    case 'busy':
      return over(standing, 'busy', now, 'end');
    default:
      return same(standing);
  }
}

function rung(standing: Standing | undefined, peer: Uid, dev: string, said: CallSays, now: number): Step {
  const { call, media } = said;
  if (media === undefined) return same(standing);
  const ringing: Standing = { call, peer, media, phase: 'ringing', out: false, other: dev, began: now, spoke: undefined, due: now + SILENCE, until: now + SILENCE, sure: false };
  if (!standing) return same(ringing);
  if (standing.peer === peer && standing.call === call) {
    // Whoever rings stops after RINGS; a program that does not is not listened to for ever.
    return standing.phase === 'ringing' && standing.other === dev && now < standing.began + RINGS ? same({ ...standing, due: now + SILENCE, until: now + SILENCE }) : same(standing);
  }
  if (standing.peer === peer && standing.phase === 'calling') {
    // Both rang: the smaller name counts, and whoever wanted to speak with them takes it at once.
    if (call > standing.call) return same(standing);
    return {
      standing: { ...ringing, phase: 'joining', due: now + ANSWER_EVERY, until: now + JOINS },
      effects: [{ do: 'send', peer, said: { call: standing.call, op: 'end' } }, { do: 'join' }],
    };
  }
  if (standing.peer === peer && standing.other === dev && standing.phase !== 'ringing') {
    // They have begun anew, so what this side still holds is over.
    return { standing: ringing, effects: over(standing, 'ended', now).effects };
  }
  return { standing, effects: [{ do: 'send', peer, said: { call, op: 'busy' } }] };
}

/** @param op said to the other side, if anything is */
function over(standing: Standing, why: CallOver, now: number, op?: 'end' | 'decline'): Step {
  const { call, peer, media, phase, out, spoke } = standing;
  const effects: Effect[] = [];
  if (op) effects.push({ do: 'send', peer, said: { call, op } });
  if (out) {
    const result = spoke !== undefined ? 'answered' : why === 'declined' || why === 'busy' ? why : phase === 'joining' ? 'failed' : 'missed'; // once it was taken nobody missed it
    const seconds = spoke === undefined ? 0 : Math.min(limits.seconds, Math.max(0, Math.round((now - spoke) / 1000)));
    effects.push({ do: 'note', peer, note: { call, media, result, seconds } });
  }
  effects.push({ do: 'over', call, why });
  return { standing: undefined, effects };
}

function signalOf({ sdp, candidates }: CallSays): Signal {
  return { ...(sdp ? { sdp } : {}), ...(candidates ? { candidates } : {}) };
}
