/**
 * Beside the courtyard: keeps a direct connection to the own home while the app is looked at and the network lets it through,
 * and knows what this network lets through (protocol section 17). Chat never waits for any of it. Loaded after the first screen.
 */

import type { ChosenPair, IceServer, RtcTools, Turn } from '../platform/platform';
import { b64 } from '../protocol/bytes';
import { text } from '../protocol/json';
import { DirectWay, type Tried } from './directway';
import { codeOf } from './failure';
import { iceServers } from './iceservers';
import { addressesSeen, counts, judge, portSeen, readFinding, type Finding, type Measured, type NetworkKind, type Prospect } from './network';
import { probe } from './probe';
import type { Session } from './session';
import type { Courtyard, HomePath } from './types';

/** The session, as far as this room looks into it. */
export interface DirectSurroundings extends Pick<Session, 'platform' | 'homeLink' | 'home' | 'linked' | 'shrug' | 'changed'> {
  readonly self: Pick<Session['self'], 'device'>;
  readonly connection: Pick<Session['connection'], 'ask'>;
  readonly store: Pick<Session['store'], 'setting' | 'saveSetting'>;
}

/** After the link opened: the first chat list comes first. */
const SOON = 1_000;
/** Between the end of a connection and the next try; the last one counts from then on. */
const PAUSES = [500, 10_000, 60_000, 300_000] as const;
/** A connection that lasted so long was a good one. */
const GOOD = 60_000;
/** Somebody who asks right after the app was opened waits so long for the link. */
const PATIENCE = 10_000;
/** The courtyard answers within this, over a socket that lives. */
const ALIVE = 5_000;
/** Out of sight for so long, nobody needs it. */
const HIDDEN = 60_000;

/** Why there is no direct path now. */
export type Hindrance = 'unsupported' | 'no-home' | 'home-away' | 'home-none' | 'network' | 'trying' | 'offline';

export interface NetworkReport {
  readonly kind: NetworkKind;
  readonly prospect: Prospect;
  /** when it was measured; undefined: it has not been */
  readonly at: number | undefined;
  readonly measured: Measured;
  /** whether the courtyard lends addresses, for what does not come about directly; undefined: it was not asked yet */
  readonly lends: boolean | undefined;
  /** how history and photos come from the home now */
  readonly path: HomePath;
  readonly pair: ChosenPair | undefined;
  readonly why: Hindrance | undefined;
}

const UNMEASURED: Measured = { seen: undefined, filter: undefined, port: undefined, met: undefined };

export class Direct {
  readonly #session: DirectSurroundings;
  #rtc: RtcTools | undefined;
  /** this browser has nothing of the kind */
  #lacks = false;
  #way: DirectWay | undefined;
  /** the home it leads to, and when it opened */
  #home = '';
  #since = 0;
  #finding: Finding | undefined;
  /** where the courtyard sees this device; undefined: not known in this network */
  #here: string | undefined;
  #lends: boolean | undefined;
  /** rises with every change of network: what was begun in another counts no more */
  #network = 0;
  #linked = false;
  /** they wait for the link */
  readonly #awaiting = new Set<() => void>();
  /** this home makes no such connections: an old one, a full one, or one whose owner wants none */
  #none = false;
  #ends = 0;
  /** one thing at a time */
  #work: Promise<void> = Promise.resolve();
  #working = 0;
  #over = false;
  #cancelTry: () => void = () => undefined;
  #cancelHidden: () => void = () => undefined;
  readonly #leave: (() => void)[] = [];

  private constructor(session: DirectSurroundings) {
    this.#session = session;
  }

