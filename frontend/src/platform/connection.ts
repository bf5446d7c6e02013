/**
 * The websocket to the own relay (protocol section 12): opens it, proves both sides, opens it again with
 * growing pauses when it breaks, and at once when the network or the person comes back. It knows frames,
 * not what is in letters.
 */

import { Trouble } from '../domain/failure';
import type { Host } from '../protocol/address';
import { authProof, checkReady } from '../protocol/auth';
import { b64, type Bytes } from '../protocol/bytes';
import { any, array, bool, bytes, int, isObject, type Json, type JsonObject, oneOf, open, parseJson, type ReadOf, text } from '../protocol/json';
import type { DeviceKeys } from '../protocol/keys';
import { isProblem, Problem, wireCode } from '../protocol/problem';
import { randomBytes } from '../protocol/primitives';
import { readParams } from './api';
import type { Platform, Socket } from './platform';

/** An envelope is at most 128 KiB; a frame a little more. */
const FRAME_LIMIT = 256 * 1024;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 30_000;
/** From dialling to `ready`. */
const OPENING = 15_000;
/** What has no answer for so long means that the socket is dead, whatever the browser says. */
const SILENCE = 15_000;
/** A connection whose letters could not be taken so long ago has nothing to do with this one. */
const FORGOTTEN = 5 * 60_000;
/** A socket that was out of sight for longer is not trusted any more. */
const STALE = 20_000;

const readChallenge = open({ nonce: bytes(32), key: bytes(32) });
const readReady = open({
  token: text(512), time: int(), username: text(32), owner: bool, proof: bytes(64), cursor: int(), chain: int(), vault: int(), uek: int(),
  home: open({ state: oneOf('none', 'online', 'away') }, { since: int() }), space: open({ used: int(), limit: int() }),
});
const readAccepted = open({ id: text(22) }, { kept: array(text(43), 2) });
const readRefused = open({ code: text(64) }, { id: text(22), params: any });
const readDeliver = open({ n: int(1), env: any });
const readLive = open({ env: any });
const readEvent = open({ what: text(32) }, { params: any });

export type Ready = ReadOf<typeof readReady>;

export type LinkState = 'offline' | 'connecting' | 'online' | 'refused';

export interface ConnectionListener {
  state(state: LinkState): void;
  /** Proven both ways; what follows belongs to this socket. */
  ready(ready: Ready): void;
  deliver(n: number, env: Json): void;
  live(env: Json): void;
  event(what: string, params: Readonly<Record<string, Json>>): void;
  /** something cast was not handed on */
  lost(id: string, code: string): void;
}

export interface Accepted {
  /** those without a home, for whom this relay keeps it */
  readonly kept: readonly string[];
}

interface Waiting {
  readonly resolve: (accepted: Accepted) => void;
  readonly reject: (error: Error) => void;
  readonly since: number;
}

interface Question {
  readonly resolve: (answer: JsonObject) => void;
  readonly reject: (error: Error) => void;
  readonly cancel: () => void;
}

export interface Identity {
  readonly uid: Bytes;
  readonly keys: DeviceKeys;
  readonly host: Host;
  readonly relayKey: Bytes;
}

export class Connection {
  readonly #platform: Platform;
  readonly #identity: Identity;
  readonly #listener: ConnectionListener;
  /** tells two sockets of one device apart */
  readonly #instance = randomBytes(16);
  readonly #waiting = new Map<string, Waiting>();
  /** questions that concern no envelope, by their op; answered in the order they were asked */
  readonly #questions = new Map<string, Question[]>();
  /** an older relay knows none, and ends the socket of whoever asks */
  #answers = true;
  #state: LinkState = 'offline';
  #socket: Socket | undefined;
  #ready = false;
  #failures = 0;
  /** how often in a row what it brought could not be taken, and when last */
  #bounces = 0;
  #bounced = 0;
  #hiddenSince: number | undefined;
  #cancelTimer: () => void = () => undefined;
  #cancelWatchdog: () => void = () => undefined;
  #unwatch: (() => void) | undefined;

  constructor(platform: Platform, identity: Identity, listener: ConnectionListener) {
    this.#platform = platform;
    this.#identity = identity;
    this.#listener = listener;
  }

  get state(): LinkState {
    return this.#state;
  }

  start(): void {
    if (this.#unwatch) return;
    this.#unwatch = this.#platform.watch((turn) => {
      if (turn === 'offline') this.#drop('offline');
      else if (turn === 'hidden') this.#hiddenSince = this.#platform.now();
      else {
        // What was opened in another network is dead, or will be in a moment.
        if (turn === 'moved' && this.#socket) this.#drop('connecting');
        this.#again(turn === 'shown');
      }
    });
    this.#dial();
  }

  stop(): void {
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.#drop('offline');
    this.#cancelTimer();
  }

