import { describe, expect, test } from 'vitest';
import { formatHandle, formatHost, parseHost } from '../address';
import { authProof, checkReady, verifyAuth } from '../auth';
import { type Bytes, fromUtf8, utf8 } from '../bytes';
import { cardCode, cardKeys, cardText, readCardCode, readCardText } from '../card';
import { handoverBox, makeHandover, openHandover, parseHandover, formatHandover } from '../handover';
import { Chain } from '../ident';
import { formatClaim, formatInvite, inviteHash, type InviteLink, inviteProof, openInviteCard, parseInvite, sealInviteCard } from '../invite';
import { array, bytes, closed, int, oneOf, open, parseJson, type Read } from '../json';
import { boxPublic, deviceKeysFromSecrets, importUek } from '../keys';
import { LinkInitiator, linkClosed, LinkResponder, parseLink } from '../link';
import { bodyJson, encodeMeta, isLetterType, type Known, parseBody, parseMeta } from '../message';
import { encode32, grouped } from '../code';
import { formatPairing, PairingApprover, pairingBox, PairingNewcomer, parsePairing } from '../pairing';
import { signPublic } from '../primitives';
import { readSigned } from '../signed';
import { openVault, readSealedVault, sealVault, vaultSlots } from '../vault';
import { encodeVault, parseVault } from '../vaultdata';
import { flips } from './cast';
import { any, given, vectors, words } from './vectors';

const list = <T>(read: Read<T>) => array(read, 10_000);
const keysOf = closed({ sign: bytes(32), sign_seed: bytes(32), box: bytes(32), box_secret: bytes(32) });

describe('message.json', () => {
  const meta = closed({ raw: words, why: words });
  const body = closed({ raw: words, why: words, type: words, kind: words });
  const found = vectors('message', open({
    meta: closed({ good: list(meta), bad: list(meta) }), bodies: closed({ good: list(body), bad: list(body) }),
  }));

  const parsed = (type: string, kind: string, raw: string) => {
    if (!isLetterType(type)) throw new Error(type);
    return parseBody(type, kind, utf8(raw));
  };

  test.each(found.meta.good)('meta: $why', ({ raw }) => {
    expect(fromUtf8(encodeMeta(parseMeta(utf8(raw))))).toBe(raw);
  });

  test.each(found.meta.bad)('meta refused: $why', ({ raw }) => {
    expect(() => parseMeta(utf8(raw))).toThrow('bad-request');
  });

  test.each(found.bodies.good)('$type $kind: $why', ({ type, kind, raw }) => {
    const said = parsed(type, kind, raw);
    expect(said).toMatchObject({ type, kind });
    if (!raw.includes('mood')) expect(JSON.parse(JSON.stringify(bodyJson(said as Known)))).toEqual(JSON.parse(raw));
  });

  test.each(found.bodies.bad)('$type $kind refused: $why', ({ type, kind, raw }) => {
    expect(() => parsed(type, kind, raw)).toThrow(/bad-request|too-large/);
  });
});

describe('vault.json', () => {
  const found = vectors('vault', open({
    at: int(), chain: list(readSigned), eph_secret: bytes(32), vk: bytes(32), sign_seed: bytes(32), uid: bytes(32), plain: words, sealed: readSealedVault,
    slots: list(bytes(32)), keys: list(closed({ who: words, box_secret: bytes(32) })),
  }));
  const chain = Chain.parse(found.chain, found.uid);

  test('sealed and opened', async () => {
    expect(vaultSlots(chain, found.at)).toEqual(found.slots);
    const [phone] = found.keys;
    const signer = await deviceKeysFromSecrets(found.sign_seed, phone?.box_secret ?? new Uint8Array(0));
    const vault = { uid: found.uid, version: found.sealed.version, json: utf8(found.plain), slots: found.slots };
    expect(await sealVault(signer, vault, given(found.eph_secret, found.vk))).toEqual(found.sealed);
    for (const each of found.keys) {
      expect(fromUtf8(await openVault(chain, found.sealed, await importUek(1, each.box_secret), found.at))).toBe(found.plain);
    }
  });

  test('a changed byte is refused, though the signature fits: all up to the body, every fifth in it', async () => {
    const phone = await deviceKeysFromSecrets(found.sign_seed, found.keys[0]?.box_secret ?? new Uint8Array(0));
    const version = new Uint8Array(8).with(7, found.sealed.version);
    const body = 42 + 56 * found.slots.length;
    let at = 0;
    for (const blob of flips(found.sealed.blob)) {
      if (at++ > body && at % 5 > 0) continue;
      const sig = await phone.signature('sign/vault', found.uid, version, blob);
      await expect(openVault(chain, { ...found.sealed, blob, sig }, phone, found.at)).rejects.toThrow('vault-bad');
    }
  });

  test('written back, nothing is lost', () => {
    const again = fromUtf8(encodeVault(parseVault(utf8(found.plain))));
    expect(JSON.parse(again)).toEqual(JSON.parse(found.plain));
    for (const kept of ['"drafts":{"later":[1,null,{"x":true}]}', '"nick":"C"', '"scale":1.25']) expect(again).toContain(kept);
  });
});

