/**
 * Hosts, handles and usernames (protocol/README.md section 2): hints where to reach a uid, never an identity.
 */
import { Problem } from './problem';

export interface Host {
  /** lower-case name or address literal; IPv6 without brackets */
  readonly host: string;
  readonly port: number;
}

export interface Handle extends Host {
  readonly username: string;
}

/** Left out in text. */
export const defaultPort = 443;

/** Never given to a person: names of the relay's own pages and roles. The same list as in the Go package. */
export const reservedUsernames: ReadonlySet<string> = new Set([
  'abuse', 'admin', 'administrator', 'api', 'app', 'claim', 'courtyard', 'everyone', 'help', 'home', 'hostmaster',
  'info', 'mail', 'media', 'moderator', 'noreply', 'official', 'owner', 'postmaster', 'relay', 'root', 'security',
  'staff', 'start', 'support', 'system', 'webmaster', 'www',
]);

/** 2 to 32 of `a-z 0-9 . - _`, first and last a letter or digit. `usernameAllowed` is for choosing one. */
export function usernameWellFormed(name: string): boolean {
  return /^[a-z0-9][a-z0-9._-]{0,30}[a-z0-9]$/.test(name);
}

export function usernameAllowed(name: string): boolean {
  return usernameWellFormed(name) && !reservedUsernames.has(name);
}

const octet = '(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
const ipv4 = new RegExp(`^${octet}(?:\\.${octet}){3}$`);
const hostLabel = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
// The last label is no number, so that no reader takes a name for an address.
const hostName = new RegExp(`^(?:${hostLabel}\\.)*(?![0-9])${hostLabel}$`, 'i');

/** The shortest form of an IPv6 literal without brackets; undefined if it is none. */
function shortestV6(text: string): string | undefined {
  if (!/^[0-9a-f:.]*:[0-9a-f:.]*$/i.test(text)) return undefined;
  try {
    return new URL(`http://[${text}]/`).hostname.slice(1, -1);
  } catch {
    return undefined; // URL's only way to say that it is no address
  }
}

/** An address literal (IPv6 without brackets) or a host name of at most 253 bytes. */
export function hostWellFormed(host: string): boolean {
  return host.length <= 253 && (ipv4.test(host) || hostName.test(host) || shortestV6(host) !== undefined);
}

/** Lower case of ASCII; anything else has no place in a host or handle (a Kelvin sign is no `k`). Throws `link-bad`. */
function lowerAscii(text: string): string {
  if (/[^\x20-\x7e]/.test(text)) throw new Problem('link-bad');
  return text.toLowerCase();
}

/** `host`, `host:port`, `[v6]`, `[v6]:port`, in any case. Throws `link-bad`. */
export function parseHost(text: string): Host {
  const found = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::([1-9][0-9]{0,4}))?$/.exec(lowerAscii(text));
  const port = found?.[3] === undefined ? defaultPort : Number(found[3]);
  const host = found?.[1] === undefined ? found?.[2] : shortestV6(found[1]);
  if (host === undefined || !hostWellFormed(host) || port > 65_535) throw new Problem('link-bad');
  return { host, port };
}

/**
 * The one way to write a host: lower case, IPv6 shortest and in brackets, no `:443`. This form goes into transcripts
 * and proofs.
 */
export function formatHost({ host, port }: Host): string {
  const v6 = shortestV6(host);
  const name = v6 === undefined ? host.toLowerCase() : `[${v6}]`;
  return port === defaultPort ? name : `${name}:${String(port)}`;
}

/** Whether both name the same courtyard, however they are written. */
export function sameHost(a: Host, b: Host): boolean {
  return formatHost(a) === formatHost(b);
}

/** `username@host[:port]` as a person types it: any case, spaces around it, a leading `@`. Throws `link-bad`. */
export function parseHandle(text: string): Handle {
  const [username = '', host = '', ...rest] = lowerAscii(text.trim()).replace(/^@/, '').split('@');
  if (rest.length > 0 || !usernameWellFormed(username)) throw new Problem('link-bad');
  return { username, ...parseHost(host) };
}

/** The handle of whose public page that address is (`https://host[:port]/@username`); any other text as it is. */
export function pageHandle(text: string): string {
  const page = /^https?:\/\/([^/?#@\s]+)\/@([^/?#@\s]+)\/?$/iu.exec(text.trim());
  return page ? `${page[2] ?? ''}@${page[1] ?? ''}` : text;
}

export function formatHandle(handle: Handle): string {
  return `${handle.username}@${formatHost(handle)}`;
}
