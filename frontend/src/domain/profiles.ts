/** One's name, words and picture on their way to friends, and theirs as they arrive. */

import { b64 } from '../protocol/bytes';
import { bodyJson, type BodyOf } from '../protocol/message';
import { randomBytes } from '../protocol/primitives';
import type { VaultData, VaultFriend } from '../protocol/vaultdata';
import type { Platform } from '../platform/platform';
import type { Draft } from '../store/log';
import type { ProfileRecord } from '../store/schema';
import type { Self } from './self';
import type { Uid } from './types';
import type { VaultKeeper } from './vaultkeeper';

export interface ProfileSurroundings {
  readonly self: Self;
  readonly platform: Platform;
  readonly vault: VaultKeeper;
  compose(drafts: readonly Draft[]): Promise<void>;
}

/** Counts up with every change; 1 is what one joined with. */
/** the person has agreed that name, picture and words are public, for the sake of their wall */
export const AGREED = 'wall';

export function isPublic(data: VaultData): boolean {
  return data.settings[AGREED] === true;
}

export function profileVersion(data: VaultData): number {
  const version = data.settings['profile'];
  return typeof version === 'number' ? version : 1;
}

/** The letter's body as the profile stands now. */
export function profileBody(data: VaultData): unknown {
  const { name, about, picture } = data;
  const body: BodyOf<'chat', 'profile'> = { name, about, version: profileVersion(data), ...(picture ? { picture } : {}) };
  return bodyJson({ type: 'chat', kind: 'profile', body });
}

/** Sends the profile to every friend who does not have this version. */
export async function spread(around: ProfileSurroundings): Promise<void> {
  const { self, platform, vault } = around;
  await platform.lock('profile', async () => {
    const version = profileVersion(vault.data);
    const due = vault.data.friends.filter((friend) => friend.state === 'friend' && sentVersion(friend) < version);
    if (due.length === 0) return;
    const drafts = due.map((friend): Draft => ({
      // What it says is filled in when it is sealed: the newest, once.
      peer: b64(friend.uid), author: self.id, dev: self.device, mid: b64(randomBytes(16)), type: 'chat', kind: 'profile', body: {},
      now: self.now(), copy: true, files: [], logged: true,
    }));
    await around.compose(drafts);
    const told = new Set(due.map((friend) => b64(friend.uid)));
    await vault.note((data) => ({
      ...data,
      friends: data.friends.map((friend) => (told.has(b64(friend.uid)) ? { ...friend, rest: { ...friend.rest, profile: version } } : friend)),
    }));
  });
}

function sentVersion(friend: VaultFriend): number {
  const sent = friend.rest?.['profile'];
  return typeof sent === 'number' ? sent : 0;
}

/** A friend's profile as it is kept. */
export function profileOf(uid: Uid, body: BodyOf<'chat', 'profile'>): ProfileRecord {
  return { uid, name: body.name, about: body.about, picture: body.picture, version: body.version };
}
