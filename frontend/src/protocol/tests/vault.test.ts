import { beforeAll, describe, expect, test } from 'vitest';
import { b64, type Bytes, concat, fromUtf8, u32, u64, u8, utf8 } from '../bytes';
import { cardCode, cardKeys, cardPublic, cardText, makeCard, readCardCode, readCardText } from '../card';
import { decode32, encode32, grouped } from '../code';
import { parseJson } from '../json';
import { ephemeral, generateDeviceKeys } from '../keys';
import { boxKey, hash, nonceOf, sealSecretbox, sha256 } from '../primitives';
import { openVault, readSealedVault, type SealedVault, sealedVaultJson, sealVault, vaultSlots } from '../vault';
import { encodeVault, parseVault, type VaultData } from '../vaultdata';
import { flips, now, person, type Person, repeatable, withDevice } from './cast';

let alice: Person;
let data: VaultData;

beforeAll(async () => {
  alice = await person('alice');
  const random = repeatable('vault');
  data = {
    v: 1, username: 'alice', name: '爱丽丝', about: '', picture: random(30), settings: { lang: 'zh-Hans', deep: { rest: [1] } }, devices: { [b64(alice.keys.id)]: 'Phone' },
    friends: [
      { uid: random(32), username: 'bob', host: 'relay.example', port: 443, name: 'Bob', state: 'friend', confirmed: true, since: 1, seq: 2, head: random(32), uek: 3, uekKey: random(32), mid: random(16) },
      { uid: random(32), username: '', host: '', port: 0, name: '', state: 'blocked', confirmed: false, since: 0, seq: 0, uek: 0 },
    ],
    invites: [{ id: random(16), secret: random(16), created: 5, by: random(32) }, { id: random(16), secret: random(16), created: 6 }],
    ueks: [{ counter: 1, secret: random(32), ts: 7 }],
  };
});

const seal = (version = 1, slots = vaultSlots(alice.chain, now)) =>
  sealVault(alice.keys, { uid: alice.chain.uid, version, json: encodeVault(data), slots }, repeatable('seal'));

describe('contents', () => {
  test('there and back', () => {
    expect(parseVault(encodeVault(data))).toEqual(data);
    const once = encodeVault(parseVault(encodeVault(data)));
    expect(encodeVault(parseVault(once))).toEqual(once);
  });

  test('what this version does not know survives, wherever it stands', () => {
    const id = b64(new Uint8Array(16));
    const json = {
      v: 1, future: { a: [1.5, null] }, toString: 1, rest: 2, settings: { '__proto__x': 1, rest: { rest: 3 }, half: 0.5 }, invites: [{ id, secret: id, colour: 'red', rest: 4 }],
      friends: [{ uid: b64(new Uint8Array(32)), state: 'asks', words: 'hi' }], ueks: [{ counter: 1, secret: b64(new Uint8Array(32)), x: true }],
    };
    const again = JSON.parse(fromUtf8(encodeVault(parseVault(utf8(JSON.stringify(json)))))) as typeof json;
    expect(again).toMatchObject(json);
    expect(again.friends[0]).toMatchObject({ state: 'asks', words: 'hi', name: '', port: 0 });
    const proto = utf8('{"v":1,"__proto__":{"x":1}}');
    expect(fromUtf8(encodeVault(parseVault(proto)))).toContain('"__proto__":{"x":1}');
    const edited = { ...parseVault(utf8(JSON.stringify(json))), name: 'New' };
    expect(JSON.parse(fromUtf8(encodeVault(edited)))).toMatchObject({ ...json, name: 'New' });
  });

  test('a friend in a state to come is kept, and locks nobody out', () => {
    const later = { uid: b64(new Uint8Array(32)), state: 'married', ring: 1 };
    const friend = { uid: b64(new Uint8Array(32).fill(1)), state: 'friend' };
    const vault = parseVault(utf8(JSON.stringify({ v: 1, friends: [later, friend] })));
    expect(vault.friends.map(({ state }) => state)).toEqual(['friend']);
    const again = JSON.parse(fromUtf8(encodeVault({ ...vault, name: 'New' }))) as { friends: unknown[]; laterFriends?: unknown };
    expect(again.friends).toMatchObject([friend, later]);
    expect(again.laterFriends).toBeUndefined();
    expect(parseVault(utf8(JSON.stringify(again))).laterFriends).toEqual([later]);
  });

  test.each(['{}', '{"v":2}', '[]', '{"v":1,"friends":[{}]}', '{"v":1,"friends":[{"state":1}]}', '{"v":1,"friends":[1]}', '{"v":1,"friends":[{"uid":"AA","state":"friend"}]}', '{"v":1,"ueks":[{"counter":0}]}', '{"v":1,"v":1}', '{"v":1,"settings":[]}'])('%s is refused', (json) => {
    expect(() => parseVault(utf8(json))).toThrow('bad-request');
  });
});

