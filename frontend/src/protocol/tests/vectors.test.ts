import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { formatHandle, formatHost, hostWellFormed, parseHandle, parseHost, reservedUsernames, usernameAllowed, usernameWellFormed } from '../address';
import { b64, fromUtf8, unb64 } from '../bytes';
import { decode32, encode32, grouped } from '../code';
import { encodeEnvelope, headerHash, parseEnvelope } from '../envelope';
import { Chain } from '../ident';
import { array, bool, bytes, closed, int, oneOf, open } from '../json';
import { deviceKeysFromSecrets, importUek } from '../keys';
import { boxKey, hash, kdf, lowOrder, mac, preimage, signPublic, verify } from '../primitives';
import { compareUek, verifyUek } from '../uek';
import { any, hex, orEmpty, vectorFiles, vectors, words } from './vectors';

const list = <T>(read: Parameters<typeof array<T>>[0]) => array(read, 10_000);
const bad = { why: words };
const signed = closed({ payload: any, by: bytes(32), sig: bytes(64) }); // of any size: what is too large has to be refused
const records = list(signed);

describe('primitives.json', () => {
  const found = vectors('primitives', open({
    base64url: closed({ good: list(closed({ hex, text: words })), bad: list(words) }),
    box: closed({ secret: bytes(32), public: bytes(32), other: bytes(32), dh: bytes(32), shared_key: bytes(32) }),
    cases: list(closed({
      label: words, parts: orEmpty(list(any)), preimage: any, hash: bytes(32), secret: bytes(32), mac: bytes(32), kdf: bytes(32), sign: bytes(64), sign_public: bytes(32),
    })),
    low_order: list(bytes(32)),
  }));

  test.each(found.cases)('$label of $parts.length parts', async (each) => {
    const { label, parts, secret } = each;
    expect(preimage(label, ...parts)).toEqual(each.preimage);
    expect(hash(label, ...parts)).toEqual(each.hash);
    expect(mac(secret, label, ...parts)).toEqual(each.mac);
    expect(kdf(secret, label, ...parts)).toEqual(each.kdf);
    expect(signPublic(secret)).toEqual(each.sign_public);
    expect(verify(each.sign_public, each.sign, label, ...parts)).toBe(true);
    expect(await (await deviceKeysFromSecrets(secret, secret)).signature(label, ...parts)).toEqual(each.sign);
  });

  test('base64url', () => {
    for (const good of found.base64url.good) {
      expect(unb64(good.text)).toEqual(good.hex);
      expect(b64(good.hex)).toBe(good.text);
    }
    for (const text of found.base64url.bad) expect(() => unb64(text), JSON.stringify(text)).toThrow('bad-request');
  });

  test('box', async () => {
    const { box } = found;
    const held = await importUek(1, box.secret);
    expect(held.key).toEqual(box.public);
    expect(await held.dh(box.other)).toEqual(box.dh);
    expect(boxKey(box.dh)).toEqual(box.shared_key);
  });

  test('low-order keys', async () => {
    const held = await importUek(1, found.box.secret);
    for (const key of found.low_order) {
      for (const pub of [key, key.with(31, (key[31] ?? 0) | 0x80)]) {
        expect(lowOrder(pub)).toBe(true);
        await expect(held.dh(pub)).rejects.toThrow('key-bad');
      }
    }
  });
});

describe('base32.json', () => {
  const found = vectors('base32', open({
    good: list(closed({ bytes: any, text: words, also: list(words) })), bad: list(closed({ ...bad, size: int(), text: words })),
  }));

  test.each(found.good)('$text', (good) => {
    expect(grouped(encode32(good.bytes))).toBe(good.text);
    for (const typed of [good.text, ...good.also]) expect(decode32(typed, good.bytes.length)).toEqual(good.bytes);
  });

  test.each(found.bad)('refused: $why', ({ text, size }) => {
    expect(() => decode32(text, size)).toThrow('code-bad');
  });
});

describe('names.json', () => {
  const place = { text: words, ip: words, port: int() };
  const found = vectors('names', open({
    handles: closed({ good: list(closed({ ...place, handle: words, username: words })), bad: list(words) }),
    hosts: closed({ good: list(closed({ ...place, host: words })), bad: list(words) }),
    usernames: closed({ good: list(words), bad: list(words), reserved: list(words) }),
  }));

  test('usernames', () => {
    for (const name of found.usernames.good) expect(usernameAllowed(name), name).toBe(true);
    for (const name of found.usernames.bad) expect(usernameWellFormed(name), name).toBe(false);
    expect([...reservedUsernames].sort()).toEqual(found.usernames.reserved.toSorted());
    for (const name of found.usernames.reserved) expect([usernameWellFormed(name), usernameAllowed(name)]).toEqual([true, false]);
  });

  test.each(found.hosts.good)('host $text', ({ text, host, ip, port }) => {
    expect(parseHost(text)).toEqual({ host: ip, port });
    expect(formatHost(parseHost(text))).toBe(host);
    expect(hostWellFormed(ip)).toBe(true);
  });

  test.each(found.hosts.bad)('no host: %j', (text) => {
    expect(() => parseHost(text)).toThrow('link-bad');
  });

  test.each(found.handles.good)('handle $text', ({ text, handle, username, ip, port }) => {
    expect(parseHandle(text)).toEqual({ username, host: ip, port });
    expect(formatHandle(parseHandle(text))).toBe(handle);
  });

  test.each(found.handles.bad)('no handle: %j', (text) => {
    expect(() => parseHandle(text)).toThrow('link-bad');
  });
});

