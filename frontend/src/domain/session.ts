/**
 * Somebody is signed in on this device: the rooms of the engine, put together. What happens in them is their own matter;
 * what the person asks for is in acts.ts.
 */

import { Api } from '../platform/api';
import { Connection } from '../platform/connection';
import type { Platform } from '../platform/platform';
import { b64 } from '../protocol/bytes';
import type { Chain, ChainDevice } from '../protocol/ident';
import type { Agreement } from '../protocol/keys';
import { randomBytes } from '../protocol/primitives';
import { isProblem, Problem } from '../protocol/problem';
import type { Draft, Written } from '../store/log';
import type { AccountRecord } from '../store/schema';
import type { Store } from '../store/store';
import { Chains } from './chains';
import { Crossing } from './crossing';
import { Doorway } from './doorway';
import type { LogEvent } from './event';
import { codeOf, Trouble } from './failure';
import { Friends } from './friends';
import { History } from './history';
import { homeName, HomeLink } from './homelink';
import { Household } from './household';
import { Inbox } from './inbox';
import { Keyring } from './keyring';
import { Letters, type Queued } from './letters';
import { Mending } from './mending';
import { Outbox } from './outbox';
import { People } from './people';
import { PhotoUrls, placeholderOf, textOf } from './pictures';
import { Presence } from './presence';
import { profileBody, profileOf } from './profiles';
import { Self } from './self';
import { Tabs, type Word } from './tabs';
import { Talks } from './talks';
import { Transfers } from './transfers';
import type { Aside, Person, Uid } from './types';
import { VaultKeeper } from './vaultkeeper';

/** How long somebody who waits for the first connection waits. */
const CONNECTING = 20_000;

export interface SessionSurroundings {
  readonly platform: Platform;
  readonly store: Store;
  readonly account: AccountRecord;
  /** while restoring: opens the vault before this device has a slot in it */
  readonly cardKey?: Agreement;
  changed(): void;
  /** the account left this browser in another tab */
  left(): void;
}

export class Session {
  readonly platform: Platform;
  readonly store: Store;
  readonly self: Self;
  readonly api: Api;
  readonly tabs: Tabs;
  readonly chains: Chains;
  readonly vault: VaultKeeper;
  readonly keyring: Keyring;
  readonly letters: Letters;
  readonly transfers: Transfers;
  readonly outbox: Outbox;
  readonly friends: Friends;
  readonly presence: Presence;
  readonly people: People;
  readonly mending: Mending;
  readonly crossing: Crossing;
  readonly inbox: Inbox;
  readonly homeLink: HomeLink;
  readonly household: Household;
  readonly history: History;
  readonly photoUrls: PhotoUrls;
  readonly talks: Talks;
  readonly doorway: Doorway;
  readonly connection: Connection;
  readonly #around: SessionSurroundings;
  #account: AccountRecord;
  /** the own wall has grown at the relay, or another tab wrote about walls; set by the room of walls when it is loaded */
  wallNews: (from: 'relay' | 'tab') => void = () => undefined;
  /** a friend's letter of a call or of a channel between devices; set by the engine, which loads who hears it */
  signalled: (event: LogEvent) => void = () => undefined;
  /** the way round the courtyard to a friend's device, while there is one; set by the room of those */
  aside: Aside | undefined;
  /** It was asked for that no address is told any more; the vault may not say so yet. */
  hiding = false;
  /** the device with which a friend was here last */
  readonly whereabouts = new Map<Uid, string>();
  #unwatch: () => void = () => undefined;
  readonly #awaited = new Set<() => void>();
  /** stopped: the database may be closed under what is still on its way */
  #over = false;

