/**
 * Invite and claim links (protocol/README.md section 9). What stands after `#` never reaches the relay.
 */
import { formatHost, type Host, parseHost } from './address';
import { b64, type Bytes, equal, unb64, utf8 } from './bytes';
import { decode32, encode32, grouped } from './code';
import type { Chain } from './ident';
import { blob, open, parseJson, text } from './json';
import { limits } from './message';
import { Problem } from './problem';
import { hash, kdf, mac, nonceOf, openSecretbox, type Random, randomBytes, sealSecretbox } from './primitives';

export interface InviteLink extends Host {
  readonly kind: 'invite';
  readonly id: Bytes;
  /** the inviter */
  readonly uid: Bytes;
  readonly head: Bytes;
  readonly secret: Bytes;
}

export interface ClaimLink extends Host {
  readonly kind: 'claim';
  readonly token: Bytes;
  readonly relayKey: Bytes;
  /** a home that waits to be paired in the same go */
  readonly home: { readonly id: Bytes; readonly code: Bytes } | undefined;
}

export function makeInvite(
  host: Host,
  chain: Chain,
  random: Random = randomBytes,
): InviteLink {
  return { kind: 'invite', ...host, id: random(16), uid: chain.uid, head: chain.head, secret: random(16) };
}

export function formatInvite(link: InviteLink, scheme: 'https' | 'http' = 'https'): string {
  const { id, uid, head, secret } = link;
  return `${scheme}://${formatHost(link)}/i/${b64(id)}#1.${b64(uid)}.${b64(head)}.${b64(secret)}`;
}

export function formatClaim(link: ClaimLink, scheme: 'https' | 'http' = 'https'): string {
  const home = link.home ? `.${b64(link.home.id)}.${grouped(encode32(link.home.code))}` : '';
  return `${scheme}://${formatHost(link)}/i/claim#0.${b64(link.token)}.${b64(link.relayKey)}${home}`;
}

/** Throws `link-bad`. */
export function parseInvite(link: string): InviteLink | ClaimLink {
  try {
    return parse(link.trim());
  } catch (error) {
    throw new Problem('link-bad', {}, error);
  }
}

function parse(link: string): InviteLink | ClaimLink {
  const found = /^https?:\/\/([^/?#]+)\/i\/([A-Za-z0-9_-]+)#([A-Za-z0-9._-]+)$/.exec(link);
  const [, authority = '', path = '', fragment = ''] = found ?? [];
  const host = parseHost(authority);
  const [version, a = '', b = '', c = '', d = '', ...more] = fragment.split('.');
  if (more.length > 0) throw new Problem('link-bad');
  if (version === '1' && d === '') {
    return { kind: 'invite', ...host, id: unb64(path, 16), uid: unb64(a, 32), head: unb64(b, 32), secret: unb64(c, 16) };
  }
  if (version !== '0' || path !== 'claim' || (c === '') !== (d === '')) throw new Problem('link-bad');
  const home = c === '' ? undefined : { id: unb64(c, 32), code: decode32(d, 10) };
  return { kind: 'claim', ...host, token: unb64(a, 16), relayKey: unb64(b, 32), home };
}

/** What the relay stores instead of the id: `hash("invite/id", id)`. */
export function inviteHash(id: Bytes): Bytes {
  return hash('invite/id', id);
}

/** Who invites, for the page that opens. */
export interface InviteCard {
  readonly name: string;
  /** JPEG */
  readonly picture?: Bytes | undefined;
}

const readCard = open({ name: text(limits.name, 1) }, { picture: blob(limits.picture) });

export function sealInviteCard(link: InviteLink, card: InviteCard): Bytes {
  const json = { name: card.name, ...(card.picture && { picture: b64(card.picture) }) };
  return sealSecretbox(cardKey(link), cardNonce(link), utf8(JSON.stringify(json)));
}

/** Throws `invite-bad`: the relay has altered or swapped it. */
export function openInviteCard(link: InviteLink, sealed: Bytes): InviteCard {
  const json = openSecretbox(cardKey(link), cardNonce(link), sealed);
  if (!json) throw new Problem('invite-bad', { reason: 'card' });
  try {
    return readCard(parseJson(json, { bytes: 64 * 1024, depth: 8 }));
  } catch (error) {
    throw new Problem('invite-bad', { reason: 'card' }, error);
  }
}

/** The chain that the relay serves is the inviter's: it starts at `uid` and contains `head`. Throws `invite-bad`. */
export function checkInviter(link: InviteLink, chain: Chain): void {
  if (!equal(chain.uid, link.uid) || chain.seqOf(link.head) === undefined) throw new Problem('invite-bad', { reason: 'chain' });
}

/** In the `joined` letter: that the joiner had the link, tied to both uids. */
export function inviteProof(invite: { readonly id: Bytes; readonly secret: Bytes }, inviter: Bytes, joiner: Bytes): Bytes {
  return mac(invite.secret, 'invite/proof', invite.id, inviter, joiner);
}

export function verifyInviteProof(
  invite: { readonly id: Bytes; readonly secret: Bytes },
  inviter: Bytes,
  joiner: Bytes,
  proof: Bytes,
): boolean {
  return equal(inviteProof(invite, inviter, joiner), proof);
}

function cardKey(link: InviteLink): Bytes {
  return kdf(link.secret, 'invite/card', link.uid);
}

function cardNonce(link: InviteLink): Bytes {
  return nonceOf('invite/card-nonce', link.id);
}
