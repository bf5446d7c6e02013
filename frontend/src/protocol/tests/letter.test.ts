import { beforeAll, describe, expect, test } from 'vitest';
import { type Bytes, concat, fromUtf8, u16, u32, u8, utf8 } from '../bytes';
import { encodeEnvelope, type Envelope, type Header, headerHash, parseEnvelope } from '../envelope';
import { type Chain } from '../ident';
import { ephemeral, importUek, type UekSecret } from '../keys';
import { isSealedTo, letterHash, openLetter, sealLetter } from '../letter';
import { encodeBody, encodeMeta, parseBody } from '../message';
import { boxKey, hash, kdf, mac, nonceOf, sealSecretbox, sha256 } from '../primitives';
import { Problem } from '../problem';
import { flips, headerBetween, metaOf, now, person, type Person, repeatable, withDevice } from './cast';

let alice: Person;
let bob: Person;
let carol: Person;
const body = encodeBody({ type: 'chat', kind: 'text', body: { text: '你好, Bob' } });

beforeAll(async () => {
  [alice, bob, carol] = [await person('alice'), await person('bob'), await person('carol')];
});

const chains = (...people: Person[]) => (uid: Bytes): Promise<Chain> => {
  const found = people.find((who) => Buffer.from(who.chain.uid).equals(uid));
  return found ? Promise.resolve(found.chain) : Promise.reject(new Problem('not-found'));
};

const sealed = (header: Header, readers: readonly Person[], extra: object = {}) =>
  sealLetter({ header, device: alice.keys, ueks: readers.map((who) => who.uek.key), meta: metaOf(alice), body, ...extra }, repeatable('seal'));

const opened = (header: Header, letter: Bytes, reader: Person = bob, chainOf = chains(alice, bob, carol)) =>
  openLetter(header, letter, [reader.uek], chainOf);

describe.each([1, 2, 3, 200])('%i slots', (count) => {
  test('each reader opens it, nobody else', async () => {
    const header = headerBetween(alice, bob);
    const strangers = await Promise.all(Array.from({ length: count - 1 }, (_, i) => importUek(9, new Uint8Array(32).fill(i + 3))));
    const ueks: UekSecret[] = [...strangers.slice(0, count - 1), bob.uek];
    const letter = await sealLetter(
      { header, device: alice.keys, ueks: ueks.map((uek) => uek.key), meta: metaOf(alice), body }, repeatable('seal'),
    );
    expect(letter.length).toBe(66 + 56 * count + 16 + (count === 200 ? 8192 : 512));
    for (const uek of [ueks[0], ueks[count >> 1], bob.uek]) {
      const got = await openLetter(header, letter, uek ? [carol.uek, uek] : [], chains(alice));
      expect(got).toMatchObject({ meta: metaOf(alice), body, auth: 1, uek: uek?.counter });
      expect(got.device.id).toEqual(alice.keys.id);
    }
    await expect(opened(header, letter, carol)).rejects.toThrow('letter-bad');
  });
});

test.each([1, 2])('every single changed byte of a %i-slot letter is refused', async (count) => {
  const header = headerBetween(alice, bob);
  const letter = await sealed(header, [bob, alice].slice(0, count));
  let refused = 0;
  for (const changed of flips(letter)) {
    await expect(opened(header, changed)).rejects.toMatchObject({ code: 'letter-bad', params: {} });
    refused++;
  }
  expect(refused).toBe(letter.length);
});

test('cut and lengthened letters are refused', async () => {
  const header = headerBetween(alice, bob);
  const letter = await sealed(header, [bob, alice]);
  for (let length = 0; length < letter.length; length += 7) {
    await expect(opened(header, letter.slice(0, length))).rejects.toThrow('letter-bad');
  }
  for (const more of [1, 16, 512]) await expect(opened(header, concat(letter, new Uint8Array(more)))).rejects.toThrow('letter-bad');
});

