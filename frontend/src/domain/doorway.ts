/** What the relay says over the socket, and what follows from it. Letters are confirmed only when they are stored. */

import type { ConnectionListener, LinkState, Ready } from '../platform/connection';
import { readEnvelope } from '../protocol/envelope';
import type { Json } from '../protocol/json';
import type { Agreement } from '../protocol/keys';
import { isProblem } from '../protocol/problem';
import { codeOf, passes } from './failure';
import type { Row } from './inbox';
import { spread } from './profiles';
import type { Session } from './session';
import { tend } from './upkeep';

/** Rows opened between two commits. */
const BATCH = 32;

/** As the relay told it last. */
export interface Standing {
  readonly link: LinkState;
  readonly owner: boolean;
  readonly home: { readonly state: 'none' | 'online' | 'away'; readonly since: number };
  readonly space: { readonly used: number; readonly limit: number } | undefined;
  readonly homeTwice: boolean;
}

export class Doorway implements ConnectionListener {
  readonly #session: Session;
  /** while restoring: opens the vault before this device has a slot in it */
  readonly #cardKey: Agreement | undefined;
  #standing: Standing = { link: 'offline', owner: false, home: { state: 'none', since: 0 }, space: undefined, homeTwice: false };
  #rows: Row[] = [];
  #draining = false;
  #confirmed = 0;
  /** what has to be known before letters can be opened; anew for each connection */
  #welcome: Promise<void> = Promise.resolve();

  constructor(session: Session, cardKey: Agreement | undefined) {
    this.#session = session;
    this.#cardKey = cardKey;
  }

  get standing(): Standing {
    return this.#standing;
  }