describe('the blob', () => {
  test('opens with each slot’s key and for nobody else', async () => {
    const owner = await person('owner');
    const home = await withDevice(owner, 'home');
    const session = await withDevice(owner, 'session');
    const card = await cardKeys(makeCard(repeatable('card')).bits);
    owner.chain = owner.chain.append(await owner.chain.setCard(owner.keys, card, now));
    const slots = vaultSlots(owner.chain, now);
    expect(slots).toEqual([owner.keys.box, home.box, cardPublic(card).box]);
    const json = encodeVault(data);
    for (const signer of [owner.keys, home, card]) {
      const vault = await sealVault(signer, { uid: owner.chain.uid, version: 9, json, slots });
      for (const key of [owner.keys, home, card]) expect(await openVault(owner.chain, vault, key, now)).toEqual(json);
      for (const key of [session, await generateDeviceKeys()]) await expect(openVault(owner.chain, vault, key, now)).rejects.toThrow('vault-bad');
    }
    const stranger = await sealVault(await generateDeviceKeys(), { uid: owner.chain.uid, version: 9, json, slots });
    await expect(openVault(owner.chain, stranger, owner.keys, now)).rejects.toThrow('vault-bad');
  });

  test('a revoked device neither opens the next nor writes one', async () => {
    const owner = await person('owner');
    const phone = await withDevice(owner, 'admin');
    owner.chain = owner.chain.append(await owner.chain.revokeDevice(owner.keys, phone.id, 0, now));
    const vault = { uid: owner.chain.uid, version: 2, json: encodeVault(data), slots: vaultSlots(owner.chain, now) };
    await expect(openVault(owner.chain, await sealVault(owner.keys, vault), phone, now)).rejects.toThrow('vault-bad');
    await expect(openVault(owner.chain, await sealVault(phone, vault), owner.keys, now)).rejects.toThrow('vault-bad');
  });

  test('an older one than was seen, another’s, and one under another number are refused', async () => {
    const vault = await seal(3);
    const open = (other: SealedVault, atLeast?: number) => openVault(alice.chain, other, alice.keys, now, atLeast);
    await open(vault, 3);
    await expect(open(vault, 4)).rejects.toThrow('vault-bad');
    await expect(open({ ...vault, version: 4 })).rejects.toThrow('vault-bad');
    const bob = await person('bob');
    await expect(openVault(bob.chain, vault, bob.keys, now)).rejects.toThrow('vault-bad');
    const { blob } = await seal(2);
    const renumbered = { ...vault, blob, sig: await alice.keys.signature('sign/vault', alice.chain.uid, new Uint8Array(8).with(7, 3), blob) };
    await expect(open(renumbered)).rejects.toThrow('vault-bad');
  });

  test('any changed byte is refused, by the signature and by the seal', async () => {
    const vault = await seal();
    let tried = 0;
    for (const changed of flips(vault.blob)) {
      if (tried++ % 23 > 0 && tried > 200) continue;
      await expect(openVault(alice.chain, { ...vault, blob: changed }, alice.keys, now)).rejects.toThrow('vault-bad');
      const sig = await alice.keys.signature('sign/vault', alice.chain.uid, new Uint8Array(8).with(7, 1), changed);
      await expect(openVault(alice.chain, { ...vault, blob: changed, sig }, alice.keys, now)).rejects.toThrow('vault-bad');
    }
    for (const length of [0, 1, 41, 42, 100, vault.blob.length - 1]) {
      const blob = vault.blob.slice(0, length);
      const sig = await alice.keys.signature('sign/vault', alice.chain.uid, new Uint8Array(8).with(7, 1), blob);
      await expect(openVault(alice.chain, { ...vault, blob, sig }, alice.keys, now)).rejects.toThrow('vault-bad');
    }
  });

  test('any changed byte of the signature or the signer is refused', async () => {
    const vault = await seal();
    for (const sig of flips(vault.sig)) await expect(openVault(alice.chain, { ...vault, sig }, alice.keys, now)).rejects.toThrow('vault-bad');
    for (const by of flips(vault.by)) await expect(openVault(alice.chain, { ...vault, by }, alice.keys, now)).rejects.toThrow('vault-bad');
    const session = await withDevice(alice, 'session');
    await expect(openVault(alice.chain, { ...vault, by: session.sign }, alice.keys, now)).rejects.toThrow('vault-bad');
  });

  test('padding by somebody who takes liberties is refused', async () => {
    const { uid } = alice.chain;
    const byHand = async (padded: Bytes) => {
      const [eph, vk] = [await ephemeral(), new Uint8Array(32).fill(4)];
      const shared = boxKey(await eph.dh(alice.keys.box));
      const nonce = nonceOf('vault/wrap', uid, u64(1), eph.key, u8(0));
      const prefix = concat(u8(1), u64(1), eph.key, u8(1), hash('vault/kid', shared, u64(1)).slice(0, 8), sealSecretbox(shared, nonce, vk));
      const blob = concat(prefix, sealSecretbox(vk, nonceOf('vault/body', uid, sha256(prefix)), padded));
      const sig = await alice.keys.signature('sign/vault', uid, u64(1), blob);
      return openVault(alice.chain, { version: 1, blob, by: alice.keys.sign, sig }, alice.keys, now);
    };
    const padded = (length: number, size: number) => concat(u32(length), new Uint8Array(size - 4));
    expect((await byHand(padded(10, 4096))).length).toBe(10);
    expect((await byHand(padded(10, 8192))).length).toBe(10);
    for (const wrong of [padded(10, 4096).with(4095, 1), padded(10, 4096).with(14, 1), padded(4093, 4096), padded(10, 4097), padded(10, 12_288), padded(10, 2048)]) {
      await expect(byHand(wrong)).rejects.toThrow('vault-bad');
    }
  });

  test('travels as JSON, grows in steps, ends at 1 MiB', async () => {
    const vault = await seal();
    expect(readSealedVault(parseJson(JSON.stringify(sealedVaultJson(vault)), { bytes: 100_000, depth: 2 }))).toEqual(vault);
    const sized = (json: Bytes) => sealVault(alice.keys, { uid: alice.chain.uid, version: 1, json, slots: [alice.keys.box] });
    const overhead = 42 + 56 + 16;
    for (const [length, padded] of [[10, 4096], [4092, 4096], [4093, 8192], [500_000, 524_288], [1_048_572, 1_048_576]] as const) {
      const sealed = await sized(new Uint8Array(length));
      expect(sealed.blob.length).toBe(padded + overhead);
      expect((await openVault(alice.chain, sealed, alice.keys, now)).length).toBe(length);
    }
    await expect(sized(new Uint8Array(1_048_573))).rejects.toThrow('too-large');
  });
});

