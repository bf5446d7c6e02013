/**
 * Who is a friend, and how that comes about (protocol sections 5, 8, 9). The vault is where it stands; the relay's
 * contact list only says whose letters it lets through; letters of type `friend` tell the other side.
 */

import type { Api } from '../platform/api';
import { formatHandle, pageHandle, parseHandle, parseHost, sameHost, type Host } from '../protocol/address';
import { b64, equal, unb64, type Bytes } from '../protocol/bytes';
import type { Address } from '../protocol/envelope';
import { inviteProof, verifyInviteProof, type InviteLink } from '../protocol/invite';
import { characters } from '../protocol/json';
import { limits, type FriendSaid } from '../protocol/message';
import { randomBytes } from '../protocol/primitives';
import { isProblem } from '../protocol/problem';
import type { VaultData, VaultFriend } from '../protocol/vaultdata';
import type { Draft } from '../store/log';
import { UNANSWERED, type Chains } from './chains';
import type { LogEvent } from './event';
import { codeOf, Trouble } from './failure';
import type { Queued } from './letters';
import type { Self } from './self';
import type { Uid } from './types';
import type { VaultKeeper } from './vaultkeeper';

/** A stranger's letter may have 2 KiB; what is left for name and words, in bytes of JSON. */
const REQUEST_BYTES = 640;

export interface FriendSurroundings {
  readonly self: Self;
  readonly api: Api;
  readonly vault: VaultKeeper;
  readonly chains: Chains;
  /** stored and sent when it can be */
  compose(drafts: readonly Draft[]): Promise<void>;
  /** sent now, or the reason why not */
  sendNow(letter: Queued): Promise<void>;
}

export class Friends {
  readonly #around: FriendSurroundings;

  constructor(around: FriendSurroundings) {
    this.#around = around;
  }

  get(uid: Uid): VaultFriend | undefined {
    return friendOf(this.#around.vault.data, uid);
  }

  addressOf(uid: Uid): Address {
    const { host, port } = this.#around.chains.whereIs(uid);
    return { ip: host, port, username: this.get(uid)?.username ?? '', id: unb64(uid, 32) };
  }

  // ---- what the person does -------------------------------------------------------------------------------------------

  async request(text: string, words: string): Promise<Uid> {
    const { self, api, chains, vault } = this.#around;
    const handle = readHandle(text);
    const here = sameHost(handle, self.host);
    if (here && handle.username === self.username) throw new Trouble('self');
    const body = requestBody(vault.data.name, self.username, words);
    const { uid: bytes, host } = await api.person(handle.username, here ? undefined : handle);
    const uid = b64(bytes);
    const before = this.get(uid);
    const state = before?.state;
    if (uid === self.id) throw new Trouble('self');
    if (state === 'friend') return uid;
    if (state === 'asks') {
      await this.accept(uid);
      return uid;
    }
    if (!here) chains.hint(uid, hostIn(host) ?? handle, true);
    await chains.fetch(uid);
    const where = chains.whereIs(uid);
    // The chain says where they live; a name that another courtyard gave is good there only if it is given there as well.
    const name = sameHost(where, handle) ? { username: handle.username } : await this.#verified(uid, handle.username);
    await api.setContact(bytes, 'allow');
    const mid = randomBytes(16);
    const now = self.now();
    const declined = before?.rest?.[DECLINED];
    const entry = { ...this.#entry(uid, { name: handle.username, state: 'asked', since: now, mid }), rest: declined === undefined ? {} : { [DECLINED]: declined } };
    await vault.change((data) => withFriend(data, named(entry, name)));
    try {
      await this.#around.sendNow({
        peer: uid, type: 'friend', kind: 'request', mid: b64(mid), clock: now, seq: 1, body, copy: false,
      });
    } catch (error) {
      // Refused, not lost on the way: then it is as if it had not been asked. What was asked earlier still waits.
      if (isProblem(error)) {
        await vault.note((data) => {
          const held = friendOf(data, uid);
          if (!held?.mid || !equal(held.mid, mid)) return undefined; // they answered meanwhile
          return before ? withFriend(data, before) : without(data, uid);
        });
        if (state !== 'asked') await api.setContact(bytes, state === 'blocked' ? 'block' : 'none');
      }
      throw error;
    }
    return uid;
  }

  async accept(uid: Uid): Promise<void> {
    const { self, api, vault } = this.#around;
    const friend = this.#must(uid);
    if (friend.state === 'friend') return;
    await api.setContact(friend.uid, 'allow');
    const became = await vault.note((data) => changeFriend(data, uid, (now) => ({ ...now, state: 'friend', since: self.now() }), 'friend'));
    if (became) await this.#tell(uid, 'accept');
  }

