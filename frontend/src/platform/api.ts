/**
 * The relay's HTTP interface (protocol section 12): one method per request, every answer read from unknown.
 * A failure to reach it is `offline`; a refusal carries the relay's code and params.
 */

import { Trouble } from '../domain/failure';
import { formatHost, type Host } from '../protocol/address';
import { b64, concat, fromUtf8, type Bytes } from '../protocol/bytes';
import { any, array, blob, bool, bytes, int, type Json, isObject, open, parseJson, type Read, text } from '../protocol/json';
import { Problem, wireCode } from '../protocol/problem';
import { readSigned, type Signed, signedJson } from '../protocol/signed';
import type { Platform } from './platform';

/** A vault at its largest, in base64, and a little round it. */
const ANSWER_LIMIT = 2 * 1024 * 1024;
const KEEP_LIMIT = 16 * 1024 * 1024;
const TIMEOUT = 20_000;
/** The mailboxes of a pairing wait up to 25 s. */
const WAITING = 40_000;
/** The own relay waits up to 10 s for another. */
const ELSEWHERE = 30_000;
/** For a MiB over a bad line. */
const SLOW = 90_000;

export type Step = 'a1' | 'n1' | 'a2' | 'n2';

export interface KeepRow {
  readonly n: number;
  readonly env: Json;
}

const readRelay = open({ key: bytes(32), host: text(300), claimed: bool, version: text(100), time: int() });
const readInvite = open({ uid: bytes(32), username: text(32), card: blob(64 * 1024) });
const readPerson = open({ uid: bytes(32), username: text(32) }, { host: text(300) });
const readRecords = open({ records: array(readSigned, 1000) });
const readKeep = open({ rows: array(open({ n: int(), env: any }), 1000), more: bool });

const readOutbound = open({
  rows: array(open({ n: int(), id: text(22), to: text(43), host: text(300), since: int() }, { tries: int(), code: text(64) }), 1000), more: bool,
});

/** A letter that the own relay has, and the other one has not yet. */
export type OutboundRow = ReturnType<typeof readOutbound>['rows'][number];

/**
 * Lookups take the courtyard that is meant; without one it is the own. What comes from elsewhere proves itself like the
 * own relay's answers (protocol section 14).
 */
export class Api {
  readonly #platform: Platform;
  #token = '';

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  /** From the socket's `ready`, and gone with the socket; without one, what needs it fails with `offline`. */
  set token(token: string) {
    this.#token = token;
  }

  get #bearer(): Options {
    if (this.#token === '') throw new Trouble('offline');
    return { headers: { Authorization: `Bearer ${this.#token}` } };
  }

  /** Only for its own people does the relay ask elsewhere. */
  #asking(host: Host | undefined): Options {
    return host === undefined ? {} : { ...this.#bearer, patience: ELSEWHERE, away: true };
  }

  relay(patience?: number): Promise<ReturnType<typeof readRelay>> {
    return this.#json('relay', readRelay, patience === undefined ? {} : { patience });
  }

  async join(body: string): Promise<void> {
    await this.#send('POST', 'join', body);
  }

