/** What is looked after each time the connection has been greeted. Everything here may be done twice. */

import { b64, unb64 } from '../protocol/bytes';
import type { Chain, ChainDevice } from '../protocol/ident';
import { parseInvite } from '../protocol/invite';
import { isObject, type Json } from '../protocol/json';
import type { VaultData } from '../protocol/vaultdata';
import { amend } from './ownchain';
import { spread } from './profiles';
import type { Session } from './session';

/** A device that was made for a one-use link. */
export interface PendingDevice {
  readonly id: string;
  readonly until: number;
}

export async function tend(session: Session): Promise<void> {
  await nameDevice(session);
  await tellInviter(session);
  await spread(session);
  await dropUntaken(session);
  await notePins(session);
  await session.friends.verifyClaims();
  await keepStorage(session);
}

/** Asked once: some browsers put the question to the person. */
async function keepStorage({ platform, store }: Session): Promise<void> {
  if ((await store.setting('persist')) !== undefined) return;
  await store.saveSetting('persist', await platform.persist());
}

/** The first letter of somebody who joined by an invite. */
async function tellInviter(session: Session): Promise<void> {
  const { invite, ...rest } = session.account;
  if (invite === undefined) return;
  const link = parseInvite(invite);
  if (link.kind === 'invite') await session.friends.join(link);
  await session.saveAccount({ ...rest, invite: undefined });
}

/** This device has a name in the list; the link that made it has been taken. */
async function nameDevice({ self, vault, platform }: Session): Promise<void> {
  await vault.note((data) => {
    const pending = pendingDevices(data);
    const named = data.devices[self.device] !== undefined;
    if (named && !pending.some(({ id }) => id === self.device)) return undefined;
    return withPending(
      { ...data, devices: { ...data.devices, [self.device]: data.devices[self.device] ?? platform.deviceName } },
      pending.filter(({ id }) => id !== self.device),
    );
  });
}

/** A one-use link that nobody took within its time: its device is let go. */
async function dropUntaken(session: Session): Promise<void> {
  const { self, vault } = session;
  const over = pendingDevices(vault.data).filter(({ until }) => until < self.now());
  for (const { id } of over) await revokeDevice(session, id);
  if (over.length === 0) return;
  await vault.note((data) => withPending(data, pendingDevices(data).filter(({ id }) => !over.some((each) => each.id === id))));
}

/** Another of one's devices shall start from what has been verified here; where a friend lives is what their chain says. */
async function notePins({ vault, chains }: Session): Promise<void> {
  await vault.note((data) => {
    const friends = data.friends.map((friend) => {
      const uid = b64(friend.uid);
      const pin = chains.pinOf(uid);
      const { host, port } = chains.whereIs(uid);
      const known = pin?.seq === friend.seq && friend.head !== undefined && b64(pin.head) === b64(friend.head);
      if (!pin || (known && host === friend.host && port === friend.port)) return friend;
      return { ...friend, host, port, seq: pin.seq, head: pin.head, uek: pin.uek, uekKey: pin.uekKey };
    });
    return friends.some((friend, i) => friend !== data.friends[i]) ? { ...data, friends } : undefined;
  });
}

/**
 * Takes a device out of the chain, then its slot out of the vault. What it wrote there before still opens
 * (past.ts), so that a crash in between locks nobody out.
 */
export async function revokeDevice(session: Session, id: string): Promise<void> {
  const { self, chains, vault, keyring } = session;
  // The first key that the device cannot have had is the one that follows.
  const floor = chains.counter(self.id) + 1;
  const chain = await amend(session, async (now) => {
    const device = now.active(unb64(id, 32), self.now());
    return device ? now.revokeDevice(self.keys, device.id, floor, self.now()) : undefined;
  });
  await vault.reseal();
  await keyring.ensureIssued(chain);
  await vault.note((data) => {
    const pending = pendingDevices(data);
    const left = pending.filter((each) => each.id !== id);
    if (!Object.hasOwn(data.devices, id) && left.length === pending.length) return undefined;
    const devices = Object.fromEntries(Object.entries(data.devices).filter(([each]) => each !== id));
    return left.length === pending.length ? { ...data, devices } : withPending({ ...data, devices }, left);
  });
  // What one says to friends says that the list of devices is another: they end their ways to this one.
  session.presence.arrive();
}

/** The devices that could bring somebody back: a home brings nobody back, and one made for a link that nobody took is in nobody's hands. */
export function keepersInHand(chain: Chain, data: VaultData, now: number): readonly ChainDevice[] {
  const unused = new Set(pendingDevices(data).map(({ id }) => id));
  return chain.keepers(now).filter(({ id, role }) => role === 'admin' && !unused.has(b64(id)));
}

export function pendingDevices(data: VaultData): readonly PendingDevice[] {
  const pending = data.settings['handovers'];
  if (!Array.isArray(pending)) return [];
  return (pending as readonly Json[]).flatMap((each) => {
    if (!isObject(each)) return [];
    const { id, until } = each;
    return typeof id === 'string' && typeof until === 'number' ? [{ id, until }] : [];
  });
}

export function withPending(data: VaultData, pending: readonly PendingDevice[]): VaultData {
  return { ...data, settings: { ...data.settings, handovers: pending.map(({ id, until }) => ({ id, until })) } };
}
