/**
 * The vocabulary shared by the engine and the views: what a screen may know and what it may ask for.
 * Types only, no behaviour. Times are milliseconds since 1970; ids are base64url strings.
 */

import type { Courtyards } from './courtyards';
import type { Diagnosis } from './diagnosis';
import type { NetworkReport } from './direct';
import type { Traffic } from './traffic';
import type { WallRoom } from './wall/types';

export type Uid = string;
export type Mid = string;

/** Where one's own message is. `kept`: at the courtyard of a friend who has no home. */
export type Tick = 'waiting' | 'accepted' | 'kept' | 'home' | 'read' | 'failed';

/** What a message has been waiting for, for at least ten seconds; said in words beneath it. */
export type Waiting =
  | { for: 'network' } // this device has no connection; the message is on this device
  | { for: 'nothing' } // the courtyard does not know this device any more; it does not go from here
  | { for: 'courtyard' } // connected, but the courtyard has not confirmed yet
  | { for: 'home'; name: string } // the courtyard has it, the friend's home has not
  | { for: 'carry'; name: string } // the own courtyard has it, the friend's in another place has not
  | { for: 'key'; name: string } // has to be sealed again
  | { for: 'away'; name: string } // nothing to seal to yet: the friend's courtyard does not answer
  | { for: 'decision'; name: string }; // the friend's device list changed in a way that needs a decision

export interface Failure { code: string; params: Readonly<Record<string, string | number>> }

export interface Person {
  readonly uid: Uid;
  readonly name: string;
  readonly username: string;
  /** `wei@host[:port]` */
  readonly handle: string;
  readonly about: string;
  /** object or data URL */
  readonly picture: string | undefined;
  readonly state: 'friend' | 'asked' | 'asks' | 'blocked' | 'removed';
  /** met by invite link or QR; false = by name alone, the courtyard's word */
  readonly confirmed: boolean;
  readonly since: number;
  /** words sent along with a friend request */
  readonly words: string;
  /** the code with which their courtyard sent a friend request back */
  readonly returned: string | undefined;
  readonly online: boolean;
  /** the friend's list of devices forked or went back: nothing is sent until decided */
  readonly fork: boolean;
  /** `host[:port]` of the courtyard they live in, if it is another */
  readonly host: string | undefined;
}

export interface Photo {
  readonly width: number;
  readonly height: number;
  /** data URL from the ThumbHash, there at once */
  readonly placeholder: string;
  /** fetch, verify and open; resolves to an object URL. `progress` 0..1 */
  load(progress?: (part: number) => void): Promise<string>;
  /** of an upload under way, 0..1 */
  readonly uploaded: number | undefined;
}

export interface Message {
  readonly mid: Mid;
  readonly peer: Uid;
  readonly author: Uid;
  readonly own: boolean;
  /** order of display: (clock, mid) */
  readonly clock: number;
  readonly sent: number;
  readonly kind: 'text' | 'photo' | 'call' | 'deleted' | 'unknown';
  readonly text: string;
  /** of a call that is over */
  readonly call: { readonly media: CallMedia; readonly result: 'answered' | 'missed' | 'declined' | 'busy' | 'failed'; readonly seconds: number } | undefined;
  /** text goes on in a file that is still to be fetched */
  readonly more: (() => Promise<string>) | undefined;
  readonly photo: Photo | undefined;
  readonly reply: { readonly mid: Mid; readonly author: Uid; readonly excerpt: string; readonly photo: boolean } | undefined;
  readonly edited: boolean;
  readonly reactions: readonly { readonly emoji: string; readonly by: readonly Uid[] }[];
  /** own messages only */
  readonly tick: Tick | undefined;
  readonly waiting: Waiting | undefined;
  readonly failure: Failure | undefined;
  /** host of a third courtyard that passed it on */
  readonly by: string | undefined;
}

export interface Talk {
  readonly peer: Person;
  readonly last: Message | undefined;
  /** nothing of it is here yet, and there is something */
  readonly coming: boolean;
  readonly unread: number;
  readonly draft: string;
  readonly typing: boolean;
  readonly at: number;
}

/** A window on one conversation; the engine keeps it current until `close`. */
export interface TalkView {
  readonly peer: Person;
  readonly messages: readonly Message[];
  /** first unread when the view opened: where the "New" line goes */
  readonly unreadFrom: Mid | undefined;
  readonly typing: boolean;
  /** whether older messages exist, and where they are */
  readonly older: 'none' | 'here' | 'home' | 'home-away';
  loadOlder(): Promise<void>;
  /** everything shown has been seen */
  seen(): void;
  close(): void;
}

export type HomeState =
  | { readonly state: 'none' }
  /** the one of the claim link is being paired */
  | { readonly state: 'coming' }
  | { readonly state: 'away'; readonly since: number }
  | {
      readonly state: 'online';
      readonly messages: number | undefined;
      readonly bytes: number | undefined;
      readonly free: number | undefined;
      readonly people: number | undefined;
      /** how history and photos come from it; `lan`: without leaving the own network */
      readonly path: HomePath;
    };