  /**
   * Sends a stored kind of envelope, given as its exact text; resolves when the relay has it on disk. Rejects
   * with the relay's code, or with `offline` when the socket broke before an answer: then it may have arrived.
   * `quiet`: nobody need be woken for it (section 16). `unsure`: by this device's clock it is dated ahead (section 14).
   */
  put(id: string, env: string, people: readonly string[] | undefined, quiet = false, unsure = false): Promise<Accepted> {
    return new Promise((resolve, reject) => {
      if (!this.#send(frameOf(env, people, [quiet ? 'quiet' : undefined, unsure ? 'unsure' : undefined]))) {
        reject(new Trouble('offline'));
        return;
      }
      this.#waiting.get(id)?.reject(new Trouble('offline'));
      this.#waiting.set(id, { resolve, reject, since: this.#platform.now() });
      this.#watchdog();
    });
  }

  /**
   * Sends what is worthless later; nobody waits for it. `ring` wakes devices that sleep, `reach` and `ring` open a way to
   * another courtyard where there is none (section 17).
   */
  cast(env: string, how?: 'ring' | 'reach'): void {
    this.#send(frameOf(env, undefined, [how]));
  }

  /** Asks the relay for what concerns no envelope. Rejects with its code, or with `offline`. `patience`: less than usual. */
  ask(op: 'turn' | 'where', params: JsonObject = {}, patience = SILENCE): Promise<JsonObject> {
    return new Promise((resolve, reject) => {
      if (!this.#answers) {
        reject(new Problem('unavailable'));
        return;
      }
      if (!this.#send(JSON.stringify({ op, ...params }))) {
        reject(new Trouble('offline'));
        return;
      }
      const asked = this.#questions.get(op) ?? [];
      this.#questions.set(op, asked);
      const socket = this.#socket;
      asked.push({
        resolve, reject,
        cancel: this.#platform.after(patience, () => {
          if (this.#socket === socket) this.#fail();
        }),
      });
    });
  }

  /** All up to `n` is on this device's disk. */
  confirm(n: number): void {
    this.#bounces = 0;
    this.#send(`{"op":"confirm","n":${String(n)}}`);
  }

  /** Several in a row could not take what they brought. */
  get stuck(): boolean {
    return this.#bounces > 2 && this.#platform.now() - this.#bounced < FORGOTTEN;
  }

  /** What it brought cannot be taken now: it is opened anew after a pause, and brings it again. */
  bounce(): void {
    if (!this.#ready) return;
    const now = this.#platform.now();
    if (now - this.#bounced > FORGOTTEN) this.#bounces = 0;
    this.#bounced = now;
    this.#failures = this.#bounces++;
    this.#fail();
  }

  #send(frame: string): boolean {
    if (!this.#ready || !this.#socket) return false;
    this.#socket.send(frame);
    return true;
  }

  /** The network or the person is back: no more pausing. */
  #again(shown: boolean): void {
    const hidden = this.#hiddenSince === undefined ? 0 : this.#platform.now() - this.#hiddenSince;
    if (shown) this.#hiddenSince = undefined;
    if (this.#socket && shown && hidden > STALE) this.#drop('connecting');
    if (this.#socket || this.#state === 'refused') return;
    this.#failures = 0;
    this.#dial();
  }

  #dial(): void {
    this.#cancelTimer();
    if (this.#socket || !this.#unwatch) return;
    if (!this.#platform.online) {
      this.#become('offline');
      return;
    }
    this.#become('connecting');
    const { origin } = this.#platform;
    const nonce = randomBytes(32);
    const socket: Socket = this.#platform.socket(`${origin.replace(/^http/, 'ws')}/api/1/socket`, {
      message: (data) => {
        if (this.#socket !== socket) return;
        this.#receive(socket, nonce, data).catch((error: unknown) => {
          this.#broken(socket, error);
        });
      },
      closed: () => {
        if (this.#socket === socket) this.#fail();
      },
    });
    this.#socket = socket;
    this.#cancelTimer = this.#platform.after(OPENING, () => {
      if (this.#socket === socket && !this.#ready) this.#fail();
    });
  }

  async #receive(socket: Socket, nonce: Bytes, data: unknown): Promise<void> {
    if (typeof data !== 'string') throw new Problem('bad-request', { reason: 'frame' });
    const frame = parseJson(data, { bytes: FRAME_LIMIT, depth: 8 });
    if (!isObject(frame)) throw new Problem('bad-request', { reason: 'frame' });
    const op = frame['op'];
    if (!this.#ready) {
      if (op === 'challenge') await this.#prove(socket, nonce, frame);
      else if (op === 'ready') this.#open(nonce, frame);
      else if (op === 'refused') throw refusalOf(readRefused(frame));
      return;
    }
    switch (op) {
      case 'accepted': {
        const { id, kept = [] } = readAccepted(frame);
        this.#settle(id)?.resolve({ kept });
        return;
      }
      case 'refused': {
        const refused = readRefused(frame);
        if (refused.id === undefined) {
          if (refused.code === 'bad-request' && [...this.#questions.values()].some(({ length }) => length > 0)) this.#answers = false;
          throw refusalOf(refused);
        }
        const waiting = this.#settle(refused.id);
        if (waiting) waiting.reject(refusalOf(refused));
        else this.#listener.lost(refused.id, refused.code);
        return;
      }
      case 'deliver': {
        const { n, env } = readDeliver(frame);
        this.#listener.deliver(n, env);
        return;
      }
      case 'live':
        this.#listener.live(readLive(frame).env);
        return;
      case 'event': {
        const { what, params } = readEvent(frame);
        this.#listener.event(what, params !== undefined && isObject(params) ? params : {});
        return;
      }
      case 'turn':
      case 'where': {
        const question = this.#questions.get(op)?.shift();
        question?.cancel();
        // Refused like this, a question ends nothing.
        if ('code' in frame) question?.reject(refusalOf(readRefused(frame)));
        else question?.resolve(frame);
        return;
      }
      default: // an op from later
    }
  }

  async #prove(socket: Socket, nonce: Bytes, frame: Json): Promise<void> {
    const { uid, keys, host, relayKey } = this.#identity;
    const sig = await authProof(keys, uid, { key: relayKey, host }, readChallenge(frame));
    if (this.#socket !== socket) return;
    socket.send(JSON.stringify({
      op: 'auth', uid: b64(uid), device: b64(keys.id), nonce: b64(nonce), instance: b64(this.#instance), sig: b64(sig),
    }));
  }

  #open(nonce: Bytes, frame: Json): void {
    const ready = readReady(frame);
    checkReady(this.#identity.relayKey, nonce, this.#identity.uid, ready.proof);
    this.#cancelTimer();
    this.#ready = true;
    this.#failures = 0;
    this.#listener.ready(ready);
    this.#become('online');
  }

  #settle(id: string): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#cancelWatchdog();
    else this.#watchdog();
    return waiting;
  }

  /** Looks after the oldest unanswered put. */
  #watchdog(): void {
    this.#cancelWatchdog();
    const [oldest] = this.#waiting.values();
    if (!oldest) return;
    const socket = this.#socket;
    const left = Math.max(0, oldest.since + SILENCE - this.#platform.now());
    this.#cancelWatchdog = this.#platform.after(left, () => {
      if (this.#socket === socket && this.#waiting.size > 0) this.#fail();
    });
  }

  #broken(socket: Socket, error: unknown): void {
    if (this.#socket !== socket) return;
    // A device that was revoked, or another relay under this name: trying again changes nothing.
    if (isProblem(error, 'auth-bad', 'unauthorized', 'not-found')) this.#drop('refused');
    else this.#fail();
  }

  #fail(): void {
    this.#drop('connecting');
    this.#failures++;
    const cap = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.min(this.#failures - 1, 10));
    // Full jitter, but never at once: a relay that restarts is not met by everybody in the same moment.
    const pause = cap / 4 + Math.random() * ((cap * 3) / 4);
    this.#cancelTimer();
    this.#cancelTimer = this.#platform.after(pause, () => {
      this.#dial();
    });
    if (!this.#platform.online || this.#failures > 1) this.#become('offline');
  }

  #drop(state: LinkState): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#ready = false;
    this.#cancelWatchdog();
    socket?.close();
    for (const waiting of this.#waiting.values()) waiting.reject(new Trouble('offline'));
    this.#waiting.clear();
    for (const { cancel, reject } of [...this.#questions.values()].flat()) {
      cancel();
      reject(new Trouble('offline'));
    }
    this.#questions.clear();
    this.#become(state);
  }

  #become(state: LinkState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#listener.state(state);
  }
}

/** `env` is put in as it is: what was sealed once travels as the same bytes each time. */
function frameOf(env: string, people: readonly string[] | undefined, marks: readonly ('quiet' | 'unsure' | 'ring' | 'reach' | undefined)[]): string {
  const list = people === undefined ? '' : `"for":${JSON.stringify(people)},`;
  const said = marks.map((mark) => (mark === undefined ? '' : `"${mark}":true,`)).join('');
  return `{"op":"put",${list}${said}"env":${env}}`;
}

function refusalOf({ code, params }: ReadOf<typeof readRefused>): Problem {
  return new Problem(wireCode(code), readParams(params));
}

/** Host of an origin, with the port a browser leaves out. */
export function hostOfOrigin(origin: string): Host {
  const url = new URL(origin);
  const fallback = url.protocol === 'https:' ? 443 : 80;
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? fallback : Number(url.port) };
}


