/**
 * Data channels to the devices of friends (protocol section 17): while both have the other's conversation before them,
 * what is said goes straight there as well, and photos come straight from there. All of it also goes the usual way:
 * nothing depends on a channel. Loaded when the first conversation is opened.
 */

import type { PeerChannel, PeerChannelListener, RtcTools } from '../../platform/platform';
import { b64, equal, unb64, type Bytes } from '../../protocol/bytes';
import { readEnvelope } from '../../protocol/envelope';
import { int, isObject, open, parseJson, text, type Json, type JsonObject } from '../../protocol/json';
import { readBody, type Signal } from '../../protocol/message';
import { randomBytes } from '../../protocol/primitives';
import { isProblem } from '../../protocol/problem';
import type { LogEvent } from '../event';
import { Trouble } from '../failure';
import type { Session } from '../session';
import type { Aside, Uid } from '../types';
import { Negotiation } from './negotiation';
import { isRelayed, renewedServers, serversFor } from './servers';

const LASTS = 10_000;
/** A letter dated ahead by more no courtyard takes either: it comes again, with another date. */
const LEAD = 5 * 60_000;
/** of one text in a channel, bytes */
const MESSAGE = 128 * 1024;
/** Sealed bytes of a file in one answer. */
const PIECE = 40_000;
/** What comes in before it is taken further. */
const WAITING = 64;
const ANSWER = 5_000;
const TRIES = 20_000;
/** Without the conversation before one's eyes a way is kept for so long. */
const KEPT = 60_000;
const LOOK_EVERY = 10_000;
const MOST = 4;

const readFile = open({ id: text(22), offset: int() });
const readPiece = open({ data: text(2 * PIECE), size: int(1) });

/** The body of a `live` letter of kind `peer`, as it stands in JSON. */
interface PeerSays extends Signal {
  readonly id: string;
  readonly to: string;
  readonly end?: boolean;
}

interface Question {
  readonly resolve: (answer: JsonObject) => void;
  readonly reject: (error: Error) => void;
  readonly cancel: () => void;
}

/** A connection to one device. */
interface Way {
  readonly id: string;
  readonly peer: Uid;
  readonly dev: string;
  readonly began: number;
  /** by way of the courtyard alone */
  readonly relayed: boolean;
  negotiation: Negotiation | undefined;
  channel: PeerChannel | undefined;
  looked: number;
  asked: number;
  waiting: number;
  readonly questions: Map<number, Question>;
  /** files of letters that went over it: their bytes may be asked for */
  readonly files: Set<string>;
  /** letters that came, one after the other */
  taking: Promise<unknown>;
  telling: Promise<unknown>;
}

export class Links implements Aside {
  readonly #session: Session;
  readonly #rtc: RtcTools | undefined;
  readonly #ways = new Map<Uid, Way>();
  /** when somebody was last asked to offer */
  readonly #knocked = new Map<Uid, number>();
  /** the file that was asked for last, whole */
  #served: { readonly id: string; readonly sealed: Bytes } | undefined;
  #cancelLook: () => void = () => undefined;

  private constructor(session: Session, rtc: RtcTools | undefined) {
    this.#session = session;
    this.#rtc = rtc;
    session.aside = this;
    this.#look();
  }

  static async attend(session: Session): Promise<Links> {
    return new Links(session, await session.platform.rtc());
  }

