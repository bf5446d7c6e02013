/** The platform of a page in a browser. */

import { Problem } from '../protocol/problem';
import { deviceName } from './device';
import type { Channel, Platform, Socket, SocketListener, Turn } from './platform';

/** in local storage: what `note` holds */
const NOTE = 'courtyard.note';

export function browserPlatform(): Platform {
  return {
    // Served by its own courtyard, unless the build names another.
    origin: __API__ ?? location.origin,
    database: 'courtyard',
    deviceName: deviceName(navigator.userAgent, navigator.maxTouchPoints),
    get online() {
      return navigator.onLine;
    },
    get visible() {
      return document.visibilityState === 'visible';
    },
    now: () => Date.now(),
    fetch: async (url, init) => fetch(url, init).catch((error: unknown) => unheard(url, init, error)),
    socket: (url, listener) => openSocket(new WebSocket(url), listener),
    after(ms, call) {
      const timer = setTimeout(call, ms);
      return () => {
        clearTimeout(timer);
      };
    },
    lock: async (name, work) => navigator.locks.request(`courtyard/${name}`, work),
    locked: async (name) => (await navigator.locks.query()).held?.some((lock) => lock.name === `courtyard/${name}`) === true,
    channel(name, receive): Channel {
      const channel = new BroadcastChannel(`courtyard/${name}`);
      channel.onmessage = (event: MessageEvent<unknown>) => {
        receive(event.data);
      };
      return {
        post: (message) => {
          channel.postMessage(message);
        },
        close: () => {
          channel.close();
        },
      };
    },
    watch(listener) {
      const heard: [EventTarget, string, () => void][] = [
        [window, 'online', turn('online')],
        [window, 'offline', turn('offline')],
        [document, 'visibilitychange', () => { listener(document.visibilityState === 'visible' ? 'shown' : 'hidden'); }],
        // A page that comes back from the back/forward cache has dead sockets and no visibilitychange.
        [window, 'pageshow', turn('shown')],
        ...moves(() => { listener('moved'); }),
      ];
      function turn(what: Turn): () => void {
        return () => {
          listener(what);
        };
      }
      for (const [target, name, call] of heard) target.addEventListener(name, call);
      return () => {
        for (const [target, name, call] of heard) target.removeEventListener(name, call);
      };
    },
    // The one storage that does not answer later.
    note(text) {
      if (text === undefined) localStorage.removeItem(NOTE);
      else localStorage.setItem(NOTE, text);
    },
    noted: () => localStorage.getItem(NOTE) ?? undefined,
    // The engine runs in secure contexts only, where this is there.
    persist: () => navigator.storage.persist(),
    objectUrl: (blob) => URL.createObjectURL(blob),
    releaseUrl: (url) => {
      URL.revokeObjectURL(url);
    },
    photos: async () => (await import('./photo')).photoTools,
    push: async () => (await import('./push')).pushTools,
    rtc: async () => ('RTCPeerConnection' in globalThis ? (await import('./rtc')).rtcTools : undefined),
    media: async () => ('mediaDevices' in navigator ? (await import('./media')).mediaTools : undefined),
    report: (error) => {
      console.error(error);
    },
    settle: () => {
      import('./worker').then(({ registerWorker }) => registerWorker()).catch((error: unknown) => {
        console.error(error);
      });
    },
    reload: () => {
      location.reload();
    },
  };
}

/** A browser that tells the kind of network says a great deal more about it, and often: what counts is another kind. */
function moves(moved: () => void): [EventTarget, string, () => void][] {
  const { connection } = navigator as { readonly connection?: EventTarget & { readonly type?: string } };
  let kind = connection?.type;
  if (!connection || kind === undefined) return [];
  return [[connection, 'change', () => {
    if (connection.type === kind) return;
    kind = connection.type;
    moved();
  }]];
}

/**
 * A browser does not tell a courtyard that is away from one that lets no foreign page read its answers. The second answers
 * a question whose answer nobody may read. Throws `origin`, or what it was.
 */
async function unheard(url: string, init: RequestInit, error: unknown): Promise<never> {
  if (__API__ !== undefined && !init.signal?.aborted) {
    const there = await fetch(new URL('/api/1/health', url), { mode: 'no-cors', cache: 'no-store', credentials: 'omit' }).then(() => true, () => false);
    if (there) throw new Problem('origin', {}, error);
  }
  throw error;
}

function openSocket(socket: WebSocket, listener: SocketListener): Socket {
  socket.onmessage = ({ data }: MessageEvent<unknown>) => {
    listener.message(data);
  };
  // What went wrong is not told to scripts; `close` follows `error`.
  socket.onclose = () => {
    listener.closed();
  };
  return {
    send(text) {
      socket.send(text);
    },
    close() {
      socket.onmessage = socket.onclose = null;
      socket.close();
    },
  };
}
