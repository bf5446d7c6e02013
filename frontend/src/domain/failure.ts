/**
 * What went wrong, as the views get it: a stable code and values to put into a sentence. Codes are those of
 * the protocol (section 13 and the local ones of src/protocol/problem.ts) and these of the engine:
 *
 * - `offline`: there is no connection and the thing asked for needs one
 * - `photo-unreadable`: this browser cannot decode the picture (often HEIC); `photo-large`: nor shrink it enough
 * - `name-empty`, `name-long` {limit}, `text-long` {limit}, `words-long` {limit}
 * - `handle-bad`: not a handle
 * - `not-friend`, `self`: the person is no friend; is oneself
 * - `account-exists`, `account-none`: there is, or is no, account in this browser
 * - `card-exists`: only the present card can set another
 * - `home-none`, `home-away`: needs a home that answers
 * - `fork`: waits for a decision about the friend's devices
 * - `file-missing`: neither the courtyard nor the own home has it now
 * - `unsupported`: this browser cannot hold keys (old, or not a secure context)
 * - `elsewhere`: the link belongs to another courtyard
 * - `courtyard-refused`: the own courtyard or the other one does not deal with the other; `host-bad`: no address of a courtyard
 * - `card-unknown`: the card is of no account under its address; `card-elsewhere`: the address is another courtyard's
 * - `courtyard-own`: it is one's own courtyard
 * - `wall-altered`: a wall does not prove itself to be its author's; `wall-lost`: an own post is not on the wall any more
 * - `microphone-denied`, `camera-denied`: the person or the browser does not allow it; `microphone-none`, `camera-none`: there is none to use
 * - `calls-unsupported`: this browser makes no connections to others; `call-under-way`: one call at a time; `calls-not-passed`:
 *   all are to go through the courtyard, which passes on none
 */

import { isProblem, Problem } from '../protocol/problem';
import type { Failure } from './types';

export type EngineCode =
  | 'offline' | 'photo-unreadable' | 'photo-large' | 'name-empty' | 'name-long' | 'text-long' | 'words-long'
  | 'handle-bad' | 'not-friend' | 'self' | 'account-exists' | 'account-none' | 'card-exists'
  | 'home-none' | 'fork' | 'file-missing' | 'unsupported' | 'elsewhere' | 'cancelled' | 'courtyard-refused' | 'host-bad' | 'wall-altered' | 'wall-lost'
  | 'microphone-denied' | 'microphone-none' | 'camera-denied' | 'camera-none' | 'calls-unsupported' | 'call-under-way' | 'calls-not-passed'
  | 'card-unknown' | 'card-elsewhere' | 'courtyard-own';

export class Trouble extends Error implements Failure {
  readonly code: EngineCode;
  readonly params: Readonly<Record<string, string | number>>;

  constructor(code: EngineCode, params: Readonly<Record<string, string | number>> = {}, cause?: unknown) {
    super(code, cause === undefined ? undefined : { cause });
    this.name = 'Trouble';
    this.code = code;
    this.params = params;
  }
}

/** A plain copy, fit for the database and for the views. */
export function failureOf(error: unknown): Failure {
  if (error instanceof Problem || error instanceof Trouble) return { code: error.code, params: error.params };
  return { code: 'internal', params: { reason: error instanceof Error ? error.message.slice(0, 200) : 'unknown' } };
}

export function codeOf(error: unknown): string {
  return failureOf(error).code;
}

const PASSING = /^(?:offline|unavailable|rate-limited|unauthorized|origin)$/;
/** What a database says when its disk is full, or when another tab has taken it away. */
const STORAGE = /^(?:QuotaExceeded|InvalidState|Abort|Unknown|TransactionInactive)Error$/;

/** With another try it may be otherwise: the network, the courtyard or the disk did not do its part. */
export function passes(error: unknown): boolean {
  return PASSING.test(codeOf(error)) || isProblem(error, 'internal') || (error instanceof DOMException && STORAGE.test(error.name));
}
