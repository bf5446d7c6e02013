/**
 * The platform of a test in Node: a pretended browser with its tabs, over the network as it is. Two browsers share
 * nothing; two tabs of one share database, locks and channels.
 */

import { WebSocket as NodeSocket } from 'undici';
import type { Channel, MediaTools, Platform, PhotoTools, PushAddress, PushTools, RtcTools, Socket, SocketListener, Turn } from './platform';
import { TestMedia } from './testmedia';
import { TestRtc } from './testpeers';

let houses = 1;

/** Of a JPEG of 640 x 480, up to its first frame. */
export const HEAD = [0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 1, 0xe0, 2, 0x80, 1, 1, 0x11, 0] as const;

export class TestBrowser {
  readonly name: string;
  readonly origin: string;
  /** what went wrong inside; a test looks at it at its end */
  readonly complaints: unknown[] = [];
  /** survives the end of every tab */
  note: string | undefined;
  readonly pushes = new TestPushes();
  /** undefined: a browser without */
  rtc: TestRtc | undefined = new TestRtc();
  readonly media = new TestMedia();
  readonly #locks = new Map<string, Promise<unknown>>();
  readonly #channels = new Map<string, Set<(message: unknown) => void>>();
  readonly #mute = new Set<string>();
  readonly #tabs = new Set<TestTab>();
  readonly #blobs = new Map<string, Blob>();
  #online = true;
  /** ms that the clock is ahead */
  lead = 0;
  /** where the relay believes it is: limits count by address */
  readonly address = `10.${String(houses >> 8)}.${String(houses++ & 255)}.1`;

  constructor(origin: string) {
    this.origin = origin;
    this.name = `browser-${crypto.randomUUID()}`;
  }

  tab(): TestTab {
    const tab = new TestTab(this);
    this.#tabs.add(tab);
    return tab;
  }

  get online(): boolean {
    return this.#online;
  }

  set online(online: boolean) {
    this.#online = online;
    for (const tab of this.#tabs) {
      if (!online) tab.cut();
      tab.turn(online ? 'online' : 'offline');
    }
  }

  async lock<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#locks.get(name) ?? Promise.resolve();
    const running = before.then(work, work);
    const ended = running.then(() => undefined, () => undefined);
    this.#locks.set(name, ended);
    await ended;
    if (this.#locks.get(name) === ended) this.#locks.delete(name);
    return running;
  }