  static async attend(courtyard: Pick<Courtyard, 'subscribe'>, session: DirectSurroundings): Promise<Direct> {
    const direct = new Direct(session);
    direct.#finding = readFinding(await session.store.setting('network'));
    direct.#leave.push(
      courtyard.subscribe(() => { direct.#look(); }),
      session.platform.watch((turn) => { direct.#turn(turn); }),
    );
    direct.#look();
    return direct;
  }

  stop(): void {
    this.#over = true;
    for (const leave of this.#leave) leave();
    this.#cancelTry();
    this.#cancelHidden();
    this.#drop();
  }

  /** What is known; `fresh`: measured again, otherwise only where it never was. Takes as long as a network that answers nothing. */
  async report(fresh: boolean): Promise<NetworkReport> {
    if (this.#session.home && this.#session.linked && !this.#linked) await this.#link();
    if (fresh || !this.#counts()) await this.#measure().catch(this.#session.shrug);
    return this.now();
  }

  /** Resolves when the link is open, or does not open. */
  #link(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        this.#awaiting.delete(done);
        resolve();
      };
      const cancel = this.#session.platform.after(PATIENCE, done);
      this.#awaiting.add(done);
    });
  }

  /** Without measuring anything. */
  async now(): Promise<NetworkReport> {
    const finding = this.#counts() ? this.#finding : undefined;
    const measured = finding?.measured ?? UNMEASURED;
    const { path } = this.#session.homeLink;
    return { ...judge(measured), at: finding?.at, measured, lends: this.#lends, path, pair: await this.#way?.pair(), why: path === 'courtyard' ? this.#hindrance() : undefined };
  }

  #hindrance(): Hindrance {
    const { home, homeLink, linked } = this.#session;
    if (!home) return 'no-home';
    if (!linked) return 'offline';
    if (!homeLink.linked) return 'home-away';
    if (this.#lacks) return 'unsupported';
    if (this.#none) return 'home-none';
    return this.#working === 0 && this.#counts() && this.#finding?.measured.met === false ? 'network' : 'trying';
  }

  #counts(): boolean {
    return this.#finding !== undefined && counts(this.#finding, this.#here, this.#session.platform.now());
  }

  // ---- when ------------------------------------------------------------------------------------------------------------------

  /** Something has changed in the engine. */
  #look(): void {
    const { home, homeLink } = this.#session;
    if (this.#way && (!home || b64(home.id) !== this.#home)) this.#drop();
    const before = this.#linked;
    this.#linked = homeLink.linked;
    if (this.#linked && !before) {
      this.#none = false; // it may be another program by now
      this.#ends = 0; // and what ended with the one before tells nothing of the network
      this.#soon(SOON);
      for (const go of this.#awaiting) go();
    }
  }

  #turn(turn: Turn): void {
    switch (turn) {
      case 'hidden':
        this.#cancelHidden = this.#session.platform.after(HIDDEN, () => {
          this.#drop();
          this.#session.changed();
        });
        return;
      case 'shown':
        this.#cancelHidden();
        this.#soon(SOON);
        return;
      case 'offline':
      case 'online':
      case 'moved':
        this.#moved();
        this.#soon(SOON);
    }
  }

  #soon(ms: number): void {
    this.#cancelTry();
    if (this.#over) return;
    this.#cancelTry = this.#session.platform.after(ms, () => {
      this.#one(() => this.#try()).catch((error: unknown) => {
        this.#session.shrug(error);
        if (this.#linked && !this.#none) this.#soon(PAUSES[PAUSES.length - 1] ?? 0);
      });
    });
  }

  /** One after the other. */
  #one(work: () => Promise<void>): Promise<void> {
    this.#working++;
    const done = this.#work.then(work).finally(() => {
      this.#working--;
      if (!this.#over) this.#session.changed();
    });
    this.#work = done.catch(() => undefined); // whoever asked for it hears of it
    return done;
  }

  /** This is another network, or none: what was found in the last one means nothing here. */
  #moved(): void {
    this.#network++;
    this.#here = undefined;
    this.#ends = 0;
    this.#drop();
    if (!this.#finding) return;
    this.#finding = undefined;
    this.#session.store.saveSetting('network', null).catch(this.#session.shrug);
  }

  // ---- the connection ----------------------------------------------------------------------------------------------------------

  async #try(): Promise<void> {
    const { homeLink, platform } = this.#session;
    if (this.#over || !homeLink.linked || !platform.visible) return;
    await this.#locate();
    if (this.#way || this.#none || (this.#counts() && this.#finding?.measured.met === false)) return;
    await this.#connect();
  }

  /** Where the courtyard sees this device. Another address than before means another network. */
  async #locate(patience?: number): Promise<void> {
    const { connection, self } = this.#session;
    const network = this.#network;
    const { ip = '' } = await connection.ask('where', { device: self.device }, patience);
    if (network !== this.#network) return;
    const here = text(64)(ip);
    if (this.#here !== undefined && this.#here !== here) this.#moved();
    this.#here = here;
  }

  async #tools(): Promise<RtcTools | undefined> {
    this.#rtc ??= await this.#session.platform.rtc();
    this.#lacks = this.#rtc === undefined;
    return this.#rtc;
  }

  async #servers(): Promise<readonly IceServer[]> {
    const { stun, turn } = await iceServers(this.#session.connection);
    this.#lends = turn.length > 0;
    return stun;
  }

  async #connect(): Promise<void> {
    const { homeLink, platform, home } = this.#session;
    const rtc = await this.#tools();
    if (!rtc || !home) return;
    const network = this.#network;
    const stun = await this.#servers();
    let tried: Tried;
    try {
      tried = await DirectWay.try({ platform, rtc, link: homeLink }, stun, 'home');
      if (!tried.way && this.#stays(network)) tried = await DirectWay.try({ platform, rtc, link: homeLink }, stun, 'here');
    } catch (error) {
      if (['bad-request', 'unavailable'].includes(codeOf(error))) this.#none = true;
      throw error;
    }
    if (!this.#stays(network)) {
      tried.way?.close();
      return;
    }
    if (tried.way) this.#take(tried.way, b64(home.id));
    const seen = stun.length === 0 ? undefined : addressesSeen(tried.gathered);
    await this.#found({ seen, filter: undefined, port: portSeen(tried.address, tried.gathered.candidates), met: tried.way !== undefined });
    await this.#knock(rtc, stun, network);
  }

  /** Still the same network, and somebody to use it. */
  #stays(network: number): boolean {
    return !this.#over && network === this.#network && this.#session.homeLink.linked;
  }

  #take(way: DirectWay, home: string): void {
    this.#way = way;
    this.#home = home;
    this.#since = this.#session.platform.now();
    way.ended = () => {
      this.#ended(way);
    };
    this.#session.homeLink.bypass = way;
    this.#session.changed();
  }

  /**
   * It broke, or the home said nothing over it. The link carries everything meanwhile; if it is the network that has gone, the
   * socket went with it, which nobody tells: one that does not answer soon is opened anew.
   */
  #ended(way: DirectWay): void {
    if (this.#way !== way) return;
    this.#forget();
    if (this.#session.linked) this.#locate(ALIVE).catch(this.#session.shrug);
    this.#ends = this.#session.platform.now() - this.#since < GOOD ? this.#ends + 1 : 0;
    this.#soon(PAUSES[Math.min(this.#ends, PAUSES.length - 1)] ?? 0);
    this.#session.changed();
  }

  #drop(): void {
    const way = this.#way;
    if (!way) return;
    this.#forget();
    way.close();
  }

  #forget(): void {
    this.#way = undefined;
    this.#session.homeLink.bypass = undefined;
  }

  // ---- the network -------------------------------------------------------------------------------------------------------------

  /** Asked for by somebody who looks at it. */
  #measure(): Promise<void> {
    return this.#one(async () => {
      const { homeLink } = this.#session;
      await this.#locate();
      if (homeLink.linked && !this.#way && !this.#none) return this.#connect();
      const rtc = await this.#tools();
      if (!rtc) return;
      const network = this.#network;
      const stun = await this.#servers();
      if (stun.length === 0) return;
      const { seen, filter } = await probe(rtc, stun, homeLink.linked && !this.#none ? homeLink : undefined);
      const before = this.#finding?.measured ?? UNMEASURED;
      if (network === this.#network) await this.#found({ ...before, seen, filter: filter ?? before.filter });
    });
  }

  /** Whether it lets strangers in: nothing depends on it here, it says what a friend's connection can hope for. */
  async #knock(rtc: RtcTools, stun: readonly IceServer[], network: number): Promise<void> {
    const measured = this.#finding?.measured;
    if (measured?.seen !== 1) return;
    const { filter } = await probe(rtc, stun, this.#session.homeLink);
    if (filter !== undefined && network === this.#network) await this.#found({ ...measured, filter });
  }

  async #found(measured: Measured): Promise<void> {
    if (this.#here === undefined) return;
    this.#finding = { address: this.#here, at: this.#session.platform.now(), measured };
    await this.#session.store.saveSetting('network', this.#finding);
  }
}
