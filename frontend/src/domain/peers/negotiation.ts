/**
 * One connection to a device of a friend, set up and kept by what is told in letters ("perfect negotiation", WebRTC 1.0
 * section 10.7): either side may offer at any time; where both do, the polite one takes its own back.
 */

import type { Candidate, Peer, PeerChannel, PeerChannelListener, PeerState, Platform, RtcTools, IceServer } from '../../platform/platform';
import { limits, type Signal } from '../../protocol/message';
import { utf8 } from '../../protocol/bytes';
import { onlyRelayed } from './relayed';

/** Candidates are found in a row: those of so long travel together. */
const GATHERING = 80;
/** A description without an answer goes again. */
const UNANSWERED = 4_000;
/** A path that has gone may come back by itself; then another is looked for. */
const PATIENCE = 1_000;
/** The first look takes so long, each further one twice as long: two sides that look too often undo each other's. */
const LOOKS = 8_000;
const DOUBLED = 2;
/** Without the courtyard there is nobody to tell. */
const UNREACHED = 1_000;

export interface NegotiationSurroundings {
  readonly platform: Platform;
  readonly polite: boolean;
  readonly servers: readonly IceServer[];
  /** no address of one's own is used or told; may change */
  relayed(): boolean;
  /** the present servers, once a path has gone; undefined: the courtyard is not reached either */
  renewed(): Promise<readonly IceServer[] | undefined>;
  tell(signal: Signal): void;
  state(state: PeerState): void;
  /** what this side brings, before its first description */
  prepare(peer: Peer): void;
  channel?(channel: PeerChannel): PeerChannelListener | undefined;
  track?(track: MediaStreamTrack, stream: MediaStream | undefined): void;
}

export class Negotiation {
  readonly peer: Peer;
  readonly #around: NegotiationSurroundings;
  #prepared = false;
  /** what paths are looked for by now */
  #relayed: boolean;
  #offering = false;
  /** the other side's offer was not taken, nor are its candidates missed */
  #ignoring = false;
  #found: Candidate[] = [];
  /** what is heard, one after the other */
  #hearing: Promise<void> = Promise.resolve();
  #closed = false;
  #cancelResend: () => void = () => undefined;
  #cancelCandidates: (() => void) | undefined;
  /** what is done next about a path that has gone */
  #repair: { readonly cancel: () => void } | undefined;
  /** looks for another path since there was one */
  #looks = 0;
  readonly #unwatch: () => void;