describe('card.json', () => {
  const found = vectors('card', open({
    bits: bytes(16), code: words, handle: words, text: words, ik: bytes(32), ik_seed: bytes(32), box: bytes(32), box_secret: bytes(32),
    typed: list(words), bad: list(closed({ text: words, why: words })),
  }));

  test('keys and text', async () => {
    const keys = await cardKeys(found.bits);
    expect([keys.sign, keys.box]).toEqual([found.ik, found.box]);
    expect([signPublic(found.ik_seed), await boxPublic(found.box_secret)]).toEqual([found.ik, found.box]);
    expect(cardCode(found.bits)).toBe(found.code);
    expect(cardText(readCardText(found.text).handle, found.code)).toBe(found.text);
  });

  test.each(found.typed)('%j', (typed) => {
    const { handle, bits } = readCardText(typed);
    expect([formatHandle(handle), bits]).toEqual([found.handle, found.bits]);
  });

  test.each(found.bad)('refused: $why', ({ text }) => {
    expect(() => readCardCode(text)).toThrow('card-bad');
  });
});

describe('invite.json', () => {
  const claim = { host: words, link: words, relay_key: bytes(32), token: bytes(16) };
  const found = vectors('invite', open({
    host: words, id: bytes(16), inviter: bytes(32), head: bytes(32), secret: bytes(16), link: words, relay_id: bytes(32), joiner: bytes(32), proof: bytes(32),
    cards: list(closed({ plain: words, sealed: any })), bad_links: list(words), claim: closed(claim), claim_with_home: closed({ ...claim, home: bytes(32), code: words }),
  }));
  const link: InviteLink = { kind: 'invite', ...parseHost(found.host), id: found.id, uid: found.inviter, head: found.head, secret: found.secret };

  test('link, relay’s name of it, proof', () => {
    expect(parseInvite(found.link)).toEqual(link);
    expect(formatInvite(link)).toBe(found.link);
    expect(inviteHash(found.id)).toEqual(found.relay_id);
    expect(inviteProof(found, found.inviter, found.joiner)).toEqual(found.proof);
  });

  test.each(found.cards)('card $plain', ({ plain, sealed }) => {
    const card = openInviteCard(link, sealed);
    expect(card.name).toBe((JSON.parse(plain) as { name: string }).name);
    expect(sealInviteCard(link, card)).toEqual(sealed);
  });

  test.each(found.bad_links)('no link: %j', (text) => {
    expect(() => parseInvite(text)).toThrow('link-bad');
  });

  test('claims', () => {
    const { claim: bare, claim_with_home: full } = found;
    const parts = { kind: 'claim' as const, ...parseHost(bare.host), token: bare.token, relayKey: bare.relay_key, home: undefined };
    expect(parseInvite(bare.link)).toEqual(parts);
    expect(formatClaim(parts)).toBe(bare.link);
    const read = parseInvite(full.link);
    if (read.kind !== 'claim' || !read.home) throw new Error('a claim with a home is due');
    expect(read).toMatchObject({ ...parseHost(full.host), token: full.token, relayKey: full.relay_key, home: { id: full.home } });
    expect(grouped(encode32(read.home.code))).toBe(full.code);
    expect(formatClaim(read, 'http')).toBe(full.link);
  });
});

describe('handover.json', () => {
  const found = vectors('handover', open({
    host: words, link: words, secret: bytes(16), uid: bytes(32), username: words, sign_seed: bytes(32), box_secret: bytes(32), device_id: bytes(32), mailbox: bytes(16), sealed: any, bad_links: list(words),
  }));

  test('made and taken', async () => {
    const { secret, uid, username } = found;
    const made = await makeHandover(parseHost(found.host), { uid, username }, given(secret, found.sign_seed, found.box_secret));
    expect([made.sealed, made.box, made.device.id]).toEqual([found.sealed, found.mailbox, found.device_id]);
    expect(formatHandover(made.link)).toBe(found.link);
    const link = parseHandover(found.link);
    expect(link).toEqual({ ...parseHost(found.host), secret, uid });
    expect(handoverBox(link.secret)).toEqual(found.mailbox);
    const taken = await openHandover(link, found.sealed);
    expect([taken.username, taken.keys.id]).toEqual([username, found.device_id]);
  });

  test.each(found.bad_links)('no link: %j', (text) => {
    expect(() => parseHandover(text)).toThrow('link-bad');
  });
});