  async decline(uid: Uid): Promise<void> {
    const friend = this.#must(uid);
    if (friend.state !== 'asks') return;
    // Taken before the letter is written: what is decided after it has a later clock.
    const since = this.#around.self.now();
    await this.#tell(uid, 'decline');
    await this.#around.vault.note((data) => changeFriend(data, uid, (now) => ({ ...now, state: 'removed', since }), 'removed'));
  }

  async unfriend(uid: Uid): Promise<void> {
    const { api, self, vault } = this.#around;
    const friend = this.#must(uid);
    const since = self.now();
    if (friend.state === 'friend' || friend.state === 'asked') await this.#tell(uid, 'remove');
    await vault.note((data) => changeFriend(data, uid, (now) => ({ ...now, state: 'removed', since }), 'removed'));
    await api.setContact(friend.uid, 'none');
  }

  async block(uid: Uid): Promise<void> {
    const { api, self, vault } = this.#around;
    const friend = this.#must(uid);
    await api.setContact(friend.uid, 'block');
    await vault.note((data) => changeFriend(data, uid, (now) => ({ ...now, state: 'blocked', since: self.now() }), 'blocked'));
  }

  async unblock(uid: Uid): Promise<void> {
    const { api, self, vault } = this.#around;
    const friend = this.#must(uid);
    if (friend.state !== 'blocked') return;
    await api.setContact(friend.uid, 'none');
    await vault.note((data) => changeFriend(data, uid, (now) => ({ ...now, state: 'removed', since: self.now() }), 'removed'));
  }