  constructor(rtc: RtcTools, around: NegotiationSurroundings) {
    this.#around = around;
    this.#relayed = around.relayed();
    this.peer = rtc.connect(around.servers, this.#relayed ? 'relay' : 'all', {
      state: (state) => {
        this.#stands(state);
      },
      candidate: (candidate) => {
        this.#find(candidate);
      },
      negotiate: () => {
        // Before anything was said there is nothing to change.
        if (this.#prepared && this.peer.settled) this.offer();
      },
      channel: (channel) => around.channel?.(channel),
      track: (track, stream) => around.track?.(track, stream),
    });
    this.#unwatch = around.platform.watch((turn) => {
      if (turn === 'offline' || turn === 'hidden' || turn === 'shown') return;
      this.#looks = 0;
      this.#repairIn(0);
    });
  }

  /** Says what this side is like, as an offer. */
  offer(): void {
    this.#describe().catch(this.#around.platform.report);
  }

  /** What the other side tells; in its order. What is no description or candidate is passed over: it is as if it had not come. */
  hear(signal: Signal): Promise<void> {
    this.#hearing = this.#hearing.then(() => this.#hear(signal)).catch(this.#around.platform.report);
    return this.#hearing;
  }

  /** The present description, with all that was found by now. */
  get description(): Signal | undefined {
    const sdp = this.peer.description;
    return sdp && this.#shown({ sdp });
  }

  /** What may be used has changed: the path that stands is known to the other side already, none but those is looked for from now on. */
  follow(): void {
    if (this.#relayed !== this.#around.relayed()) this.#renew().catch(this.#around.platform.report);
  }

  close(): void {
    this.#closed = true;
    this.#unwatch();
    this.#cancelResend();
    this.#cancelCandidates?.();
    this.#leave();
    this.peer.close();
  }

  async #describe(): Promise<void> {
    if (this.#offering || this.#closed) return;
    this.#offering = true;
    try {
      this.#prepare();
      await this.peer.describe();
      this.#tellDescription();
    } finally {
      this.#offering = false;
    }
  }

  #prepare(): void {
    if (this.#prepared) return;
    this.#prepared = true;
    this.#around.prepare(this.peer);
  }

  #tellDescription(): void {
    const { description } = this;
    if (this.#closed || !description) return;
    this.#around.tell(description);
    this.#cancelResend();
    if (description.sdp?.type === 'offer') {
      this.#cancelResend = this.#around.platform.after(UNANSWERED, () => {
        if (!this.peer.settled) this.#tellDescription();
      });
    }
  }

  async #hear({ sdp, candidates = [] }: Signal): Promise<void> {
    if (sdp?.type === 'offer' && this.#repair) await this.#join();
    if (this.#closed) return;
    if (sdp) {
      const collides = sdp.type === 'offer' && (this.#offering || !this.peer.settled);
      this.#ignoring = collides && !this.#around.polite;
      if (this.#ignoring) return;
      // An answer to what has been answered: one of the two got there by way of a second try.
      if (sdp.type === 'answer' && this.peer.settled) return;
      if (!(await this.#took(this.peer.accept(sdp)))) return;
      this.#cancelResend();
      if (sdp.type === 'offer') {
        this.#prepare();
        await this.peer.describe();
        this.#tellDescription();
      }
    }
    for (const candidate of candidates) if (!this.#ignoring && candidate.candidate !== '') await this.#took(this.peer.add(candidate));
  }

  /** Whether the browser could make something of it; it is the other side's to get right. */
  async #took(taking: Promise<void>): Promise<boolean> {
    return taking.then(() => true, () => false);
  }

  #find(candidate: Candidate | undefined): void {
    if (!candidate || utf8(candidate.candidate).length > limits.candidate) return;
    this.#found.push(candidate);
    this.#cancelCandidates ??= this.#around.platform.after(GATHERING, () => {
      this.#tellCandidates();
    });
  }

  #tellCandidates(): void {
    this.#cancelCandidates = undefined;
    const found = this.#found.splice(0).map(({ candidate, sdpMid = '0' }) => ({ candidate, sdpMid }));
    const { candidates = [] } = this.#shown({ candidates: found });
    for (let at = 0; at < candidates.length; at += limits.candidates) this.#around.tell({ candidates: candidates.slice(at, at + limits.candidates) });
  }

  #shown(signal: Signal): Signal {
    return this.#around.relayed() ? onlyRelayed(signal) : signal;
  }

  #stands(state: PeerState): void {
    if (state === 'connected') {
      this.#leave();
      this.#looks = 0;
    } else if (state === 'disconnected') this.#repairIn(PATIENCE);
    else if (state === 'failed') this.#repairIn(this.#around.polite ? PATIENCE : 0);
    this.#around.state(state);
  }

  /** Looks for another path, until there is one. */
  #repairIn(ms: number): void {
    this.#leave();
    if (this.#closed) return;
    const repair = {
      cancel: this.#around.platform.after(ms, () => {
        this.#look(repair).catch(this.#around.platform.report);
      }),
    };
    this.#repair = repair;
  }

  #leave(): void {
    this.#repair?.cancel();
    this.#repair = undefined;
  }

  async #look(repair: object): Promise<void> {
    const told = this.#prepared && (await this.#renew());
    if (this.#repair !== repair) return;
    if (told && this.peer.settled) this.peer.restart();
    if (this.peer.state === 'connected') this.#leave();
    else this.#repairIn(told ? LOOKS * DOUBLED ** Math.min(this.#looks++, 2) : UNREACHED);
  }

  /** They look for another path already: this side has its say in the answer. */
  async #join(): Promise<void> {
    this.#repairIn(LOOKS);
    await this.#renew();
  }

  /** @returns whether the courtyard is reached */
  async #renew(): Promise<boolean> {
    const servers = await this.#around.renewed();
    this.#relayed = this.#around.relayed();
    if (servers && !this.#closed) this.peer.use(servers, this.#relayed ? 'relay' : 'all');
    return servers !== undefined;
  }
}
