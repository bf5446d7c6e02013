/**
 * The engine behind the screens: everything a view may know and ask for (domain/types.ts), over one account in this
 * browser or none. Opens from what is stored, then turns to the network.
 */

import { Api } from './platform/api';
import { browserPlatform } from './platform/browser';
import type { Platform } from './platform/platform';
import { hostOfOrigin } from './platform/connection';
import { formatHost } from './protocol/address';
import { b64, equal } from './protocol/bytes';
import { parseInvite } from './protocol/invite';
import type { Agreement } from './protocol/keys';
import { limits, plainName } from './protocol/message';
import { characters } from './protocol/json';
import { isProblem, Problem } from './protocol/problem';
import type { Courtyards } from './domain/courtyards';
import type { Diagnosis } from './domain/diagnosis';
import type { Direct, NetworkReport } from './domain/direct';
import { Trouble } from './domain/failure';
import { isPublic, profileVersion, spread } from './domain/profiles';
import { LEFT } from './domain/calls/left';
import type { Calls } from './domain/calls/room';
import type { Links } from './domain/peers/links';
import type { Push } from './domain/push';
import type { AcceptedInvite } from './domain/invites';
import type { CardInHand } from './domain/recovery';
import * as say from './domain/say';
import { Session } from './domain/session';
import { devicesOf, OUT, snapshot, STARTING } from './domain/snapshot';
import type { CallView, Courtyard, Device, Link, Mid, Pairing, Person, RecoveryCard, State, Talk, TalkView, Uid } from './domain/types';
import type { Traffic } from './domain/traffic';
import { revokeDevice } from './domain/upkeep';
import type { Walls } from './domain/wall/room';
import type { AccountRecord } from './store/schema';
import { Store } from './store/store';

/** Names tried before the last resort, digits. */
const NAME_TRIES = 12;
/** px, and a bound for the letter it travels in. */
const PICTURE_SIDE = 320;

/** The engine of this page. Its state is `starting` until what is stored has been read. */
export function createCourtyard(platform: Platform = browserPlatform()): Courtyard {
  return new Engine(platform);
}

class Engine implements Courtyard {
  readonly #platform: Platform;
  readonly #api: Api;
  readonly #listeners = new Set<() => void>();
  readonly #opened: Promise<void>;
  #store: Store | undefined;
  #session: Session | undefined;
  #push: Promise<Push> | undefined;
  #walls: Promise<Walls> | undefined;
  #calls: Promise<Calls> | undefined;
  #callsNow: Calls | undefined;
  #aside: Promise<Links> | undefined;
  #direct: Promise<Direct> | undefined;
  #state: State | undefined = STARTING;
  #ready = false;
  #told = true;
  #card: CardInHand | undefined;
  /** an invitation on its way to be spent: asked about a second time, after an answer got lost, it might be spent by us */
  #accepted: AcceptedInvite | undefined;

  constructor(platform: Platform) {
    this.#platform = platform;
    this.#api = new Api(platform);
    this.#opened = this.#open().catch(platform.report);
  }

  // ---- what is known -----------------------------------------------------------------------------------------------------

