/**
 * What can go wrong, as stable codes (protocol/README.md section 13). Sentences are written by the views.
 */

/** Codes that travel: append-only, the same list as the Go side's. */
export const wireCodes = [
  'bad-request', 'too-large', 'not-found', 'not-allowed', 'unauthorized', 'rate-limited', 'clock-ahead', 'expired',
  'id-reused', 'not-contact', 'request-waiting', 'space-full', 'sender-full', 'relay-full', 'home-away',
  'chain-conflict', 'uek-conflict', 'vault-conflict', 'bad-chain', 'username-taken', 'username-bad',
  'invite-unknown', 'claim-unknown', 'pair-empty', 'pair-used', 'handover-unknown', 'home-exists', 'origin',
  'internal', 'unavailable', 'address-refused', 'peer-away', 'peer-key', 'chain-needed', 'version', 'wall-conflict',
  'taken-back', 'perhaps-there',
] as const;

/** Codes that never leave this device: a check of this folder that failed. */
export const localCodes = [
  'key-bad', // an all-zero X25519 result, a key that is none
  'chain-behind', // something names a place in a chain that this copy does not reach yet: fetch and try again
  'uek-bad', // a daily key record that must not be sealed to
  'letter-bad', // a letter that could not be opened, for whatever reason
  'vault-bad', 'card-bad', 'code-bad', 'link-bad', 'invite-bad', 'handover-bad', 'pair-bad', 'session-bad',
  'file-bad', 'auth-bad',
] as const;

export type WireCode = (typeof wireCodes)[number];
export type LocalCode = (typeof localCodes)[number];
export type Code = WireCode | LocalCode;
export type Params = Readonly<Record<string, string | number>>;

export class Problem extends Error {
  readonly code: Code;
  readonly params: Params;

  constructor(code: Code, params: Params = {}, cause?: unknown) {
    super(code, cause === undefined ? undefined : { cause });
    this.name = 'Problem';
    this.code = code;
    this.params = params;
  }
}

/** Codes a relay newer than this app may send are read as `internal`. */
export function wireCode(text: string): WireCode {
  return wireCodes.find((code) => code === text) ?? 'internal';
}

export function isProblem(error: unknown, ...codes: Code[]): error is Problem {
  return error instanceof Problem && (codes.length === 0 || codes.includes(error.code));
}