describe('envelope.json', () => {
  const found = vectors('envelope', open({
    good: list(closed({ raw: words, H: bytes(32), marshal: words })), bad: list(closed({ ...bad, raw: words })), not_utf8: list(any),
  }));

  test.each(found.good.map((good, i) => [i, good] as const))('good %i', (_, { raw, H, marshal }) => {
    const envelope = parseEnvelope(raw);
    expect(headerHash(envelope)).toEqual(H);
    expect(encodeEnvelope(envelope)).toBe(marshal);
  });

  test.each(found.bad)('refused: $why', ({ raw }) => {
    expect(() => parseEnvelope(raw)).toThrow(/bad-request|too-large/);
  });

  test.each(found.not_utf8)('not UTF-8', (raw) => {
    expect(() => fromUtf8(raw)).toThrow('bad-request');
    expect(() => parseEnvelope(raw)).toThrow('bad-request');
  });
});

describe('chain.json', () => {
  const device = closed({ sign: bytes(32), box: bytes(32), role: oneOf('admin', 'home', 'session'), exp: int() });
  const found = vectors('chain', open({
    at: int(),
    good: list(open(
      {
        name: words, records, uid: bytes(32), head: bytes(32), seq: int(), uek_floor: int(),
        relay: closed({ key: bytes(32), host: words, port: int() }), active: list(closed({ id: bytes(32), device })),
      },
      { card: closed({ ik: bytes(32), box: bytes(32) }), home: bytes(32) },
    )),
    bad: list(closed({ ...bad, records })),
    pins: list(closed({ ...bad, records, pin: closed({ seq: int(), head: bytes(32) }), fork: bool })),
  }));
  const uidOf = (chain: readonly { readonly payload: Uint8Array }[]) => hash('uid', chain[0]?.payload ?? new Uint8Array(0));

  test.each(found.good)('$name', (good) => {
    for (const chain of [Chain.parse(good.records, good.uid), Chain.fromOwnStore(good.records, good.uid)]) {
      expect(chain.uid).toEqual(good.uid);
      expect(chain.place).toEqual({ seq: good.seq, head: good.head });
      expect(chain.uekFloor).toBe(good.uek_floor);
      expect(chain.relay).toEqual(good.relay);
      expect(chain.card).toEqual(good.card);
      expect(chain.home(found.at)?.id).toEqual(good.home);
      const active = chain.devices.filter((each) => chain.active(each.id, found.at));
      expect(active.map(({ id, sign, box, role, exp }) => ({ id, device: { sign, box, role, exp } }))).toEqual(good.active);
    }
  });

  test.each(found.bad)('refused: $why', ({ records: all }) => {
    const before = all.slice(0, -1);
    expect(before.length === 0 || Chain.parse(before, uidOf(all)).seq === before.length - 1).toBe(true);
    expect(() => Chain.parse(all, uidOf(all))).toThrow('bad-chain');
  });

  test.each(found.pins)('pin: $why', ({ records: all, pin, fork }) => {
    expect(Chain.parse(all, uidOf(all)).isForkOf(pin)).toBe(fork);
  });
});

describe('uek.json', () => {
  const found = vectors('uek', open({
    chain: records, bad: list(closed({ ...bad, chain: records, record: signed })),
    good: list(closed({ record: signed, counter: int(), hash: bytes(32), head: bytes(32), key: bytes(32), secret: bytes(32), ts: int() }, { prev: bytes(32) })),
  }));
  const chainOf = (all: typeof found.chain) => Chain.parse(all, hash('uid', all[0]?.payload ?? new Uint8Array(0)));

  test('good', async () => {
    const chain = chainOf(found.chain);
    const read = found.good.map((good) => verifyUek(good.record, chain));
    for (const [i, good] of found.good.entries()) {
      expect(read[i]).toMatchObject({ uid: chain.uid, counter: good.counter, ts: good.ts, head: good.head, key: good.key, hash: good.hash, prev: good.prev });
      expect(good.prev).toEqual(found.good[i - 1]?.hash);
      expect((await importUek(good.counter, good.secret)).key).toEqual(good.key);
    }
    const [first, second, third] = read;
    if (!first || !second || !third) throw new Error('three records are due');
    expect(compareUek(first, second)).toBe('older');
    expect(compareUek(third, second)).toBe('newer');
    expect(compareUek(second, { counter: 2, key: third.key })).toBe('swapped');
  });

  test.each(found.bad)('refused: $why', ({ chain, record }) => {
    expect(() => verifyUek(record, chainOf(chain))).toThrow(/uek-bad|chain-behind/);
  });
});

test('every file of vectors but those between relays is run by a test of this folder', () => {
  const tests = ['vectors', 'sealed-vectors', 'exchange-vectors', 'post'].map((name) => readFileSync(new URL(`${name}.test.ts`, import.meta.url), 'utf8')).join('\n');
  expect(vectorFiles().filter((name) => !tests.includes(`vectors('${name}'`))).toEqual(['hop', 'peer']);
});
