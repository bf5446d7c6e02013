/**
 * For an app that is served from elsewhere: no relay sends its headers, so the page says itself what it may do. The same
 * rules as in relay/internal/web, with the courtyard as the only place it may talk to.
 */

import type { Plugin } from 'vite';

/** The origin in `text`, undefined for nothing. Throws for what is none: the app would talk to nobody. */
export function apiOf(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined;
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.pathname !== '/' || url.search !== '' || url.hash !== '' || url.username !== '') {
    throw new Error(`--api ${text} is not like https://relay.example`);
  }
  if (url.hostname.startsWith('[')) throw new Error(`--api ${text}: a page cannot be confined to an IPv6 address; give the courtyard a name`);
  const loopback = url.hostname === 'localhost' || url.hostname.startsWith('127.');
  if (url.protocol === 'http:' && !loopback) throw new Error(`--api ${text}: only a courtyard on this machine may do without https`);
  return url.origin;
}

export function confine(api: string): Plugin {
  return {
    name: 'courtyard-confine',
    apply: 'build',
    // Before anything that it rules over, and behind the charset, which stands within the first 1024 bytes.
    transformIndexHtml(html) {
      const charset = '<meta charset="utf-8" />';
      if (!html.includes(charset)) throw new Error('the page does not say its charset');
      return html.replace(charset, `${charset}\n    <meta http-equiv="Content-Security-Policy" content="${policy(api)}" />`);
    },
  };
}

function policy(api: string): string {
  return [
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "style-src 'self'",
    "style-src-attr 'unsafe-inline'",
    `connect-src 'self' ${api} ${api.replace(/^http/, 'ws')}`,
    "img-src 'self' blob: data:",
    "media-src 'self' blob:",
    "font-src 'self'",
    "manifest-src 'self'",
    "worker-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    'trusted-types svelte-trusted-html courtyard',
  ].join('; ');
}
