import { describe, expect, test } from 'vitest';
import { b64, type Bytes, utf8 } from '../bytes';
import { cardKeys, makeCard } from '../card';
import { Chain, type Device } from '../ident';
import { type DeviceKeys, deviceKeysFromSecrets, generateDeviceKeys } from '../keys';
import { parseJson } from '../json';
import { type Signed, type Signer, signedJson, signPayload, readSigned } from '../signed';
import { compareUek, makeUek, verifyUek } from '../uek';
import { hash } from '../primitives';
import { flips, now, person, type Person, relay, repeatable, withDevice } from './cast';

const deviceOf = (keys: DeviceKeys, role: Device['role'] = 'admin', exp = 0): Device => ({ sign: keys.sign, box: keys.box, role, exp });
const card = async (seed: string) => cardKeys(makeCard(repeatable(seed)).bits);

/** A record of any content, honestly signed. */
async function record(signer: Signer, chain: Chain, fields: Record<string, unknown>): Promise<Signed> {
  const payload = { v: 1, suite: 1, seq: chain.seq + 1, prev: b64(chain.head), ts: now, ...fields };
  return signPayload(signer, 'sign/chain', utf8(JSON.stringify(payload)));
}

const refused = (chain: Chain, signed: Signed) => { expect(() => chain.append(signed)).toThrow('bad-chain'); };

test('a life: genesis, home, session, card, another card, revocation, another relay', async () => {
  const alice = await person('alice');
  const home = await withDevice(alice, 'home');
  const session = await withDevice(alice, 'session', now + 1000);
  let chain = alice.chain;
  const first = await card('first');
  chain = chain.append(await chain.setCard(home, first, now));
  const second = await card('second');
  chain = chain.append(await chain.setCard(first, second, now));
  chain = chain.append(await chain.revokeDevice(second, home.id, 4, now));
  chain = chain.append(await chain.setRelay(alice.keys, { ...relay, host: 'other.example', port: 8443 }, now + 7));

  expect(chain.seq).toBe(6);
  expect(chain.devices.map((device) => [device.role, device.revoked])).toEqual([['admin', undefined], ['home', 5], ['session', undefined]]);
  expect(chain.home(now)).toBeUndefined();
  expect(chain.active(session.id, now)).toBeDefined();
  expect(chain.active(session.id, now + 1000)).toBeUndefined();
  expect(chain.keepers(now).map((device) => device.id)).toEqual([alice.keys.id]);
  expect(chain.card).toEqual({ ik: second.sign, box: second.box });
  expect(chain.relay).toEqual({ ...relay, host: 'other.example', port: 8443 });
  expect(chain.uekFloor).toBe(4);
  expect(chain.ts).toBe(now + 7);
  expect(alice.chain.seq).toBe(2); // a chain never changes

  const sent = JSON.stringify(chain.records.map(signedJson));
  const json = parseJson(sent, { bytes: 100_000, depth: 3 });
  const received = (json as readonly never[]).map(readSigned);
  expect(JSON.stringify(received.map(signedJson))).toBe(sent);
  const parsed = Chain.parse(received, chain.uid);
  expect(parsed.place).toEqual(chain.place);
  expect(parsed.devices).toEqual(chain.devices);
  expect(Chain.fromOwnStore(received, chain.uid).place).toEqual(chain.place);
});