  /** Tells the inviter that the invite was used, with the proof that it was by us. */
  async join(link: Pick<InviteLink, 'uid' | 'id' | 'secret'>): Promise<void> {
    const { self, vault } = this.#around;
    await this.#around.compose([
      this.#draft(b64(link.uid), 'joined', {
        name: vault.data.name, username: self.username, invite: b64(link.id), proof: b64(inviteProof(link, link.uid, self.uid)),
      }),
    ]);
  }

  /** Somebody whose invite we used is a friend at once: the link came from them, and it named their keys. */
  async met(link: InviteLink, username: string, name: string): Promise<void> {
    const { self, chains, vault } = this.#around;
    const uid = b64(link.uid);
    chains.hint(uid, link, true);
    await chains.fetch(uid);
    // Of somebody who has moved since, the old courtyard's name says nothing.
    const known = sameHost(chains.whereIs(uid), link) ? { username } : await this.#verified(uid, username);
    const entry = named(this.#entry(uid, { name, state: 'friend', since: self.now(), mid: randomBytes(16) }), known);
    await vault.change((data) => {
      const held = friendOf(data, uid);
      return withFriend(data, held ? { ...held, name, state: 'friend', confirmed: true, since: entry.since } : { ...entry, confirmed: true });
    });
  }

  /** Writes the pinned chain of somebody into the vault, where the home and the other devices look. */
  async notePin(uid: Uid): Promise<void> {
    const pin = this.#around.chains.pinOf(uid);
    if (!pin) return;
    await this.#around.vault.note((data) => {
      const friend = friendOf(data, uid);
      return friend && withFriend(data, { ...friend, seq: pin.seq, head: pin.head, uek: pin.uek, uekKey: pin.uekKey });
    });
  }

  // ---- what letters do -----------------------------------------------------------------------------------------------

  /** Acts on a letter about friendship; on one that is older than the present state, not. */
  async receive(event: LogEvent, said: FriendSaid): Promise<void> {
    const held = this.get(event.peer);
    if (held && (held.state === 'blocked' || event.clock <= held.since)) return;
    switch (said.kind) {
      case 'joined':
        return this.#joined(event, said.body);
      case 'request':
        return this.#requested(event, said.body);
      case 'accept': {
        // Counts only if we asked; a friend who answers again only tells his name.
        await this.#around.vault.note((data) =>
          friendOf(data, event.peer)?.state === 'asked'
            ? changeFriend(data, event.peer, (now) => ({ ...now, state: 'friend', since: event.clock, name: said.body.name ?? now.name, mid: unb64(event.mid) }))
            : undefined,
        );
        return;
      }
      case 'decline':
      case 'remove': {
        const gone = said.kind === 'decline' ? ['asked'] : ['friend', 'asks', 'asked'];
        if (!gone.includes(held?.state ?? '')) return;
        // The relay first: what the person decides on seeing it (a block, say) must not be undone by this.
        await this.#around.api.setContact(unb64(event.peer), 'none').catch(ignoreOffline);
        await this.#around.vault.note((data) =>
          gone.includes(friendOf(data, event.peer)?.state ?? '')
            ? changeFriend(data, event.peer, (now) => ({
                ...now, state: 'removed', since: event.clock, mid: unb64(event.mid), ...(said.kind === 'decline' ? { rest: { ...now.rest, [DECLINED]: event.clock } } : {}),
              }))
            : undefined,
        );
        return;
      }
    }
  }

  /** A letter to them came back: a request that did not reach them has not been made. `kind`: where it is known. */
  async cameBack(uid: Uid, kind: string | undefined, code: string): Promise<void> {
    const { api, vault, self } = this.#around;
    const friend = this.get(uid);
    if ((kind !== undefined && kind !== 'request') || friend?.state !== 'asked') return;
    // With one that waits there already nothing more is needed; one that they have declined waits no more.
    const declined = friend.rest?.[DECLINED];
    if (code === 'request-waiting' && !(typeof declined === 'number' && self.now() - declined < DAY)) return;
    await api.setContact(unb64(uid), 'none').catch(ignoreOffline);
    await vault.note((data) => {
      const held = friendOf(data, uid);
      return held?.state === 'asked' ? withFriend(data, { ...held, state: 'removed', since: self.now(), rest: { ...held.rest, [RETURNED]: code } }) : undefined;
    });
  }

  /**
   * The name as claimed, if the courtyard where the person lives gives it to them; nobody shall be taken for somebody else.
   * While that courtyard does not answer it stays a claim, which is looked at again later.
   */
  async #verified(uid: Uid, claimed: string): Promise<Name> {
    const { api, chains } = this.#around;
    try {
      return { username: b64((await api.person(claimed, chains.abroad(uid))).uid) === uid ? claimed : '' };
    } catch (error) {
      if (isProblem(error, 'not-found', 'address-refused')) return { username: '' };
      if (isProblem(error, ...UNANSWERED)) return { username: '', claimed };
      throw error;
    }
  }

  /** Looks again at names of people whose courtyard did not answer. */
  async verifyClaims(): Promise<void> {
    const { vault } = this.#around;
    for (const friend of vault.data.friends) {
      const claimed = friend.rest?.[CLAIMED];
      if (typeof claimed !== 'string') continue;
      const uid = b64(friend.uid);
      const name = await this.#verified(uid, claimed);
      if (name.claimed !== undefined) continue;
      await vault.note((data) => {
        const held = friendOf(data, uid);
        return held?.rest?.[CLAIMED] === claimed ? withFriend(data, named(held, name)) : undefined;
      });
    }
  }

  async #joined(event: LogEvent, body: Extract<FriendSaid, { kind: 'joined' }>['body']): Promise<void> {
    const { self, vault } = this.#around;
    const name = await this.#verified(event.peer, body.username);
    const became = await vault.note((data) => {
      const invite = data.invites.find(({ id }) => equal(id, body.invite));
      const joiner = unb64(event.peer);
      if (!invite || (invite.by && !equal(invite.by, joiner)) || !verifyInviteProof(invite, self.uid, joiner, body.proof)) return undefined;
      const invites = data.invites.map((each) => (each === invite ? { ...each, by: joiner } : each));
      const entry = named(this.#entry(event.peer, { name: body.name, state: 'friend', since: event.clock, mid: unb64(event.mid) }), name);
      const held = friendOf(data, event.peer);
      // Another of our devices, or the home, was first.
      if (invite.by && held?.state === 'friend') return undefined;
      const friend: VaultFriend = { ...(held ?? entry), name: body.name, state: 'friend', confirmed: true, since: event.clock, mid: entry.mid };
      return withFriend({ ...data, invites }, friend);
    });
    // Without the proof it is nothing: the relay alone let it in.
    if (became) await this.#tell(event.peer, 'accept');
  }

  async #requested(event: LogEvent, body: { name: string; username: string; words?: string }): Promise<void> {
    const { vault, api } = this.#around;
    const before = this.get(event.peer)?.state;
    const mutual = before === 'asked' || before === 'friend';
    if (mutual) await api.setContact(unb64(event.peer), 'allow').catch(ignoreOffline);
    const name = await this.#verified(event.peer, body.username);
    const entry = this.#entry(event.peer, { name: body.name, state: 'asks', since: event.clock, mid: unb64(event.mid) });
    await vault.note((data) => {
      const held = friendOf(data, event.peer);
      // Both asked: that is an answer.
      const state = held?.state === 'asked' || held?.state === 'friend' ? 'friend' : 'asks';
      const rest = { ...held?.rest, words: body.words ?? '' };
      return withFriend(data, named({ ...(held ?? entry), name: body.name, state, since: event.clock, mid: entry.mid, rest }, name));
    });
    if (mutual) await this.#tell(event.peer, 'accept');
  }

  // ---- small things --------------------------------------------------------------------------------------------------

  async #tell(uid: Uid, kind: 'accept' | 'decline' | 'remove'): Promise<void> {
    const { self, vault } = this.#around;
    await this.#around.compose([this.#draft(uid, kind, { name: vault.data.name, username: self.username })]);
  }

  #draft(peer: Uid, kind: string, body: unknown): Draft {
    const { self } = this.#around;
    return {
      peer, author: self.id, dev: self.device, mid: b64(randomBytes(16)), type: 'friend', kind, body, now: self.now(),
      copy: false, files: [], logged: true,
    };
  }

  #must(uid: Uid): VaultFriend {
    const friend = this.get(uid);
    if (!friend) throw new Trouble('not-friend');
    return friend;
  }

  #entry(uid: Uid, known: { name: string; state: VaultFriend['state']; since: number; mid: Bytes }): VaultFriend {
    const { chains } = this.#around;
    const pin = chains.pinOf(uid);
    const { host, port } = chains.whereIs(uid);
    return {
      uid: unb64(uid, 32), username: '', host, port, name: known.name, state: known.state,
      confirmed: false, since: known.since, seq: pin?.seq ?? 0, head: pin?.head, uek: pin?.uek ?? 0, uekKey: pin?.uekKey, mid: known.mid,
    };
  }
}

