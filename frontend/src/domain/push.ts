/**
 * Notifications (protocol section 16): this device's subscription, kept alive; whom the person does not want to be told
 * of, for all devices; the badge. Loaded after the app stands.
 */

import type { PushTools } from '../platform/platform';
import { b64, equal, type Bytes } from '../protocol/bytes';
import { array, bool, bytes, open, text } from '../protocol/json';
import { isProblem } from '../protocol/problem';
import type { VaultData } from '../protocol/vaultdata';
import { codeOf } from './failure';
import type { Session } from './session';
import type { Courtyard, Notifications, NotifyState, NotifyWords, Uid } from './types';

/** After this a test counts as lost. */
const TEST_WITHIN = 15_000;
/** Signing out waits so long for what is under way. */
const LEAVING = 5_000;
/** in the store's settings; the service worker reads it as well (src/sw.ts) */
const SETTING = 'push';
/** before the uid, in the vault's settings: one entry each, so that two devices do not write over each other */
const MUTED = 'mute.';

const readStanding = open({ key: bytes(65), subscribed: bool, muted: array(text(43), 1000) }, { endpoint: text(1024) });
type Standing = ReturnType<typeof readStanding>;

/** What the store remembers of this device's notifications. */
interface PushSetting {
  /** where the courtyard is, for the worker: `https://host[:port]` */
  readonly origin: string;
  readonly uid: Uid;
  readonly words: NotifyWords;
  /** as it stands at the courtyard; absent until it does */
  readonly endpoint?: string;
  readonly auth?: string;
  readonly key?: Bytes;
}

export class Push implements Notifications {
  readonly #session: Session;
  readonly #tools: PushTools;
  readonly #courtyard: Courtyard;
  readonly #unread = new Map<Uid, number>();
  #asking = new Set<Uid>();
  #ringing: Uid | undefined;
  #linked = false;
  #badge = -1;
  #stop: () => void = () => undefined;
  /** signing out: whatever is under way subscribes to nothing any more */
  #gone = false;
  /** one thing at a time */
  #work: Promise<unknown> = Promise.resolve();

  private constructor(courtyard: Courtyard, session: Session, tools: PushTools) {
    this.#courtyard = courtyard;
    this.#session = session;
    this.#tools = tools;
  }

