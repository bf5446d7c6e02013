/** Reads walls from wherever they are, to their end, and believes nothing that does not prove itself. */

import { formatHost, type Host, parseHost } from '../../protocol/address';
import { unb64, b64, type Bytes } from '../../protocol/bytes';
import { Altered, type Change, type Pin, readWallPage, Walk, type WallPage } from '../../protocol/post';
import { isProblem } from '../../protocol/problem';
import type { WallRecord } from '../../store/schema';
import type { Session } from '../session';
import type { Uid } from '../types';

/** Changes at a time: each signature costs a phone some milliseconds, in which it does nothing else. */
const PAGE = 40;

export interface Read {
  readonly changes: readonly Change[];
  readonly end: Pin;
  readonly username: string;
  readonly host: Host;
}

/**
 * What came after `pin`; `known`: what another of one's devices has read, to be met on the way. Throws `Altered`, `not-found`
 * for a wall that is not there, `fork` for an author whose chain waits for a decision, and what the network does.
 */
export async function readWall(session: Session, who: { readonly uid: Uid; readonly username: string; readonly host?: Host }, pin?: Pin, known?: Pin): Promise<Read> {
  const { chains } = session;
  if (who.host && who.uid !== session.self.id) chains.hint(who.uid, who.host);
  try {
    return await walk(session, who, pin, known);
  } catch (error) {
    if (!isProblem(error, 'bad-chain')) throw error;
  }
  // Signed by a device that is new, perhaps.
  await chains.fetch(who.uid);
  try {
    return await walk(session, who, pin, known);
  } catch (error) {
    throw isProblem(error, 'bad-chain') ? new Altered('signed by nobody of theirs', error) : error;
  }
}

async function walk(session: Session, { uid, username }: { readonly uid: Uid; readonly username: string }, pin?: Pin, known?: Pin): Promise<Read> {
  const { chains } = session;
  const chain = await chains.of(uid);
  const reader = new Walk(chain, pin, known);
  const changes: Change[] = [];
  for (;;) {
    const page = await pageOf(session, uid, username, reader.after);
    changes.push(...reader.take(page));
    const { end } = reader;
    if (end) return { changes, end, username: page.username, host: chains.whereIs(uid) };
  }
}

async function pageOf(session: Session, uid: Uid, username: string, after: number): Promise<WallPage> {
  const abroad = session.chains.abroad(uid);
  const query = new URLSearchParams({ after: String(after), limit: String(PAGE), ...(abroad && { host: formatHost(abroad) }) });
  return readWallPage(await session.api.call('GET', `walls/${encodeURIComponent(username)}?${query.toString()}`));
}

export function pinOf(record: WallRecord | undefined): Pin | undefined {
  return record && record.seq > 0 ? { seq: record.seq, hash: unb64(record.hash, 32), ts: record.ts } : undefined;
}

/** The wall's standing after a read. */
export function recordOf(before: WallRecord | undefined, uid: Uid, { changes, end, username, host }: Read, now: number): WallRecord {
  const profile = changes.findLast((change) => change.op === 'profile');
  const about = profile
    ? { name: profile.name, about: profile.about, picture: profile.picture && { ...profile.picture, hash: b64(profile.picture.hash), alt: '' }, steps: [...profile.gone, profile.seq] }
    : { name: before?.name ?? '', about: before?.about ?? '', picture: before?.picture, steps: before?.steps ?? [] };
  return { uid, username, host: formatHost(host), ...about, seq: end.seq, hash: b64(end.hash satisfies Bytes), ts: end.ts, checked: now, altered: undefined };
}

export function hostOf(record: WallRecord): Host {
  return parseHost(record.host);
}