test('what the header binds cannot be edited; hints can', async () => {
  const header = headerBetween(alice, bob);
  const letter = await sealed(header, [bob, alice]);
  const edits: Partial<Header>[] = [
    { id: repeatable('other')(16) }, { ts: header.ts + 1 }, { exp: 1 }, { type: 'friend' }, { type: 'chat.' },
    { from: { ...header.from, id: carol.chain.uid } }, { to: { ...header.to, id: carol.chain.uid } }, { from: header.to, to: header.from },
  ];
  for (const edit of edits) await expect(opened({ ...header, ...edit }, letter)).rejects.toThrow('letter-bad');
  await expect(opened({ ...header, v: 2 as 1 }, letter)).rejects.toThrow('letter-bad');
  const moved = { ...header, from: { ...header.from, ip: '::1', port: 1, username: '' }, to: { ...header.to, ip: 'new.example', port: 8443, username: 'robert' } };
  expect((await opened(moved, letter)).body).toEqual(body);
});

test('Bob cannot pass Alice’s letter on to Carol as hers', async () => {
  const toBob = headerBetween(alice, bob);
  const letter = await sealed(toBob, [bob, alice]);
  const got = await opened(toBob, letter);
  const toCarol = headerBetween(alice, carol);
  await expect(opened(toCarol, letter, carol)).rejects.toThrow('letter-bad');
  // Bob seals the words again with his own device, under Alice's name
  const forged = await sealLetter({ header: toCarol, device: bob.keys, ueks: [carol.uek.key], meta: got.meta, body: got.body });
  await expect(opened(toCarol, forged, carol)).rejects.toThrow('letter-bad');
  const honest = { ...got.meta, dev: bob.keys.id };
  const named = await sealLetter({ header: toCarol, device: bob.keys, ueks: [carol.uek.key], meta: honest, body: got.body });
  await expect(opened(toCarol, named, carol)).rejects.toThrow('letter-bad');
});

test('deniable: Bob, who can open it, could have made it himself', async () => {
  const header = headerBetween(alice, bob);
  const bobAsAlice = { ...alice.keys, id: alice.keys.id, dh: () => bob.uek.dh(alice.keys.box) };
  const own = await sealLetter({ header, device: bobAsAlice, ueks: [bob.uek.key], meta: metaOf(alice), body: utf8('{"text":"never said"}') });
  expect((await opened(header, own)).body).toEqual(utf8('{"text":"never said"}'));
});

test('slots cannot be exchanged, dropped or doubled', async () => {
  const header = headerBetween(alice, bob);
  const letter = await sealed(header, [bob, alice]);
  const [head, first, second, rest] = [letter.slice(0, 66), letter.slice(66, 122), letter.slice(122, 178), letter.slice(178)];
  for (const other of [concat(head, second, first, rest), concat(head.with(65, 1), first, rest), concat(head, first, first, rest)]) {
    await expect(opened(header, other)).rejects.toThrow('letter-bad');
  }
});

/** A letter made by somebody who follows the format only as far as it suits them; everything else fits together. */
interface Liberties {
  readonly suite?: number;
  readonly committed?: Bytes;
  readonly auth?: number;
  /** instead of the MAC, or made from it */
  readonly proof?: (mac: Bytes, h: Bytes, prefixHash: Bytes, saidHash: Bytes) => Bytes | Promise<Bytes>;
  readonly meta?: Bytes;
  readonly metaLength?: number;
  readonly pad?: (inner: Bytes) => Bytes;
  readonly slotMk?: Bytes;
}

async function byHand(header: Header, liberties: Liberties): Promise<Bytes> {
  const h = headerHash(header);
  const mk = new Uint8Array(32).fill(7);
  const eph = await ephemeral();
  const shared = boxKey(await eph.dh(bob.uek.key));
  const slot = concat(
    hash('letter/kid', shared, h).slice(0, 8), sealSecretbox(shared, nonceOf('letter/wrap', h, u8(0)), liberties.slotMk ?? mk),
  );
  const prefix = concat(u8(liberties.suite ?? 1), eph.key, hash('letter/commit', h, liberties.committed ?? mk), u8(1), slot);
  const meta = liberties.meta ?? encodeMeta(metaOf(alice));
  const said = concat(u16(liberties.metaLength ?? meta.length), meta, body);
  const authKey = kdf(await alice.keys.dh(bob.uek.key), 'letter/auth-key', h, u8(0));
  const honest = mac(authKey, 'letter/auth', h, sha256(prefix), sha256(said));
  const proof = (await liberties.proof?.(honest, h, sha256(prefix), sha256(said))) ?? honest;
  const inner = concat(u8(liberties.auth ?? 1), proof, said);
  const pad = liberties.pad ?? ((bytes) => concat(u32(bytes.length), bytes, new Uint8Array(1020 - bytes.length)));
  return concat(prefix, sealSecretbox(mk, nonceOf('letter/body', h, sha256(prefix)), pad(inner)));
}