  stop(): void {
    this.#cancelLook();
    this.#session.aside = undefined;
    for (const way of [...this.#ways.values()]) this.#end(way, false);
  }

  // ---- what goes over it ---------------------------------------------------------------------------------------------------

  near(peer: Uid): boolean {
    return this.#stands(this.#ways.get(peer));
  }

  letter(peer: Uid, env: string, files: readonly string[]): boolean {
    const way = this.#ways.get(peer);
    if (!way || env.length > MESSAGE - 100) return false;
    for (const id of files) way.files.add(id);
    return this.#send(way, `{"m":"letter","p":{"env":${env}}}`);
  }

  typing(peer: Uid): boolean {
    const way = this.#ways.get(peer);
    return way !== undefined && this.#send(way, '{"m":"typing"}');
  }

  file(peer: Uid, id: string, offset: number): Promise<Bytes> | undefined {
    const way = this.#ways.get(peer);
    if (!this.#stands(way)) return undefined;
    return this.#ask(way, 'file', { id, offset }).then((answer) => unb64(readPiece(answer).data));
  }

  #send(way: Way, message: string): boolean {
    if (!this.#stands(way)) return false;
    way.channel?.send(message);
    return true;
  }

  /**
   * Open, and between devices that both courtyards still know: no relay stands between that would shut out one that was
   * signed out. One that goes straight ends when all are to go through the courtyard.
   */
  #stands(way: Way | undefined): way is Way {
    if (way?.channel?.open !== true) return false;
    const { chains, doorway, self } = this.#session;
    if (this.#allowed(way) && doorway.standing.link !== 'refused' && chains.held(way.peer)?.active(unb64(way.dev, 32), self.now())) return true;
    this.#end(way, false);
    return false;
  }

  #ask(way: Way, method: string, params: JsonObject): Promise<JsonObject> {
    return new Promise((resolve, reject) => {
      const id = ++way.asked;
      const cancel = this.#session.platform.after(ANSWER, () => {
        way.questions.delete(id);
        reject(new Trouble('offline'));
      });
      way.questions.set(id, { resolve, reject, cancel });
      if (this.#send(way, JSON.stringify({ id, m: method, p: params }))) return;
      way.questions.delete(id);
      cancel();
      reject(new Trouble('offline'));
    });
  }

  // ---- what comes over it --------------------------------------------------------------------------------------------------

  /** Whatever it is; what is not understood is passed over. */
  #message(way: Way, message: string): void {
    let said: Json;
    try {
      said = parseJson(message, { bytes: MESSAGE, depth: 8 });
    } catch (error) {
      if (isProblem(error)) return;
      throw error;
    }
    if (!isObject(said)) return;
    const { id, m, p, r } = said;
    if (m === 'typing') this.#session.presence.heard(way.peer, 'typing');
    else if (m === 'letter' && p !== undefined && isObject(p)) this.#later(way, () => this.#letter(way, p['env']));
    else if (m === 'file' && typeof id === 'number' && p !== undefined) this.#later(way, () => this.#serve(way, id, p));
    else if (m === undefined && typeof id === 'number') {
      const question = way.questions.get(id);
      way.questions.delete(id);
      question?.cancel();
      if (r !== undefined && isObject(r)) question?.resolve(r);
      else question?.reject(new Trouble('file-missing'));
    }
  }