describe('a chain is refused', () => {
  test('when it is another person’s, empty, cut at its beginning or reordered', async () => {
    const [alice, bob] = [await person('alice'), await person('bob')];
    await withDevice(alice, 'home');
    const [genesis, add] = alice.chain.records as [Signed, Signed];
    expect(() => Chain.parse(alice.chain.records, bob.chain.uid)).toThrow('bad-chain');
    expect(() => Chain.parse([], alice.chain.uid)).toThrow('bad-chain');
    expect(() => Chain.parse([add], alice.chain.uid)).toThrow('bad-chain');
    expect(() => Chain.parse([add, genesis], alice.chain.uid)).toThrow('bad-chain');
    expect(() => Chain.parse([genesis, genesis], alice.chain.uid)).toThrow('bad-chain');
    expect(() => Chain.fromOwnStore([genesis, genesis], alice.chain.uid)).toThrow('bad-chain');
  });

  test('after any single changed byte of payload, signer or signature', async () => {
    const alice = await person('alice');
    await withDevice(alice, 'home');
    const [genesis, add] = alice.chain.records as [Signed, Signed];
    const before = Chain.parse([genesis], alice.chain.uid);
    let tried = 0;
    for (const field of ['payload', 'by', 'sig'] as const) {
      for (const value of flips(add[field])) {
        refused(before, { ...add, [field]: value });
        tried++;
      }
    }
    expect(tried).toBe(add.payload.length + 96);
  });

  test('when a record is signed by who may not', async () => {
    const alice = await person('alice');
    const mallory = await generateDeviceKeys();
    const session = await withDevice(alice, 'session');
    const expiring = await withDevice(alice, 'admin', now + 10);
    const late = await withDevice(alice, 'admin');
    const device = { op: 'device.add', device: { ...wire(mallory), role: 'admin', exp: 0 } };
    for (const signer of [mallory, session]) refused(alice.chain, await record(signer, alice.chain, device));
    alice.chain.append(await record(expiring, alice.chain, device));
    refused(alice.chain, await record(expiring, alice.chain, { ...device, ts: now + 10 }));
    const revoked = alice.chain.append(await alice.chain.revokeDevice(alice.keys, late.id, 0, now));
    refused(revoked, await record(late, revoked, device));
    await expect(alice.chain.addDevice(session, deviceOf(mallory), now)).rejects.toThrow('bad-chain');
  });

  test('when a device sets a card beside the first, and when the old card signs', async () => {
    const alice = await person('alice');
    const [first, second, third] = [await card('1'), await card('2'), await card('3')];
    const withCard = alice.chain.append(await alice.chain.setCard(alice.keys, first, now));
    await expect(withCard.setCard(alice.keys, second, now)).rejects.toThrow('bad-chain');
    const renewed = withCard.append(await withCard.setCard(first, second, now));
    await expect(renewed.setCard(first, third, now)).rejects.toThrow('bad-chain');
    await expect(renewed.revokeDevice(first, alice.keys.id, 0, now)).rejects.toThrow('bad-chain');
    await renewed.revokeDevice(alice.keys, alice.keys.id, 0, now);
  });

  test('when a card does not prove itself, or proves itself for another place', async () => {
    const [alice, bob] = [await person('alice'), await person('bob')];
    const keys = await card('1');
    const good = await alice.chain.setCard(alice.keys, keys, now);
    const payload = JSON.parse(new TextDecoder().decode(good.payload)) as Record<string, unknown>;
    await withDevice(alice, 'home');
    refused(alice.chain, await record(alice.keys, alice.chain, { op: 'card', ik: payload['ik'], box: payload['box'], proof: payload['proof'] }));
    refused(bob.chain, await record(bob.keys, bob.chain, { op: 'card', ik: payload['ik'], box: payload['box'], proof: payload['proof'] }));
  });

  test('when a second home, a device or a key comes twice', async () => {
    const alice = await person('alice');
    const home = await withDevice(alice, 'home');
    const other = await generateDeviceKeys();
    await expect(alice.chain.addDevice(alice.keys, deviceOf(other, 'home'), now)).rejects.toThrow('bad-chain');
    await expect(alice.chain.addDevice(alice.keys, deviceOf(home), now)).rejects.toThrow('bad-chain');
    const gone = alice.chain.append(await alice.chain.revokeDevice(alice.keys, home.id, 0, now));
    await expect(gone.addDevice(alice.keys, deviceOf(home, 'home'), now)).rejects.toThrow('bad-chain');
    await expect(gone.addDevice(alice.keys, { ...deviceOf(other), sign: home.sign }, now)).rejects.toThrow('bad-chain');
    await expect(gone.revokeDevice(alice.keys, home.id, 0, now)).rejects.toThrow('bad-chain');
    await gone.addDevice(alice.keys, deviceOf(other, 'home'), now);
  });

  test('when a payload is not exactly what its op has', async () => {
    const alice = await person('alice');
    const device = { ...wire(await generateDeviceKeys()), role: 'admin', exp: 0 };
    const good = { op: 'device.add', device };
    alice.chain.append(await record(alice.keys, alice.chain, good));
    for (const fields of [
      { op: 'device.remove' }, { ...good, extra: 1 }, { ...good, v: 2 }, { ...good, suite: 2 }, { ...good, seq: 2 }, { ...good, seq: 0 }, { ...good, seq: 1.5 },
      { ...good, prev: b64(new Uint8Array(32)) }, { ...good, prev: undefined }, { ...good, ts: -1 }, { ...good, ts: '0' }, { ...good, nonce: b64(new Uint8Array(16)) },
      { ...good, device: { ...device, role: 'owner' } }, { ...good, device: { ...device, exp: undefined } }, { ...good, device: { ...device, box: b64(new Uint8Array(32)) } },
      { ...good, device: { ...device, name: 'x' } }, { op: 'device.revoke', id: b64(alice.keys.id) }, { op: 'device.revoke', id: b64(alice.keys.id), uek_floor: -1 },
      { op: 'relay', relay: { key: b64(relay.key), host: 'a b', port: 443 } }, { op: 'relay', relay: { key: b64(relay.key), host: 'a', port: 0 } },
      { op: 'genesis', nonce: b64(new Uint8Array(16)), device, relay: { ...relay, key: b64(relay.key) } },
    ]) refused(alice.chain, await record(alice.keys, alice.chain, fields));
    const twice = utf8(JSON.stringify({ v: 1, suite: 1, seq: 1, prev: b64(alice.chain.head), ts: now, ...good }).replace('{', '{"ts":1,'));
    refused(alice.chain, await signPayload(alice.keys, 'sign/chain', twice));
    const padded = utf8(JSON.stringify({ v: 1, suite: 1, seq: 1, prev: b64(alice.chain.head), ts: now, ...good }) + ' '.repeat(4096));
    refused(alice.chain, await signPayload(alice.keys, 'sign/chain', padded));
    refused(alice.chain, { ...(await record(alice.keys, alice.chain, good)), sig: (await signPayload(alice.keys, 'sign/uek', utf8('x'))).sig });
  });

  test('when a genesis is not its own admin device’s', async () => {
    const keys = await generateDeviceKeys();
    const genesis = async (signer: Signer, role: string, extra: object = {}) => {
      const payload = { v: 1, suite: 1, op: 'genesis', seq: 0, ts: now, nonce: b64(new Uint8Array(16)), device: { ...wire(keys), role, exp: 0 }, relay: { ...relay, key: b64(relay.key) }, ...extra };
      const signed = await signPayload(signer, 'sign/chain', utf8(JSON.stringify(payload)));
      return () => Chain.parse([signed], uidOf(signed.payload));
    };
    expect((await genesis(keys, 'admin'))().seq).toBe(0);
    expect(await genesis(await generateDeviceKeys(), 'admin')).toThrow('bad-chain');
    expect(await genesis(keys, 'home')).toThrow('bad-chain');
    expect(await genesis(keys, 'session')).toThrow('bad-chain');
    expect(await genesis(keys, 'admin', { seq: 1 })).toThrow('bad-chain');
    expect(await genesis(keys, 'admin', { prev: b64(new Uint8Array(32)) })).toThrow('bad-chain');
  });

  test('after a thousand records', async () => {
    const alice = await person('alice');
    const payload = (seq: number, prev: Bytes) => utf8(JSON.stringify({ v: 1, suite: 1, op: 'relay', seq, prev: b64(prev), ts: now, relay: { ...relay, key: b64(relay.key) } }));
    const records = [...alice.chain.records];
    let head = alice.chain.head;
    while (records.length < 1000) {
      // kept in the own store: their signatures are not looked at again
      const record = { payload: payload(records.length, head), by: alice.keys.sign, sig: new Uint8Array(64) };
      head = hash('chain', record.payload);
      records.push(record);
    }
    const chain = Chain.fromOwnStore(records, alice.chain.uid);
    expect([chain.seq, chain.head]).toEqual([999, head]);
    const oneMore = await signPayload(alice.keys, 'sign/chain', payload(1000, head));
    refused(chain, oneMore);
    expect(() => Chain.fromOwnStore([...records, oneMore], alice.chain.uid)).toThrow('bad-chain');
  });
});