describe('a letter whose author took liberties', () => {
  const meta = (fields: object) => utf8(JSON.stringify({ ...(JSON.parse(fromUtf8(encodeMeta(metaOf(alice)))) as object), ...fields }));

  test('none: it opens, also with more padding than needed', async () => {
    const header = headerBetween(alice, bob);
    expect((await opened(header, await byHand(header, {}))).body).toEqual(body);
    const room = (bytes: Bytes) => concat(u32(bytes.length), bytes, new Uint8Array(4092 - bytes.length));
    expect((await opened(header, await byHand(header, { pad: room }))).body).toEqual(body);
    expect((await opened(header, await byHand(header, { meta: meta({ more: [1] }) }))).meta).toEqual(metaOf(alice));
  });

  test.each<[string, () => Liberties]>([
    ['another suite', () => ({ suite: 2 })],
    ['a commitment to another key: two readers could be shown two texts', () => ({ committed: new Uint8Array(32).fill(8) })],
    ['a slot with another key', () => ({ slotMk: new Uint8Array(32).fill(8) })],
    ['no kind of proof', () => ({ auth: 0 })],
    ['an unknown kind of proof', () => ({ auth: 3 })],
    ['an unknown kind with room for a signature', () => ({ auth: 3, proof: (own) => concat(own, new Uint8Array(32)) })],
    ['a MAC cut short', () => ({ proof: (own) => own.slice(0, 31) })],
    ['a MAC of nothing', () => ({ proof: () => new Uint8Array(32) })],
    ['a signature’s kind', () => ({ auth: 2 })],
    ['padding that is not zero', () => ({ pad: (bytes) => concat(u32(bytes.length), bytes, new Uint8Array(1020 - bytes.length).fill(1, -1)) })],
    ['a length beyond the padding', () => ({ pad: (bytes) => concat(u32(1021), bytes, new Uint8Array(1020 - bytes.length)) })],
    ['a size that is no step', () => ({ pad: (bytes) => concat(u32(bytes.length), bytes, new Uint8Array(1532 - bytes.length)) })],
    ['too large a size', () => ({ pad: (bytes) => concat(u32(bytes.length), bytes, new Uint8Array(131_068 - bytes.length)) })],
    ['an empty inside', () => ({ pad: () => new Uint8Array(512) })],
    ['a meta longer than all that is said', () => ({ metaLength: 5000 })],
    ['a meta cut short', () => ({ metaLength: 10 })],
    ['a meta without mid', () => ({ meta: meta({ mid: undefined }) })],
    ['a mid of zeros', () => ({ meta: meta({ mid: 'AAAAAAAAAAAAAAAAAAAAAA' }) })],
    ['a seq of 0', () => ({ meta: meta({ seq: 0 }) })],
    ['a fraction of a clock', () => ({ meta: utf8(fromUtf8(encodeMeta(metaOf(alice))).replace(`"clock":${String(now)}`, `"clock":${String(now)}.0`)) })],
    ['a key twice', () => ({ meta: utf8(fromUtf8(encodeMeta(metaOf(alice))).replace('{', '{"kind":"delete",')) })],
    ['more meta than 4 KiB', () => ({ meta: meta({ more: 'x'.repeat(4096) }), pad: (bytes) => concat(u32(bytes.length), bytes, new Uint8Array(8188 - bytes.length)) })],
  ])('%s: refused', async (_, liberties) => {
    const header = headerBetween(alice, bob);
    await expect(opened(header, await byHand(header, liberties()))).rejects.toMatchObject({ code: 'letter-bad', params: {} });
  });
});

