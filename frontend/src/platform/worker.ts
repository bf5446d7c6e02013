/** Puts the service worker (src/sw.ts) in place, which lets the app open without a network. */

import { base } from './base';

interface ScriptPolicies {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): unknown };
}

/** Does nothing where there is none: in development, and in windows that may not have one. */
export async function registerWorker(): Promise<void> {
  if (!import.meta.env.PROD || !('serviceWorker' in navigator)) return;
  const scope = base();
  navigator.serviceWorker.onmessage = follow;
  // Once it is there the browser looks for a newer one by itself, each time a page is opened.
  if (await navigator.serviceWorker.getRegistration(scope)) return;
  // Named, because an invitation is read outside of it: the worker answers for the app's own addresses, also when a page
  // under /i/ brings it.
  await navigator.serviceWorker.register(trusted(`${scope}sw.js`), { scope, updateViaCache: 'none' });
}

/** Somebody has tapped a notification: the page that is open already goes where it leads. */
function follow({ data }: MessageEvent<unknown>): void {
  if (typeof data !== 'object' || data === null || !('what' in data) || data.what !== 'go' || !('to' in data)) return;
  if (typeof data.to === 'string' && /^#\/[\w/-]*$/u.test(data.to)) location.hash = data.to;
}

/** Under `require-trusted-types-for 'script'` a text is no address of a script; this one is named by the build. */
function trusted(script: string): string {
  const { trustedTypes } = globalThis as { trustedTypes?: ScriptPolicies };
  const policy = trustedTypes?.createPolicy('courtyard', {
    createScriptURL(url) {
      if (url !== script) throw new TypeError('no script of ours');
      return url;
    },
  });
  return policy ? (policy.createScriptURL(script) as string) : script;
}