  constructor(around: SessionSurroundings) {
    const { platform, store, account, cardKey } = around;
    this.#around = around;
    this.#account = account;
    this.platform = platform;
    this.store = store;
    this.self = new Self(platform, account);
    this.api = new Api(platform);
    this.tabs = new Tabs(platform, (word) => this.#heard(word));
    this.mending = new Mending(this);
    this.crossing = new Crossing(this);
    this.household = new Household(this);
    this.doorway = new Doorway(this, cardKey);
    this.photoUrls = new PhotoUrls(platform);
    this.connection = new Connection(platform, this.self, this.doorway);
    this.chains = this.#makeChains();
    this.vault = this.#makeVault();
    this.keyring = new Keyring(this.self, store, this.api, platform, this.chains, this.vault);
    this.letters = new Letters(this.self, this.chains, this.keyring, (peer) => this.friends.addressOf(peer));
    this.transfers = this.#makeTransfers();
    this.outbox = this.#makeOutbox();
    this.friends = new Friends({
      self: this.self, api: this.api, vault: this.vault, chains: this.chains,
      compose: (drafts) => this.compose(drafts),
      sendNow: (letter) => this.sendNow(letter),
    });
    this.presence = this.#makePresence();
    this.people = new People({
      platform,
      isHere: (uid) => this.presence.isHere(uid),
      isForked: (uid) => this.chains.isForked(uid),
      abroad: (uid) => this.chains.abroad(uid),
      whereIs: (uid) => this.chains.whereIs(uid),
    });
    this.inbox = this.#makeInbox();
    this.homeLink = this.#makeHomeLink();
    this.history = this.#makeHistory();
    this.talks = this.#makeTalks();
  }

  get account(): AccountRecord {
    return this.#account;
  }

  async saveAccount(account: AccountRecord): Promise<void> {
    await this.store.saveAccount(account);
    this.#account = account;
  }

  get linked(): boolean {
    return this.connection.state === 'online';
  }

  /** The active home of the own chain, as held. */
  get home(): ChainDevice | undefined {
    return this.chains.held(this.self.id)?.home(this.self.now());
  }

  /** The own chain, fetched if it is not held. */
  chain(): Promise<Chain> {
    return this.chains.of(this.self.id);
  }

  person(uid: Uid): Person {
    return this.people.get(uid) ?? this.people.stranger(uid, '');
  }

  /** Reads what is here; afterwards everything can be shown, without a network. */
  async load(): Promise<void> {
    await this.chains.load();
    await Promise.all([this.keyring.load(), this.history.load(), this.doorway.load(), this.household.load()]);
    for (const profile of await this.store.people()) this.people.learn(profile);
    await this.vault.load();
    await this.talks.load();
  }

  start(): void {
    this.#unwatch = this.platform.watch((turn) => {
      if (turn === 'shown' && this.linked) this.presence.arrive();
      else if (turn === 'hidden') this.talks.saveDrafts().catch(this.shrug);
    });
    this.connection.start();
  }

  async stop(): Promise<void> {
    this.#over = true;
    this.#unwatch();
    this.connection.stop();
    this.homeLink.stop();
    this.household.stop();
    this.presence.stop();
    this.crossing.stop();
    this.outbox.stop();
    this.photoUrls.stop();
    await this.talks.stop();
    await this.outbox.settled();
    this.tabs.close();
  }

  /** Resolves when this connection has been greeted, or the one under way; rejects with `offline` where there is none. */
  async greeted(): Promise<void> {
    await this.reached();
    await this.doorway.welcome;
  }

  /** Resolves when there is a connection, or the one under way is there; rejects with `offline` where there is none. */
  async reached(): Promise<void> {
    const { state } = this.connection;
    if (state === 'connecting') await this.#online(false);
    else if (state !== 'online') throw new Trouble('offline');
  }

  /** Waits for the first greeting. Rejects with what stands in the way: `offline` after a while, a vault that does not open. */
  async connected(): Promise<void> {
    if (!this.linked) await this.#online(true);
    await this.doorway.welcome;
  }

  /** @param patient also while there is no network at all */
  #online(patient: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.platform.after(CONNECTING, () => {
        this.#awaited.delete(look);
        reject(new Trouble('offline'));
      });
      const look = (): void => {
        const { state } = this.connection;
        if (state === 'connecting' || (state === 'offline' && patient)) return;
        cancel();
        this.#awaited.delete(look);
        if (state === 'online') resolve();
        else reject(state === 'refused' ? new Problem('unauthorized') : new Trouble('offline'));
      };
      this.#awaited.add(look);
    });
  }

  changed(): void {
    for (const look of this.#awaited) look();
    this.#around.changed();
  }

  /** For what went wrong in the background: what only needs another time is no matter, a defect is told. */
  readonly shrug = (error: unknown): void => {
    if (!this.#over && codeOf(error) === 'internal') this.platform.report(error);
  };

  // ---- what is written ---------------------------------------------------------------------------------------------------

  /** Stored, shown, and sent when it can be. */
  async compose(drafts: readonly Draft[]): Promise<void> {
    const shown = this.written(await this.store.log.compose(drafts, this.platform.now()));
    this.outbox.kick();
    this.tabs.say({ what: 'outbox' });
    await shown;
  }

  /** One of the clocks is not what it was. */
  async askTime(): Promise<void> {
    this.self.relayTime = (await this.api.relay()).time;
  }

  /** Sealed and put at once; rejects with the relay's reason. For what makes no sense later. */
  async sendNow(letter: Queued): Promise<void> {
    const { id, env } = await this.letters.seal(letter);
    if (this.chains.abroad(letter.peer)) await this.store.log.setOut(id, letter, this.platform.now());
    await this.connection.put(id, env, letter.copy ? [letter.peer, this.self.id] : [letter.peer], false, this.self.unsure);
  }

  /** Tells everybody of what was committed. Resolves when it is on the screens of this tab; it never rejects. */
  written(written: Written): Promise<void> {
    for (const event of written.fresh) if (event.author === event.peer) this.presence.wrote(event.peer);
    if (written.orphans.length > 0) this.store.files.forget(written.orphans).catch(this.shrug);
    if (written.changes.length === 0) return Promise.resolve();
    this.tabs.say({ what: 'log', changes: written.changes });
    return this.talks.apply(written.changes);
  }

  async #seen(peer: Uid, upto: number, mid: string): Promise<void> {
    const { self, store } = this;
    const now = self.now();
    const read = { peer, author: self.id, dev: self.device, mid: b64(randomBytes(16)), type: 'chat', kind: 'read', body: { upto, mid } } as const;
    if (this.friends.get(peer)?.state === 'friend') {
      await this.compose([{ ...read, now, copy: true, files: [], logged: true }]);
      return;
    }
    // Nobody to tell; it has been seen all the same.
    const event: LogEvent = { ...read, clock: now, ts: now, received: now, hash: 'here' };
    await this.written(await store.log.write(self.id, { events: [event] }));
  }

  // ---- changes -------------------------------------------------------------------------------------------------------------

  #peopleChanged(peer?: Uid): void {
    if (this.vault.opened) this.people.update(this.vault.data);
    this.talks.refresh(peer);
  }

  async #heard(word: Word): Promise<void> {
    switch (word.what) {
      case 'log':
        return this.talks.apply(word.changes);
      case 'outbox':
        { this.outbox.kick(); return; }
      case 'out':
        { this.#around.left(); return; }
      case 'drafts':
        return this.talks.reloadDrafts();
      case 'vault':
        await this.vault.load();
        break;
      case 'chain':
        await this.chains.reload(word.uid);
        break;
      case 'keys':
        await this.keyring.load();
        break;
      case 'wall':
        { this.wallNews('tab'); return; }
      case 'people':
        for (const profile of await this.store.people()) this.people.learn(profile);
        break;
    }
    this.#peopleChanged();
  }

  // ---- the rooms -------------------------------------------------------------------------------------------------------------

  #makeChains(): Chains {
    return new Chains({
      self: this.self.id, here: this.self.host, relayKey: this.self.relayKey, store: this.store, api: this.api,
      now: () => this.self.now(),
      after: (ms, call) => this.platform.after(ms, call),
      lived: (uid) => {
        const friend = this.vault.opened ? this.friends.get(uid) : undefined;
        return friend && friend.host !== '' && friend.port !== 0 ? { host: friend.host, port: friend.port } : undefined;
      },
      pin: (uid) => {
        const friend = this.vault.opened ? this.friends.get(uid) : undefined;
        return friend?.head && { seq: friend.seq, head: friend.head, uek: friend.uek, uekKey: friend.uekKey };
      },
      changed: (uid) => {
        this.tabs.say({ what: 'chain', uid });
        this.#peopleChanged(uid);
      },
    });
  }

  #makeVault(): VaultKeeper {
    return new VaultKeeper({
      self: this.self, store: this.store, api: this.api, platform: this.platform,
      chain: (fresh) => (fresh ? this.chains.fetch(this.self.id) : this.chains.of(this.self.id)),
      changed: (here) => {
        if (here) this.tabs.say({ what: 'vault' });
        this.#peopleChanged();
      },
    });
  }

  #makeTransfers(): Transfers {
    return new Transfers({
      platform: this.platform, api: this.api, files: this.store.files,
      linked: () => this.linked,
      abroad: (peer) => this.chains.abroad(peer),
      hasHome: () => this.home !== undefined,
      aside: (peer, id, offset) => this.aside?.file(peer, id, offset),
      askHome: (method, params) => this.homeLink.ask(method, params),
      uploaded: () => {
        this.outbox.kick();
      },
      refused: (row, failure, retry) => {
        this.store.log
          .refused(this.self.id, row.order, failure, retry)
          .then((written) => this.written(written))
          .catch(this.shrug);
      },
      progress: () => {
        this.talks.refresh();
      },
    });
  }

  #makeOutbox(): Outbox {
    return new Outbox({
      self: this.self, platform: this.platform, log: this.store.log, letters: this.letters,
      linked: () => this.linked,
      put: async (id, env, people, quiet) => {
        const others = people.filter((peer) => peer !== this.self.id);
        try {
          const accepted = await this.connection.put(id, env, people, quiet, this.self.unsure);
          for (const peer of others) this.presence.met(peer);
          return accepted;
        } catch (error) {
          // Unfriended or blocked by them, which nobody tells us: then they are not here for us either.
          if (isProblem(error, 'not-contact')) for (const peer of others) this.presence.lose(peer);
          throw error;
        }
      },
      uploaded: (row) => this.transfers.ready(row),
      near: (peer) => this.aside?.near(peer) === true,
      copied: (peer, env, files) => this.aside?.letter(peer, env, files),
      bodyNow: (row) => (row.kind === 'profile' ? profileBody(this.vault.data) : row.body),
      isForked: (peer) => this.chains.isForked(peer),
      isAbroad: (peer) => this.chains.abroad(peer) !== undefined,
      meet: (peer) => this.chains.meet(peer),
      doubt: (peer) => this.chains.doubt(peer),
      askTime: () => this.askTime(),
      written: (written) => this.written(written),
    });
  }

  #makePresence(): Presence {
    return new Presence({
      platform: this.platform,
      linked: () => this.linked,
      friends: () => this.people.all.filter((person) => person.state === 'friend').map((person) => person.uid),
      reachable: (peer) => this.people.get(peer)?.state === 'friend' && this.chains.uekHeld(peer) !== undefined,
      cast: async (peer, kind, lasts) => {
        if (kind === 'typing' && this.aside?.typing(peer)) return;
        const { env } = await this.letters.seal({
          peer, type: 'live', kind, mid: b64(randomBytes(16)), clock: this.self.now(), seq: 1, body: {}, copy: false, lasts,
        });
        this.connection.cast(env);
      },
      changed: (peer) => {
        this.#peopleChanged(peer);
      },
    });
  }

  #makeInbox(): Inbox {
    return new Inbox({
      self: this.self, log: this.store.log, letters: this.letters,
      isBlocked: (peer) => this.vault.opened && this.friends.get(peer)?.state === 'blocked',
      stuck: () => this.connection.stuck,
      friend: (event, said) => this.friends.receive(event, said),
      profile: async (event, said) => {
        const profile = profileOf(event.peer, said.body);
        if (!(await this.store.savePerson(profile))) return;
        this.people.learn(profile);
        this.tabs.say({ what: 'people' });
        this.#peopleChanged(event.peer);
      },
      stale: (peer, envelope, uek) => this.mending.stale(peer, envelope, uek),
      live: (event) => {
        const { peer, kind, dev } = event;
        if (this.friends.get(peer)?.state !== 'friend') return;
        if (kind === 'call' || kind === 'peer') this.signalled(event);
        else if (kind === 'typing' || kind === 'here') {
          this.whereabouts.set(peer, dev);
          this.presence.heard(peer, kind);
          if (this.talks.isOpen(peer)) this.signalled(event);
        }
      },
      moreKeys: () => this.mending.moreKeys(),
      unopened: (peer, envelope) => this.mending.unopened(peer, envelope),
      // A home keeps them as they came, and tells what they say when it can open them.
      later: async (envelopes) => (this.home === undefined ? this.crossing.keep(envelopes) : {}),
      isAway: (event) => this.crossing.isAway(event),
      returnedRow: (envelope) => this.crossing.returnedRow(envelope),
      cameBack: (event) => this.crossing.cameBack(event),
      unsure: (peer) => {
        this.history.recheck(peer).catch(this.shrug);
      },
      written: (written) => this.written(written),
    });
  }

  #makeHomeLink(): HomeLink {
    return new HomeLink({
      self: this.self, platform: this.platform,
      home: () => this.home,
      cast: (env) => {
        this.connection.cast(env);
      },
      opened: () => {
        this.household.opened();
      },
      said: (method, params) => {
        this.household.said(method, params);
      },
    });
  }

  #makeHistory(): History {
    return new History({
      self: this.self, platform: this.platform, api: this.api, store: this.store, log: this.store.log, inbox: this.inbox,
      home: () => this.home && homeName(this.home),
      homeOpen: () => this.homeLink.open,
      ask: (method, params) => this.homeLink.ask(method, params),
      confirmed: () => this.doorway.confirmed,
      changed: () => {
        this.talks.refresh();
      },
    });
  }

  #makeTalks(): Talks {
    return new Talks({
      me: this.self.id, platform: this.platform, store: this.store, log: this.store.log,
      link: () => this.connection.state,
      now: () => this.self.now(),
      people: () => this.people.all,
      person: (uid) => this.person(uid),
      isTyping: (uid) => this.presence.isTyping(uid),
      hasHome: (uid) => this.chains.held(uid)?.home(this.self.now()) !== undefined,
      lack: (peer) => this.outbox.lacks(peer),
      uploadedPart: (file) => this.transfers.part(file),
      placeholder: placeholderOf,
      loadText: (file, from) => textOf(this.transfers, file, from),
      loadPhoto: (file, from, progress) => this.photoUrls.load(this.transfers, file, from, progress),
      coming: () => this.history.coming,
      beyond: (talk) => this.history.beyond(talk),
      fetchOlder: (peer, before) => this.history.older(peer, before),
      seen: (peer, upto, mid) => this.#seen(peer, upto, mid),
      draftsSaved: () => {
        this.tabs.say({ what: 'drafts' });
      },
      changed: () => {
        this.changed();
      },
    });
  }
}
