/**
 * The vault (protocol/README.md section 5): one sealed blob per person at the relay. This file seals, opens, signs and
 * reads it; vaultdata.ts says what is in it.
 */
import { b64, type Bytes, concat, equal, readU32, readU64, u32, u64, u8 } from './bytes';
import type { Chain } from './ident';
import { blob, bytes, closed, int, type Read } from './json';
import { type Agreement, ephemeral } from './keys';
import { isProblem, Problem } from './problem';
import { boxKey, hash, nonceOf, openSecretbox, type Random, randomBytes, sealSecretbox, sha256, verify } from './primitives';
import type { Signer } from './signed';

const jsonLimit = 1024 * 1024;
const slotSize = 56;
const slotsAt = 42;

/** As it travels. */
export interface SealedVault {
  readonly version: number;
  readonly blob: Bytes;
  readonly by: Bytes;
  readonly sig: Bytes;
}

export const readSealedVault: Read<SealedVault> = closed({
  version: int(1), blob: blob(jsonLimit + slotsAt + 255 * slotSize + 16), by: bytes(32), sig: bytes(64),
});

export function sealedVaultJson(vault: SealedVault): { version: number; blob: string; by: string; sig: string } {
  return { version: vault.version, blob: b64(vault.blob), by: b64(vault.by), sig: b64(vault.sig) };
}

/** Public keys of the slots: each active `admin` and `home` device, then the card. */
export function vaultSlots(chain: Chain, now: number): readonly Bytes[] {
  const devices = chain.keepers(now).map((device) => device.box);
  return chain.card ? [...devices, chain.card.box] : devices;
}

/** Throws `too-large` when the JSON does not fit 1 MiB. */
export async function sealVault(
  signer: Signer,
  vault: { readonly uid: Bytes; readonly version: number; readonly json: Bytes; readonly slots: readonly Bytes[] },
  random: Random = randomBytes,
): Promise<SealedVault> {
  const { uid, version, json, slots } = vault;
  if (slots.length < 1 || slots.length > 255) throw new Problem('too-large', { reason: 'slots' });
  const eph = await ephemeral(random);
  const vk = random(32);
  const wrapped = await Promise.all(
    slots.map(async (slot, i) => {
      const shared = boxKey(await eph.dh(slot));
      return concat(slotName(shared, version), sealSecretbox(shared, wrapNonce(uid, version, eph.key, i), vk));
    }),
  );
  const prefix = concat(u8(1), u64(version), eph.key, u8(slots.length), ...wrapped);
  const sealed = concat(prefix, sealSecretbox(vk, bodyNonce(uid, prefix), pad(json)));
  return { version, blob: sealed, by: signer.sign, sig: await signer.signature('sign/vault', uid, u64(version), sealed) };
}

/**
 * Checks who wrote it, opens it, gives the JSON bytes. `key` is an own device's or the card's, `atLeast` the newest
 * version this device has seen: the relay must not show an older one. Throws `vault-bad`.
 */
export async function openVault(chain: Chain, vault: SealedVault, key: Agreement, now: number, atLeast = 1): Promise<Bytes> {
  const { uid } = chain;
  const { version, blob: sealed, by, sig } = vault;
  const writers = [...chain.devices.filter((device) => chain.active(device.id, now)).map((device) => device.sign), ...(chain.card ? [chain.card.ik] : [])];
  if (version < atLeast) bad('older');
  if (!writers.some((writer) => equal(writer, by))) bad('signer');
  if (!verify(by, sig, 'sign/vault', uid, u64(version), sealed)) bad('signature');
  try {
    return await unseal(uid, version, sealed, key);
  } catch (error) {
    if (isProblem(error)) throw new Problem('vault-bad', error.params, error);
    throw error;
  }
}

async function unseal(uid: Bytes, version: number, sealed: Bytes, key: Agreement): Promise<Bytes> {
  const count = sealed[slotsAt - 1] ?? 0;
  const prefixLength = slotsAt + count * slotSize;
  if (sealed.length < prefixLength + 16 + 4096 || sealed[0] !== 1 || readU64(sealed, 1) !== version) bad('format');
  const prefix = sealed.slice(0, prefixLength);
  const eph = prefix.slice(9, 41);
  const shared = boxKey(await key.dh(eph));
  const name = slotName(shared, version);
  for (let i = 0; i < count; i++) {
    const at = slotsAt + i * slotSize;
    if (!equal(prefix.subarray(at, at + 8), name)) continue;
    const vk = openSecretbox(shared, wrapNonce(uid, version, eph, i), prefix.subarray(at + 8, at + slotSize)) ?? bad('slot');
    return unpad(openSecretbox(vk, bodyNonce(uid, prefix), sealed.subarray(prefixLength)) ?? bad('body'));
  }
  return bad('no slot');
}

function bad(reason: string): never {
  throw new Problem('vault-bad', { reason });
}

function slotName(shared: Bytes, version: number): Bytes {
  return hash('vault/kid', shared, u64(version)).slice(0, 8);
}

function wrapNonce(uid: Bytes, version: number, eph: Bytes, slot: number): Bytes {
  return nonceOf('vault/wrap', uid, u64(version), eph, u8(slot));
}

function bodyNonce(uid: Bytes, prefix: Bytes): Bytes {
  return nonceOf('vault/body', uid, sha256(prefix));
}

function pad(json: Bytes): Bytes {
  let size = 4096;
  while (size < json.length + 4) size *= 2;
  if (size > jsonLimit) throw new Problem('too-large', { limit: jsonLimit });
  return concat(u32(json.length), json, new Uint8Array(size - json.length - 4));
}

function unpad(padded: Bytes): Bytes {
  if (padded.length > jsonLimit || padded.length % 4096 !== 0 || ((padded.length / 4096) & (padded.length / 4096 - 1)) !== 0) bad('padding');
  const length = readU32(padded, 0);
  if (length > padded.length - 4 || padded.subarray(4 + length).some((byte) => byte !== 0)) bad('padding');
  return padded.slice(4, 4 + length);
}
