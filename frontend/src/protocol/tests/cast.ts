/**
 * The people who appear in the tests, with real keys and chains, and randomness that can be repeated.
 */
import { vi } from 'vitest';
import { type Bytes, concat, u64, utf8 } from '../bytes';
import { type Header, makeHeader } from '../envelope';
import { Chain, type Role } from '../ident';
import { type DeviceKeys, deviceKeysFromSecrets, importUek, type UekSecret } from '../keys';
import type { Meta } from '../message';
import { type Random, sha256, signPublic } from '../primitives';
import { makeUek, type Uek } from '../uek';

// Thousands of bytes are changed one by one; on a machine that does other things too this takes its time.
vi.setConfig({ testTimeout: 120_000 });

export const now = 1_790_000_000_000;

/** SHA-256 in counter mode: the same bytes for the same seed, however they are asked for. */
export function repeatable(seed: string): Random {
  let block = 0;
  let pool: Bytes = new Uint8Array(0);
  return (length) => {
    while (pool.length < length) pool = concat(pool, sha256(concat(utf8(seed), u64(block++))));
    const out = pool.slice(0, length);
    pool = pool.slice(length);
    return out;
  };
}

export const relaySeed = sha256(utf8('relay'));
export const relay = { key: signPublic(relaySeed), host: 'relay.example', port: 443 };

export interface Person {
  readonly name: string;
  readonly keys: DeviceKeys;
  chain: Chain;
  readonly uek: UekSecret;
  readonly uekSecret: Bytes;
  readonly record: Uek;
}

export async function person(name: string): Promise<Person> {
  const random = repeatable(name);
  const keys = await deviceKeysFromSecrets(random(32), random(32));
  const chain = await Chain.begin(keys, relay, now, random);
  const uekSecret = random(32);
  const uek = await importUek(1, uekSecret);
  return { name, keys, chain, uek, uekSecret, record: await makeUek(keys, chain, uek.key, undefined, now) };
}

/** Adds a device and returns its keys. */
export async function withDevice(owner: Person, role: Role, exp = 0): Promise<DeviceKeys> {
  const random = repeatable(`${owner.name} ${role} ${String(owner.chain.seq)}`);
  const keys = await deviceKeysFromSecrets(random(32), random(32));
  owner.chain = owner.chain.append(await owner.chain.addDevice(owner.keys, { sign: keys.sign, box: keys.box, role, exp }, now));
  return keys;
}

export function headerBetween(from: Person, to: Person, type = 'chat', random: Random = repeatable('header')): Header {
  const address = (who: Person) => ({ ip: 'relay.example', port: 443, username: who.name, id: who.chain.uid });
  return makeHeader({ from: address(from), to: address(to), type, ts: now }, random);
}

export function metaOf(from: Person, kind = 'text', keys: DeviceKeys = from.keys): Meta {
  return {
    kind, mid: repeatable('mid')(16), dev: keys.id, seq: 1, clock: now, head: from.chain.head, chain: from.chain.seq, uek: 1,
  };
}

/** All single-byte changes of `bytes`, one bit or all of them, taken in turn over the places. */
export function* flips(bytes: Bytes): Generator<Bytes> {
  for (let i = 0; i < bytes.length; i++) {
    const other = bytes.slice();
    other[i] = (other[i] ?? 0) ^ (i % 2 === 0 ? 1 << (i % 8) : 0xff);
    yield other;
  }
}