describe('the recovery card', () => {
  test('what is shown is read again, however it is typed', () => {
    const card = makeCard(repeatable('card'));
    expect(card.code).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-){6}[0-9A-HJKMNP-TV-Z]{4}$/);
    const handle = { username: 'wei', host: 'relay.example', port: 8443 };
    const text = cardText(handle, card.code);
    for (const typed of [
      text, text.toLowerCase(), text.replaceAll('-', ' '), text.replaceAll('-', ''), ` ${text}\n`, text.replaceAll('0', 'O').replaceAll('1', 'l'), `Courtyard card: ${text}`,
      text.replace('\n', ' / '), text.replaceAll('-', '\n'),
    ]) expect(readCardText(typed), typed).toEqual({ handle, bits: card.bits });
  });

  test('a character misread or left out is told', () => {
    const { code, bits } = makeCard(repeatable('card'));
    expect(readCardCode(code)).toEqual(bits);
    let [told, all] = [0, 0];
    for (let i = 0; i < code.length; i++) {
      for (const other of '0123456789ABCDEFGHJKMNPQRSTVWXYZ') {
        if (code[i] === '-' || code[i] === other) continue;
        all++;
        try {
          readCardCode(code.slice(0, i) + other + code.slice(i + 1));
        } catch (error) {
          expect(error).toMatchObject({ code: 'card-bad' });
          told++;
        }
      }
    }
    expect(all).toBe(28 * 31);
    expect(told / all).toBeGreaterThan(0.98);
    for (const wrong of ['', code.slice(1), `${code}0`, code.replace(/./, 'U'), code.replace(/./, '!')]) expect(() => readCardCode(wrong)).toThrow('card-bad');
    for (const wrong of ['', 'wei@relay.example', code, `wei@relay.example\n${code.slice(5)}`]) expect(() => readCardText(wrong)).toThrow('card-bad');
  });

  test('it brings the account back: chain, new device, vault', async () => {
    const owner = await person('owner');
    const card = makeCard(repeatable('paper'));
    const made = await cardKeys(card.bits);
    owner.chain = owner.chain.append(await owner.chain.setCard(owner.keys, made, now));
    const json = encodeVault(data);
    const vault = await sealVault(owner.keys, { uid: owner.chain.uid, version: 1, json, slots: vaultSlots(owner.chain, now) });
    // in another browser, from paper
    const typed = await cardKeys(readCardCode(card.code));
    expect(owner.chain.card).toEqual(cardPublic(typed));
    const fresh = await generateDeviceKeys();
    const chain = owner.chain.append(await owner.chain.addDevice(typed, { sign: fresh.sign, box: fresh.box, role: 'admin', exp: 0 }, now));
    expect(chain.active(fresh.id, now)).toBeDefined();
    expect(await openVault(chain, vault, typed, now)).toEqual(json);
    expect(cardCode(card.bits)).toBe(card.code);
  });
});

test('base32 goes there and back, and refuses filling bits', () => {
  const random = repeatable('base32');
  for (let length = 0; length < 40; length++) {
    const bytes = random(length);
    expect(decode32(grouped(encode32(bytes)), length)).toEqual(bytes);
  }
  expect(encode32(concat(utf8('foobar')))).toBe('CSQPYRK1E8');
  expect(() => decode32('ZZ', 1)).toThrow('code-bad');
});