describe('pairing.json', () => {
  const found = vectors('pairing', open({
    app: keysOf, home: keysOf, home_id: bytes(32), code: bytes(10), host: words, text: words, mailbox: bytes(16), relay_key: bytes(32), uid: bytes(32), bundle: words,
    eph_a_secret: bytes(32), eph_n_secret: bytes(32), messages: closed({ a1: any, n1: any, a2: any, n2: any }),
  }));
  const { a1, n1, a2, n2 } = found.messages;
  const place = { code: found.code, host: parseHost(found.host), relayKey: found.relay_key };
  const approver = (at = place) => PairingApprover.start(at, found.uid, found.app, given(found.eph_a_secret));
  const newcomer = (at = place) => PairingNewcomer.start(at, found.home, given(found.eph_n_secret));
  const bundle = JSON.parse(found.bundle) as { uid: string; username: string; name: string };

  test('all four messages', async () => {
    expect(parsePairing(found.text)).toEqual({ host: place.host, code: found.code });
    expect(formatPairing(place.host, found.code)).toBe(found.text);
    expect(pairingBox(found.code)).toEqual(found.mailbox);
    const [app, home] = [await approver(), await newcomer()];
    expect(app.a1).toEqual(a1);
    expect(await home.take(a1)).toEqual(n1);
    expect(await app.take(n1, found.home_id)).toEqual({ sign: found.home.sign, box: found.home.box });
    expect(app.a2(bundle)).toEqual(a2);
    expect(home.open(a2)).toEqual({ ...bundle, uid: found.uid });
    expect(home.n2).toEqual(n2);
    app.done(n2);
  });

  test('any changed byte, another code, relay key or host: refused', async () => {
    for (const other of flips(n1)) await expect((await approver()).take(other)).rejects.toThrow('pair-bad');
    for (const other of flips(a2)) {
      const home = await newcomer();
      await home.take(a1);
      expect(() => home.open(other)).toThrow('pair-bad');
    }
    for (const other of flips(a1)) {
      const home = await newcomer();
      const answer = await home.take(other).catch(() => new Uint8Array(128));
      await expect((await approver()).take(answer)).rejects.toThrow('pair-bad');
    }
    for (const change of [{ code: new Uint8Array(10) }, { relayKey: found.uid }, { host: parseHost('other.example') }]) {
      await expect((await approver({ ...place, ...change })).take(n1)).rejects.toThrow('pair-bad');
      const home = await newcomer({ ...place, ...change });
      await home.take(a1);
      expect(() => home.open(a2)).toThrow('pair-bad');
    }
  });
});

describe('link.json', () => {
  const found = vectors('link', open({
    device: keysOf, home: keysOf, device_id: bytes(32), home_id: bytes(32), uid: bytes(32), relay_key: bytes(32), host: words, session: bytes(8), eph_i_secret: bytes(32), eph_r_secret: bytes(32),
    hello: any, answer: any, finish: any, closed: any, frames: list(closed({ way: oneOf('i2r', 'r2i'), plain: words, data: any })),
  }));
  const ends = { uid: found.uid, device: found.device_id, home: found.home_id, relayKey: found.relay_key, host: parseHost(found.host) };
  const keys = (of: { sign_seed: Bytes; box_secret: Bytes }) => deviceKeysFromSecrets(of.sign_seed, of.box_secret);
  const initiator = async (at = ends) => LinkInitiator.start(at, await keys(found.device), given(found.session, found.eph_i_secret));
  const responder = async (at = ends, hello = found.hello) => LinkResponder.start(at, await keys(found.home), parseLink(hello), given(found.eph_r_secret));

  async function session() {
    const [device, home] = [await initiator(), await responder()];
    expect([device.hello, home.answer]).toEqual([found.hello, found.answer]);
    const { finish, channel } = await device.finish(parseLink(found.answer), found.home.sign);
    expect(finish).toEqual(found.finish);
    return { i2r: channel, r2i: home.finish(parseLink(finish), found.device.sign) };
  }

  test('the opening and all frames', async () => {
    const ways = await session();
    for (const { way, plain, data } of found.frames) {
      expect(ways[way].seal(utf8(plain))).toEqual(data);
      expect(ways[way === 'i2r' ? 'r2i' : 'i2r'].open(parseLink(data))).toEqual(utf8(plain));
    }
    expect(linkClosed(found.session)).toEqual(found.closed);
    expect(parseLink(found.closed).kind).toBe('closed');
  });

  test('skipped, repeated and reflected frames end the session', async () => {
    const [first, , third] = found.frames;
    if (!first || !third) throw new Error('five frames are due');
    const skipped = await session();
    expect(() => skipped.r2i.open(parseLink(third.data))).toThrow('session-bad');
    expect(() => skipped.r2i.open(parseLink(first.data))).toThrow('session-bad');
    const repeated = await session();
    repeated.r2i.open(parseLink(first.data));
    expect(() => repeated.r2i.open(parseLink(first.data))).toThrow('session-bad');
    const reflected = await session();
    expect(() => reflected.i2r.open(parseLink(first.data))).toThrow('session-bad');
  });

  test('any changed byte of the opening, anything else believed at one end: no session', async () => {
    for (const other of flips(found.answer)) {
      const device = await initiator();
      await expect((async () => device.finish(parseLink(other), found.home.sign))()).rejects.toThrow('session-bad');
    }
    for (const other of flips(found.finish)) {
      const home = await responder();
      expect(() => home.finish(parseLink(other), found.device.sign)).toThrow('session-bad');
    }
    for (const change of [{ uid: found.home_id }, { device: found.uid }, { home: found.uid }, { relayKey: found.uid }, { host: parseHost('relay.example') }]) {
      const [device, home] = [await initiator({ ...ends, ...change }), await responder({ ...ends, ...change })];
      await expect(device.finish(parseLink(found.answer), found.home.sign)).rejects.toThrow('session-bad');
      expect(() => home.finish(parseLink(found.finish), found.device.sign)).toThrow('session-bad');
    }
  });
});

