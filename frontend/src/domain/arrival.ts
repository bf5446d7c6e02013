/** How an account comes into this browser: by an invite or the owner's claim, by a one-use link, by the recovery card. */

import { Api } from '../platform/api';
import { hostOfOrigin } from '../platform/connection';
import type { Platform } from '../platform/platform';
import { formatHost, sameHost, usernameAllowed } from '../protocol/address';
import { b64, equal, unb64, type Bytes } from '../protocol/bytes';
import { cardKeys, readCardText, type CardKeys } from '../protocol/card';
import { openHandover, handoverBox, parseHandover } from '../protocol/handover';
import { Chain, type Relay } from '../protocol/ident';
import { parseInvite, type ClaimLink, type InviteLink } from '../protocol/invite';
import { characters } from '../protocol/json';
import { deviceKeysToStorable, generateDeviceKeys, generateUek, importUek, keysSupported, uekToStorable, type DeviceKeys } from '../protocol/keys';
import { limits, plainName } from '../protocol/message';
import { isProblem, Problem } from '../protocol/problem';
import { signedJson } from '../protocol/signed';
import { makeUek, type Uek } from '../protocol/uek';
import { sealedVaultJson, sealVault, vaultSlots } from '../protocol/vault';
import { encodeVault, type VaultData, type VaultFriend } from '../protocol/vaultdata';
import type { AccountRecord } from '../store/schema';
import type { Store } from '../store/store';
import { chainRecordOf } from './chains';
import { Trouble } from './failure';
import { verifiedInvite } from './invites';
import type { Uid } from './types';

const TRIES = 5;

/** Another tab may have been faster. Runs under the lock of arrivals. */
async function mustBeOut(store: Store): Promise<void> {
  if ((await store.account())?.stage === 'in') throw new Trouble('account-exists');
}

export interface ArrivalSurroundings {
  readonly platform: Platform;
  readonly store: Store;
}

export interface Joined {
  readonly account: AccountRecord;
  /** the person who invited */
  readonly inviter: Uid | undefined;
  /** the home that waits to be paired */
  readonly home: ClaimLink['home'];
}

interface Inviter {
  readonly link: InviteLink;
  readonly username: string;
  readonly name: string;
  readonly chain: Chain;
}

/** Makes the account. One that was made but whose answer got lost is found again. */
export async function join({ platform, store }: ArrivalSurroundings, text: string, name: string, username: string): Promise<Joined> {
  const known = plainName(name);
  if (known === '') throw new Trouble('name-empty');
  if (characters(known) > limits.name) throw new Trouble('name-long', { limit: limits.name });
  if (!usernameAllowed(username)) throw new Problem('username-bad');
  if (!(await keysSupported())) throw new Trouble('unsupported');
  await mustBeOut(store);
  const api = new Api(platform);
  const link = parseInvite(text);
  mustBeHere(platform, link);
  const before = await resume({ platform, store }, api);
  if (before) return { account: before, inviter: link.kind === 'invite' ? b64(link.uid) : undefined, home: link.kind === 'claim' ? link.home : undefined };

  const relay = await api.relay();
  let inviter: Inviter | undefined;
  if (link.kind === 'claim') {
    if (!equal(relay.key, link.relayKey)) throw new Problem('claim-unknown');
  } else {
    const { username: theirs, card, chain } = await verifiedInvite(link, api);
    // The inviter's chain says which relay this is; another one would be listening in.
    if (!equal(chain.relay.key, relay.key)) throw new Problem('auth-bad', { reason: 'relay key' });
    inviter = { link, username: theirs, name: card.name, chain };
  }
  const made = await makeAccount(platform, { key: relay.key, host: link.host, port: link.port }, known, username, inviter);
  const request = JSON.stringify({
    ...made.request, ...(link.kind === 'claim' ? { claim: b64(link.token) } : { invite: b64(link.id) }),
  });
  const account: AccountRecord = { ...made.account, request, invite: link.kind === 'invite' ? text : undefined };
  await keep(store, account, made, inviter);
  await api.join(request);
  await settle(store, account);
  return { account: { ...account, stage: 'in', request: '' }, inviter: inviter && b64(inviter.link.uid), home: link.kind === 'claim' ? link.home : undefined };
}

/** A join whose answer never came: if the relay knows the person, it went through. */
export async function resume({ store }: ArrivalSurroundings, api: Api): Promise<AccountRecord | undefined> {
  const account = await store.account();
  if (account?.stage !== 'joining') return undefined;
  try {
    await api.chain(unb64(account.uid, 32), -1);
  } catch (error) {
    if (isProblem(error, 'not-found')) return undefined;
    throw error;
  }
  await settle(store, account);
  return { ...account, stage: 'in', request: '' };
}

async function settle(store: Store, account: AccountRecord): Promise<void> {
  // All there is was made here, so nothing is missing in this cache.
  await store.saveSetting('complete', true);
  await store.saveAccount({ ...account, stage: 'in', request: '' });
}

interface Made {
  readonly account: Omit<AccountRecord, 'request' | 'invite'>;
  readonly request: object;
  readonly chain: Chain;
  readonly uek: Uek;
  readonly secret: Bytes;
  readonly vault: string;
}

