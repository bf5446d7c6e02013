/**
 * The sealed channel to the own home (protocol section 11): opened when the home is there, opened again when either
 * side lost it, and what is asked over it. The relay passes it on and can read none of it. While there is a shorter way to
 * the home (section 17) what is asked goes there; what finds no answer on it is asked here again.
 */

import type { Platform } from '../platform/platform';
import { b64, equal, utf8, type Bytes } from '../protocol/bytes';
import { encodeEnvelope, makeHeader, type Envelope } from '../protocol/envelope';
import type { ChainDevice } from '../protocol/ident';
import { isObject, parseJson, type Json, type JsonObject } from '../protocol/json';
import { LinkInitiator, parseLink, type LinkChannel, type LinkMessage } from '../protocol/link';
import { isProblem, Problem, wireCode } from '../protocol/problem';
import { readParams } from '../platform/api';
import { Trouble } from './failure';
import type { Self } from './self';
import type { HomePath } from './types';

const PLAINTEXT_LIMIT = 64 * 1024;
const OPENING = 10_000;
const ANSWER = 20_000;
/** The shorter way has said nothing for so long, though asked. */
const SILENCE = 5_000;
/** of an envelope of type `link` */
const LASTS = 30_000;
const PAUSE = 3_000;
const TRIES = 3;
const REMEMBERED = 64;

/** A shorter way to the same home (direct.ts), whose other end answers as the link's does. */
export interface Bypass {
  readonly path: Exclude<HomePath, 'courtyard'>;
  /** False where it is not open. */
  send(text: string): boolean;
  /** It was asked and says nothing: it is of no use any more. */
  silent(): void;
}

interface Asked {
  readonly method: string;
  readonly params: JsonObject;
  /** goes over the link, whatever else there is */
  readonly linked: boolean;
  readonly resolve: (answer: JsonObject) => void;
  readonly reject: (error: Error) => void;
  readonly cancel: () => void;
  tries: number;
  /** waits for an answer by the shorter way */
  bypassed: boolean;
}

/** One attempt to open the channel. */
interface Opening {
  /** undefined: is being made */
  hello: LinkInitiator | undefined;
}

export interface HomeLinkSurroundings {
  readonly self: Self;
  readonly platform: Platform;
  /** the active home of the own chain */
  home(): ChainDevice | undefined;
  /** sends an envelope that is never queued */
  cast(env: string): void;
  /** the channel is open; what was asked before is answered over it */
  opened(): void;
  /** something the home says unasked */
  said(method: string, params: JsonObject): void;
}

export class HomeLink {
  readonly #around: HomeLinkSurroundings;
  #reachable = false;
  #opening: Opening | undefined;
  #channel: LinkChannel | undefined;
  #bypass: Bypass | undefined;
  #failures = 0;
  #next = 1;
  readonly #asked = new Map<number, Asked>();
  #cancelTimer: () => void = () => undefined;
  #cancelSilence: (() => void) | undefined;
  /** ids of the newest frames, to know a refusal of one */
  readonly #sent = new Set<string>();
  /** frames are opened in the order they came */
  #queue: Promise<void> = Promise.resolve();

  constructor(around: HomeLinkSurroundings) {
    this.#around = around;
  }

  /** The home can be asked, whichever way. */
  get open(): boolean {
    return this.linked || this.#bypass !== undefined;
  }

  /** The sealed channel stands. */
  get linked(): boolean {
    return this.#channel !== undefined;
  }

  /** How what is asked now goes. */
  get path(): HomePath {
    return this.#bypass?.path ?? 'courtyard';
  }