  /** One after the other, and no more at a time than one can look after: the rest comes the usual way. */
  #later(way: Way, work: () => Promise<void>): void {
    if (way.waiting >= WAITING) return;
    way.waiting++;
    way.taking = way.taking.then(work).catch(this.#session.shrug).finally(() => {
      way.waiting--;
    });
  }

  async #letter(way: Way, env: Json | undefined): Promise<void> {
    if (env === undefined || this.#session.friends.get(way.peer)?.state !== 'friend') return;
    try {
      const { type, from, to, ts } = readEnvelope(env);
      if (type !== 'chat' || b64(from.id) !== way.peer || !equal(to.id, this.#session.self.uid)) return;
      if (ts > this.#session.self.now() + LEAD) return;
    } catch (error) {
      if (isProblem(error)) return;
      throw error;
    }
    await this.#session.inbox.take([{ n: 0, env }]);
  }

  /** Sealed bytes of a file that went to them over this very way. */
  async #serve(way: Way, n: number, params: Json): Promise<void> {
    try {
      const { id, offset } = readFile(params);
      const sealed = way.files.has(id) ? await this.#sealed(id) : undefined;
      if (!sealed || offset >= sealed.length) this.#send(way, JSON.stringify({ id: n, e: { code: 'not-found' } }));
      else this.#send(way, JSON.stringify({ id: n, r: { data: b64(sealed.slice(offset, offset + PIECE)), size: sealed.length } }));
    } catch (error) {
      if (!isProblem(error)) throw error;
      this.#send(way, JSON.stringify({ id: n, e: { code: 'bad-request' } }));
    }
  }

  async #sealed(id: string): Promise<Bytes | undefined> {
    if (this.#served?.id !== id) {
      const sealed = await this.#session.store.files.read(id, this.#session.platform.now());
      this.#served = sealed && { id, sealed };
    }
    return this.#served?.sealed;
  }

  #allowed({ relayed }: Way): boolean {
    return relayed || !isRelayed(this.#session);
  }

  // ---- how one comes about -------------------------------------------------------------------------------------------------

  /** The conversation is before one's eyes, or the friend has come. */
  opened(peer: Uid): void {
    const dev = this.#session.whereabouts.get(peer);
    if (dev === undefined || !this.#wanted(peer) || !this.#session.presence.isHere(peer)) return;
    const way = this.#ways.get(peer);
    const now = this.#session.platform.now();
    if (way?.dev === dev && (way.channel?.open === true || now - way.began < TRIES)) return;
    if (this.#session.self.device < dev) {
      this.#offer(peer, dev);
      return;
    }
    if (now - (this.#knocked.get(peer) ?? 0) < ANSWER) return;
    this.#knocked.set(peer, now);
    this.#tell(undefined, peer, { id: b64(randomBytes(16)), to: dev });
  }

  /** A letter of a friend: that they are here, or about a channel. */
  heard({ peer, dev, kind, body }: LogEvent): void {
    if (kind === 'here') {
      this.opened(peer);
      return;
    }
    let said: PeerSays;
    try {
      readBody('live', 'peer', body as Json);
      said = body as PeerSays; // as it was read: the same, with its bytes as text
    } catch (error) {
      if (isProblem(error)) return;
      throw error;
    }
    const { self } = this.#session;
    if (said.to !== self.device) return;
    const way = this.#ways.get(peer);
    if (way?.id === said.id && way.dev === dev) {
      if (said.end) this.#end(way, false);
      else way.negotiation?.hear(said).catch(this.#session.platform.report);
      return;
    }
    if (said.end || !this.#wanted(peer)) return;
    if (!said.sdp && !said.candidates) {
      if (self.device < dev && !(way?.dev === dev && this.#session.platform.now() - way.began < ANSWER)) this.#offer(peer, dev);
    } else if (said.sdp?.type === 'offer' && dev < self.device) this.#take(peer, dev, said);
  }

  #wanted(peer: Uid): boolean {
    const { platform, talks, friends, linked } = this.#session;
    return this.#rtc !== undefined && linked && platform.visible && talks.isOpen(peer) && friends.get(peer)?.state === 'friend';
  }

  #offer(peer: Uid, dev: string): void {
    const way = this.#begin(b64(randomBytes(16)), peer, dev);
    this.#connect(way, false).then((negotiation) => negotiation?.offer()).catch(this.#session.shrug);
  }

  #take(peer: Uid, dev: string, said: PeerSays): void {
    const way = this.#begin(said.id, peer, dev);
    this.#connect(way, true).then((negotiation) => negotiation?.hear(said)).catch(this.#session.shrug);
  }

  #begin(id: string, peer: Uid, dev: string): Way {
    const before = this.#ways.get(peer);
    if (before) this.#end(before, false);
    const [oldest] = this.#ways.values();
    if (oldest && this.#ways.size >= MOST) this.#end(oldest, true);
    const now = this.#session.platform.now();
    const way: Way = {
      id, peer, dev, began: now, relayed: isRelayed(this.#session), negotiation: undefined, channel: undefined, looked: now, asked: 0, waiting: 0,
      questions: new Map(), files: new Set(), taking: Promise.resolve(), telling: Promise.resolve(),
    };
    this.#ways.set(peer, way);
    return way;
  }

  async #connect(way: Way, polite: boolean): Promise<Negotiation | undefined> {
    const session = this.#session;
    const servers = await serversFor(session);
    if (!this.#rtc || this.#ways.get(way.peer) !== way) return undefined;
    way.negotiation = new Negotiation(this.#rtc, {
      platform: session.platform, polite, servers, relayed: () => way.relayed || isRelayed(session),
      renewed: () => renewedServers(session),
      tell: (signal) => {
        this.#tell(way, way.peer, { id: way.id, to: way.dev, ...signal });
      },
      state: () => undefined, // what does not come about, or goes, is noticed by looking
      prepare: (peer) => {
        if (!polite) way.channel = peer.channel('courtyard', 'peer/1', this.#hears(way));
      },
      channel: (channel) => {
        if (!polite || channel.label !== 'courtyard' || channel.protocol !== 'peer/1') return undefined;
        way.channel = channel;
        return this.#hears(way);
      },
    });
    return way.negotiation;
  }

  #hears(way: Way): PeerChannelListener {
    return {
      opened: () => {
        this.#session.outbox.kick();
      },
      message: (message) => {
        if (this.#ways.get(way.peer) === way && this.#stands(way)) this.#message(way, message);
      },
      closed: () => {
        if (this.#ways.get(way.peer) === way) this.#end(way, false);
      },
      drained: () => undefined,
    };
  }

  #tell(way: Way | undefined, peer: Uid, said: PeerSays): void {
    const { letters, self, connection } = this.#session;
    const send = async (): Promise<void> => {
      const { env } = await letters.seal({ peer, type: 'live', kind: 'peer', mid: b64(randomBytes(16)), clock: self.now(), seq: 1, body: said, copy: false, lasts: LASTS });
      connection.cast(env);
    };
    const telling = (way?.telling ?? Promise.resolve()).then(send).catch(this.#session.shrug);
    if (way) way.telling = telling;
  }

  /** @param tell so that the other side need not find out */
  #end(way: Way, tell: boolean): void {
    if (this.#ways.get(way.peer) === way) this.#ways.delete(way.peer);
    if (tell) this.#tell(undefined, way.peer, { id: way.id, to: way.dev, end: true });
    for (const { cancel, reject } of way.questions.values()) {
      cancel();
      reject(new Trouble('offline'));
    }
    way.questions.clear();
    way.negotiation?.close();
  }

  #look(): void {
    this.#cancelLook = this.#session.platform.after(LOOK_EVERY, () => {
      const now = this.#session.platform.now();
      for (const way of [...this.#ways.values()]) {
        if (this.#wanted(way.peer)) way.looked = now;
        const tried = way.channel?.open !== true && now - way.began > TRIES;
        if (!this.#allowed(way) || tried || now - way.looked > KEPT || way.negotiation?.peer.state === 'failed') this.#end(way, true);
      }
      this.#look();
    });
  }
}
