/** Web Push and notifications as a browser has them; loaded when first needed. */

import type { Bytes } from '../protocol/bytes';
import { base } from './base';
import type { PushAddress, PushTools } from './platform';
import { registerWorker } from './worker';

export const pushTools: PushTools = {
  lack: lack(),
  get permission() {
    return 'Notification' in globalThis ? Notification.permission : 'denied';
  },
  ask: () => Notification.requestPermission(),
  async current() {
    const subscription = await (await registration())?.pushManager.getSubscription();
    return subscription ? addressOf(subscription) : undefined;
  },
  async subscribe(key) {
    const worker = await ready();
    try {
      return addressOf(await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key }));
    } catch (error) {
      // AbortError: the service of the browser's maker cannot be reached, or is switched off. NotAllowedError: a private
      // window, whatever its permission says.
      if (error instanceof DOMException && ['AbortError', 'NotAllowedError', 'NotSupportedError', 'NetworkError'].includes(error.name)) return undefined;
      throw error;
    }
  },
  async unsubscribe() {
    await (await (await registration())?.pushManager.getSubscription())?.unsubscribe();
  },
  async tell(kind, uid) {
    (await registration())?.active?.postMessage({ what: 'tell', kind, uid });
  },
  async clear(uids) {
    for (const uid of uids) for (const shown of (await (await registration())?.getNotifications({ tag: uid })) ?? []) shown.close();
  },
  async badge(n) {
    if (!('setAppBadge' in navigator)) return;
    // Only an installed app has one; elsewhere some browsers refuse.
    await navigator.setAppBadge(n).catch(() => undefined);
  },
  hear(listener) {
    const hear = ({ data }: MessageEvent<unknown>): void => {
      listener(data);
    };
    navigator.serviceWorker.addEventListener('message', hear);
    return () => {
      navigator.serviceWorker.removeEventListener('message', hear);
    };
  },
};

function lack(): PushTools['lack'] {
  if ('PushManager' in globalThis && 'Notification' in globalThis && 'serviceWorker' in navigator) return undefined;
  // An iPad calls itself a Mac, and has fingers on it.
  const apple = /iPhone|iPad|iPod/u.test(navigator.userAgent) || (navigator.userAgent.includes('Macintosh') && navigator.maxTouchPoints > 1);
  return apple && !matchMedia('(display-mode: standalone)').matches ? 'icon' : 'unsupported';
}

async function registration(): Promise<ServiceWorkerRegistration | undefined> {
  return 'serviceWorker' in navigator ? navigator.serviceWorker.getRegistration(base()) : undefined;
}

/** The worker, put in place first where that has not happened yet. */
async function ready(): Promise<ServiceWorkerRegistration> {
  await registerWorker();
  const found = await registration();
  if (!found) throw new TypeError('no worker');
  // Not `navigator.serviceWorker.ready`: that looks where the page was opened, which may be an invitation's address.
  const coming = found.installing ?? found.waiting;
  if (found.active || !coming) return found;
  await new Promise<void>((resolve, reject) => {
    coming.addEventListener('statechange', () => {
      if (coming.state === 'activated') resolve();
      else if (coming.state === 'redundant') reject(new TypeError('the worker did not come up'));
    });
  });
  return found;
}

function addressOf(subscription: PushSubscription): PushAddress {
  const key = subscription.options.applicationServerKey;
  return { endpoint: subscription.endpoint, p256dh: partOf(subscription, 'p256dh'), auth: partOf(subscription, 'auth'), key: key ? new Uint8Array(key) : undefined };
}

function partOf(subscription: PushSubscription, name: PushEncryptionKeyName): Bytes {
  const part = subscription.getKey(name);
  if (!part) throw new TypeError(`a subscription without ${name}`);
  return new Uint8Array(part);
}
