/**
 * Calls (protocol section 17): carries out what the machine says must be done: letters, microphone and camera, the
 * connection, the note in the conversation. One call at a time over all tabs of this browser. Loaded with the first
 * letter of a call, or when somebody is called.
 */

import type { Channel } from '../../platform/platform';
import { b64, unb64 } from '../../protocol/bytes';
import type { Json } from '../../protocol/json';
import { readBody, type Signal } from '../../protocol/message';
import { randomBytes } from '../../protocol/primitives';
import { isProblem } from '../../protocol/problem';
import type { LogEvent } from '../event';
import { failureOf, Trouble } from '../failure';
import { isRelayed, renewedServers, serversFor } from '../peers/servers';
import type { Session } from '../session';
import type { CallMedia, CallOver, CallRoom, CallView, Uid } from '../types';
import { LEFT } from './left';
import { Line } from './line';
import { step, type CallSays, type Effect, type Input, type Note, type Standing } from './machine';

/** A letter of a call is worth something for so long. */
const LASTS = 10_000;
/** One that is sealed before it is needed; a little longer than it is held. */
const FAREWELL = 55_000;
const FAREWELL_EVERY = 40_000;
/** How long the screen says why it is over. */
const OVER = 2_500;
/** between two looks at the clock of a call that the store remembers */
const KEPT_EVERY = 15_000;
/** the lock that a tab holds while it is in a call, and for nothing else */
const UNDERWAY = 'call/underway';
const REMEMBERED = 32;
/** A friend who calls oftener within this time does not ring: it is no use to anybody. */
const RINGS = 12;
const RINGS_WITHIN = 60_000;
const NOTHING: Line['shown'] = { camera: false, flippable: false, local: undefined, remote: undefined, seen: false, path: undefined, quality: undefined };

interface Kept extends Note {
  readonly peer: Uid;
}

export class Calls implements CallRoom {
  readonly #session: Session;
  readonly #channel: Channel;
  #standing: Standing | undefined;
  #line: Line | undefined;
  #asking: { readonly peer: Uid; readonly media: CallMedia } | undefined;
  #over: { readonly standing: Standing; readonly why: CallOver } | undefined;
  #problem: CallView['problem'];
  #muted = false;
  /** ends of calls: a ring that was under way does not bring one back */
  readonly #finished: string[] = [];
  /** when friends have called, newest last */
  readonly #rung: { readonly peer: Uid; readonly call: string; readonly at: number }[] = [];
  /** another tab of this browser is in this call */
  #elsewhere: string | undefined;
  #farewell: string | undefined;
  /** the call for which this tab holds the lock */
  #held: string | undefined;
  #release: () => void = () => undefined;
  #cancelTick: () => void = () => undefined;
  #cancelOver: () => void = () => undefined;
  #cancelFarewell: () => void = () => undefined;
  #view: CallView | undefined;
  #stopped = false;