test('devices: another’s, expired ones and those revoked by then are refused', async () => {
  const dora = await person('dora');
  const phone = await withDevice(dora, 'admin');
  const borrowed = await withDevice(dora, 'session', now + 100);
  const from = (keys: typeof phone, header: Header) => sealLetter({ header, device: keys, ueks: [bob.uek.key], meta: metaOf(dora, 'text', keys), body });
  const at = (ts: number): Header => ({ ...headerBetween(dora, bob), ts });
  const open = async (keys: typeof phone, ts: number) => openLetter(at(ts), await from(keys, at(ts)), [bob.uek], chains(dora));

  expect((await open(phone, now)).device.id).toEqual(phone.id);
  expect((await open(borrowed, now + 99)).device.role).toBe('session');
  await expect(open(borrowed, now + 100)).rejects.toThrow('letter-bad');
  await expect(open(alice.keys, now)).rejects.toThrow('letter-bad');

  dora.chain = dora.chain.append(await dora.chain.revokeDevice(dora.keys, phone.id, 0, now + 50));
  expect((await open(phone, now + 49)).device.revoked).toBe(3); // it waited in the queue
  await expect(open(phone, now + 50)).rejects.toThrow('letter-bad');
  await expect(open(phone, now + 51)).rejects.toThrow('letter-bad');
});

test('whether a letter is for one’s keys can be asked, and tells nothing more', async () => {
  const header = headerBetween(alice, bob);
  const letter = await sealed(header, [bob, alice]);
  expect(await isSealedTo(header, letter, [carol.uek, bob.uek])).toBe(true);
  expect(await isSealedTo(header, letter, [alice.uek])).toBe(true);
  expect(await isSealedTo(header, letter, [carol.uek])).toBe(false);
  expect(await isSealedTo(header, letter, [])).toBe(false);
  expect(await isSealedTo({ ...header, ts: header.ts + 1 }, letter, [bob.uek])).toBe(false);
  expect(await isSealedTo(header, letter.with(80, (letter[80] ?? 0) ^ 1), [bob.uek])).toBe(true); // for him, and altered
  for (const other of [letter.slice(0, 10), new Uint8Array(0), letter.fill(0, 1, 33)]) expect(await isSealedTo(header, other, [bob.uek])).toBe(false);
});

test('a signature has to be the device’s, over this letter', async () => {
  const room = headerBetween(alice, bob, 'room');
  const signedBy = (who: Person, label = 'sign/letter') => byHand(room, { auth: 2, proof: (_, ...three) => who.keys.signature(label, ...three) });
  expect(await opened(room, await signedBy(alice))).toMatchObject({ auth: 2, body });
  await expect(opened(room, await signedBy(bob))).rejects.toThrow('letter-bad');
  await expect(opened(room, await signedBy(alice, 'sign/other'))).rejects.toThrow('letter-bad');
  await expect(opened(room, await byHand(room, { auth: 2, proof: () => new Uint8Array(64) }))).rejects.toThrow('letter-bad');
  await expect(opened(room, await byHand(room, { auth: 2, proof: (_, h, p, q) => alice.keys.signature('sign/letter', h, q, p) }))).rejects.toThrow('letter-bad');
});

test('a chain that is not the sender’s proves nothing', async () => {
  const header = headerBetween(alice, bob);
  const letter = await sealLetter({ header, device: carol.keys, ueks: [bob.uek.key], meta: metaOf(carol), body });
  await expect(opened(header, letter, bob, () => Promise.resolve(carol.chain))).rejects.toThrow('letter-bad');
});

test('signatures are for rooms and records: chats refuse them', async () => {
  const room = headerBetween(alice, bob, 'room');
  const signed = await sealed(room, [bob, carol], { auth: 2 });
  expect(await opened(room, signed, carol)).toMatchObject({ auth: 2, body });
  for (const changed of [...flips(signed)].slice(-40)) await expect(opened(room, changed)).rejects.toThrow('letter-bad');
  for (const type of ['chat', 'friend', 'receipt', 'live']) {
    const header = headerBetween(alice, bob, type);
    await expect(opened(header, await sealed(header, [bob], { auth: 2 }))).rejects.toThrow('letter-bad');
  }
});