  /** From now on everything goes there, until it is taken away: then what has no answer yet is asked again here. */
  set bypass(bypass: Bypass | undefined) {
    this.#bypass = bypass;
    this.#cancelSilence?.();
    this.#cancelSilence = undefined;
    for (const [id, asked] of this.#asked) if (asked.bypassed) this.#sendAsked(id);
  }

  /** Whether the relay says that the home is connected, and we are. */
  set reachable(reachable: boolean) {
    if (reachable && this.#reachable) return;
    this.#reachable = reachable;
    this.#failures = 0;
    if (reachable) this.#dial();
    else this.#close(true);
  }

  /** The own connection broke: what has been asked waits for the next one, for as long as it would wait for an answer. */
  pause(): void {
    this.#reachable = false;
    this.#close(false);
  }

  /** The home connected anew: it knows nothing of the old session. */
  restart(): void {
    this.#close(false);
    if (this.#reachable) this.#dial();
  }

  /** Throws `home-away` when there is no answer, or the home's own code. Only for what may be asked twice. */
  ask(method: string, params: JsonObject = {}): Promise<JsonObject> {
    return this.#ask(method, params, false);
  }

  /** Likewise, and it is the sealed channel that carries it: for what has to be vouched for by it. */
  askLinked(method: string, params: JsonObject): Promise<JsonObject> {
    return this.#ask(method, params, true);
  }

  #ask(method: string, params: JsonObject, linked: boolean): Promise<JsonObject> {
    return new Promise((resolve, reject) => {
      if (!this.#reachable && (linked || !this.#bypass)) {
        reject(new Problem('home-away'));
        return;
      }
      const id = this.#next++;
      const cancel = this.#around.platform.after(ANSWER, () => {
        const bypassed = this.#asked.get(id)?.bypassed;
        this.#asked.delete(id);
        reject(new Problem('home-away'));
        // Silence means that the home has forgotten the session, or is gone without a word.
        if (bypassed !== true) this.restart();
      });
      this.#asked.set(id, { method, params, linked, resolve, reject, cancel, tries: 0, bypassed: false });
      this.#sendAsked(id);
      if (!this.#channel && !this.#opening) this.#dial();
    });
  }

  /** What came by the shorter way. */
  hear(text: string): void {
    this.#heard(parseJson(text, { bytes: PLAINTEXT_LIMIT, depth: 12 }));
    this.#cancelSilence?.();
    this.#cancelSilence = undefined;
    this.#listen();
  }

  /** An envelope of type `link` that came for this device. */
  receive(envelope: Envelope): void {
    this.#queue = this.#queue
      .then(() => this.#take(envelope))
      .catch((error: unknown) => {
        if (isProblem(error)) this.#failed();
        else this.#around.platform.report(error);
      });
  }

  /** A frame was not handed on: the counters on both sides do not meet any more. */
  lost(id: string, code: string): void {
    if (!this.#sent.delete(id)) return;
    // With `home-away` the relay says so by itself; here the hello simply goes again later.
    if (code === 'home-away' || code === 'unavailable') this.#failed();
    else this.restart();
  }

  stop(): void {
    this.bypass = undefined;
    this.#reachable = false;
    this.#close(true);
  }

  #dial(): void {
    this.#cancelTimer();
    const home = this.#around.home();
    if (!home || !this.#reachable) return;
    const { self, platform } = this.#around;
    this.#cancelTimer = platform.after(OPENING, () => {
      this.#failed();
    });
    const opening: Opening = { hello: undefined };
    this.#opening = opening;
    LinkInitiator.start({ uid: self.uid, device: self.keys.id, home: home.id, relayKey: self.relayKey, host: self.host }, self.keys)
      .then((initiator) => {
        if (this.#opening !== opening) return;
        opening.hello = initiator;
        this.#cast(initiator.hello);
      })
      .catch((error: unknown) => {
        platform.report(error);
      });
  }

  async #take(envelope: Envelope): Promise<void> {
    const home = this.#around.home();
    const { self } = this.#around;
    if (!home || !equal(envelope.from.id, home.id) || !equal(envelope.to.id, self.keys.id)) return;
    const message = parseLink(envelope.data);
    // Another tab of this browser has the same device id and a session of its own.
    const hello = this.#opening?.hello;
    if (hello && equal(message.session, hello.session)) await this.#answer(hello, message, home);
    else if (this.#channel && equal(message.session, this.#channel.session)) this.#frame(this.#channel, message);
  }

  async #answer(initiator: LinkInitiator, message: LinkMessage, home: ChainDevice): Promise<void> {
    if (message.kind !== 'answer') return;
    const { finish, channel } = await initiator.finish(message, home.sign);
    if (this.#opening?.hello !== initiator) return;
    this.#cancelTimer();
    this.#opening = undefined;
    this.#channel = channel;
    this.#failures = 0;
    this.#cast(finish);
    for (const [id, asked] of this.#asked) if (!asked.bypassed) this.#sendAsked(id);
    this.#around.opened();
  }

  #frame(channel: LinkChannel, message: LinkMessage): void {
    if (message.kind === 'closed') {
      this.restart();
      return;
    }
    if (message.kind !== 'frame') return;
    this.#heard(parseJson(channel.open(message), { bytes: PLAINTEXT_LIMIT, depth: 12 }));
  }

  #heard(value: Json): void {
    if (!isObject(value)) throw new Problem('session-bad', { reason: 'frame' });
    const { id, m, p, r, e } = value;
    if (typeof m === 'string') {
      this.#around.said(m, p !== undefined && isObject(p) ? p : {});
      return;
    }
    const asked = typeof id === 'number' ? this.#asked.get(id) : undefined;
    if (!asked || typeof id !== 'number') return;
    this.#asked.delete(id);
    asked.cancel();
    if (e !== undefined) {
      const code = isObject(e) && typeof e['code'] === 'string' ? e['code'] : 'internal';
      asked.reject(new Problem(wireCode(code), isObject(e) ? readParams(e['params']) : {}));
    } else asked.resolve(r !== undefined && isObject(r) ? r : {});
  }

  #sendAsked(id: number): void {
    const asked = this.#asked.get(id);
    if (!asked) return;
    const text = JSON.stringify({ id, m: asked.method, p: asked.params });
    asked.bypassed = !asked.linked && this.#bypass?.send(text) === true;
    if (asked.bypassed) this.#listen();
    if (asked.bypassed || !this.#channel) return;
    if (++asked.tries > TRIES) {
      this.#asked.delete(id);
      asked.cancel();
      asked.reject(new Problem('home-away'));
      return;
    }
    try {
      this.#cast(this.#channel.seal(utf8(text)));
    } catch (error) {
      this.#asked.delete(id);
      asked.cancel();
      asked.reject(error instanceof Error ? error : new Trouble('offline'));
    }
  }

  /** As long as something waits for it, the shorter way may not be silent for long. Whatever it says counts. */
  #listen(): void {
    if (![...this.#asked.values()].some(({ bypassed }) => bypassed)) return;
    this.#cancelSilence ??= this.#around.platform.after(SILENCE, () => {
      this.#cancelSilence = undefined;
      this.#bypass?.silent();
    });
  }