export type HomePath = 'courtyard' | 'direct' | 'lan';

export interface Device {
  readonly id: string;
  readonly name: string;
  readonly role: 'admin' | 'home' | 'session';
  readonly added: number;
  readonly self: boolean;
  /** made for a one-use link that nobody has taken: when the link ends */
  readonly unused: number | undefined;
}

/** What stands behind a link or a pasted text. */
export type Link =
  | { kind: 'claim'; url: string; home: boolean }
  /** `spent`: it made you friends, and lets nobody in any more; `host`: of the courtyard it comes from, if that is another */
  | { kind: 'invite'; url: string; name: string; picture: string | undefined; uid: Uid; own: boolean; friend: boolean; spent: boolean; host: string | undefined }
  /** an invitation from another courtyard, and nobody is signed in here */
  | { kind: 'elsewhere'; url: string; host: string }
  | { kind: 'handover'; url: string }
  | { kind: 'pair'; url: string; code: string }
  | { kind: 'person'; handle: string; uid: Uid | undefined }
  | { kind: 'spent' }
  | { kind: 'unknown' };

export interface Account {
  readonly uid: Uid;
  readonly name: string;
  readonly username: string;
  readonly handle: string;
  readonly about: string;
  readonly picture: string | undefined;
  readonly owner: boolean;
}

export interface State {
  /** `starting` until the cache has been read; `out`: no account in this browser */
  readonly phase: 'starting' | 'out' | 'in';
  readonly account: Account | undefined;
  /** `link`: this device to its courtyard */
  readonly link: 'offline' | 'connecting' | 'online' | 'refused';
  readonly home: HomeState;
  readonly space: { readonly used: number; readonly limit: number } | undefined;
  readonly card: { readonly state: 'none' | 'due' | 'saved'; readonly at: number };
  /** pairings typed at the home's own page that wait for consent */
  readonly homeAsks: readonly { readonly id: string; readonly at: number }[];
  /** two homes answered with one key: a copy of the home runs somewhere */
  readonly homeTwice: boolean;
  readonly findable: boolean;
  /** strangers see one's profile, on the public wall */
  readonly wall: boolean;
  /** "always through my courtyard" */
  readonly relayed: boolean;
  readonly unread: number;
  readonly requests: number;
}

/** Ends a wait. */
export interface Pairing {
  /** `host/XXXX-XXXX-XXXX-XXXX` */
  readonly code: string;
  readonly until: number;
  readonly done: Promise<void>;
  cancel(): void;
}

export interface RecoveryCard {
  readonly handle: string;
  /** 28 characters in groups of four */
  readonly code: string;
  /** what the QR holds, and what the file and the typed form may hold */
  readonly text: string;
}

/** `icon`: an iPhone gives them to an icon on the home screen alone; `blocked`: the browser cannot reach its maker's service */
export type NotifyState = 'unsupported' | 'icon' | 'denied' | 'blocked' | 'off' | 'on';

/** What a notification says, in the person's language; `{n}` in `many` stands for the number. */
export interface NotifyWords {
  readonly one: string;
  readonly many: string;
  readonly friend: string;
  readonly call: string;
  readonly tested: string;
}

/** Of this device; who is muted, of all of one's devices. */
export interface Notifications {
  state(): Promise<NotifyState>;
  /** Asks the browser, so only in answer to a tap, and at once. Resolves to how it stands then. */
  turnOn(words: NotifyWords): Promise<NotifyState>;
  turnOff(): Promise<void>;
  /** `lost`: it has not come within 15 seconds; `refused`: the service did not take it */
  test(): Promise<'arrived' | 'lost' | 'refused'>;
  /** The language is another now. */
  speak(words: NotifyWords): Promise<void>;
  isMuted(peer: Uid): boolean;
  mute(peer: Uid, yes: boolean): Promise<void>;
}

export type CallMedia = 'audio' | 'video';

/** `elsewhere`: taken on another device */
export type CallOver = 'hung-up' | 'ended' | 'declined' | 'busy' | 'unanswered' | 'failed' | 'lost' | 'elsewhere';

/** The call of this moment. */
export interface CallView {
  readonly id: string;
  readonly peer: Uid;
  readonly media: CallMedia;
  /** `asking`: for the microphone, before it rings; `joining`: taken, not heard yet */
  readonly phase: 'asking' | 'calling' | 'ringing' | 'joining' | 'talking' | 'over';
  readonly why: CallOver | undefined;
  /** this side rang */
  readonly out: boolean;
  /** since when they speak */
  readonly spoke: number | undefined;
  readonly muted: boolean;
  /** one's own picture is sent */
  readonly camera: boolean;
  readonly flippable: boolean;
  readonly local: MediaStream | undefined;
  readonly remote: MediaStream | undefined;
  /** the other's picture comes */
  readonly seen: boolean;
  readonly path: 'direct' | 'courtyard' | undefined;
  readonly quality: 'clear' | 'weak' | 'searching' | undefined;
  readonly problem: Failure | undefined;
}