test('only a home says what is on its disk', async () => {
  const erin = await person('erin');
  const home = await withDevice(erin, 'home');
  const header = headerBetween(erin, bob, 'receipt');
  const items = encodeBody({ type: 'receipt', kind: 'home', body: { items: [{ mid: repeatable('m')(16), hash: repeatable('h')(32) }] } });
  const from = (keys: typeof home, kind: string) => sealLetter({ header, device: keys, ueks: [bob.uek.key], meta: metaOf(erin, kind, keys), body: items });
  await openLetter(header, await from(home, 'home'), [bob.uek], chains(erin));
  await expect(openLetter(header, await from(erin.keys, 'home'), [bob.uek], chains(erin))).rejects.toThrow('letter-bad');
  await openLetter(header, await from(erin.keys, 'stale'), [bob.uek], chains(erin));
});

test('low-order keys: none is sealed to, a letter with one is refused', async () => {
  const header = headerBetween(alice, bob);
  const letter = await sealed(header, [bob, alice]);
  for (const low of [new Uint8Array(32), new Uint8Array(32).with(0, 1)]) {
    await expect(opened(header, concat(letter.slice(0, 1), low, letter.slice(33)))).rejects.toThrow('letter-bad');
    await expect(sealLetter({ header, device: alice.keys, ueks: [low], meta: metaOf(alice), body })).rejects.toThrow('key-bad');
  }
});

test('what hinders the reader from learning the chain passes through', async () => {
  const header = headerBetween(alice, bob);
  const letter = await sealed(header, [bob]);
  await expect(opened(header, letter, bob, () => Promise.reject(new Problem('unavailable')))).rejects.toThrow('unavailable');
});

test('sizes: padded in steps, refused when it does not fit', async () => {
  const header = headerBetween(alice, bob);
  const seal = (length: number) => sealLetter({ header, device: alice.keys, ueks: [bob.uek.key], meta: metaOf(alice), body: new Uint8Array(length) });
  const sizes = new Set<number>();
  for (const length of [1, 100, 300, 900, 3000, 60_000]) {
    const letter = await seal(length);
    sizes.add(letter.length - 66 - 56 - 16);
    expect((await opened(header, letter)).body.length).toBe(length);
  }
  expect([...sizes]).toEqual([512, 1024, 2048, 4096, 65_536]);
  await expect(seal(65_536)).rejects.toThrow('too-large');
  await expect(sealLetter({ header, device: alice.keys, ueks: [], meta: metaOf(alice), body })).rejects.toThrow('too-large');
  await expect(sealLetter({ header, device: alice.keys, ueks: Array<Bytes>(201).fill(bob.uek.key), meta: metaOf(alice), body })).rejects.toThrow('too-large');
});

test('sealed twice it is another letter; its hash is its own', async () => {
  const header = headerBetween(alice, bob);
  const seal = () => sealLetter({ header, device: alice.keys, ueks: [bob.uek.key], meta: metaOf(alice), body });
  const [one, two] = [await seal(), await seal()];
  expect(one).not.toEqual(two);
  expect(letterHash(header, one)).not.toEqual(letterHash(header, two));
  expect(letterHash(header, one)).toEqual(letterHash({ ...header, to: { ...header.to, ip: 'x.example' } }, one));
});

test('all the way: said, sealed, put into an envelope, read, opened, heard', async () => {
  const header = headerBetween(alice, bob);
  const envelope: Envelope = { ...header, data: await sealed(header, [bob, alice]) };
  const arrived = parseEnvelope(encodeEnvelope(envelope));
  const { meta, body: heard } = await opened(arrived, arrived.data);
  expect(parseBody('chat', meta.kind, heard)).toEqual({ type: 'chat', kind: 'text', body: { text: '你好, Bob' } });
  const own = await opened(arrived, arrived.data, alice);
  expect(own.body).toEqual(heard);
});
