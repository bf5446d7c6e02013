/**
 * One connection to the own home beside the courtyard (protocol section 17): made over the sealed link, which proves whose
 * fingerprints they are; then what is asked of the home goes through it. It lives until either side, or the network, ends it.
 */

import type { Candidate, ChosenPair, Gathered, IceServer, Peer, PeerChannel, Platform, RtcTools } from '../platform/platform';
import { b64 } from '../protocol/bytes';
import type { JsonObject } from '../protocol/json';
import { randomBytes } from '../protocol/primitives';
import { isProblem, Problem } from '../protocol/problem';
import { codeOf } from './failure';
import type { Bypass, HomeLink } from './homelink';
import { staysNear } from './network';

/** A network that answers at all does so within this. */
const GATHERING = 1_500;
/** From the answer to an open channel. */
const MEETING = 5_000;
/** What this device sends first goes out before the home hears where to. */
const AHEAD = 400;
const SDP_LIMIT = 16 * 1024;
const CANDIDATE_LIMIT = 256;
const CANDIDATES = 16;

export interface WaySurroundings {
  readonly platform: Platform;
  readonly rtc: RtcTools;
  readonly link: HomeLink;
}

/** What came of a try. `address`: where the home saw this device, if it did. */
export interface Tried {
  readonly way: DirectWay | undefined;
  readonly gathered: Gathered;
  readonly address: string | undefined;
}

export class DirectWay implements Bypass {
  /** It is over; called once, and not for `close`. */
  ended: () => void = () => undefined;
  readonly #around: WaySurroundings;
  readonly #id = b64(randomBytes(16));
  readonly #peer: Peer;
  readonly #channel: PeerChannel;
  #near = false;
  /** the home knows of it */
  #told = false;
  #over = false;
  /** found and not told yet */
  #late: Candidate[] = [];
  /** somebody waits for the channel to open */
  #opened: (open: boolean) => void = () => undefined;

  private constructor(around: WaySurroundings, servers: readonly IceServer[]) {
    this.#around = around;
    this.#peer = around.rtc.connect(servers, 'all', {
      state: (state) => {
        if (state === 'disconnected' || state === 'failed' || state === 'closed') this.#end();
      },
      candidate: (candidate) => {
        if (!candidate) return;
        this.#late.push(candidate);
        if (this.#told) this.#tell();
      },
    });
    this.#channel = this.#peer.channel('courtyard', 'home/1', {
      opened: () => {
        this.#opened(true);
      },
      message: (text) => {
        this.#hear(text);
      },
      closed: () => {
        this.#end();
      },
      drained: () => undefined,
    });
  }

  /**
   * Tries once. `first`: who sends the first packet; some routers take what comes before they let something out for a
   * knock at their own door, and then give the connection another port. Rejects with what the home says to it.
   */
  static async try(around: WaySurroundings, servers: readonly IceServer[], first: 'home' | 'here'): Promise<Tried> {
    const way = new DirectWay(around, servers);
    try {
      return await way.#meet(first);
    } catch (error) {
      way.close();
      throw error;
    }
  }

  async #meet(first: 'home' | 'here'): Promise<Tried> {
    const { link, platform } = this.#around;
    await this.#peer.describe();
    const gathered = await this.#peer.gathered(GATHERING);
    const sdp = this.#peer.description?.sdp ?? '';
    if (first === 'home') this.#late = []; // they are in it
    const answer = await link.askLinked('direct', { id: this.#id, sdp: first === 'here' ? withoutCandidates(sdp) : sdp });
    if (typeof answer['sdp'] !== 'string' || answer['sdp'].length > SDP_LIMIT) throw new Problem('bad-request', { reason: 'sdp' });
    const open = new Promise<boolean>((resolve) => {
      this.#opened = resolve;
    });
    if (this.#channel.open || this.#over) this.#opened(this.#channel.open);
    const cancels = [platform.after(MEETING, () => {
      this.#opened(false);
    })];
    await this.#peer.accept({ type: 'answer', sdp: withoutRelays(answer['sdp']) }).catch((error: unknown) => {
      throw new Problem('bad-request', { reason: 'sdp' }, error);
    });
    cancels.push(platform.after(first === 'here' ? AHEAD : 0, () => {
      this.#told = true;
      this.#tell();
    }));
    const met = await open;
    for (const cancel of cancels) cancel();
    this.#told ||= met;
    const { address, near } = await this.#seen();
    const pair = met ? await this.#peer.pair() : undefined;
    this.#near = near || (pair !== undefined && staysNear(pair, address));
    if (met && !this.#over) return { way: this, gathered, address };
    this.close();
    return { way: undefined, gathered, address };
  }

  get path(): Bypass['path'] {
    return this.#near ? 'lan' : 'direct';
  }

  /** As the browser tells it now. */
  pair(): Promise<ChosenPair | undefined> {
    return this.#peer.pair();
  }

  send(text: string): boolean {
    if (this.#over || !this.#channel.open) return false;
    this.#channel.send(text);
    return true;
  }

  silent(): void {
    this.#end();
  }

  /** Also on the other side, if that can be told. */
  close(): void {
    if (!this.#over) this.#finish();
    const { link } = this.#around;
    if (this.#told && link.linked) link.askLinked('direct-end', { id: this.#id }).catch(() => undefined); // it ends there by itself too
  }

  #end(): void {
    if (this.#over) return;
    this.#finish();
    this.ended();
  }

  #finish(): void {
    this.#over = true;
    this.#opened(false);
    this.#channel.close();
    this.#peer.close();
  }

  #hear(text: string): void {
    try {
      if (!this.#over) this.#around.link.hear(text);
    } catch (error) {
      // Not what a home says: nothing more is believed of it.
      if (!isProblem(error)) this.#around.platform.report(error);
      this.#end();
    }
  }

  /** What has been found since, a few at a time. One that the home does not take costs a path, nothing else. */
  #tell(): void {
    const more = this.#late.splice(0, CANDIDATES).filter(({ candidate, kind }) => kind !== 'relay' && candidate.length <= CANDIDATE_LIMIT);
    if (more.length === 0 || this.#over) return;
    this.#around.link
      .askLinked('direct-more', { id: this.#id, candidates: more.map(({ candidate }) => candidate) })
      .then(() => { this.#tell(); }, () => undefined);
  }

  /** Where the home sees this device, and whether that is in a network of its own: it knows those. */
  async #seen(): Promise<{ readonly address: string | undefined; readonly near: boolean }> {
    let answer: JsonObject;
    try {
      answer = await this.#around.link.askLinked('direct-path', { id: this.#id });
    } catch (error) {
      if (codeOf(error) === 'internal') throw error;
      return { address: undefined, near: false };
    }
    const { address, near } = answer;
    return { address: typeof address === 'string' && address !== '' && address.length <= 64 ? address : undefined, near: near === true };
  }
}

/** What goes through the courtyard's own addresses is no shorter way: the link is there already. */
function withoutRelays(sdp: string): string {
  return lines(sdp, (line) => !/^a=candidate:.* typ relay\b/u.test(line));
}

function withoutCandidates(sdp: string): string {
  return lines(sdp, (line) => !/^a=(?:candidate:|end-of-candidates)/u.test(line));
}

function lines(sdp: string, keep: (line: string) => boolean): string {
  return sdp.split('\r\n').filter(keep).join('\r\n');
}