describe('socket.json', () => {
  const found = vectors('socket', open({ auth: words, challenge: words, ready: words, device: keysOf, host: words, relay_key: bytes(32), relay_seed: bytes(32) }));
  const frame = <T>(raw: string, read: Read<T>) => read(parseJson(raw, { bytes: 4096, depth: 4 }));
  const challenge = frame(found.challenge, open({ op: oneOf('challenge'), nonce: bytes(32), key: bytes(32), host: words }));
  const auth = frame(found.auth, open({ op: oneOf('auth'), uid: bytes(32), device: bytes(32), nonce: bytes(32), instance: bytes(16), sig: bytes(64) }));
  const ready = frame(found.ready, open({ op: oneOf('ready'), proof: bytes(64) }));
  const relay = { key: found.relay_key, host: parseHost(found.host) };

  test('both proofs', async () => {
    const keys = await deviceKeysFromSecrets(found.device.sign_seed, found.device.box_secret);
    expect(keys.id).toEqual(auth.device);
    expect(await authProof(keys, auth.uid, relay, challenge)).toEqual(auth.sig);
    expect(verifyAuth(keys, auth.uid, relay, challenge.nonce, auth.sig)).toBe(true);
    checkReady(found.relay_key, auth.nonce, auth.uid, ready.proof);
    expect(signPublic(found.relay_seed)).toEqual(found.relay_key);
    expect(formatHost(relay.host)).toBe(found.host);
  });

  test('and no others', async () => {
    const keys = await deviceKeysFromSecrets(found.device.sign_seed, found.device.box_secret);
    const other = found.relay_seed;
    for (const sig of flips(auth.sig)) expect(verifyAuth(keys, auth.uid, relay, challenge.nonce, sig)).toBe(false);
    for (const proof of flips(ready.proof)) expect(() => { checkReady(found.relay_key, auth.nonce, auth.uid, proof); }).toThrow('auth-bad');
    expect([
      verifyAuth(keys, auth.uid, relay, other, auth.sig), verifyAuth(keys, other, relay, challenge.nonce, auth.sig), verifyAuth(keys, auth.uid, { ...relay, key: other }, challenge.nonce, auth.sig),
      verifyAuth(keys, auth.uid, { ...relay, host: parseHost('relay.example') }, challenge.nonce, auth.sig), verifyAuth({ sign: keys.sign, id: other }, auth.uid, relay, challenge.nonce, auth.sig),
      verifyAuth({ sign: other, id: keys.id }, auth.uid, relay, challenge.nonce, auth.sig),
    ]).toEqual(Array(6).fill(false));
    await expect(authProof(keys, auth.uid, { ...relay, key: other }, challenge)).rejects.toThrow('auth-bad');
    expect(() => { checkReady(found.relay_key, other, auth.uid, ready.proof); }).toThrow('auth-bad');
    expect(() => { checkReady(found.relay_key, auth.nonce, other, ready.proof); }).toThrow('auth-bad');
    expect(() => { checkReady(other, auth.nonce, auth.uid, ready.proof); }).toThrow('auth-bad');
  });
});