  /** Begins to look after them, until `stop` or the end of the page. */
  static async attend(courtyard: Courtyard, session: Session): Promise<Push> {
    const push = new Push(courtyard, session, await session.platform.push());
    for (const { peer, unread } of courtyard.talks()) push.#unread.set(peer.uid, unread);
    push.#asking = push.#askers();
    // What was read before this could look on.
    const read = courtyard.talks().filter(({ peer, unread }) => unread === 0 && session.talks.isOpen(peer.uid)).map(({ peer }) => peer.uid);
    if (read.length > 0) push.#tools.clear(read).catch(session.platform.report);
    push.#stop = courtyard.subscribe(() => {
      push.#look();
    });
    push.#look();
    return push;
  }

  // ---- what the person asks for ----------------------------------------------------------------------------------------

  async state(): Promise<NotifyState> {
    const { lack, permission } = this.#tools;
    if (lack) return lack;
    if (permission === 'denied') return 'denied';
    const setting = await this.#setting();
    if (!setting || permission !== 'granted') return 'off';
    // A browser that has dropped its subscription gets another with the next connection.
    return setting.endpoint === undefined ? 'blocked' : 'on';
  }

  /** The browser is asked before anything is waited for: it wants to see the tap. */
  async turnOn(words: NotifyWords): Promise<NotifyState> {
    if (this.#tools.lack) return this.#tools.lack;
    const permission = await this.#tools.ask();
    if (permission !== 'granted') return permission === 'denied' ? 'denied' : 'off';
    return this.#alone(async () => {
      await this.#session.greeted();
      await this.#save({ words });
      return (await this.#renew(await this.#standing())) ? 'on' : 'blocked';
    });
  }

  async turnOff(): Promise<void> {
    // Before its turn too, so that it holds when the app is closed this moment.
    await this.#session.store.saveSetting(SETTING, undefined);
    await this.#alone(async () => {
      await this.#session.store.saveSetting(SETTING, undefined);
      await this.#tools.unsubscribe();
      await this.#session.greeted();
      await this.#session.api.call('DELETE', 'push');
    });
  }

  async test(): Promise<'arrived' | 'lost' | 'refused'> {
    await this.#session.greeted();
    let stop: () => void = () => undefined;
    try {
      const arrived = new Promise<'arrived'>((resolve) => {
        stop = this.#tools.hear((word) => {
          if (isTest(word)) resolve('arrived');
        });
      });
      await this.#session.api.call('POST', 'push/test');
      return await Promise.race([arrived, this.#after(TEST_WITHIN)]);
    } catch (error) {
      if (isProblem(error, 'not-allowed', 'address-refused', 'not-found')) return 'refused';
      if (isProblem(error, 'peer-away')) return 'lost';
      throw error;
    } finally {
      stop();
    }
  }

  async speak(words: NotifyWords): Promise<void> {
    await this.#alone(async () => {
      const setting = await this.#setting();
      if (setting) await this.#session.store.saveSetting(SETTING, { ...setting, words } satisfies PushSetting);
    });
  }

  isMuted(peer: Uid): boolean {
    const { vault } = this.#session;
    return vault.opened && vault.data.settings[MUTED + peer] === true;
  }

  async mute(peer: Uid, yes: boolean): Promise<void> {
    await this.#session.vault.note((data) => {
      const { [MUTED + peer]: _, ...settings } = data.settings;
      return { ...data, settings: yes ? { ...settings, [MUTED + peer]: true } : settings };
    });
    if (this.#session.linked) await this.#alone(() => this.#putMuted());
  }

  /** Signing out: nobody who uses this browser later is told anything. */
  async leave(): Promise<void> {
    this.#gone = true;
    // At once, and again when nothing is under way any more.
    await this.#forget();
    const again = this.#alone(async () => {
      await this.#forget();
      if (this.#session.linked) await this.#session.api.call('DELETE', 'push');
    });
    // A browser may take minutes over a subscription; nobody is kept in for that.
    await Promise.race([again, this.#after(LEAVING)]);
  }

  /** As it is now: it may change while something is waited for. */
  #hasLeft(): boolean {
    return this.#gone;
  }

  async #forget(): Promise<void> {
    await this.#session.store.saveSetting(SETTING, undefined);
    await Promise.all([this.#tools.unsubscribe(), this.#tools.badge(0), this.#tools.clear(this.#unread.keys())]);
  }

  /** The account is not here any more. */
  stop(): void {
    this.#stop();
  }

  // ---- what happens by itself --------------------------------------------------------------------------------------------

  /** After every change: it is called often and mostly finds nothing. */
  #look(): void {
    const { state } = this.#courtyard;
    const { platform } = this.#session;
    const linked = state.link === 'online';
    if (linked && !this.#linked) this.#alone(() => this.#keep()).catch(this.#session.shrug);
    this.#linked = linked;
    const seen: Uid[] = [];
    for (const { peer, unread } of this.#courtyard.talks()) {
      const before = this.#unread.get(peer.uid) ?? 0;
      this.#unread.set(peer.uid, unread);
      if (unread > before && !platform.visible) this.#tell('chat', peer.uid);
      else if (unread === 0 && before > 0) seen.push(peer.uid);
    }
    const asking = this.#askers();
    for (const uid of asking) if (!this.#asking.has(uid) && !platform.visible) this.#tell('friend', uid);
    this.#asking = asking;
    const ringing = this.#courtyard.call?.phase === 'ringing' ? this.#courtyard.call.peer : undefined;
    if (ringing !== this.#ringing) {
      if (ringing !== undefined && !platform.visible) this.#tell('call', ringing);
      else if (ringing === undefined && this.#ringing !== undefined) seen.push(this.#ringing);
      this.#ringing = ringing;
    }
    if (seen.length > 0) this.#tools.clear(seen).catch(platform.report);
    if (state.unread === this.#badge) return;
    this.#badge = state.unread;
    this.#tools.badge(state.unread).catch(platform.report);
  }

  #askers(): Set<Uid> {
    return new Set(this.#courtyard.people().filter(({ state }) => state === 'asks').map(({ uid }) => uid));
  }

  /** While the page is there and nobody looks at it, nothing is pushed: it tells by itself. */
  #tell(kind: 'chat' | 'friend' | 'call', uid: Uid): void {
    if (this.isMuted(uid)) return;
    this.#setting()
      .then((setting) => (setting ? this.#tools.tell(kind, uid) : undefined))
      .catch(this.#session.shrug);
  }

  /** With every connection: what the browser or the courtyard has forgotten is put right. */
  async #keep(): Promise<void> {
    const setting = await this.#setting();
    const current = await this.#tools.current();
    if (!setting) {
      // From somebody who used this browser before.
      if (current) await this.#tools.unsubscribe();
      return;
    }
    const standing = await this.#standing();
    if (this.#tools.permission === 'granted') await this.#renew(standing);
    else if (standing.subscribed) await this.#session.api.call('DELETE', 'push');
    await this.#putMuted(standing);
  }

  /** Makes browser and courtyard agree. False: the browser gets no subscription now; it is tried with each connection. */
  async #renew(standing: Standing): Promise<boolean> {
    let current = await this.#tools.current();
    if (current?.key && !equal(current.key, standing.key)) {
      await this.#tools.unsubscribe();
      current = undefined;
    }
    if (this.#hasLeft()) return false;
    current ??= await this.#tools.subscribe(standing.key);
    if (this.#hasLeft()) {
      await this.#tools.unsubscribe();
      return false;
    }
    if (!current) {
      await this.#save({});
      return false;
    }
    const { endpoint, p256dh, auth } = current;
    if (standing.endpoint !== endpoint) await this.#session.api.call('PUT', 'push', { endpoint, keys: { p256dh: b64(p256dh), auth: b64(auth) } });
    await this.#save({ endpoint, auth: b64(auth), key: standing.key });
    return true;
  }

  async #putMuted(known?: Standing): Promise<void> {
    const muted = mutedIn(this.#session.vault.data);
    const there = new Set(known?.muted);
    if (known && there.size === muted.length && muted.every((uid) => there.has(uid))) return;
    await this.#session.api.call('PUT', 'push/muted', { muted });
  }

  async #standing(): Promise<Standing> {
    return readStanding(await this.#session.api.call('GET', 'push'));
  }

  async #setting(): Promise<PushSetting | undefined> {
    const held = (await this.#session.store.setting(SETTING)) as PushSetting | undefined;
    return held?.uid === this.#session.self.id ? held : undefined;
  }

  /** What is not given is as it was said last (the words) or not so any more (the subscription). */
  async #save(now: Partial<Omit<PushSetting, 'origin' | 'uid'>>): Promise<void> {
    const words = now.words ?? (await this.#setting())?.words;
    if (!words || this.#hasLeft()) return; // switched off meanwhile
    const { platform, self } = this.#session;
    await this.#session.store.saveSetting(SETTING, { ...now, words, origin: platform.origin, uid: self.id } satisfies PushSetting);
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#work.then(work, work);
    this.#work = next.catch((error: unknown) => codeOf(error));
    return next;
  }

  #after(ms: number): Promise<'lost'> {
    return new Promise((resolve) => {
      this.#session.platform.after(ms, () => {
        resolve('lost');
      });
    });
  }
}

function mutedIn(data: VaultData): readonly Uid[] {
  return Object.entries(data.settings).flatMap(([name, value]) => (name.startsWith(MUTED) && value === true ? [name.slice(MUTED.length)] : [])).slice(0, 1000);
}

function isTest(word: unknown): boolean {
  return typeof word === 'object' && word !== null && 'what' in word && word.what === 'push' && 'kind' in word && word.kind === 'test';
}