/** In a friend's entry of the vault: a name that nobody has confirmed yet; why a request came back; when they declined one, ms. */
const CLAIMED = 'claimed';
export const RETURNED = 'returned';
const DECLINED = 'declined';
/** Within it another request does not reach them. */
const DAY = 86_400_000;

interface Name {
  /** empty for somebody whose courtyard does not give the name to them, or has not answered */
  readonly username: string;
  /** to be looked at again */
  readonly claimed?: string;
}

function named(friend: VaultFriend, { username, claimed }: Name): VaultFriend {
  const { [CLAIMED]: _, ...rest } = friend.rest ?? {};
  return { ...friend, username, rest: claimed === undefined ? rest : { ...rest, [CLAIMED]: claimed } };
}

/** Of an answer about somebody; undefined for what is no host. */
function hostIn(text: string | undefined): Host | undefined {
  try {
    return text === undefined ? undefined : parseHost(text);
  } catch (error) {
    if (isProblem(error, 'link-bad')) return undefined;
    throw error;
  }
}

export function friendOf(data: VaultData, uid: Uid): VaultFriend | undefined {
  return data.friends.find((friend) => b64(friend.uid) === uid);
}

export function withFriend(data: VaultData, friend: VaultFriend): VaultData {
  const others = data.friends.filter((each) => !equal(each.uid, friend.uid));
  return { ...data, friends: [...others, friend] };
}

function without(data: VaultData, uid: Uid): VaultData {
  return { ...data, friends: data.friends.filter((friend) => b64(friend.uid) !== uid) };
}

/** undefined, so no change, for somebody who is not there or `already` is what they would become. */
function changeFriend(data: VaultData, uid: Uid, change: (friend: VaultFriend) => VaultFriend, already?: VaultFriend['state']): VaultData | undefined {
  const held = friendOf(data, uid);
  return held && held.state !== already ? withFriend(data, change(held)) : undefined;
}

/** `name@host`, or a bare name of this courtyard is not enough: it may be meant for another. */
function readHandle(text: string): ReturnType<typeof parseHandle> {
  try {
    return parseHandle(pageHandle(text));
  } catch (error) {
    throw new Trouble('handle-bad', {}, error);
  }
}

function requestBody(name: string, username: string, words: string): unknown {
  if (characters(words) > limits.words) throw new Trouble('words-long', { limit: limits.words });
  const body = { name, username, ...(words === '' ? {} : { words }) };
  if (new TextEncoder().encode(JSON.stringify(body)).length > REQUEST_BYTES) throw new Trouble('words-long', { limit: 60 });
  return body;
}

function ignoreOffline(error: unknown): void {
  // The relay lets a letter or two more through; what it may show is decided here.
  if (codeOf(error) !== 'offline') throw error;
}

/** Empty for somebody whose name the relay did not confirm. */
export function handleOf(friend: Pick<VaultFriend, 'username' | 'host' | 'port'>): string {
  return friend.username === '' ? '' : formatHandle(friend);
}