  #cast(data: Bytes): void {
    const { self } = this.#around;
    const home = this.#around.home();
    if (!home) return;
    const ts = self.now();
    const header = makeHeader({
      from: { ...self.address, id: self.keys.id }, to: { ...self.address, id: home.id }, type: 'link', ts, exp: ts + LASTS,
    });
    this.#sent.add(b64(header.id));
    for (const oldest of this.#sent) {
      if (this.#sent.size <= REMEMBERED) break;
      this.#sent.delete(oldest);
    }
    this.#around.cast(encodeEnvelope({ ...header, data }));
  }

  #failed(): void {
    this.#close(false);
    if (!this.#reachable) return;
    this.#failures++;
    const pause = Math.min(60_000, PAUSE * 2 ** Math.min(this.#failures - 1, 5)) * (0.5 + Math.random() / 2);
    this.#cancelTimer = this.#around.platform.after(pause, () => {
      this.#dial();
    });
  }

  #close(forGood: boolean): void {
    this.#cancelTimer();
    this.#channel?.close();
    this.#channel = undefined;
    this.#opening = undefined;
    if (!forGood) return;
    for (const [id, asked] of this.#asked) {
      if (asked.bypassed) continue;
      this.#asked.delete(id);
      asked.cancel();
      asked.reject(new Problem('home-away'));
    }
  }
}

/** What identifies a home in cursors: a new home is a new log. */
export function homeName(home: ChainDevice): string {
  return b64(home.id);
}

