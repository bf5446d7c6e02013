/**
 * What waits where, and why: looked up when somebody asks, told in words by the page that shows it. Names of friends are in
 * it, nothing of what anybody wrote. Loaded with that page.
 */

import { tickOf } from './conversation';
import { codeOf } from './failure';
import type { Session } from './session';
import type { Uid } from './types';
import { PATIENCE } from './waiting';

/** Letters to or from one person, counted. */
export interface Waiter {
  readonly name: string;
  readonly count: number;
  /** when the oldest began to wait */
  readonly since: number;
}

/** On this device. `refused`: with the code; the person has to act. */
export interface Unsent extends Waiter {
  readonly why: 'network' | 'courtyard' | 'key' | 'away' | 'decision' | 'file' | 'clock' | 'refused';
  readonly code: string | undefined;
}

/** At the own courtyard, for another one. `code`: of the last try, if there was any. */
export interface Outbound extends Waiter {
  readonly host: string;
  readonly tries: number;
  readonly code: string | undefined;
}

export interface Diagnosis {
  readonly at: number;
  readonly device: { readonly name: string; readonly online: boolean };
  readonly courtyard: {
    readonly host: string;
    readonly link: 'offline' | 'connecting' | 'online' | 'refused';
    /** asked just now; `code`: why there was no answer */
    readonly answer: { readonly version: string; readonly took: number; readonly lead: number } | { readonly code: string };
  };
  readonly unsent: readonly Unsent[];
  /** letters whose writer's courtyard does not answer, kept here until they can be opened */
  readonly unopened: readonly Waiter[];
  /** own messages that a courtyard has and the friend's home has not confirmed: of the newest of each conversation */
  readonly resting: readonly Waiter[];
  /** undefined when the courtyard cannot be asked now */
  readonly outbound: readonly Outbound[] | undefined;
  /** counts as the home told them last */
  readonly home: { readonly state: 'none' | 'online' | 'away'; readonly since: number; readonly channel: boolean; readonly version: string; readonly messages: number | undefined; readonly free: number | undefined };
  readonly space: { readonly used: number; readonly limit: number } | undefined;
}

/** for the courtyard's answer, ms: who looks is waiting */
const ANSWER = 5_000;
/** messages looked at in each conversation */
const NEWEST = 200;

export async function diagnose(session: Session): Promise<Diagnosis> {
  const { self, platform, doorway, home, homeLink, household } = session;
  const [answer, unsent, unopened, resting] = await Promise.all([ask(session), unsentOf(session), unopenedOf(session), restingOf(session)]);
  // A courtyard that does not say what it is says nothing else either.
  const outbound = 'code' in answer ? undefined : await outboundOf(session);
  const { link, space, home: standing } = doorway.standing;
  return {
    at: self.now(),
    device: { name: platform.deviceName, online: platform.online },
    courtyard: { host: self.handle.split('@')[1] ?? '', link, answer },
    unsent, unopened, resting, outbound,
    home: {
      state: home === undefined ? 'none' : standing.state === 'online' && link === 'online' ? 'online' : 'away', since: standing.since,
      channel: homeLink.open, version: household.version, messages: household.figure('messages'), free: household.figure('free'),
    },
    space,
  };
}

async function ask({ api, platform }: Session): Promise<Diagnosis['courtyard']['answer']> {
  const asked = platform.now();
  try {
    const { version, time } = await api.relay(ANSWER);
    const heard = platform.now();
    return { version, took: heard - asked, lead: time - (asked + heard) / 2 };
  } catch (error) {
    return { code: codeOf(error) };
  }
}

async function unsentOf(session: Session): Promise<readonly Unsent[]> {
  const { store, linked, chains, outbox, transfers, doorway } = session;
  const found = new Map<string, Unsent>();
  for (const row of await store.log.outbox()) {
    const code = row.failure?.code ?? (doorway.standing.link === 'refused' ? 'unauthorized' : undefined);
    const why = code !== undefined ? 'refused' : chains.isForked(row.peer) ? 'decision' : !linked ? 'network' : outbox.isEarly(row) ? 'clock'
      : (outbox.lacks(row.peer) ?? (row.files.some((id) => transfers.part(id) !== undefined) ? 'file' : 'courtyard'));
    gather(found, `${row.peer}/${why}/${code ?? ''}`, { name: session.person(row.peer).name, count: 1, since: row.at, why, code });
  }
  return [...found.values()];
}

async function unopenedOf(session: Session): Promise<readonly Waiter[]> {
  const found = new Map<Uid, Waiter>();
  for (const { author, since } of await session.crossing.unopened()) gather(found, author, { name: session.person(author).name, count: 1, since });
  return [...found.values()];
}

async function restingOf({ store, talks, self, chains }: Session): Promise<readonly Waiter[]> {
  const found = new Map<Uid, Waiter>();
  for (const { peer } of talks.list) {
    const { uid, name } = peer;
    const marks = { theirs: (await store.log.talk(uid))?.theirs ?? 0, friendHome: chains.held(uid)?.home(self.now()) !== undefined };
    for (const event of await store.log.page(uid, undefined, NEWEST)) {
      const at = event.accepted;
      if (event.author !== self.id || event.way || at === undefined || self.now() - at < PATIENCE || tickOf(event, marks) !== 'accepted') continue;
      gather(found, uid, { name, count: 1, since: at });
    }
  }
  return [...found.values()];
}

async function outboundOf(session: Session): Promise<readonly Outbound[] | undefined> {
  if (!session.linked) return undefined;
  const found = new Map<string, Outbound>();
  try {
    for (const { to, host, since, tries = 0, code } of await session.crossing.waiting()) {
      gather(found, `${to}/${code ?? ''}`, { name: session.person(to).name, count: 1, since, host, tries, code });
    }
  } catch (error) {
    if (codeOf(error) === 'internal') throw error;
    return undefined;
  }
  return [...found.values()];
}

function gather<T extends Waiter>(found: Map<string, T>, key: string, one: T): void {
  const held = found.get(key);
  found.set(key, held ? { ...held, count: held.count + 1, since: Math.min(held.since, one.since) } : one);
}
