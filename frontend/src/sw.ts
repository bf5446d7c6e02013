/**
 * The service worker: lets the app open without a network, and shows that somebody wrote (protocol section 16). It keeps
 * the app's own files as the relay served them; it never keeps or answers anything under /api. It opens no letter: what
 * it says of one is the name that this browser knows. A new version is taken in beside the old one: open
 * pages go on with the files they began with, the next page begins with the new ones.
 *
 * Bundled by build/precache.ts, which puts in the two constants.
 */

declare const self: ServiceWorkerGlobalScope;
/** changes with any file of the app */
declare const VERSION: string;
/** paths below BASE to keep from the start, the page itself first */
declare const FILES: readonly string[];

/** The folder of this file: `/app/` at a courtyard. */
const BASE = new URL('./', self.location.href).pathname;
const PAGE = `${BASE}index.html`;
const PREFIX = 'app-';
const CURRENT = PREFIX + VERSION;
/** This version and the one that pages may still be running. */
const KEPT = 2;

self.addEventListener('install', (event) => {
  event.waitUntil(install().then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
  event.waitUntil(forget().then(() => self.clients.claim()));
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== self.location.origin) return;
  if (request.mode === 'navigate') {
    if (url.pathname.startsWith(BASE)) event.respondWith(page(request));
  } else if (url.pathname.startsWith(BASE) && url.pathname !== `${BASE}sw.js`) {
    event.respondWith(file(request, url));
  }
});

/** All of it or nothing: half a version would not open. */
async function install(): Promise<void> {
  const cache = await caches.open(CURRENT);
  await Promise.all(
    FILES.map(async (name) => {
      const path = BASE + name;
      // The page is the same under every address of the app; asked for by its folder, nothing redirects.
      const from = path === PAGE ? BASE : path;
      const hashed = name.startsWith('assets/');
      const held = hashed ? await caches.match(path) : undefined;
      const response = held ?? (await fetch(from, { cache: hashed ? 'default' : 'reload', credentials: 'omit' }));
      if (!response.ok || response.redirected) throw new Error(`${from}: ${String(response.status)}`);
      await cache.put(path, response);
    }),
  );
}

async function forget(): Promise<void> {
  const versions = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CURRENT);
  await Promise.all(versions.slice(0, Math.max(0, versions.length - (KEPT - 1))).map((name) => caches.delete(name)));
}

/** From here at once: a new version was asked for by the browser when it asked for this worker. */
async function page(request: Request): Promise<Response> {
  const cache = await caches.open(CURRENT);
  return (await cache.match(PAGE)) ?? fetch(request);
}

async function file(request: Request, url: URL): Promise<Response> {
  const cache = await caches.open(CURRENT);
  const held = (await cache.match(url.pathname)) ?? (await caches.match(url.pathname));
  if (held) return held;
  const response = await fetch(request);
  // What is loaded on demand (a scanner, a table of scripts) is there the next time as well.
  if (response.ok && url.pathname.startsWith(`${BASE}assets/`)) await cache.put(url.pathname, response.clone());
  return response;
}

// ---- notifications -------------------------------------------------------------------------------------------------------

/** the app's (src/store/schema.ts); only read here */
const DATABASE = 'courtyard';
/** of 32 bytes, in base64url */
const UID = /^[\w-]{43}$/;

interface Push {
  readonly kind: 'chat' | 'friend' | 'call' | 'test';
  /** who wrote */
  readonly uid: string | undefined;
  /** letters since this device was last connected; 0 where the app counts them itself */
  readonly n: number;
}

/** As domain/push.ts leaves it. */
interface Setting {
  readonly origin: string;
  readonly words: { readonly one: string; readonly many: string; readonly friend: string; readonly call?: string; readonly tested: string };
  readonly endpoint?: string;
  readonly auth?: string;
  readonly key?: Uint8Array<ArrayBuffer>;
}

interface Known {
  readonly setting: Setting | undefined;
  /** what the person goes by who wrote */
  readonly name: string | undefined;
  /** messages that were not read when the app was last open */
  readonly unread: number;
}

self.addEventListener('push', (event) => {
  event.waitUntil(woken(readPush(event.data)));
});

self.addEventListener('message', (event) => {
  const { data } = event as { data: unknown };
  if (isObject(data) && data['what'] === 'tell') event.waitUntil(told(data));
});

self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  const { to } = event.notification.data as { to: string };
  event.waitUntil(go(to));
});

self.addEventListener('pushsubscriptionchange', (event) => {
  (event as ExtendableEvent).waitUntil(moved(event));
});

/** Every push shows something: a browser that sees one without takes the subscription away. */
async function woken(push: Push): Promise<void> {
  for (const page of await pages()) page.postMessage({ what: 'push', kind: push.kind });
  await show(push);
}

/** A page that nobody looks at has seen that something came. */
async function told(data: Readonly<Record<string, unknown>>): Promise<void> {
  if ((await pages()).some(({ visibilityState }) => visibilityState === 'visible')) return;
  await show({ kind: kindIn(data['kind']), uid: uidIn(data['uid']), n: 0 });
}