  /** Asked by who has an open invite, or undefined: before anybody has joined. */
  async nameFree(username: string, invite: Bytes | undefined): Promise<boolean> {
    const path = at(`names/${encodeURIComponent(username)}`, undefined, invite ? { invite: b64(invite) } : {});
    return (await this.#json(path, open({ free: bool }))).free;
  }

  invite(id: Bytes, host?: Host): Promise<ReturnType<typeof readInvite>> {
    return this.#json(at(`invites/${b64(id)}`, host), readInvite, this.#asking(host));
  }

  async addInvite(hash: Bytes, card: Bytes): Promise<void> {
    await this.#send('POST', 'invites', JSON.stringify({ id: b64(hash), card: b64(card) }), this.#bearer);
  }

  async spendInvite(id: Bytes, host?: Host): Promise<void> {
    await this.#send('POST', at(`invites/${b64(id)}/spend`, host), '{}', { ...this.#bearer, patience: ELSEWHERE });
  }

  async person(username: string, host?: Host): Promise<ReturnType<typeof readPerson>> {
    return this.#json(at(`people/${encodeURIComponent(username)}`, host), readPerson, host === undefined ? this.#bearer : this.#asking(host));
  }

  /** Records with a larger `seq`; all of them for -1. */
  async chain(uid: Bytes, after: number, host?: Host): Promise<readonly Signed[]> {
    const path = at(`chains/${b64(uid)}`, host, after < 0 ? {} : { after: String(after) });
    return (await this.#json(path, readRecords, this.#asking(host), 8 * ANSWER_LIMIT)).records;
  }

  async addRecord(uid: Bytes, record: Signed): Promise<void> {
    await this.#send('POST', `chains/${b64(uid)}`, JSON.stringify(signedJson(record)));
  }

  uek(uid: Bytes, host?: Host): Promise<Signed> {
    return this.#json(at(`ueks/${b64(uid)}`, host), readSigned, this.#asking(host));
  }

  async addUek(record: Signed): Promise<void> {
    await this.#send('POST', 'ueks', JSON.stringify(signedJson(record)), this.#bearer);
  }

  /** The vault object as it travels, JSON text. */
  async vault(): Promise<string> {
    return fromUtf8(await bounded(await this.#request('GET', 'vault', this.#bearer), ANSWER_LIMIT));
  }

  async putVault(wire: string): Promise<void> {
    await this.#send('PUT', 'vault', wire, { ...this.#bearer, patience: SLOW });
  }

  /** Whose card has this public key. */
  async recover(username: string, ik: Bytes): Promise<Bytes> {
    return (await this.#json(at(`recover/${encodeURIComponent(username)}`, undefined, { ik: b64(ik) }), open({ uid: bytes(32) }))).uid;
  }

  async setContact(uid: Bytes, state: 'allow' | 'block' | 'none'): Promise<void> {
    await this.#send('PUT', `contacts/${b64(uid)}`, JSON.stringify({ state }), this.#bearer);
  }

  async setFindable(findable: boolean): Promise<void> {
    await this.#send('PUT', 'settings', JSON.stringify({ findable }), this.#bearer);
  }

  async putPair(box: Bytes, step: Step, message: Bytes): Promise<void> {
    await this.#send('PUT', `pair/${b64(box)}/${step}`, message);
  }

  /** Waits up to 25 s at the relay; undefined when nothing came. */
  async getPair(box: Bytes, step: Step, stop: AbortSignal): Promise<Bytes | undefined> {
    try {
      return await bounded(await this.#request('GET', `pair/${b64(box)}/${step}`, { stop, patience: WAITING }), 8 * 1024);
    } catch (error) {
      if (error instanceof Problem && error.code === 'pair-empty') return undefined;
      throw error;
    }
  }

  async putHandover(box: Bytes, sealed: Bytes): Promise<void> {
    await this.#send('PUT', `handover/${b64(box)}`, sealed, this.#bearer);
  }

  async takeHandover(box: Bytes): Promise<Bytes> {
    return bounded(await this.#request('POST', `handover/${b64(box)}/take`), 4 * 1024);
  }

  /** How many sealed bytes of an own upload the relay has; undefined when it does not know the file. */
  async fileHas(id: string): Promise<number | undefined> {
    try {
      const response = await this.#request('HEAD', `files/${id}`, this.#bearer);
      const offset = Number(response.headers.get('Upload-Offset') ?? NaN);
      return Number.isSafeInteger(offset) ? offset : undefined;
    } catch (error) {
      if (error instanceof Problem && error.code === 'not-found') return undefined;
      throw error;
    }
  }

  /** What waits here for other courtyards, from the row behind `after` on. */
  outbound(after: number, limit: number): Promise<ReturnType<typeof readOutbound>> {
    return this.#json(`outbound?after=${String(after)}&limit=${String(limit)}`, readOutbound, this.#bearer);
  }

  /** Appends a piece; resolves to how far the file is then. `people`: uids, those of other courtyards with `@host[:port]`. */
  async putFile(id: string, offset: number, size: number, people: readonly string[], part: Bytes): Promise<number> {
    const query = `offset=${String(offset)}&size=${String(size)}&for=${encodeURIComponent(people.join(','))}`;
    const response = await this.#request('PUT', `files/${id}?${query}`, { ...this.#bearer, body: part, patience: SLOW });
    return open({ have: int() })(parseJson(await bounded(response, 4096), { bytes: 4096, depth: 2 })).have;
  }

  /** Sealed bytes from `offset` on, at most `limit` of them. */
  async getFile(id: string, offset: number, limit: number): Promise<Bytes> {
    const headers = { ...this.#bearer.headers, Range: `bytes=${String(offset)}-${String(offset + limit - 1)}` };
    const response = await this.#request('GET', `files/${id}`, { headers, patience: SLOW });
    const data = await bounded(response, response.status === 206 ? limit : 32 * 1024 * 1024);
    return response.status === 206 ? data : data.slice(offset, offset + limit);
  }

  async keep(before: number | undefined, limit: number): Promise<{ rows: readonly KeepRow[]; more: boolean }> {
    const query = before === undefined ? `limit=${String(limit)}` : `before=${String(before)}&limit=${String(limit)}`;
    return this.#json(`keep?${query}`, readKeep, { ...this.#bearer, patience: SLOW }, KEEP_LIMIT);
  }

  /** For rooms that are loaded later and read the answer themselves. */
  async call(method: string, path: string, body?: unknown): Promise<Json> {
    const response = await this.#request(method, path, { ...this.#bearer, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
    return parseJson(await bounded(response, ANSWER_LIMIT), { bytes: ANSWER_LIMIT, depth: 6 });
  }

  /** Likewise, with bytes: `body` is sent, at most `limit` bytes come back. */
  async bytes(method: string, path: string, limit: number, body?: Bytes): Promise<Bytes> {
    return bounded(await this.#request(method, path, { ...this.#bearer, ...(body === undefined ? {} : { body }), patience: SLOW }), limit);
  }

  async #json<T>(path: string, read: Read<T>, options: Options = {}, limit = ANSWER_LIMIT): Promise<T> {
    return read(parseJson(await bounded(await this.#request('GET', path, options), limit), { bytes: limit, depth: 6 }));
  }

  async #send(method: string, path: string, body: string | Bytes, options: Options = {}): Promise<void> {
    const response = await this.#request(method, path, { ...options, body });
    await response.body?.cancel();
  }

  async #request(method: string, path: string, options: Options = {}): Promise<Response> {
    const { body, stop, patience = TIMEOUT } = options;
    const type = typeof body === 'string' ? 'application/json' : 'application/octet-stream';
    const headers = { ...options.headers, ...(body === undefined ? {} : { 'Content-Type': type }) };
    const timeout = AbortSignal.timeout(patience);
    const signal = stop ? AbortSignal.any([stop, timeout]) : timeout;
    let response: Response;
    try {
      response = await this.#platform.fetch(`${this.#platform.origin}/api/1/${path}`, {
        method, headers, signal, ...(body === undefined ? {} : { body }), cache: 'no-store', credentials: 'omit', redirect: 'error',
        referrerPolicy: 'no-referrer',
      });
    } catch (error) {
      if (error instanceof Problem) throw error;
      throw stop?.aborted ? new Trouble('cancelled', {}, error) : new Trouble('offline', {}, error);
    }
    if (!response.ok) {
      const problem = await refusal(response);
      throw options.away === true && problem.code === 'not-allowed' ? new Trouble('courtyard-refused', {}, problem) : problem;
    }
    return response;
  }
}

/** A request that another courtyard may have to answer. */
function at(path: string, host: Host | undefined, query: Readonly<Record<string, string>> = {}): string {
  const named = new URLSearchParams({ ...query, ...(host === undefined ? {} : { host: formatHost(host) }) }).toString();
  return named === '' ? path : `${path}?${named}`;
}

interface Options {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Bytes;
  readonly stop?: AbortSignal;
  /** ms */
  readonly patience?: number;
  /** a look at another courtyard, which the own one may refuse */
  readonly away?: boolean;
}

/** Whatever stands in for a problem document (a proxy's page, say) is `unavailable` or `internal`. */
async function refusal(response: Response): Promise<Problem> {
  const fallback = response.status === 404 ? 'not-found' : response.status >= 502 ? 'unavailable' : response.status === 429 ? 'rate-limited' : 'internal';
  if (!(response.headers.get('Content-Type') ?? '').includes('json')) return new Problem(fallback, { status: response.status });
  try {
    const json = parseJson(await bounded(response, 16 * 1024), { bytes: 16 * 1024, depth: 4 });
    if (!isObject(json) || typeof json['code'] !== 'string') return new Problem(fallback, { status: response.status });
    return new Problem(wireCode(json['code']), readParams(json['params']));
  } catch (error) {
    return new Problem(fallback, { status: response.status }, error);
  }
}

/** Only what a sentence can use. */
export function readParams(value: Json | undefined): Record<string, string | number> {
  const params: Record<string, string | number> = {};
  if (value === undefined || !isObject(value)) return params;
  for (const [name, param] of Object.entries(value)) {
    if (typeof param === 'number' || (typeof param === 'string' && param.length <= 200)) params[name] = param;
  }
  return params;
}

async function bounded(response: Response, limit: number): Promise<Bytes> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  try {
    for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) {
      length += read.value.length;
      if (length > limit) throw new Problem('too-large');
      parts.push(read.value);
    }
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Trouble('offline', {}, error);
  } finally {
    if (length > limit) await reader?.cancel();
  }
  return concat(...parts);
}
