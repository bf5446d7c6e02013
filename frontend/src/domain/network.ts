/**
 * What is known of the network this device is in, and what follows from it: the measurements, the table, and how long both
 * count (protocol section 17). Nothing here looks or waits.
 */

import type { Candidate, ChosenPair, Gathered } from '../platform/platform';

/** What was measured; undefined: it could not be, mostly because no home answers. */
export interface Measured {
  /** how many addresses two STUN ports of the courtyard saw one socket come from */
  readonly seen: number | undefined;
  /** whether a stranger's packet came in */
  readonly filter: boolean | undefined;
  /** the port that the home saw, beside the one that the courtyard saw */
  readonly port: 'same' | 'different' | 'none' | undefined;
  /** whether a connection to the home came about */
  readonly met: boolean | undefined;
}

/**
 * `blocked`: no UDP; `symmetric`: another address for everybody one writes to; `open`: whoever knows the address comes in;
 * `restricted`: whoever one has written to comes in; `unsure`: the home saw nothing, which may be the home's own network;
 * `unproven`: no more is known than that the address stays the same.
 */
export type NetworkKind = 'unknown' | 'blocked' | 'symmetric' | 'open' | 'restricted' | 'unsure' | 'unproven';

/** What a connection from here can hope for. `tcp`: no UDP at all. `open`: only to somebody whose network is open, or over IPv6. */
export type Prospect = 'direct' | 'direct-unless-symmetric' | 'open' | 'tcp' | 'unknown';

/** The table of section 17. */
export function judge({ seen, filter, port }: Measured): { readonly kind: NetworkKind; readonly prospect: Prospect } {
  if (seen === undefined) return { kind: 'unknown', prospect: 'unknown' };
  if (seen === 0) return { kind: 'blocked', prospect: 'tcp' };
  if (seen > 1) return { kind: 'symmetric', prospect: 'open' };
  if (filter === true) return { kind: 'open', prospect: 'direct' };
  if (filter === undefined) return { kind: 'unproven', prospect: 'direct-unless-symmetric' };
  switch (port) {
    case 'same':
      return { kind: 'restricted', prospect: 'direct-unless-symmetric' };
    case 'different':
      return { kind: 'symmetric', prospect: 'open' };
    case 'none':
      return { kind: 'unsure', prospect: 'unknown' };
    case undefined:
      return { kind: 'unproven', prospect: 'direct-unless-symmetric' };
  }
}

/** 0: nothing came back. An address that is the same outside is not told again, so whoever was answered has one. */
export function addressesSeen({ candidates, answered }: Gathered): number {
  return Math.max(answered ? 1 : 0, distinct(candidates));
}

/**
 * The number of addresses one socket has outside, as several STUN ports saw it. A browser that may use all its interfaces has
 * a socket on each, and then names the inner address: only what belongs to one is compared. IPv6 has its own, so it is left out.
 */
function distinct(candidates: readonly Candidate[]): number {
  const outside = new Map<string, Set<string>>();
  for (const { kind, protocol, address, port, candidate } of candidates) {
    if (kind !== 'srflx' || protocol !== 'udp' || address.includes(':')) continue;
    const inside = / raddr (\S+) rport (\d+)/u.exec(candidate);
    const socket = `${inside?.[1] ?? ''} ${inside?.[2] ?? ''}`;
    outside.set(socket, (outside.get(socket) ?? new Set()).add(`${address}:${String(port)}`));
  }
  return Math.max(0, ...[...outside.values()].map(({ size }) => size));
}

/** What the home saw this device come from, beside what the courtyard saw: `address` is `ip:port`. */
export function portSeen(address: string | undefined, candidates: readonly Candidate[]): Measured['port'] {
  const reflexive = candidates.filter(({ kind, protocol }) => kind === 'srflx' && protocol === 'udp');
  const [host, port] = split(address ?? '');
  if (host === undefined || host === '') return 'none';
  const of = reflexive.filter((candidate) => candidate.address === host);
  // From another address altogether, such as the same house: it tells nothing of this router.
  if (of.length === 0) return undefined;
  return of.some((candidate) => candidate.port === port) ? 'same' : 'different';
}

function split(address: string): [string | undefined, number] {
  const [, host, port] = /^\[?([^\]]*?)\]?:(\d+)$/u.exec(address) ?? [];
  return [host, Number(port)];
}

/** An address that nobody outside of one's own network can reach. A name is what browsers put in the place of one. */
export function isPrivate(address: string): boolean {
  const [host = ''] = split(address);
  return /^(?:10\.|127\.|169\.254\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|f[cd][0-9a-f]{2}:|fe[89ab][0-9a-f]:|::1$)/iu.test(host) || host.endsWith('.local');
}

/**
 * Whether a connection to the home stays within one's own network; `seen`: where the home sees this device. Not all that is there
 * is private: IPv6 has public addresses at home, too, and the home may answer another way than it is asked.
 */
export function staysNear({ remote, to }: Pick<ChosenPair, 'remote' | 'to'>, seen = ''): boolean {
  return isPrivate(to) || (remote === 'host' && (to === '' || isPrivate(seen) || networkOf(to) === networkOf(seen)));
}

/** The first half of an IPv6 address; of IPv4, where nobody tells how much of it is the network, all. */
function networkOf(address: string): string {
  const [host = ''] = split(address);
  if (!host.includes(':')) return host;
  const [before = [], after = []] = host.split('::').map((part) => (part === '' ? [] : part.split(':')));
  const groups = [...before, ...Array.from({ length: 8 - before.length - after.length }, () => '0'), ...after];
  return groups.slice(0, 4).map((group) => parseInt(group, 16).toString(16)).join(':');
}

// ---- for how long ----------------------------------------------------------------------------------------------------------

/** What was found in one network. */
export interface Finding {
  /** the address that the courtyard sees this device come from */
  readonly address: string;
  readonly at: number;
  readonly measured: Measured;
}

const WORKS = 24 * 60 * 60_000;
/** A network that let nothing through may be another one behind the same address, or the home's has changed. */
const FAILS = 15 * 60_000;

/** Whether it still counts at this address. */
export function counts({ address, at, measured }: Finding, here: string | undefined, now: number): boolean {
  return address === here && at <= now && now - at < (measured.met === true ? WORKS : FAILS);
}

/** As it was stored; undefined for anything else. */
export function readFinding(value: unknown): Finding | undefined {
  const { address, at, measured } = (value ?? {}) as { address?: unknown; at?: unknown; measured?: unknown };
  if (typeof address !== 'string' || typeof at !== 'number' || typeof measured !== 'object' || measured === null) return undefined;
  const { seen, filter, port, met } = measured as Record<string, unknown>;
  return {
    address, at,
    measured: {
      seen: typeof seen === 'number' ? seen : undefined, filter: typeof filter === 'boolean' ? filter : undefined,
      port: port === 'same' || port === 'different' || port === 'none' ? port : undefined, met: typeof met === 'boolean' ? met : undefined,
    },
  };
}
