/** Links that befriend: made, and looked at without being spent (protocol section 9). */

import type { Api } from '../platform/api';
import type { Platform } from '../platform/platform';
import { hostOfOrigin } from '../platform/connection';
import { formatHandle, formatHost, parseHandle, parseHost, sameHost, type Host } from '../protocol/address';
import { b64, equal, type Bytes } from '../protocol/bytes';
import { parseHandover } from '../protocol/handover';
import { Chain } from '../protocol/ident';
import { checkInviter, formatInvite, inviteHash, makeInvite, openInviteCard, parseInvite, sealInviteCard, type ClaimLink, type InviteLink } from '../protocol/invite';
import { bearable } from '../protocol/jpeg';
import { plainName } from '../protocol/message';
import { formatPairing, parsePairing } from '../protocol/pairing';
import { isProblem, Problem } from '../protocol/problem';
import type { VaultData, VaultInvite } from '../protocol/vaultdata';
import type { Chains } from './chains';
import { Trouble } from './failure';
import { friendOf } from './friends';
import type { Self } from './self';
import type { Link } from './types';
import type { VaultKeeper } from './vaultkeeper';

/** An unused invite shown as a code is used again for so long. */
const CODE_LASTS = 7 * 24 * 60 * 60_000;

export interface InviteSurroundings {
  readonly self: Self;
  readonly api: Api;
  readonly platform: Platform;
  readonly vault: VaultKeeper;
  readonly chains: Chains;
}

/** A fresh one-use link. The secret is in the vault first, so that whichever device gets the answer knows it. */
export async function newInvite(around: InviteSurroundings, asCode: boolean): Promise<string> {
  const { self, api, vault, chains } = around;
  const link = makeInvite(self.host, await chains.of(self.id));
  const { id, secret } = link;
  const { name, picture } = vault.data;
  await api.addInvite(inviteHash(id), sealInviteCard(link, picture ? { name, picture } : { name }));
  await vault.change((data) => ({
    ...data,
    invites: [...data.invites, { id, secret, created: self.now() }],
    settings: asCode ? { ...data.settings, code: b64(id) } : data.settings,
  }));
  return formatInvite(link, schemeOf(around.platform));
}

/** The link behind one's own code: the same one until somebody has used it. */
export async function codeInvite(around: InviteSurroundings): Promise<string> {
  const { self, vault, chains } = around;
  const held = codeOf(vault.data);
  if (!held || held.by || self.now() - held.created > CODE_LASTS) return newInvite(around, true);
  const { head } = await chains.of(self.id);
  return formatInvite({ kind: 'invite', ...self.host, id: held.id, uid: self.uid, head, secret: held.secret }, schemeOf(around.platform));
}

function codeOf(data: VaultData): VaultInvite | undefined {
  const id = data.settings['code'];
  return typeof id === 'string' ? data.invites.find((invite) => b64(invite.id) === id) : undefined;
}

export function schemeOf(platform: Platform): 'https' | 'http' {
  return platform.origin.startsWith('http:') ? 'http' : 'https';
}

/** Whoever looks, if somebody is signed in. */
export interface Onlooker {
  readonly uid: Bytes;
  readonly host: Host;
  readonly data: VaultData;
  /** the own courtyard is there to be asked */
  greeted(): Promise<void>;
}

/** Whether a link belongs to the courtyard of this app; it may be known here by a second name. */
export function isHere(link: Host, platform: Platform, own: Host | undefined): boolean {
  return sameHost(link, hostOfOrigin(platform.origin)) || (own !== undefined && sameHost(link, own));
}

/** What stands behind a link or a pasted text; asks the relay, spends nothing. */
export async function lookAt(text: string, platform: Platform, api: Api, onlooker: Onlooker | undefined): Promise<Link> {
  const url = carriedInvite(text.trim());
  const mustBeHere = (at: Host): void => {
    if (!isHere(at, platform, onlooker?.host)) throw new Trouble('elsewhere', { host: formatHost(at) });
  };
  const invite = attempt(() => parseInvite(url));
  if (invite?.kind === 'claim') {
    mustBeHere(invite);
    return claimed(url, invite, api);
  }
  if (invite) {
    const abroad = isHere(invite, platform, onlooker?.host) ? undefined : { host: invite.host, port: invite.port };
    // Only for its own people does a courtyard look elsewhere.
    if (abroad && !onlooker) return { kind: 'elsewhere', url, host: formatHost(abroad) };
    if (abroad) await onlooker?.greeted();
    return invited(url, invite, platform, api, onlooker, abroad);
  }
  const handover = attempt(() => parseHandover(url));
  if (handover) {
    mustBeHere(handover);
    return { kind: 'handover', url };
  }
  const pairing = attempt(() => parsePair(url));
  if (pairing) {
    mustBeHere(pairing.host);
    return { kind: 'pair', url, code: formatPairing(pairing.host, pairing.code) };
  }
  const handle = attempt(() => parseHandle(url));
  if (handle) {
    const known = onlooker?.data.friends.find((friend) => friend.username === handle.username && sameHost(friend, handle));
    return { kind: 'person', handle: formatHandle(handle), uid: known && b64(known.uid) };
  }
  return { kind: 'unknown' };
}

