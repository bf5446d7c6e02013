/** The people one knows, as the views see them: what the vault says, what they told about themselves, who is here. */

import type { Platform } from '../platform/platform';
import { formatHost, type Host } from '../protocol/address';
import { b64 } from '../protocol/bytes';
import { bearable } from '../protocol/jpeg';
import { plainName } from '../protocol/message';
import type { VaultData, VaultFriend } from '../protocol/vaultdata';
import type { ProfileRecord } from '../store/schema';
import { handleOf, RETURNED } from './friends';
import type { Person, Uid } from './types';

export interface PeopleSurroundings {
  readonly platform: Platform;
  isHere(uid: Uid): boolean;
  isForked(uid: Uid): boolean;
  /** the courtyard of somebody who lives in another */
  abroad(uid: Uid): Host | undefined;
  whereIs(uid: Uid): Host;
}

export class People {
  readonly #around: PeopleSurroundings;
  readonly #profiles = new Map<Uid, ProfileRecord>();
  readonly #pictures = new Map<Uid, { version: number; url: string }>();
  #people: readonly Person[] = [];
  #own: Uint8Array | undefined;
  #ownVersion = 0;
  #byId: ReadonlyMap<Uid, Person> = new Map();

  constructor(around: PeopleSurroundings) {
    this.#around = around;
  }

  get all(): readonly Person[] {
    return this.#people;
  }

  get(uid: Uid): Person | undefined {
    return this.#byId.get(uid);
  }

  /** What the conversation shows of somebody who is in nobody's list any more. */
  stranger(uid: Uid, handle: string): Person {
    const username = handle.split('@')[0] ?? '';
    return {
      uid, name: username, username, handle, about: '', picture: undefined, state: 'removed', confirmed: false, since: 0, words: '', returned: undefined,
      online: false, fork: false, host: undefined,
    };
  }

  learn(profile: ProfileRecord): void {
    this.#profiles.set(profile.uid, profile);
  }

  profile(uid: Uid): ProfileRecord | undefined {
    return this.#profiles.get(uid);
  }

  /** Works everybody out anew; an unchanged person stays the same object. */
  update(data: VaultData): void {
    const people = data.friends.map((friend) => {
      const person = this.#person(friend);
      const before = this.#byId.get(person.uid);
      return before && same(before, person) ? before : person;
    });
    people.sort((a, b) => a.name.localeCompare(b.name) || (a.uid < b.uid ? -1 : 1));
    this.#people = people;
    this.#byId = new Map(people.map((person) => [person.uid, person]));
  }

  /** One's own, by what it is: the vault counts no versions. */
  ownPicture(me: Uid, jpeg: Uint8Array | undefined): string | undefined {
    if (jpeg !== this.#own) {
      this.#own = jpeg;
      this.#ownVersion++;
    }
    return this.#pictureUrl(me, this.#ownVersion, jpeg);
  }

  /** An object URL for a picture, the same one while the picture is the same. */
  #pictureUrl(uid: Uid, version: number, jpeg: Uint8Array | undefined): string | undefined {
    const held = this.#pictures.get(uid);
    if (held?.version === version) return held.url;
    if (held) this.#around.platform.releaseUrl(held.url);
    this.#pictures.delete(uid);
    if (!jpeg || !bearable(jpeg)) return undefined;
    const url = this.#around.platform.objectUrl(new Blob([jpeg.slice()], { type: 'image/jpeg' }));
    this.#pictures.set(uid, { version, url });
    return url;
  }

  #person(friend: VaultFriend): Person {
    const uid = b64(friend.uid);
    const profile = this.#profiles.get(uid);
    const abroad = this.#around.abroad(uid);
    const words = friend.rest?.['words'];
    const returned = friend.rest?.[RETURNED];
    return {
      uid,
      name: plainName(profile?.name ?? '') || plainName(friend.name) || friend.username,
      username: friend.username,
      handle: handleOf({ username: friend.username, ...this.#around.whereIs(uid) }),
      about: profile?.about ?? '',
      picture: profile && this.#pictureUrl(uid, profile.version, profile.picture),
      state: friend.state,
      confirmed: friend.confirmed,
      since: friend.since,
      words: typeof words === 'string' ? words : '',
      returned: friend.state === 'removed' && typeof returned === 'string' ? returned : undefined,
      online: friend.state === 'friend' && this.#around.isHere(uid),
      fork: this.#around.isForked(uid),
      host: abroad && formatHost(abroad),
    };
  }
}

function same(a: Person, b: Person): boolean {
  return (Object.keys(b) as (keyof Person)[]).every((key) => a[key] === b[key]);
}
