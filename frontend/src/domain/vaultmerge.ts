/**
 * Two devices changed the vault from the same version: what each meant, put together. Pure; nothing is lost
 * that only one side touched.
 */

import { b64 } from '../protocol/bytes';
import { isObject, type Json, type JsonObject } from '../protocol/json';
import type { VaultData, VaultFriend, VaultInvite, VaultUek } from '../protocol/vaultdata';

export function mergeVaults(base: VaultData, ours: VaultData, theirs: VaultData): VaultData {
  return {
    ...theirs,
    ...(ours.rest || theirs.rest ? { rest: mergeRest(base.rest ?? {}, ours.rest ?? {}, theirs.rest ?? {}) } : {}),
    username: pick(base.username, ours.username, theirs.username),
    name: pick(base.name, ours.name, theirs.name),
    about: pick(base.about, ours.about, theirs.about),
    picture: same(ours.picture, base.picture) ? theirs.picture : ours.picture,
    friends: mergeLists(base.friends, ours.friends, theirs.friends, (friend) => b64(friend.uid), mergeFriends),
    invites: mergeLists(base.invites, ours.invites, theirs.invites, (invite) => b64(invite.id), mergeInvites),
    ueks: mergeLists(base.ueks, ours.ueks, theirs.ueks, (uek) => `${String(uek.counter)}/${b64(uek.secret)}`, firstUek),
    settings: mergeObjects(base.settings, ours.settings, theirs.settings),
    devices: mergeObjects(base.devices, ours.devices, theirs.devices) as Record<string, string>,
  };
}

/** Ours where only we changed it, theirs otherwise. */
function pick<T>(base: T, ours: T, theirs: T): T {
  return same(ours, base) ? theirs : ours;
}

function same(a: unknown, b: unknown): boolean {
  return text(a) === text(b);
}

function text(value: unknown): string {
  // Wrapped, so that what is not there has a text as well.
  return JSON.stringify([value], (_key, field: unknown) => (field instanceof Uint8Array ? b64(field) : field));
}

/** By identity: what one side added stays, what one side took away goes unless the other changed it. */
function mergeLists<T>(base: readonly T[], ours: readonly T[], theirs: readonly T[], key: (item: T) => string, both: (base: T | undefined, ours: T, theirs: T) => T): readonly T[] {
  const inBase = new Map(base.map((item) => [key(item), item]));
  const inOurs = new Map(ours.map((item) => [key(item), item]));
  const inTheirs = new Map(theirs.map((item) => [key(item), item]));
  const merged: T[] = [];
  for (const [id, item] of inTheirs) {
    const our = inOurs.get(id);
    const was = inBase.get(id);
    if (our !== undefined) merged.push(same(our, was) ? item : same(item, was) ? our : both(was, our, item));
    else if (was === undefined || !same(item, was)) merged.push(item);
  }
  for (const [id, item] of inOurs) {
    if (inTheirs.has(id)) continue;
    const was = inBase.get(id);
    if (was === undefined || !same(item, was)) merged.push(item);
  }
  return merged;
}

/** The later decision stands; knowledge (pins, having met) only grows. */
function mergeFriends(_base: VaultFriend | undefined, ours: VaultFriend, theirs: VaultFriend): VaultFriend {
  const later = ours.since > theirs.since ? ours : theirs;
  const longer = ours.seq > theirs.seq ? ours : theirs;
  const newer = ours.uek > theirs.uek ? ours : theirs;
  return {
    ...later,
    ...(ours.rest || theirs.rest ? { rest: { ...theirs.rest, ...ours.rest, ...later.rest } } : {}),
    confirmed: ours.confirmed || theirs.confirmed,
    seq: longer.seq,
    head: longer.head,
    uek: newer.uek,
    uekKey: newer.uekKey,
  };
}

function mergeInvites(_base: VaultInvite | undefined, ours: VaultInvite, theirs: VaultInvite): VaultInvite {
  return theirs.by ? theirs : ours;
}

function firstUek(_base: VaultUek | undefined, _ours: VaultUek, theirs: VaultUek): VaultUek {
  return theirs;
}

/** Of what only a later room reads (wall/follows.ts), the list of those one follows goes by uid: who was let go on one side is gone, however far the other has read. */
function mergeRest(base: JsonObject, ours: JsonObject, theirs: JsonObject): JsonObject {
  const merged = mergeObjects(base, ours, theirs);
  const [was, our, their] = [followsIn(base), followsIn(ours), followsIn(theirs)];
  if (our.size === 0 && their.size === 0) return merged;
  const follows: Json[] = [];
  for (const [uid, item] of new Map([...our, ...their])) {
    const one = our.get(uid);
    if (was.has(uid) && (one === undefined || !their.has(uid))) continue;
    follows.push(one !== undefined && place(one) > place(item) ? one : item);
  }
  return { ...merged, follows };
}

function followsIn(rest: JsonObject): ReadonlyMap<string, Json> {
  const { follows } = rest;
  const list = Array.isArray(follows) ? (follows as readonly Json[]) : [];
  return new Map(list.map((item) => [text(isObject(item) ? item['uid'] : item), item]));
}

/** How far somebody's wall has been read. */
function place(item: Json): number {
  return isObject(item) && typeof item['seq'] === 'number' ? item['seq'] : 0;
}

function mergeObjects(base: JsonObject, ours: JsonObject, theirs: JsonObject): JsonObject {
  const merged: Record<string, Json> = {};
  for (const key of new Set([...Object.keys(theirs), ...Object.keys(ours)])) {
    const value = same(ours[key], base[key]) ? theirs[key] : ours[key];
    if (value !== undefined) merged[key] = value;
  }
  return merged;
}