/** A code as typed, or the link by which the home's own page opens the app: `https://host/app/#pair.host/XXXX-…`. */
export function parsePair(text: string): ReturnType<typeof parsePairing> {
  const behind = /^https?:\/\/[^/?#]+\/app\/?#pair\.(.+)$/.exec(text)?.[1];
  return parsePairing(behind ?? text);
}

/**
 * Where somebody who lives in another courtyard takes an invitation up: `https://host/app/#invited.<the link>`. What stands
 * behind `#` reaches no server. `address`: `name@host[:port]` or the host alone. Throws `handle-bad`.
 */
export function carriedTo(link: string, address: string): string {
  parseInvite(link);
  let home: Host;
  try {
    const typed = address.trim().replace(/^https?:\/\//i, '').replace(/\/.*$/, '');
    home = typed.includes('@') ? parseHandle(typed) : parseHost(typed);
  } catch (error) {
    throw new Trouble('handle-bad', {}, error);
  }
  const loopback = home.host === 'localhost' || home.host === '::1' || home.host.startsWith('127.');
  return `${loopback ? 'http' : 'https'}://${formatHost(home)}/app/#invited.${encodeURIComponent(link)}`;
}

/** The invitation inside such an address; any other text as it is. */
function carriedInvite(text: string): string {
  const inside = /^https?:\/\/[^#]*#invited\.([^#]+)$/.exec(text)?.[1];
  if (inside === undefined) return text;
  try {
    return decodeURIComponent(inside);
  } catch {
    return text; // cut off in the middle of a character: no link of ours
  }
}

async function claimed(url: string, link: ClaimLink, api: Api): Promise<Link> {
  const relay = await api.relay();
  // Another key under this name: this is not the relay that printed the link.
  if (!equal(relay.key, link.relayKey)) return { kind: 'unknown' };
  return relay.claimed ? { kind: 'spent' } : { kind: 'claim', url, home: link.home !== undefined };
}

async function invited(url: string, link: InviteLink, platform: Platform, api: Api, onlooker: Onlooker | undefined, abroad: Host | undefined): Promise<Link> {
  const host = abroad && formatHost(abroad);
  const uid = b64(link.uid);
  const own = onlooker !== undefined && equal(onlooker.uid, link.uid);
  const held = onlooker && friendOf(onlooker.data, uid);
  try {
    const { card, username } = await verifiedInvite(link, api, abroad);
    const picture = card.picture && bearable(card.picture) ? platform.objectUrl(new Blob([card.picture], { type: 'image/jpeg' })) : undefined;
    return { kind: 'invite', url, name: plainName(card.name) || username, picture, uid, own, friend: held?.state === 'friend', spent: false, host };
  } catch (error) {
    if (!isProblem(error, 'invite-unknown')) throw error;
    // The one that made them friends, opened once more; of a friend by name alone it can confirm nothing any more.
    if (held?.state === 'friend' && held.confirmed) return { kind: 'invite', url, name: plainName(held.name) || held.username, picture: undefined, uid, own, friend: true, spent: true, host };
    return { kind: 'spent' };
  }
}

export interface VerifiedInvite {
  readonly username: string;
  readonly card: ReturnType<typeof openInviteCard>;
  readonly chain: Chain;
}

/** Asks who invites and checks every word of the answer. `abroad`: their courtyard, if it is another. Throws `invite-unknown` when it was used, `invite-bad`. */
export async function verifiedInvite(link: InviteLink, api: Api, abroad?: Host): Promise<VerifiedInvite> {
  const { uid, username, card } = await api.invite(link.id, abroad);
  if (!equal(uid, link.uid)) throw new Problem('invite-bad', { reason: 'uid' });
  const chain = Chain.parse(await api.chain(link.uid, -1, abroad), link.uid);
  checkInviter(link, chain);
  return { username, card: openInviteCard(link, card), chain };
}

export interface AcceptedInvite extends VerifiedInvite {
  readonly id: string;
}

/**
 * Spends an invitation, here or at another courtyard. `before`: what this gave the last time, if it did not come to an end;
 * then it is not looked at again, because a spent one shows nothing to anybody.
 */
export async function acceptInvite(around: InviteSurroundings, link: InviteLink, before: AcceptedInvite | undefined, looked: (accepted: AcceptedInvite) => void): Promise<AcceptedInvite> {
  const { self, api, platform, vault } = around;
  const abroad = isHere(link, platform, self.host) ? undefined : { host: link.host, port: link.port };
  const id = b64(link.id);
  const accepted = before?.id === id ? before : { ...(await verifiedInvite(link, api, abroad)), id };
  looked(accepted);
  if (!abroad) {
    await api.spendInvite(link.id);
    return accepted;
  }
  // The other courtyard makes the one contact, this one the other.
  await api.setContact(link.uid, 'allow');
  try {
    await api.spendInvite(link.id, abroad);
    return accepted;
  } catch (error) {
    const friend = friendOf(vault.data, b64(link.uid))?.state === 'friend';
    if (isProblem(error, 'invite-unknown', 'not-allowed') && !friend) await api.setContact(link.uid, 'none');
    throw error;
  }
}

/** What does not parse as one thing may be another. */
function attempt<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (isProblem(error, 'link-bad', 'code-bad', 'bad-request')) return undefined;
    throw error;
  }
}