async function show({ kind, uid, n }: Push): Promise<void> {
  const { setting, name, unread } = await known(uid);
  const words = setting?.words ?? { one: 'New message', many: '{n} new messages', friend: 'New message', tested: 'New message' };
  const options = {
    body: kind === 'test' ? words.tested : kind === 'friend' ? words.friend : kind === 'call' ? (words.call ?? words.one) : n > 1 ? words.many.replace('{n}', String(n)) : words.one,
    // One for each conversation; a newer one takes its place and is heard.
    tag: kind === 'test' ? 'test' : (uid ?? 'other'), renotify: true,
    // Who calls is shown until one has looked, or the next thing they write takes its place.
    requireInteraction: kind === 'call',
    icon: `${BASE}icon-192.png`,
    data: { to: kind === 'test' ? '#/me/notifications' : kind === 'friend' || uid === undefined ? '#/friends' : `#/chats/${uid}`, n: kind === 'call' ? 0 : n },
  };
  await self.registration.showNotification(name ?? 'Courtyard', options);
  if (!('setAppBadge' in navigator)) return;
  let waiting = unread;
  for (const shown of await self.registration.getNotifications()) waiting += (shown.data as { n?: number } | null)?.n ?? 0;
  await navigator.setAppBadge(waiting).catch(() => undefined); // where there is no icon to put it on
}

/** To a page of the app that is open, else to a new one. */
async function go(to: string): Promise<void> {
  const page = (await pages())[0];
  if (!page) {
    await self.clients.openWindow(BASE + to);
    return;
  }
  page.postMessage({ what: 'go', to });
  await page.focus();
}

async function pages(): Promise<readonly WindowClient[]> {
  const all = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  return all.filter(({ url }) => new URL(url).pathname.startsWith(BASE));
}

/** The browser has given up a subscription: the courtyard is told of the next one. The app looks again when it is opened. */
async function moved({ newSubscription }: { newSubscription?: PushSubscription | null }): Promise<void> {
  const { setting } = await known(undefined);
  if (!setting?.endpoint || !setting.auth || !setting.key) return;
  const { endpoint, auth, key } = setting;
  const next = newSubscription ?? (await self.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key }));
  const { keys } = next.toJSON();
  const body = JSON.stringify({ from: { endpoint, auth }, endpoint: next.endpoint, keys });
  await fetch(`${setting.origin}/api/1/push/moved`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body, credentials: 'omit' });
}

function readPush(data: PushMessageData | null): Push {
  const push = parsed(data);
  const kind = push['kind'];
  const n = push['n'];
  return {
    kind: kind === 'test' ? kind : kindIn(kind), uid: uidIn(push['uid']),
    n: typeof n === 'number' && Number.isSafeInteger(n) && n > 0 ? n : 1,
  };
}

/** Whatever came: something has to be shown. */
function parsed(data: PushMessageData | null): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = data?.json();
    return isObject(json) ? json : {};
  } catch {
    return {};
  }
}

function kindIn(kind: unknown): 'chat' | 'friend' | 'call' {
  return kind === 'friend' || kind === 'call' ? kind : 'chat';
}

function uidIn(text: unknown): string | undefined {
  return typeof text === 'string' && UID.test(text) ? text : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** What the app has written down. Nothing, where it has been wiped or cannot be read now. */
async function known(uid: string | undefined): Promise<Known> {
  let db: IDBDatabase | undefined;
  try {
    db = await database();
    const read = db.transaction(['settings', 'people', 'talks']);
    const [setting, person, talks] = await Promise.all([
      asked<unknown>(read.objectStore('settings').get('push')),
      uid === undefined ? undefined : asked<unknown>(read.objectStore('people').get(uid)),
      asked<unknown[]>(read.objectStore('talks').getAll()),
    ]);
    const unread = talks.reduce<number>((sum, talk) => sum + (isObject(talk) && typeof talk['unread'] === 'number' ? talk['unread'] : 0), 0);
    const name = isObject(person) && typeof person['name'] === 'string' ? person['name'] : undefined;
    return { setting: setting as Setting | undefined, name, unread };
  } catch {
    return { setting: undefined, name: undefined, unread: 0 };
  } finally {
    db?.close();
  }
}

/** Never made here: an empty one of ours would stand in the app's way. */
function database(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(DATABASE);
    opening.onupgradeneeded = () => opening.transaction?.abort();
    opening.onerror = () => {
      reject(opening.error ?? new Error('no database'));
    };
    opening.onsuccess = () => {
      const { result } = opening;
      result.onversionchange = () => {
        result.close();
      };
      resolve(result);
    };
  });
}

function asked<T>(request: IDBRequest): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => {
      resolve(request.result as T);
    };
    request.onerror = () => {
      reject(request.error ?? new Error('not read'));
    };
  });
}

export {};