  private constructor(session: Session) {
    this.#session = session;
    this.#channel = session.platform.channel('call', (word) => {
      this.#told(word);
    });
    this.#channel.post({ what: 'who' });
  }

  static async attend(session: Session): Promise<Calls> {
    const calls = new Calls(session);
    await calls.#settleOld();
    return calls;
  }

  stop(): void {
    this.leave();
    this.#stopped = true;
    this.#channel.close();
  }

  get view(): CallView | undefined {
    return this.#view;
  }

  // ---- what the person does ----------------------------------------------------------------------------------------------

  async start(peer: Uid, media: CallMedia): Promise<void> {
    if (this.#session.friends.get(peer)?.state !== 'friend') throw new Trouble('not-friend');
    if (this.#standing || this.#asking || this.#elsewhere !== undefined) throw new Trouble('call-under-way');
    this.#dismiss();
    this.#asking = { peer, media };
    this.#changed();
    try {
      await this.#session.greeted();
      await this.#mayBe();
      if (await this.#session.platform.locked(UNDERWAY)) throw new Trouble('call-under-way');
      const line = await this.#open(media);
      // Meanwhile they may have called, or it was thought better of.
      if (!this.#asks(peer) || this.#engaged) {
        line.close();
        return;
      }
      // Or another tab has begun one.
      if (this.#taken) {
        line.close();
        throw new Trouble('call-under-way');
      }
      this.#line = line;
      this.#step({ what: 'start', call: b64(randomBytes(16)), peer, media });
    } finally {
      if (this.#asks(peer)) this.#asking = undefined;
      this.#changed();
    }
  }

  get #taken(): boolean {
    return this.#elsewhere !== undefined;
  }

  get #engaged(): boolean {
    return this.#standing !== undefined;
  }

  #asks(peer: Uid): boolean {
    return this.#asking?.peer === peer;
  }

  async accept(): Promise<void> {
    const ringing = this.#standing;
    if (ringing?.phase !== 'ringing') return;
    this.#problem = undefined;
    try {
      await this.#mayBe();
      if ((await this.#session.platform.locked(UNDERWAY)) && this.#standing === ringing) throw new Trouble('call-under-way');
      const line = await this.#open(ringing.media);
      if (this.#standing?.call !== ringing.call || this.#standing.phase !== 'ringing') {
        line.close();
        return;
      }
      this.#line?.close();
      this.#line = line;
      this.#step({ what: 'accept' });
    } catch (error) {
      this.#problem = failureOf(error);
      this.#changed();
      throw error;
    }
  }

  /** Through the courtyard alone, where it lends nothing, none comes about. */
  async #mayBe(): Promise<void> {
    if (!isRelayed(this.#session)) return;
    const servers = await serversFor(this.#session);
    if (!servers.some(({ urls }) => urls.some((url) => url.startsWith('turn')))) throw new Trouble('calls-not-passed');
  }

  decline(): void {
    this.#step({ what: 'decline' });
  }

  hangUp(): void {
    this.#asking = undefined;
    this.#step({ what: 'hang-up' });
    this.#dismiss();
    this.#changed();
  }

  mute(yes: boolean): void {
    this.#muted = yes;
    this.#line?.mute(yes);
    this.#changed();
  }

  async camera(on: boolean): Promise<void> {
    await this.#line?.camera(on).finally(() => { this.#changed(); });
  }

  async flip(): Promise<void> {
    await this.#line?.flip().finally(() => { this.#changed(); });
  }

  /** The page goes: there is no time to seal anything. */
  leave(): void {
    if (this.#farewell !== undefined && this.#standing && this.#standing.phase !== 'ringing') this.#session.connection.cast(this.#farewell, 'reach');
    this.#line?.hangUp();
    this.#line?.close();
    this.#release();
  }

  dismiss(): void {
    this.#dismiss();
    this.#changed();
  }

  // ---- what is heard -----------------------------------------------------------------------------------------------------

  /** A `live` letter of a friend, opened and proved. */
  heard({ peer, dev, body }: LogEvent): void {
    let said: CallSays;
    try {
      readBody('live', 'call', body as Json);
      said = body as CallSays; // as it was read: the same, with its bytes as text
    } catch (error) {
      if (isProblem(error)) return;
      throw error;
    }
    const { call, op } = said;
    if (this.#finished.includes(call) && op !== 'answer') return;
    if (op === 'answer' && this.#finished.includes(call)) {
      // They took what is over.
      this.#tell({ peer, said: { call, op: 'end' } });
      return;
    }
    // The tab that is in a call speaks for all of them.
    if (this.#elsewhere !== undefined && !this.#standing) return;
    if (op === 'ring') {
      if (this.#tooOften(peer, call)) return;
      if (this.#asking?.peer === peer) this.#asking = undefined;
      else if (this.#asking) { // somebody is being called, as soon as the microphone is there
        this.#tell({ peer, said: { call, op: 'busy' } });
        return;
      }
      // Who is looked at and rings says so, and is not woken (section 16).
      if (!this.#standing) this.#session.presence.answer(peer);
    }
    this.#step({ what: 'heard', peer, dev, said });
  }

  /** Whether this is one call more than is bearable. */
  #tooOften(peer: Uid, call: string): boolean {
    const now = this.#session.platform.now();
    const recent = this.#rung.filter(({ at }) => now - at < RINGS_WITHIN);
    this.#rung.splice(0, Infinity, ...recent);
    const theirs = recent.filter((one) => one.peer === peer);
    if (theirs.some((one) => one.call === call)) return false;
    if (theirs.length >= RINGS) return true;
    this.#rung.push({ peer, call, at: now });
    return false;
  }

  // ---- what is to be done ------------------------------------------------------------------------------------------------

  #step(input: Input): void {
    const before = this.#standing;
    const { standing, effects } = step(before, input, this.#session.platform.now(), this.#session.self.device);
    this.#standing = standing;
    for (const effect of effects) this.#do(effect, before);
    this.#attend(before, standing);
    this.#changed();
  }

  #do(effect: Effect, before: Standing | undefined): void {
    switch (effect.do) {
      case 'send':
        this.#tell(effect);
        break;
      case 'answer':
        this.#answer();
        break;
      case 'join':
        this.#join(effect.offer).catch((error: unknown) => {
          this.#session.shrug(error);
          this.#problem = failureOf(error);
          this.#step({ what: 'gone' });
        });
        break;
      case 'signal':
        this.#line?.hear(effect.signal).catch(this.#session.platform.report);
        break;
      case 'note':
        this.#note(effect.peer, effect.note).catch(this.#session.platform.report);
        break;
      case 'over':
        this.#finish(effect.call, effect.why, before);
    }
  }

  /** Timers and locks that go with the present call. */
  #attend(before: Standing | undefined, standing: Standing | undefined): void {
    const { platform } = this.#session;
    this.#cancelTick();
    if (standing && standing.due !== Infinity) {
      this.#cancelTick = platform.after(Math.max(0, standing.due - platform.now()), () => {
        this.#step({ what: 'tick' });
      });
    }
    const busy = standing !== undefined && standing.phase !== 'ringing';
    const was = before !== undefined && before.phase !== 'ringing';
    if (busy && (!was || before.call !== standing.call)) this.#begin(standing);
    if (standing?.phase === 'talking' && before?.phase !== 'talking') this.#remember(standing);
  }

  #begin(standing: Standing): void {
    const { platform } = this.#session;
    this.#release();
    // Held as long as the call lasts: who opens the app meanwhile does not take its note for one that was left behind. Other
    // tabs take a lock that they get for the end of the call, so they are told when it is held here.
    const ended = new Promise<void>((resolve) => (this.#release = resolve));
    platform.lock('call', () => {
      this.#held = standing.call;
      this.#channel.post({ what: 'in', call: standing.call });
      return platform.lock(UNDERWAY, () => ended);
    }).catch(platform.report);
    if (standing.out) this.#remember(standing);
    else this.#session.store.saveSetting(LEFT, undefined).catch(platform.report); // of one that this side rang, and gave up for theirs
    this.#sealFarewell(standing);
  }

  /** Kept for its note, and with how long it has lasted. */
  #remember(standing: Standing): void {
    const { store, platform } = this.#session;
    if (!standing.out || this.#standing?.call !== standing.call) return;
    const { call, peer, media } = standing;
    const spoke = this.#standing.spoke;
    const kept: Kept = { peer, call, media, result: spoke === undefined ? 'missed' : 'answered', seconds: spoke === undefined ? 0 : Math.round((platform.now() - spoke) / 1000) };
    store.saveSetting(LEFT, kept).catch(platform.report);
    platform.after(KEPT_EVERY, () => {
      this.#remember(standing);
    });
  }

  /** One that a page left behind when it ended. */
  async #settleOld(): Promise<void> {
    const { store, platform } = this.#session;
    if ((await store.setting(LEFT)) === undefined) return;
    platform.lock('call', async () => {
      const kept = (await store.setting(LEFT)) as Kept | undefined;
      if (!kept || this.#stopped) return;
      const { peer, ...note } = kept;
      await this.#note(peer, note);
    }).catch(this.#session.shrug);
  }

  async #note(peer: Uid, note: Note): Promise<void> {
    const { self, store, friends } = this.#session;
    await store.saveSetting(LEFT, undefined);
    if (friends.get(peer)?.state !== 'friend') return;
    const { call, media, result, seconds } = note;
    await this.#session.compose([{
      peer, author: self.id, dev: self.device, mid: b64(randomBytes(16)), type: 'chat', kind: 'call', body: { call, media, result, seconds }, now: self.now(), copy: true, files: [], logged: true,
    }]);
  }

  #finish(call: string, why: CallOver, standing: Standing | undefined): void {
    this.#finished.push(call);
    if (this.#finished.length > REMEMBERED) this.#finished.shift();
    this.#cancelFarewell();
    this.#farewell = undefined;
    const line = this.#line;
    this.#line = undefined;
    this.#muted = false;
    line?.close();
    this.#release();
    this.#channel.post({ what: 'out', call });
    if (!standing || standing.phase === 'ringing' || why === 'hung-up' || why === 'elsewhere') return;
    this.#over = { standing, why };
    this.#cancelOver = this.#session.platform.after(OVER, () => {
      this.dismiss();
    });
  }

  #dismiss(): void {
    this.#cancelOver();
    this.#over = undefined;
    this.#problem = undefined;
  }

  // ---- letters -----------------------------------------------------------------------------------------------------------

  #tell({ peer, said, first }: { readonly peer: Uid; readonly said: CallSays; readonly first?: true }): void {
    const send = async (): Promise<void> => {
      this.#session.connection.cast(await this.#seal(peer, said, LASTS), first ? 'ring' : 'reach');
    };
    const line = this.#line;
    const telling = (line?.telling ?? Promise.resolve()).then(send).catch(this.#session.shrug);
    if (line) line.telling = telling;
  }

  async #seal(peer: Uid, said: CallSays, lasts: number): Promise<string> {
    const { letters, self } = this.#session;
    return (await letters.seal({ peer, type: 'live', kind: 'call', mid: b64(randomBytes(16)), clock: self.now(), seq: 1, body: said, copy: false, lasts })).env;
  }

  /** Said in the moment the page goes. */
  #sealFarewell({ peer, call }: Standing): void {
    this.#cancelFarewell();
    this.#seal(peer, { call, op: 'end' }, FAREWELL)
      .then((env) => {
        if (this.#standing?.call === call) this.#farewell = env;
      })
      .catch(this.#session.shrug);
    this.#cancelFarewell = this.#session.platform.after(FAREWELL_EVERY, () => {
      if (this.#standing?.call === call) this.#sealFarewell(this.#standing);
    });
  }

  #answer(): void {
    const standing = this.#standing;
    const description = this.#line?.description;
    if (!standing?.other || !description) return;
    this.#tell({ peer: standing.peer, said: { call: standing.call, op: 'answer', to: standing.other, ...description } });
  }

  // ---- microphone, camera, connection --------------------------------------------------------------------------------------

  async #open(wanted: CallMedia): Promise<Line> {
    const line: Line = await Line.open({
      platform: this.#session.platform,
      changed: () => {
        if (this.#line === line) this.#changed();
      },
      connected: () => {
        if (this.#line === line) this.#step({ what: 'connected' });
      },
      gone: () => {
        if (this.#line === line) this.#step({ what: 'gone' });
      },
      lost: () => {
        if (this.#line === line) this.#step({ what: 'lost' });
      },
      stands: () => this.#line !== line || this.#stands(),
    }, wanted);
    this.#problem = line.problem;
    return line;
  }

  /** Between friends, and devices that both courtyards still know: no relay stands between that would shut out one that was signed out. */
  #stands(): boolean {
    const { friends, chains, doorway, self } = this.#session;
    const { peer, other } = this.#standing ?? {};
    if (peer === undefined || other === undefined) return true;
    return friends.get(peer)?.state === 'friend' && doorway.standing.link !== 'refused' && chains.held(peer)?.active(unb64(other, 32), self.now()) !== undefined;
  }

  async #join(offer: Signal | undefined): Promise<void> {
    const standing = this.#standing;
    if (!standing) return;
    // Both rang, and this side takes theirs with what it had opened for its own.
    const line = (this.#line ??= await this.#open(standing.media));
    const { call } = standing;
    const servers = await serversFor(this.#session);
    if (this.#standing?.call !== call || this.#line !== line) return;
    await line.connect(offer, {
      servers, relayed: () => isRelayed(this.#session),
      renewed: () => renewedServers(this.#session),
      tell: (signal) => {
        this.#tellSignal(call, signal);
      },
    });
  }

  #tellSignal(call: string, signal: Signal): void {
    const standing = this.#standing;
    if (standing?.call !== call || standing.other === undefined) return;
    if (!standing.out && !standing.sure && signal.sdp?.type === 'offer') this.#answer();
    else this.#tell({ peer: standing.peer, said: { call, op: 'signal', to: standing.other, ...signal } });
  }

  // ---- tabs, and what is shown -------------------------------------------------------------------------------------------

  #told(word: unknown): void {
    if (typeof word !== 'object' || word === null || !('what' in word)) return;
    const call = 'call' in word && typeof word.call === 'string' ? word.call : undefined;
    const standing = this.#standing;
    if (word.what === 'who' && standing && standing.call === this.#held) this.#channel.post({ what: 'in', call: standing.call });
    else if (word.what === 'in' && call !== undefined) {
      this.#elsewhere = call;
      // It may end without a word; then its lock is free.
      this.#session.platform.lock('call', () => {
        this.#free(call);
        return Promise.resolve();
      }).catch(this.#session.platform.report);
      if (standing?.phase === 'ringing') this.#hush(standing.call);
    } else if (word.what === 'out') {
      if (call !== undefined) this.#free(call);
      if (standing?.phase === 'ringing' && standing.call === call) this.#hush(call);
    }
  }

  #free(call: string): void {
    if (this.#elsewhere === call) this.#elsewhere = undefined;
  }

  /** Another tab has taken it, or its end. */
  #hush(call: string): void {
    this.#cancelTick();
    this.#standing = undefined;
    this.#finished.push(call);
    this.#changed();
  }

  #changed(): void {
    if (this.#stopped) return;
    this.#view = this.#seen();
    this.#session.changed();
  }

  #seen(): CallView | undefined {
    const common = { ...(this.#line?.shown ?? NOTHING), muted: this.#muted, problem: this.#problem };
    const standing = this.#standing;
    if (standing) {
      const { call, peer, media, phase, out, spoke } = standing;
      return { ...common, id: call, peer, media, phase, out, spoke, why: undefined };
    }
    if (this.#asking) return { ...common, id: 'asking', ...this.#asking, phase: 'asking', out: true, spoke: undefined, why: undefined };
    if (this.#over) {
      const { call, peer, media, out, spoke } = this.#over.standing;
      return { ...common, id: call, peer, media, phase: 'over', out, spoke, why: this.#over.why };
    }
    return undefined;
  }
}
