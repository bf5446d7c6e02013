import { x25519 } from '@noble/curves/ed25519.js';
import { hexToBytes } from '@noble/hashes/utils.js';
import { expect, test, vi } from 'vitest';
import { unb64 } from '../bytes';
import {
  deviceKeysFromSecrets, deviceKeysFromStorable, deviceKeysToStorable, ephemeral, generateDeviceKeys, generateUek, importUek, keysSupported,
  type StorableDeviceKeys, type StorableUek, uekFromStorable, uekToStorable,
} from '../keys';
import { lowOrder, verify } from '../primitives';
import { repeatable } from './cast';

test('made, stored as IndexedDB stores, taken up again: the same device', async () => {
  const made = await generateDeviceKeys();
  const stored: StorableDeviceKeys = structuredClone(deviceKeysToStorable(made));
  const again = deviceKeysFromStorable(stored);
  expect(again.id).toEqual(made.id);
  expect(verify(made.sign, await again.signature('label', made.id), 'label', made.id)).toBe(true);
  const other = await ephemeral();
  expect(await again.dh(other.key)).toEqual(await made.dh(other.key));
  expect(await other.dh(made.box)).toEqual(await made.dh(other.key));
});

test('no secret can be read back', async () => {
  const keys = await generateDeviceKeys();
  const imported = await deviceKeysFromSecrets(new Uint8Array(32).fill(1), new Uint8Array(32).fill(2));
  for (const { signKey, boxKey } of [deviceKeysToStorable(keys), deviceKeysToStorable(imported)]) {
    for (const key of [signKey, boxKey]) {
      expect(key.extractable).toBe(false);
      await expect(crypto.subtle.exportKey('pkcs8', key)).rejects.toThrow();
      await expect(crypto.subtle.exportKey('jwk', key)).rejects.toThrow();
    }
  }
  const { secret } = uekToStorable(await importUek(1, (await generateUek()).secret));
  expect(secret.extractable).toBe(false);
  expect(JSON.stringify(keys)).not.toContain('signKey');
});

test('daily keys', async () => {
  const made = await generateUek(repeatable('uek'));
  const held = await importUek(7, made.secret);
  expect(held.key).toEqual(made.key);
  const stored: StorableUek = structuredClone(uekToStorable(held));
  const eph = await ephemeral();
  expect(await uekFromStorable(stored).dh(eph.key)).toEqual(await eph.dh(made.key));
  expect(uekFromStorable(stored).counter).toBe(7);
});

// RFC 7748 section 5.2
test('X25519 as the standard has it, and as noble computes it', async () => {
  const held = await importUek(1, hexToBytes('a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4'));
  const pub = hexToBytes('e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c');
  expect(await held.dh(pub)).toEqual(hexToBytes('c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552'));
  const random = repeatable('x25519');
  for (let i = 0; i < 10; i++) {
    const secret = random(32);
    const other = random(32);
    const uek = await importUek(1, secret);
    expect(uek.key).toEqual(x25519.getPublicKey(secret));
    expect(await uek.dh(other)).toEqual(x25519.getSharedSecret(secret, other));
  }
});

const lowOrderKeys = [
  'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 'AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', '4Ot6fDtBuK4WVuP68Z_EatoJjeucMrH9hmIFFl9JuAA',
  'X5yVvKNQjCSx0LFVnIPvWwREXMRYHI6G2CJO3dCfEVc', '7P_______________________________________38', '7f_______________________________________38', '7v_______________________________________38',
];

test.each(lowOrderKeys)('low-order key %s is refused, with its top bit set too', async (text) => {
  const key = unb64(text, 32);
  const topped = key.slice();
  topped[31] = (topped[31] ?? 0) | 0x80;
  const keys = await generateDeviceKeys();
  for (const pub of [key, topped]) {
    expect(lowOrder(pub)).toBe(true);
    await expect(keys.dh(pub)).rejects.toThrow('key-bad');
  }
});

test('an engine that hands out the zeros instead of refusing is not believed', async () => {
  const keys = await generateDeviceKeys();
  const derive = vi.spyOn(crypto.subtle, 'deriveBits').mockResolvedValue(new ArrayBuffer(32));
  try {
    await expect(keys.dh(new Uint8Array(32).fill(9))).rejects.toThrow('key-bad');
    expect(derive).toHaveBeenCalledOnce();
  } finally {
    derive.mockRestore();
  }
});

test('ordinary keys are not of low order; other lengths are no keys', async () => {
  for (let i = 0; i < 20; i++) expect(lowOrder((await ephemeral()).key)).toBe(false);
  const keys = await generateDeviceKeys();
  await expect(keys.dh(new Uint8Array(31))).rejects.toThrow('key-bad');
  await expect(deviceKeysFromSecrets(new Uint8Array(31), new Uint8Array(32))).rejects.toThrow('key-bad');
});

test('this runtime can hold keys', async () => {
  expect(await keysSupported()).toBe(true);
});