async function makeAccount(platform: Platform, relay: Relay, name: string, username: string, inviter: Inviter | undefined): Promise<Made> {
  const now = platform.now();
  const keys = await generateDeviceKeys();
  const chain = await Chain.begin(keys, relay, now);
  const { secret, key } = await generateUek();
  const uek = await makeUek(keys, chain, key, undefined, now);
  const data: VaultData = {
    v: 1, username, name, about: '', friends: inviter ? [friendEntry(inviter, now)] : [], invites: [],
    ueks: [{ counter: uek.counter, secret, ts: uek.ts }], settings: { profile: 1 }, devices: { [b64(keys.id)]: platform.deviceName },
  };
  const sealed = await sealVault(keys, { uid: chain.uid, version: 1, json: encodeVault(data), slots: vaultSlots(chain, now) });
  const vault = sealedVaultJson(sealed);
  return {
    account: accountOf(chain, keys, username, 'joining'),
    request: { username, chain: chain.records.map(signedJson), uek: signedJson(uek.signed), vault },
    chain, uek, secret, vault: JSON.stringify(vault),
  };
}

function friendEntry({ link, username, name, chain }: Inviter, now: number): VaultFriend {
  return {
    uid: link.uid, username, host: link.host, port: link.port, name, state: 'friend', confirmed: true, since: now,
    seq: chain.seq, head: chain.head, uek: 0,
  };
}

function accountOf(chain: Chain, keys: DeviceKeys, username: string, stage: AccountRecord['stage']): Omit<AccountRecord, 'request' | 'invite'> {
  return {
    stage, uid: b64(chain.uid), username, host: formatHost(chain.relay), relayKey: b64(chain.relay.key), keys: deviceKeysToStorable(keys),
  };
}

/** Before the request leaves: whatever happens to its answer, the keys are here. */
async function keep(store: Store, account: AccountRecord, made: Made, inviter: Inviter | undefined): Promise<void> {
  await store.saveUeks([{ ...uekToStorable(await importUek(made.uek.counter, made.secret)), ts: made.uek.ts }]);
  await store.saveVault({ version: 1, wire: made.vault, pending: undefined });
  await store.saveChain(chainRecordOf(made.chain, made.uek));
  if (inviter) await store.saveChain(chainRecordOf(inviter.chain, undefined));
  await store.saveAccount(account);
}

/** Takes the account over from another browser; works once. */
export async function takeHandover({ platform, store }: ArrivalSurroundings, text: string): Promise<AccountRecord> {
  const link = parseHandover(text);
  mustBeHere(platform, link);
  await mustBeOut(store);
  const api = new Api(platform);
  const { username, keys } = await openHandover(link, await api.takeHandover(handoverBox(link.secret)));
  const chain = Chain.parse(await api.chain(link.uid, -1), link.uid);
  if (!chain.active(keys.id, platform.now())) throw new Problem('handover-unknown');
  const account: AccountRecord = { ...accountOf(chain, keys, username, 'in'), request: '', invite: undefined };
  await store.saveChain(chainRecordOf(chain, undefined));
  await store.saveAccount(account);
  return account;
}

/** Makes this browser a device of whoever holds the card. The vault is opened with the key that is returned. */
export async function restore({ platform, store }: ArrivalSurroundings, text: string): Promise<{ account: AccountRecord; cardKey: CardKeys }> {
  const { handle, bits } = readCardText(text);
  if (!sameHost(handle, hostOfOrigin(platform.origin))) throw new Trouble('card-elsewhere', { host: formatHost(handle) });
  await mustBeOut(store);
  if (!(await keysSupported())) throw new Trouble('unsupported');
  const api = new Api(platform);
  const card = await cardKeys(bits);
  const uid = await recoverable(api, handle.username, card);
  const keys = await generateDeviceKeys();
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const chain = Chain.parse(await api.chain(uid, -1), uid);
    if (!chain.card || !equal(chain.card.ik, card.sign)) throw new Trouble('card-unknown');
    const record = await chain.addDevice(card, { sign: keys.sign, box: keys.box, role: 'admin', exp: 0 }, platform.now());
    try {
      await api.addRecord(uid, record);
    } catch (error) {
      if (isProblem(error, 'chain-conflict')) continue;
      throw error;
    }
    const grown = chain.append(record);
    const account: AccountRecord = { ...accountOf(grown, keys, handle.username, 'restoring'), request: '', invite: undefined };
    await store.saveChain(chainRecordOf(grown, undefined));
    await store.saveAccount(account);
    return { account, cardKey: card };
  }
  throw new Problem('chain-conflict');
}

async function recoverable(api: Api, username: string, card: CardKeys): Promise<Bytes> {
  try {
    return await api.recover(username, card.sign);
  } catch (error) {
    if (isProblem(error, 'not-found')) throw new Trouble('card-unknown', {}, error);
    throw error;
  }
}

function mustBeHere(platform: Platform, at: { readonly host: string; readonly port: number }): void {
  if (!sameHost(at, hostOfOrigin(platform.origin))) throw new Trouble('elsewhere', { host: at.host });
}