  /** What was known of the home when the app was last open. */
  async load(): Promise<void> {
    const { state, since } = ((await this.#session.store.setting('home')) ?? {}) as { state?: unknown; since?: unknown };
    if ((state === 'online' || state === 'away') && typeof since === 'number') this.#standing = { ...this.#standing, home: { state, since } };
  }

  /** This device has all of the relay's rows up to here. */
  get confirmed(): number {
    return this.#confirmed;
  }

  /** Resolves when this connection has been greeted. */
  get welcome(): Promise<void> {
    return this.#welcome;
  }

  state(link: LinkState): void {
    const { api, homeLink, presence, talks } = this.#session;
    if (link !== 'online') {
      api.token = '';
      this.#rows = [];
      homeLink.pause();
      presence.leave();
    }
    this.#stands({ link });
    talks.refresh();
  }

  ready(ready: Ready): void {
    const { self, api, mending } = this.#session;
    self.relayTime = ready.time;
    api.token = ready.token;
    this.#confirmed = Math.max(this.#confirmed, ready.cursor);
    mending.renew();
    this.#session.chains.renew();
    this.#stands({ owner: ready.owner, space: ready.space, home: { state: ready.home.state, since: ready.home.since ?? 0 } });
    const welcome = this.#greet(ready);
    this.#welcome = welcome;
    welcome.catch((error: unknown) => {
      this.#session.shrug(error);
      // What only a person can decide is not asked for again and again.
      if (welcome === this.#welcome && (passes(error) || codeOf(error) === 'internal')) this.#session.connection.bounce();
    });
  }

  async #greet(ready: Ready): Promise<void> {
    const { chains, self, vault, keyring, homeLink, outbox, presence } = this.#session;
    const own = chains.held(self.id);
    if (!own || ready.chain > own.seq) await chains.fetch(self.id);
    await vault.refresh(ready.vault, this.#cardKey).catch((error: unknown) => {
      // What the relay shows now does not open, or is older than what is held: with what is held everything goes on.
      if (!vault.opened) throw error;
      this.#session.shrug(error);
    });
    await keyring.take(vault.data.ueks, false);
    if (ready.uek > chains.counter(self.id)) await chains.doubt(self.id);
    // Where there is no new key, the old one does for now.
    if (ready.home.state === 'none') await keyring.ensureIssued(await chains.of(self.id)).catch(this.#session.shrug);
    homeLink.reachable = ready.home.state === 'online';
    outbox.renew();
    presence.arrive();
    this.#afterwards().catch(this.#session.shrug);
  }

  async #afterwards(): Promise<void> {
    this.#session.crossing.renew();
    await this.#session.crossing.reconcile().catch(this.#session.shrug);
    await tend(this.#session);
    if (this.#session.home === undefined) await this.#session.history.backfill();
  }

  deliver(n: number, env: Json): void {
    this.#rows.push({ n, env });
    this.#drain();
  }

  /**
   * Takes what was delivered. If that cannot be done now, nothing that this connection has brought behind it counts: what
   * is confirmed is not brought again. The next one brings it all.
   */
  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    const welcome = this.#welcome;
    this.#takeAll(welcome)
      .catch((error: unknown) => {
        this.#session.shrug(error);
        if (welcome === this.#welcome) this.#session.connection.bounce();
      })
      .finally(() => {
        this.#draining = false;
        if (this.#rows.length > 0) this.#drain();
      });
  }

  async #takeAll(welcome: Promise<void>): Promise<void> {
    const { history, connection } = this.#session;
    try {
      await welcome;
    } catch {
      // Told where it was begun. Nothing can be opened, and nothing is confirmed.
      if (welcome === this.#welcome) this.#rows = [];
      return;
    }
    while (welcome === this.#welcome && this.#rows.length > 0) {
      const rows = this.#rows.splice(0, BATCH);
      const last = rows.at(-1)?.n ?? 0;
      await this.#take(rows.filter(({ n }) => !history.isTaken(n)));
      this.#confirmed = Math.max(this.#confirmed, last);
      connection.confirm(last);
    }
  }

  async #take(rows: readonly Row[]): Promise<void> {
    const { inbox, shrug } = this.#session;
    try {
      await inbox.take(rows, {}, true);
    } catch (error) {
      if (passes(error)) throw error;
      // One of them trips this program. The others shall not wait for it for ever; it stays at the relay or at home.
      shrug(error);
      for (const row of rows) {
        await inbox.take([row], {}, true).catch((each: unknown) => {
          if (passes(each)) throw each;
        });
      }
    }
  }

  live(env: Json): void {
    const { homeLink, inbox, shrug } = this.#session;
    try {
      const envelope = readEnvelope(env);
      if (envelope.type === 'link') homeLink.receive(envelope);
      else inbox.live(envelope).catch(shrug);
    } catch (error) {
      if (!isProblem(error)) throw error;
    }
  }

  lost(id: string, code: string): void {
    this.#session.homeLink.lost(id, code);
  }

  event(what: string, params: Readonly<Record<string, Json>>): void {
    this.#happened(what, params).catch(this.#session.shrug);
  }

  async #happened(what: string, params: Readonly<Record<string, Json>>): Promise<void> {
    const { chains, self, vault, keyring } = this.#session;
    const number = (name: string): number => (typeof params[name] === 'number' ? params[name] : 0);
    switch (what) {
      case 'home':
        return this.#homeIs(params['state'], number('since'));
      case 'vault':
        await this.#welcome;
        await vault.refresh(number('version') || vault.version + 1);
        await keyring.take(vault.data.ueks, false);
        return spread(this.#session);
      case 'chain':
        await chains.fetch(self.id);
        await this.#welcome;
        if (!this.#session.home) await keyring.ensureIssued(await chains.of(self.id));
        return;
      case 'space':
        { this.#stands({ space: { used: number('used'), limit: number('limit') || (this.#standing.space?.limit ?? 0) } }); return; }
      case 'carried':
        return this.#session.crossing.carried(params);
      case 'wall':
        { this.#session.wallNews('relay'); return; }
      case 'home-twice':
        { this.#stands({ homeTwice: true }); return; }
      default: // `contact` and what comes later: the vault says what is shown
    }
  }

  async #homeIs(state: Json | undefined, since: number): Promise<void> {
    const { chains, self, homeLink, talks } = this.#session;
    if (state !== 'online' && state !== 'away' && state !== 'none') return;
    this.#stands({ home: { state, since } });
    if (state !== 'none' && !this.#session.home) await chains.fetch(self.id);
    // A home that went and came back knows nothing of the old session.
    if (state === 'online' && homeLink.linked) homeLink.restart();
    homeLink.reachable = state === 'online';
    talks.refresh();
  }

  #stands(change: Partial<Standing>): void {
    this.#standing = { ...this.#standing, ...change };
    if (change.home) this.#session.store.saveSetting('home', change.home).catch(this.#session.shrug);
    this.#session.changed();
  }
}