  get state(): State {
    return (this.#state ??= !this.#ready ? STARTING : this.#session ? snapshot(this.#session) : OUT);
  }

  get host(): string {
    return formatHost(this.#session?.self.host ?? hostOfOrigin(this.#platform.origin));
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  talks(): readonly Talk[] {
    return this.#session?.talks.list ?? [];
  }

  people(): readonly Person[] {
    return this.#session?.people.all ?? [];
  }

  devices(): readonly Device[] {
    return this.#session ? devicesOf(this.#session) : [];
  }

  /** Many changes in one turn are told once. */
  readonly #changed = (): void => {
    this.#state = undefined;
    if (!this.#told) return;
    this.#told = false;
    queueMicrotask(() => {
      this.#told = true;
      for (const listener of this.#listeners) listener();
    });
  };

  async #open(): Promise<void> {
    try {
      this.#store = await this.#openStore();
      const account = await this.#store.account();
      if (account?.stage === 'in') await this.#enter(account);
      else if (account?.stage === 'joining') await this.#resume();
    } finally {
      // Without a database there is no account either; what is asked for then says why.
      this.#ready = true;
      this.#changed();
    }
    performance.mark('courtyard-opened');
    this.#platform.settle();
  }

  #openStore(): Promise<Store> {
    return Store.open(this.#platform.database, () => {
      this.#platform.reload();
    });
  }

  /** A join that may have gone through before the page was closed. */
  async #resume(): Promise<void> {
    const { resume } = await import('./domain/arrival');
    try {
      const account = await resume({ platform: this.#platform, store: this.#has }, this.#api);
      if (account) await this.#enter(account);
    } catch (error) {
      // Not to be known now; the next try to join finds out.
      if (!(error instanceof Trouble)) throw error;
    }
  }

  async #enter(account: AccountRecord, cardKey?: Agreement): Promise<Session> {
    const session = new Session({
      platform: this.#platform, store: this.#has, account, changed: this.#changed,
      ...(cardKey ? { cardKey } : {}),
      left: () => {
        this.#platform.reload();
      },
    });
    await session.load();
    this.#session = session;
    session.start();
    this.#changed();
    this.#push = undefined;
    this.#walls = undefined;
    session.signalled = (event) => {
      (event.kind === 'call' ? this.calls() : this.#links(session)).then((room) => { room.heard(event); }).catch(session.shrug);
    };
    this.#direct = undefined;
    // A call of which the page has ended has no note yet.
    session.store.setting(LEFT).then((left) => (left === undefined ? undefined : this.calls())).catch(session.shrug);
    // Loaded beside the first screen, not before it.
    this.notifications().catch(session.shrug);
    this.wall().catch(session.shrug);
    this.#beside(session).catch(session.shrug);
    return session;
  }

  /** What goes past the courtyard ends with the account. */
  #hangUp(session: Session): void {
    for (const room of [this.#calls, this.#aside, this.#direct]) room?.then((each) => { each.stop(); }, session.shrug);
    this.#calls = this.#callsNow = this.#aside = this.#direct = undefined;
  }

  #beside(session: Session): Promise<Direct> {
    this.#direct ??= import('./domain/direct').then(({ Direct }) => Direct.attend(this, session)).catch((error: unknown) => {
      this.#direct = undefined; // it did not load, and is asked for again
      throw error;
    });
    return this.#direct;
  }

  get #has(): Store {
    if (!this.#store) throw new Trouble('unsupported', { reason: 'database' });
    return this.#store;
  }

  async #in(): Promise<Session> {
    await this.#opened;
    if (!this.#session) throw new Trouble('account-none');
    return this.#session;
  }

  async #mustBeOut(): Promise<void> {
    await this.#opened;
    // Also one that could not be opened: it is never written over.
    if (this.#session || (await this.#has.account())?.stage === 'in') throw new Trouble('account-exists');
  }

  // ---- coming and going ----------------------------------------------------------------------------------------------------

  async readLink(text: string): Promise<Link> {
    const { lookAt } = await import('./domain/invites');
    await this.#opened;
    const session = this.#session;
    const onlooker = session?.vault.opened ? { uid: session.self.uid, host: session.self.host, data: session.vault.data, greeted: () => session.greeted() } : undefined;
    return lookAt(text, this.#platform, session?.api ?? this.#api, onlooker);
  }

  async suggestUsername(link: string, name: string): Promise<string> {
    const { candidates } = await import('./domain/username');
    let tried = 0;
    let last = '';
    for await (const candidate of candidates(name, Math.random)) {
      last = candidate;
      if (tried++ >= NAME_TRIES || (await this.usernameFree(link, candidate))) break;
    }
    return last;
  }

  async usernameFree(link: string, username: string): Promise<boolean> {
    return this.#api.nameFree(username, attemptInvite(link)?.id);
  }

  async join(link: string, name: string, username: string): Promise<Uid | undefined> {
    await this.#mustBeOut();
    const { join } = await import('./domain/arrival');
    const joined = await this.#platform.lock('arrival', () => join({ platform: this.#platform, store: this.#has }, link, name, username));
    const session = await this.#enter(joined.account);
    if (joined.home) this.#pairClaimed(session, joined.home);
    return joined.inviter;
  }

  /** In the background: the account is there whatever becomes of it. */
  #pairClaimed(session: Session, home: { readonly id: Uint8Array<ArrayBuffer>; readonly code: Uint8Array<ArrayBuffer> }): void {
    const pairing = async (): Promise<void> => {
      const { takeClaimed } = await import('./domain/pairhome');
      await session.connected();
      await takeClaimed(session, home);
    };
    session.household.coming = true;
    session.changed();
    pairing().catch((error: unknown) => {
      session.shrug(error);
    }).finally(() => {
      session.household.coming = false;
      session.changed();
    });
  }