test('forks: shorter than the pin, or another record at its place', async () => {
  const alice = await person('alice');
  const start = alice.chain;
  const [a, b] = [await generateDeviceKeys(), await generateDeviceKeys()];
  const one = start.append(await start.addDevice(alice.keys, deviceOf(a), now));
  const other = start.append(await start.addDevice(alice.keys, deviceOf(b), now));
  const longer = other.append(await other.addDevice(alice.keys, deviceOf(a), now));
  expect(one.isForkOf(start.place)).toBe(false);
  expect(one.isForkOf(one.place)).toBe(false);
  expect(start.isForkOf(one.place)).toBe(true);
  expect(other.isForkOf(one.place)).toBe(true);
  expect(longer.isForkOf(one.place)).toBe(true);
  expect([start.compare(one.place), other.compare(one.place), one.compare(one.place)]).toEqual(['beyond', 'other', 'held']);
  for (const spliced of longer.records.slice(2)) refused(one, spliced);
  expect(one.seqOf(start.head)).toBe(0);
  expect(one.seqOf(other.head)).toBeUndefined();
});

describe('daily key records', () => {
  test('made, verified, pinned', async () => {
    const alice = await person('alice');
    const home = await withDevice(alice, 'home');
    const first = alice.record;
    const second = await makeUek(home, alice.chain, home.box, first, now);
    expect(second).toMatchObject({ counter: 2, prev: first.hash, key: home.box, head: alice.chain.head });
    expect(verifyUek(second.signed, alice.chain)).toEqual(second);
    expect(compareUek(second, first)).toBe('newer');
    expect(compareUek(second, second)).toBe('same');
    expect(compareUek(first, second)).toBe('older');
    expect(compareUek(second, { counter: 2, key: first.key })).toBe('swapped');
  });

  test('refused: swapped, altered, by a stranger, a session or a revoked device, below the floor', async () => {
    const [alice, bob] = [await person('alice'), await person('bob')];
    const session = await withDevice(alice, 'session');
    const home = await withDevice(alice, 'home');
    const byHome = await makeUek(home, alice.chain, home.box, alice.record, now);
    expect(() => verifyUek(alice.record.signed, bob.chain)).toThrow('uek-bad');
    await expect(makeUek(session, alice.chain, home.box, undefined, now)).rejects.toThrow('uek-bad');
    await expect(makeUek(bob.keys, alice.chain, home.box, undefined, now)).rejects.toThrow('uek-bad');
    await expect(makeUek(home, alice.chain, new Uint8Array(32), undefined, now)).rejects.toThrow('uek-bad');
    const revoked = alice.chain.append(await alice.chain.revokeDevice(alice.keys, home.id, 2, now));
    expect(() => verifyUek(byHome.signed, revoked)).toThrow('uek-bad');
    expect(() => verifyUek(alice.record.signed, revoked)).toThrow('uek-bad');
    for (const field of ['payload', 'by', 'sig'] as const) {
      for (const value of flips(byHome.signed[field])) {
        expect(() => verifyUek({ ...byHome.signed, [field]: value }, alice.chain)).toThrow(/uek-bad|chain-behind/);
      }
    }
  });

  test('a head beyond this copy asks for the rest of the chain', async () => {
    const alice = await person('alice');
    const before = alice.chain;
    const home = await withDevice(alice, 'home');
    const uek = await makeUek(home, alice.chain, home.box, alice.record, now);
    expect(() => verifyUek(uek.signed, before)).toThrow('chain-behind');
  });

  test('closed, with prev exactly from the second on', async () => {
    const alice: Person = await person('alice');
    const good = { v: 1, uid: b64(alice.chain.uid), counter: 1, ts: now, head: b64(alice.chain.head), key: b64(alice.keys.box) };
    const signed = (fields: object) => signPayload(alice.keys, 'sign/uek', utf8(JSON.stringify(fields)));
    expect(verifyUek(await signed(good), alice.chain).counter).toBe(1);
    for (const wrong of [
      { ...good, x: 1 }, { ...good, counter: 0 }, { ...good, counter: 2 }, { ...good, prev: b64(new Uint8Array(32)) }, { ...good, v: 2 }, { ...good, key: 'AA' }, { ...good, ts: 1.5 },
    ]) {
      const bad = await signed(wrong);
      expect(() => verifyUek(bad, alice.chain)).toThrow('uek-bad');
    }
    const underOther = await signPayload(alice.keys, 'sign/chain', utf8(JSON.stringify(good)));
    expect(() => verifyUek(underOther, alice.chain)).toThrow('uek-bad');
  });
});

function wire(keys: { readonly sign: Bytes; readonly box: Bytes }): { sign: string; box: string } {
  return { sign: b64(keys.sign), box: b64(keys.box) };
}

test('the same seed makes the same device', async () => {
  const seed = new Uint8Array(32).fill(9);
  expect((await deviceKeysFromSecrets(seed, seed)).id).toEqual((await deviceKeysFromSecrets(seed, seed)).id);
});

function uidOf(payload: Bytes): Bytes {
  return hash('uid', payload);
}