  locked(name: string): Promise<boolean> {
    return Promise.resolve(this.#locks.has(name));
  }

  channel(name: string, receive: (message: unknown) => void): Channel {
    const all = this.#channels.get(name) ?? new Set();
    this.#channels.set(name, all);
    all.add(receive);
    return {
      post: (message) => {
        const copy: unknown = structuredClone(message);
        if (this.#mute.has(name)) return;
        for (const other of all) if (other !== receive) queueMicrotask(() => { other(copy); });
      },
      close: () => {
        all.delete(receive);
      },
    };
  }

  /** From now on no tab hears another over this channel, as if all were slow. */
  mute(channel: string): void {
    this.#mute.add(channel);
  }

  blobUrl(blob: Blob): string {
    const url = `blob:${crypto.randomUUID()}`;
    this.#blobs.set(url, blob);
    return url;
  }

  blob(url: string): Blob | undefined {
    return this.#blobs.get(url);
  }
}

/** What a browser has of pushes; its maker's service is where `service` says, and nothing is pushed by itself. */
export class TestPushes implements PushTools {
  lack: PushTools['lack'];
  permission: PushTools['permission'] = 'default';
  /** what the person answers */
  answer: PushTools['permission'] = 'granted';
  /** undefined: out of reach */
  service: string | undefined;
  address: PushAddress | undefined;
  shown: string[] = [];
  number = 0;
  readonly #listeners = new Set<(word: unknown) => void>();

  ask(): Promise<PushTools['permission']> {
    this.permission = this.answer;
    return Promise.resolve(this.permission);
  }

  current(): Promise<PushAddress | undefined> {
    return Promise.resolve(this.address);
  }

  async subscribe(key: Uint8Array<ArrayBuffer>): Promise<PushAddress | undefined> {
    if (this.service === undefined) return undefined;
    const { publicKey } = await crypto.subtle.generateKey({ name: 'ECDH', namedCurve: 'P-256' }, true, ['deriveBits']);
    const p256dh = new Uint8Array(await crypto.subtle.exportKey('raw', publicKey));
    this.address = { endpoint: `${this.service}/${crypto.randomUUID()}`, p256dh, auth: crypto.getRandomValues(new Uint8Array(16)), key };
    return this.address;
  }

  unsubscribe(): Promise<void> {
    this.address = undefined;
    return Promise.resolve();
  }

  tell(kind: 'chat' | 'friend' | 'call', uid: string): Promise<void> {
    this.shown.push(`${kind} ${uid}`);
    return Promise.resolve();
  }

  clear(uids: Iterable<string>): Promise<void> {
    const gone = new Set(uids);
    this.shown = this.shown.filter((shown) => !gone.has(shown.split(' ')[1] ?? ''));
    return Promise.resolve();
  }

  badge(n: number): Promise<void> {
    this.number = n;
    return Promise.resolve();
  }

  hear(listener: (word: unknown) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** The service worker speaks. */
  says(word: unknown): void {
    for (const listener of this.#listeners) listener(word);
  }
}

export class TestTab implements Platform {
  readonly browser: TestBrowser;
  readonly deviceName = 'Test · Node';
  readonly #watchers = new Set<(turn: Turn) => void>();
  readonly #sockets = new Set<{ readonly cut: () => void; stranded: boolean }>();
  readonly #timers = new Set<NodeJS.Timeout>();
  visible = true;
  #closed = false;
  /** may swallow or alter what the relay says; undefined passes everything */
  hears: ((frame: string) => string | undefined) | undefined;
  /** may swallow what is said to the relay */
  says: ((frame: string) => string | undefined) | undefined;
  /** may answer a request in the relay's place */
  asks: ((url: string, init: RequestInit) => Promise<Response | undefined>) | undefined;

  constructor(browser: TestBrowser) {
    this.browser = browser;
  }

  get origin(): string {
    return this.browser.origin;
  }

  get database(): string {
    return this.browser.name;
  }

  get online(): boolean {
    return this.browser.online;
  }

  now(): number {
    return Date.now() + this.browser.lead;
  }

  async fetch(url: string, init: RequestInit): Promise<Response> {
    if (!this.online) throw new TypeError('no network');
      const headers = { ...(init.headers as Record<string, string>), 'X-Forwarded-For': this.browser.address };
    return (await this.asks?.(url, init)) ?? fetch(url, { ...init, headers });
  }

  socket(url: string, listener: SocketListener): Socket {
    const socket = new NodeSocket(url, { headers: { 'X-Forwarded-For': this.browser.address } });
    let open = true;
    const close = (): void => {
      open = false;
      this.#sockets.delete(end);
      socket.close();
    };
    const cut = (): void => {
      if (!open) return;
      close();
      listener.closed();
    };
    const end = { cut, stranded: false };
    this.#sockets.add(end);
    socket.addEventListener('message', ({ data }: { data: unknown }) => {
      const heard = typeof data === 'string' && this.hears ? this.hears(data) : data;
      if (open && !end.stranded && heard !== undefined) listener.message(heard);
    });
    socket.addEventListener('close', cut);
    socket.addEventListener('error', () => undefined);
    return {
      send: (text) => {
        const said = this.says ? this.says(text) : text;
        if (open && !end.stranded && said !== undefined && socket.readyState === NodeSocket.OPEN) socket.send(said);
      },
      close,
    };
  }

  /** All connections break, as when a train enters a tunnel. */
  cut(): void {
    for (const { cut } of [...this.#sockets]) cut();
  }

  /** Nothing of what is open gets through any more, and nobody is told: the device is in another network. */
  strand(): void {
    for (const end of this.#sockets) end.stranded = true;
  }

  after(ms: number, call: () => void): () => void {
    if (this.#closed) return () => undefined;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      call();
    }, ms);
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
      clearTimeout(timer);
    };
  }

  lock<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.browser.lock(name, work);
  }

  locked(name: string): Promise<boolean> {
    return this.browser.locked(name);
  }

  channel(name: string, receive: (message: unknown) => void): Channel {
    return this.browser.channel(name, receive);
  }

  watch(listener: (turn: Turn) => void): () => void {
    this.#watchers.add(listener);
    return () => {
      this.#watchers.delete(listener);
    };
  }

  turn(turn: Turn): void {
    for (const watcher of this.#watchers) watcher(turn);
  }

  note(text: string | undefined): void {
    this.browser.note = text;
  }

  noted(): string | undefined {
    return this.browser.note;
  }

  persist(): Promise<boolean> {
    return Promise.resolve(true);
  }

  objectUrl(blob: Blob): string {
    return this.browser.blobUrl(blob);
  }

  releaseUrl(): void {
    // A test may still look at what was shown.
  }

  /** Pictures cannot be drawn in Node; what comes in goes out behind the head of a JPEG, and says that it is small. */
  photos(): Promise<PhotoTools> {
    return Promise.resolve({
      shrink: async (file) => ({
        jpeg: new Uint8Array([...HEAD, ...new Uint8Array(await file.arrayBuffer())]), width: 640, height: 480,
        thumb: Uint8Array.from({ length: 21 }, (_, i) => i * 9),
      }),
      placeholder: () => 'data:,',
    });
  }

  push(): Promise<PushTools> {
    return Promise.resolve(this.browser.pushes);
  }

  rtc(): Promise<RtcTools | undefined> {
    return Promise.resolve(this.browser.rtc);
  }

  media(): Promise<MediaTools | undefined> {
    return Promise.resolve(this.browser.media);
  }

  readonly report = (error: unknown): void => {
    if (!this.#closed) this.browser.complaints.push(error);
  };

  settle(): void {
    // There is no service worker here.
  }

  reload(): void {
    this.close();
  }

  /** The tab is closed, or its browser killed: nothing of it happens any more. */
  close(): void {
    this.#closed = true;
    this.#watchers.clear();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    for (const { cut } of [...this.#sockets]) cut();
  }
}
