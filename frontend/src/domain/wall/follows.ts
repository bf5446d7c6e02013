/** Whom one follows: the vault's list `follows` (protocol section 15), by uid. What other clients keep in it stays. */

import { type Host, parseHost, formatHost } from '../../protocol/address';
import { b64, type Bytes } from '../../protocol/bytes';
import { bytes, int, isObject, type Json, type JsonObject, open, text } from '../../protocol/json';
import { isProblem } from '../../protocol/problem';
import type { Pin } from '../../protocol/post';
import type { VaultData } from '../../protocol/vaultdata';
import type { Uid } from '../types';

/** More are not looked at. */
const MOST = 1000;

export interface Follow {
  readonly uid: Uid;
  readonly username: string;
  readonly host: Host;
  readonly name: string;
  /** what has been read to its end, by whichever of one's devices */
  readonly pin: Pin | undefined;
  readonly since: number;
}

const readFollow = open({ uid: bytes(32), username: text(64), host: text(300) }, { port: int(1, 65_535), name: text(300), seq: int(), hash: bytes(32), ts: int(), since: int() });

export function followsOf(data: VaultData): readonly Follow[] {
  return listOf(data).slice(0, MOST).flatMap((item) => {
    try {
      const { uid, username, host, port = 443, name = '', seq = 0, hash, ts = 0, since = 0 } = readFollow(item);
      // In one form, and refused when it is none.
      const at = parseHost(formatHost({ host, port }));
      return [{ uid: b64(uid), username, host: at, name, since, pin: hash && seq > 0 ? { seq, hash, ts } : undefined }];
    } catch (error) {
      if (isProblem(error)) return []; // of a later version; it is kept
      throw error;
    }
  });
}

export function withFollow(data: VaultData, { uid, username, host, name, pin, since }: Follow): VaultData {
  const entry = { uid, username, host: host.host, port: host.port, name, since, ...pinJson(pin) };
  const list = listOf(data);
  const at = list.findIndex((item) => uidOf(item) === uid);
  return withList(data, at < 0 ? [...list, entry] : list.map((item, i) => (i === at && isObject(item) ? { ...item, ...entry } : item)));
}

export function withoutFollow(data: VaultData, uid: Uid): VaultData | undefined {
  const list = listOf(data);
  return list.some((item) => uidOf(item) === uid) ? withList(data, list.filter((item) => uidOf(item) !== uid)) : undefined;
}

export interface Standing {
  readonly pin: Pin;
  readonly name: string;
  readonly username: string;
  readonly host: Host;
}

/** Undefined when the vault knows all of it. `back`: also to an earlier place, for a wall that the reader trusts anew. */
export function withStandings(data: VaultData, standings: ReadonlyMap<Uid, Standing>, back = false): VaultData | undefined {
  const held = listOf(data);
  const list = held.map((item) => {
    const standing = standings.get(uidOf(item) ?? '');
    if (!standing || !isObject(item)) return item;
    const { pin, name, username, host } = standing;
    const seq = typeof item['seq'] === 'number' ? item['seq'] : 0;
    // The head's time alone moves every day: not worth a new vault.
    const same = seq === pin.seq && item['hash'] === b64(pin.hash) && item['name'] === name && item['host'] === host.host && item['port'] === host.port;
    if (same || (seq > pin.seq && !back)) return item;
    return { ...item, name, username, host: host.host, port: host.port, ...pinJson(pin) };
  });
  return list.some((item, i) => item !== held[i]) ? withList(data, list) : undefined;
}

function pinJson(pin: Pin | undefined): JsonObject {
  return pin ? { seq: pin.seq, hash: b64(pin.hash satisfies Bytes), ts: pin.ts } : {};
}

function uidOf(item: Json): Uid | undefined {
  const uid = isObject(item) ? item['uid'] : undefined;
  return typeof uid === 'string' ? uid : undefined;
}

function listOf(data: VaultData): readonly Json[] {
  const list = data.rest?.['follows'];
  return Array.isArray(list) ? (list as readonly Json[]) : [];
}

function withList(data: VaultData, follows: readonly Json[]): VaultData {
  return { ...data, rest: { ...data.rest, follows } };
}