export interface CallRoom {
  /** Rings, once the microphone is there. */
  start(peer: Uid, media: CallMedia): Promise<void>;
  accept(): Promise<void>;
  decline(): void;
  hangUp(): void;
  mute(yes: boolean): void;
  camera(on: boolean): Promise<void>;
  flip(): Promise<void>;
  /** The page goes. */
  leave(): void;
  /** What was said about one that is over has been read. */
  dismiss(): void;
}

/** The way round the courtyard to the device of a friend with whom one is in conversation. */
export interface Aside {
  /** A copy of a letter that also goes to the courtyard, with the ids of its files; false without a way. */
  letter(peer: Uid, env: string, files: readonly string[]): boolean;
  typing(peer: Uid): boolean;
  near(peer: Uid): boolean;
  /** Sealed bytes of a file that a friend has sent, from `offset` on, of that friend; undefined without a way. */
  file(peer: Uid, id: string, offset: number): Promise<Uint8Array<ArrayBuffer>> | undefined;
}

/** Everything a view may ask for. Promises reject with a `Failure`. */
export interface Courtyard {
  readonly state: State;
  /** `host[:port]` of this courtyard, as handles have it */
  readonly host: string;
  /** Called after every change of state, talks, views or people. Returns the way to stop. */
  subscribe(listener: () => void): () => void;

  readLink(text: string): Promise<Link>;
  /** `link` is the invite or claim that is being taken up. */
  suggestUsername(link: string, name: string): Promise<string>;
  usernameFree(link: string, username: string): Promise<boolean>;
  /** Resolves to the person who invited, or undefined for the owner's claim. */
  join(link: string, name: string, username: string): Promise<Uid | undefined>;
  /** Where somebody who lives in another courtyard takes up an invitation: `address` is theirs, or their courtyard's. */
  carryInvite(link: string, address: string): Promise<string>;
  /** Invite opened while signed in: become friends. */
  befriend(link: string): Promise<Uid>;
  takeHandover(link: string): Promise<void>;
  restore(cardText: string): Promise<void>;
  signOut(): Promise<void>;

  talks(): readonly Talk[];
  open(peer: Uid): Promise<TalkView>;
  draft(peer: Uid, text: string): void;
  typing(peer: Uid): void;
  send(peer: Uid, text: string, reply?: Mid): Promise<Mid>;
  /** `full`: in full size, as far as letters and screens allow */
  sendPhoto(peer: Uid, file: Blob, caption: string, reply?: Mid, full?: boolean): Promise<Mid>;
  edit(peer: Uid, mid: Mid, text: string): Promise<void>;
  remove(peer: Uid, mid: Mid): Promise<void>;
  react(peer: Uid, mid: Mid, emoji: string): Promise<void>;
  retry(peer: Uid, mid: Mid): Promise<void>;

  people(): readonly Person[];
  invite(): Promise<string>;
  /** who came in by a link of `invite` or `myCode`; undefined while it is open */
  guest(link: string): Person | undefined;
  request(handle: string, words: string): Promise<Uid>;
  accept(uid: Uid): Promise<void>;
  decline(uid: Uid): Promise<void>;
  unfriend(uid: Uid): Promise<void>;
  block(uid: Uid): Promise<void>;
  unblock(uid: Uid): Promise<void>;
  /** after a fork: keep the old list of devices, or trust the new one */
  decideFork(uid: Uid, trust: boolean): Promise<void>;
  /** link that shows who I am; opened by a friend's app it befriends, confirmed */
  myCode(): Promise<string>;

  setProfile(profile: { name: string; about: string; picture: Blob | undefined | 'keep' }): Promise<void>;
  setFindable(yes: boolean): Promise<void>;
  setRelayed(yes: boolean): Promise<void>;

  makeCard(): Promise<RecoveryCard>;
  cardSaved(): Promise<void>;
  cardLater(): void;

  /** show a code for a home to take */
  startPairing(): Promise<Pairing>;
  /** a code that a home shows (its page, a claim link) */
  pairHome(code: string): Promise<void>;
  answerHomeAsk(id: string, yes: boolean): Promise<void>;
  /** a code for another person of the household */
  householdCode(): Promise<string>;
  unpairHome(): Promise<void>;

  /** of this moment, if any */
  readonly call: CallView | undefined;
  calls(): Promise<CallRoom>;

  notifications(): Promise<Notifications>;
  /** the public wall, one's own and those one follows */
  wall(): Promise<WallRoom>;
  /** what waits where, and why; looked up anew each time */
  diagnose(): Promise<Diagnosis>;
  /** what the network lets through, and which way the home is reached; `fresh`: measured anew, otherwise only if it never was. Takes seconds */
  network(fresh: boolean): Promise<NetworkReport>;
  /** whom one refuses, and what the owner decides */
  courtyards(): Promise<Courtyards>;
  /** what went by way of the courtyard this month */
  traffic(): Promise<Traffic>;

  devices(): readonly Device[];
  revoke(id: string): Promise<void>;
  addDevice(): Promise<{ readonly url: string; readonly until: number }>;
}