  async carryInvite(link: string, address: string): Promise<string> {
    return (await import('./domain/invites')).carriedTo(link, address);
  }

  async befriend(link: string): Promise<Uid> {
    const session = await this.#in();
    await session.greeted();
    const invite = attemptInvite(link);
    if (!invite) return this.request(link, '');
    const { self, friends } = session;
    const { acceptInvite } = await import('./domain/invites');
    const uid = b64(invite.uid);
    if (uid === self.id) throw new Trouble('self');
    const { username, card } = await acceptInvite(session, invite, this.#accepted, (accepted) => {
      this.#accepted = accepted;
    });
    await friends.met(invite, username, card.name);
    await friends.join(invite);
    this.#accepted = undefined;
    await spread(session);
    return uid;
  }

  async takeHandover(link: string): Promise<void> {
    await this.#mustBeOut();
    const { takeHandover } = await import('./domain/arrival');
    const account = await this.#platform.lock('arrival', () => takeHandover({ platform: this.#platform, store: this.#has }, link));
    const session = await this.#enter(account);
    await session.connected();
  }

  async restore(cardText: string): Promise<void> {
    await this.#mustBeOut();
    const { restore } = await import('./domain/arrival');
    const { account, cardKey } = await this.#platform.lock('arrival', () => restore({ platform: this.#platform, store: this.#has }, cardText));
    const session = await this.#enter(account, cardKey);
    try {
      await session.connected();
      await session.saveAccount({ ...account, stage: 'in' });
    } catch (error) {
      // Without the vault there is nothing to show; the card is still in the person's hand.
      this.#session = undefined;
      this.#push?.then((push) => { push.stop(); }, session.shrug);
      this.#hangUp(session);
      await session.stop();
      this.#changed();
      throw error;
    }
  }

  async signOut(): Promise<void> {
    const session = await this.#in();
    const { leave } = await import('./domain/leaving');
    // While the courtyard still knows this device.
    await this.notifications().then((push) => push.leave()).catch(session.shrug);
    await leave(session);
    this.#hangUp(session);
    session.tabs.say({ what: 'out' });
    this.#session = undefined;
    this.#card = undefined;
    await session.stop();
    await this.#has.wipe();
    this.#platform.note(undefined);
    this.#changed();
    // Whatever was still on its way in this page ends with it; the view first puts its address in order.
    this.#platform.after(0, () => {
      this.#platform.reload();
    });
  }

  // ---- conversations -------------------------------------------------------------------------------------------------------

  async open(peer: Uid): Promise<TalkView> {
    const session = await this.#in();
    const view = await session.talks.open(peer);
    this.#links(session).then((links) => { links.opened(peer); }).catch(session.shrug);
    return view;
  }

  draft(peer: Uid, text: string): void {
    this.#session?.talks.draft(peer, text);
  }

  typing(peer: Uid): void {
    this.#session?.presence.type(peer);
  }

  async send(peer: Uid, text: string, reply?: Mid): Promise<Mid> {
    return say.send(await this.#in(), peer, text, reply);
  }

  async sendPhoto(peer: Uid, file: Blob, caption: string, reply?: Mid, full?: boolean): Promise<Mid> {
    return say.sendPhoto(await this.#in(), peer, file, caption, reply, full);
  }

  async edit(peer: Uid, mid: Mid, text: string): Promise<void> {
    await say.edit(await this.#in(), peer, mid, text);
  }

  async remove(peer: Uid, mid: Mid): Promise<void> {
    await say.remove(await this.#in(), peer, mid);
  }

  async react(peer: Uid, mid: Mid, emoji: string): Promise<void> {
    await say.react(await this.#in(), peer, mid, emoji);
  }

  async retry(peer: Uid, mid: Mid): Promise<void> {
    await say.retry(await this.#in(), peer, mid);
  }

  // ---- people ----------------------------------------------------------------------------------------------------------------

  async invite(): Promise<string> {
    const session = await this.#greeted();
    const { newInvite } = await import('./domain/invites');
    return newInvite(session, false);
  }

  guest(link: string): Person | undefined {
    const session = this.#session;
    const invite = attemptInvite(link);
    if (session?.vault.opened !== true || !invite) return undefined;
    const by = session.vault.data.invites.find(({ id }) => equal(id, invite.id))?.by;
    return by && session.person(b64(by));
  }

  async myCode(): Promise<string> {
    const { codeInvite } = await import('./domain/invites');
    return codeInvite(await this.#greeted());
  }

  async request(handle: string, words: string): Promise<Uid> {
    return (await this.#greeted()).friends.request(handle, words);
  }

  async accept(uid: Uid): Promise<void> {
    const session = await this.#greeted();
    await session.friends.accept(uid);
    await spread(session);
  }

  async decline(uid: Uid): Promise<void> {
    await (await this.#greeted()).friends.decline(uid);
  }

  async unfriend(uid: Uid): Promise<void> {
    await (await this.#greeted()).friends.unfriend(uid);
  }

  async block(uid: Uid): Promise<void> {
    await (await this.#greeted()).friends.block(uid);
  }

  async unblock(uid: Uid): Promise<void> {
    await (await this.#greeted()).friends.unblock(uid);
  }

  async decideFork(uid: Uid, trust: boolean): Promise<void> {
    const session = await this.#in();
    await session.chains.decide(uid, trust);
    await session.friends.notePin(uid);
    session.outbox.renew();
    await session.history.reread();
  }

  async #greeted(): Promise<Session> {
    const session = await this.#in();
    await session.greeted();
    return session;
  }

  // ---- oneself -----------------------------------------------------------------------------------------------------------------

  async setProfile(profile: { name: string; about: string; picture: Blob | undefined | 'keep' }): Promise<void> {
    const session = await this.#greeted();
    const name = plainName(profile.name);
    const about = profile.about.trim();
    if (name === '') throw new Trouble('name-empty');
    if (characters(name) > limits.name) throw new Trouble('name-long', { limit: limits.name });
    if (characters(about) > limits.about) throw new Trouble('text-long', { limit: limits.about });
    const picture = profile.picture instanceof Blob
      ? (await (await this.#platform.photos()).shrink(profile.picture, PICTURE_SIDE, limits.picture)).jpeg
      : profile.picture;
    await session.vault.change((data) => ({
      ...data, name, about, picture: picture === 'keep' ? data.picture : picture, settings: { ...data.settings, profile: profileVersion(data) + 1 },
    }));
    await spread(session);
    // Strangers see the new one too. What cannot be told now is told with the next connection.
    if (isPublic(session.vault.data)) this.wall().then(() => { session.wallNews('relay'); }).catch(session.shrug);
  }

  async diagnose(): Promise<Diagnosis> {
    const session = await this.#in();
    return (await import('./domain/diagnosis')).diagnose(session);
  }

  async network(fresh: boolean): Promise<NetworkReport> {
    const session = await this.#in();
    await session.greeted().catch(session.shrug); // without a connection little can be known, and that is said
    return (await this.#beside(session)).report(fresh);
  }

  async courtyards(): Promise<Courtyards> {
    const session = await this.#in();
    return new (await import('./domain/courtyards')).Courtyards(session);
  }

  async traffic(): Promise<Traffic> {
    const session = await this.#in();
    return (await import('./domain/traffic')).traffic(session);
  }

  async setFindable(yes: boolean): Promise<void> {
    const session = await this.#greeted();
    const note = (findable: boolean): Promise<boolean> =>
      session.vault.note((data) => ({ ...data, settings: { ...data.settings, findable } }));
    // Should the page end between the two, the switch shows more than others see, never less.
    if (yes) await note(true);
    try {
      await session.api.setFindable(yes);
    } catch (error) {
      if (yes) await note(false);
      throw error;
    }
    if (!yes) await note(false);
  }

  async setRelayed(yes: boolean): Promise<void> {
    const session = await this.#in();
    session.hiding = yes;
    try {
      await session.greeted();
      await session.vault.note((data) => ({ ...data, settings: { ...data.settings, relayed: yes } }));
    } finally {
      session.hiding = false;
    }
  }

  async makeCard(): Promise<RecoveryCard> {
    const { CardInHand } = await import('./domain/recovery');
    // The same card as long as it is not in force: what was printed a minute ago stays good.
    this.#card ??= await CardInHand.make(await this.#in());
    return this.#card.shown;
  }

  async cardSaved(): Promise<void> {
    await this.#in();
    await this.#card?.enforce();
    this.#card = undefined;
  }

  cardLater(): void {
    const session = this.#session;
    session?.vault.note((data) => ({ ...data, settings: { ...data.settings, cardLater: session.self.now() } })).catch(session.shrug);
  }

  async notifications(): Promise<Push> {
    const session = await this.#in();
    return (this.#push ??= import('./domain/push').then(({ Push }) => Push.attend(this, session)));
  }

  get call(): CallView | undefined {
    return this.#callsNow?.view;
  }

  async calls(): Promise<Calls> {
    const session = await this.#in();
    this.#calls ??= import('./domain/calls/room').then(async ({ Calls }) => (this.#callsNow = await Calls.attend(session))).catch((error: unknown) => {
      this.#calls = undefined; // it did not load, and is asked for again
      throw error;
    });
    return this.#calls;
  }

  #links(session: Session): Promise<Links> {
    this.#aside ??= import('./domain/peers/links').then(({ Links }) => Links.attend(session)).catch((error: unknown) => {
      this.#aside = undefined; // likewise
      throw error;
    });
    return this.#aside;
  }

  async wall(): Promise<Walls> {
    const session = await this.#in();
    this.#walls ??= import('./domain/wall/room').then(({ Walls }) => Walls.attend(this, session)).catch((error: unknown) => {
      this.#walls = undefined; // it did not load, and is asked for again
      throw error;
    });
    return this.#walls;
  }

  // ---- home and devices ----------------------------------------------------------------------------------------------------------

  async startPairing(): Promise<Pairing> {
    const session = await this.#greeted();
    return (await import('./domain/pairhome')).show(session);
  }

  async pairHome(code: string): Promise<void> {
    const session = await this.#greeted();
    await (await import('./domain/pairhome')).take(session, code);
  }

  async answerHomeAsk(id: string, yes: boolean): Promise<void> {
    const session = await this.#in();
    await session.homeLink.ask('allow', { id, yes });
    session.household.settle(id);
  }

  async householdCode(): Promise<string> {
    const { home, homeLink } = await this.#in();
    if (!home) throw new Trouble('home-none');
    const { code } = await homeLink.ask('code');
    if (typeof code !== 'string' || code.length > 400) throw new Problem('internal');
    return code;
  }

  async unpairHome(): Promise<void> {
    const session = await this.#greeted();
    const { home } = session;
    if (!home) throw new Trouble('home-none');
    await revokeDevice(session, b64(home.id));
  }

  async revoke(id: string): Promise<void> {
    const session = await this.#greeted();
    if (id === session.self.device) throw new Trouble('self');
    await revokeDevice(session, id);
  }

  async addDevice(): Promise<{ readonly url: string; readonly until: number }> {
    const session = await this.#greeted();
    return (await import('./domain/handovers')).addDevice(session);
  }
}

function attemptInvite(text: string): Extract<ReturnType<typeof parseInvite>, { kind: 'invite' }> | undefined {
  try {
    const link = parseInvite(text);
    return link.kind === 'invite' ? link : undefined;
  } catch (error) {
    if (isProblem(error, 'link-bad')) return undefined;
    throw error;
  }
}

