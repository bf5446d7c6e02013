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
const PATIENCE = 2_000;
const AGAIN = 4_000;

export interface NegotiationSurroundings {
  readonly platform: Platform;
  readonly polite: boolean;
  readonly servers: readonly IceServer[];
  /** no address of one's own is used or told */
  readonly relayed: boolean;
  readonly linked: () => boolean;
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
  #offering = false;
  /** the other side's offer was not taken, nor are its candidates missed */
  #ignoring = false;
  #found: Candidate[] = [];
  /** what is heard, one after the other */
  #hearing: Promise<void> = Promise.resolve();
  #closed = false;
  #cancelResend: () => void = () => undefined;
  #cancelCandidates: (() => void) | undefined;
  #cancelRepair: () => void = () => undefined;
  readonly #unwatch: () => void;

  constructor(rtc: RtcTools, around: NegotiationSurroundings) {
    this.#around = around;
    this.peer = rtc.connect(around.servers, around.relayed ? 'relay' : 'all', {
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
      if (turn !== 'offline' && turn !== 'hidden' && turn !== 'shown') this.#repairIn(0);
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

  close(): void {
    this.#closed = true;
    this.#unwatch();
    this.#cancelResend();
    this.#cancelCandidates?.();
    this.#cancelRepair();
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
    return this.#around.relayed ? onlyRelayed(signal) : signal;
  }

  #stands(state: PeerState): void {
    if (state === 'connected') this.#cancelRepair();
    else if (state === 'disconnected') this.#repairIn(PATIENCE);
    else if (state === 'failed') this.#repairIn(this.#around.polite ? PATIENCE : 0);
    this.#around.state(state);
  }

  /** Looks for another path, until there is one. */
  #repairIn(ms: number): void {
    this.#cancelRepair();
    this.#cancelRepair = this.#around.platform.after(ms, () => {
      if (this.#closed) return;
      if (this.#prepared && this.#around.linked() && this.peer.settled) this.peer.restart();
      if (this.peer.state !== 'connected') this.#repairIn(AGAIN);
    });
  }
}
