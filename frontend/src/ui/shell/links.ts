/** Links that were pasted or scanned, as addresses of this app. */

import { pageHandle } from '../../protocol/address';
import type { Route } from './routes';

/** The link in a text that somebody pasted or scanned, if it can be one of a courtyard. */
export function linkIn(text: string): URL | undefined {
  const trimmed = text.trim();
  const link = URL.parse(trimmed) ?? URL.parse(`https://${trimmed}`);
  if (link === null || !/^https?:$/u.test(link.protocol)) return undefined;
  return link.pathname.startsWith('/i/') || link.hash.length > 1 ? link : undefined;
}

/** Where the address of somebody's public page leads within the app. */
export function pageIn(text: string): Route | undefined {
  const handle = pageHandle(text.trim());
  return handle === text.trim() ? undefined : { screen: 'follow', handle };
}

/**
 * An invitation is looked at in one's own app, wherever it comes from: its whole text goes behind the '#'. So does what else
 * belongs to this courtyard, should the app itself be served from elsewhere. Everything else stays as it is.
 *
 * @param origin of this page
 * @param host of this courtyard
 * @param base where the app is served, with both slashes
 */
export function inside(link: URL, origin: string, host: string, base: string): string {
  if (link.origin === origin) return link.href;
  if (link.pathname.startsWith('/i/')) return `${base}#invited.${encodeURIComponent(link.href)}`;
  return link.host === host && link.pathname.startsWith('/app') && link.hash.length > 1 ? base + link.hash : link.href;
}
