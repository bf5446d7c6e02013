/**
 * Strict JSON (protocol/README.md section 1): duplicate keys, too much depth or size, broken UTF-8 and anything after
 * the value are refused; readers turn the untyped value into a typed one or throw `bad-request`.
 */
import { type Bytes, fromUtf8, unb64, utf8 } from './bytes';
import { Problem } from './problem';

/** A number that is no integer below 2^53: kept so that unknown keys survive, never accepted where an integer is due. */
export class Decimal {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toJSON(): number {
    return Number(this.#text);
  }
}

export type Json = null | boolean | number | string | Decimal | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

export interface JsonLimits {
  /** of the UTF-8 text */
  readonly bytes: number;
  /** arrays and objects inside one another; a lone object is 1 */
  readonly depth: number;
}

export function refuse(reason: string): never {
  throw new Problem('bad-request', { reason });
}

/** Throws `too-large` or `bad-request`. Objects have no prototype, so no key is special. */
export function parseJson(source: string | Bytes, limits: JsonLimits): Json {
  const text = typeof source === 'string' ? source : source.length > limits.bytes ? tooLarge() : fromUtf8(source);
  if (typeof source === 'string' && (text.length > limits.bytes || (text.length * 3 > limits.bytes && utf8(text).length > limits.bytes))) {
    tooLarge();
  }
  return new Parser(text, limits.depth).document();
}

function tooLarge(): never {
  throw new Problem('too-large');
}

const plain = /[^"\\\u0000-\u001f]*/y;
const number = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const space = /[ \t\n\r]*/y;
const hex = /[0-9a-fA-F]{4}/y;
const escapes: Readonly<Record<string, string>> = {
  '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t',
};

class Parser {
  #at = 0;
  readonly #text: string;
  readonly #depth: number;

  constructor(text: string, depth: number) {
    this.#text = text;
    this.#depth = depth;
  }

  document(): Json {
    const value = this.#value(0);
    this.#match(space);
    if (this.#at !== this.#text.length) refuse('trailing');
    return value;
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found) this.#at = pattern.lastIndex;
    return found;
  }

  /** Skips space, then consumes `wanted` if it is there. */
  #take(wanted: string): boolean {
    this.#match(space);
    if (!this.#text.startsWith(wanted, this.#at)) return false;
    this.#at += wanted.length;
    return true;
  }

  #value(depth: number): Json {
    if (this.#take('{')) return this.#object(depth + 1);
    if (this.#take('[')) return this.#array(depth + 1);
    if (this.#take('"')) return this.#string();
    if (this.#take('true')) return true;
    if (this.#take('false')) return false;
    if (this.#take('null')) return null;
    const found = this.#match(number);
    if (!found) return refuse('json');
    const n = Number(found[0]);
    const integer = found[1] === undefined && found[2] === undefined && Number.isSafeInteger(n);
    return integer && found[0] !== '-0' ? n : new Decimal(found[0]);
  }

  #object(depth: number): JsonObject {
    if (depth > this.#depth) refuse('depth');
    const object = Object.create(null) as Record<string, Json>;
    if (this.#take('}')) return object;
    do {
      if (!this.#take('"')) refuse('json');
      const key = this.#string();
      if (key in object) refuse('duplicate-key');
      if (!this.#take(':')) refuse('json');
      object[key] = this.#value(depth);
    } while (this.#take(','));
    if (!this.#take('}')) refuse('json');
    return object;
  }

  #array(depth: number): readonly Json[] {
    if (depth > this.#depth) refuse('depth');
    const array: Json[] = [];
    if (this.#take(']')) return array;
    do array.push(this.#value(depth));
    while (this.#take(','));
    if (!this.#take(']')) refuse('json');
    return array;
  }

  /** After the opening quote. */
  #string(): string {
    let text = '';
    for (;;) {
      text += this.#match(plain)?.[0] ?? '';
      const next = this.#text[this.#at++];
      if (next === '"') break;
      if (next !== '\\') refuse('json'); // a control character, or the end
      const escape = this.#text[this.#at++] ?? '';
      if (escape === 'u') text += String.fromCharCode(parseInt(this.#match(hex)?.[0] ?? refuse('json'), 16));
      else text += escapes[escape] ?? refuse('json');
    }
    if (/\p{Surrogate}/u.test(text)) refuse('utf-8'); // half a surrogate pair is no text
    return text;
  }
}

// ---- readers -------------------------------------------------------------------------------------------------------

/** Turns a value into a `T` or throws `bad-request`. */
export type Read<T> = (value: Json) => T;
export type ReadOf<R> = R extends Read<infer T> ? T : never;
type Shape = Readonly<Record<string, Read<unknown>>>;
type Of<S extends Shape> = { readonly [K in keyof S]: ReadOf<S[K]> };
// eslint-disable-next-line @typescript-eslint/no-generated-empty-object-type -- no further fields is what is meant
type None = Readonly<Record<never, never>>;
type Fields<S extends Shape, O extends Shape> = Of<S> & Partial<Of<O>>;

export function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Decimal);
}

function fields<S extends Shape, O extends Shape>(value: Json, required: S, optional: O): Fields<S, O> {
  if (!isObject(value)) return refuse('object');
  const out: Record<string, unknown> = {};
  for (const [key, read] of Object.entries(required)) {
    const field = value[key];
    out[key] = field === undefined ? refuse(`missing ${key}`) : read(field);
  }
  for (const [key, read] of Object.entries(optional)) {
    const field = value[key];
    if (field !== undefined) out[key] = read(field);
  }
  return out as Fields<S, O>; // each key was read by the reader that gives the type its field
}

/** An object with exactly these keys. */
export function closed<S extends Shape, O extends Shape = None>(required: S, optional?: O): Read<Fields<S, O>> {
  return (value) => {
    if (isObject(value)) {
      for (const key of Object.keys(value)) if (!Object.hasOwn(required, key) && !(optional && Object.hasOwn(optional, key))) refuse('unknown-key');
    }
    return fields(value, required, optional ?? ({} as O));
  };
}

/** An object with at least these keys; others are left out. */
export function open<S extends Shape, O extends Shape = None>(required: S, optional?: O): Read<Fields<S, O>> {
  return (value) => fields(value, required, optional ?? ({} as O));
}

export function int(min = 0, max = Number.MAX_SAFE_INTEGER): Read<number> {
  return (value) => (typeof value === 'number' && value >= min && value <= max ? value : refuse('integer'));
}

/** At most `max` characters (Unicode code points). */
export function text(max: number, min = 0): Read<string> {
  return (value) => {
    if (typeof value !== 'string' || value.length > 2 * max) return refuse('text');
    const length = characters(value);
    return length >= min && length <= max ? value : refuse('text');
  };
}

/** Unicode code points. */
export function characters(value: string): number {
  let length = 0;
  for (const _ of value) length++;
  return length;
}

export const bool: Read<boolean> = (value) => (typeof value === 'boolean' ? value : refuse('boolean'));

/** base64url of `length` bytes. */
export function bytes(length: number): Read<Bytes> {
  return (value) => (typeof value === 'string' && value.length <= 2 * length ? unb64(value, length) : refuse('bytes'));
}

/** base64url of at most `max` bytes. */
export function blob(max: number, min = 0): Read<Bytes> {
  return (value) => {
    if (typeof value !== 'string') return refuse('bytes');
    if (value.length > Math.ceil((max * 4) / 3)) return tooLarge();
    const decoded = unb64(value);
    return decoded.length >= min ? decoded : refuse('bytes');
  };
}

export function array<T>(item: Read<T>, max: number, min = 0): Read<readonly T[]> {
  return (value) => {
    if (!Array.isArray(value)) return refuse('array');
    if (value.length > max) return tooLarge();
    if (value.length < min) return refuse('array');
    return (value as readonly Json[]).map(item);
  };
}

export function oneOf<const T extends string | number>(...values: readonly T[]): Read<T> {
  return (value) => values.find((each) => each === value) ?? refuse('value');
}

export const any: Read<Json> = (value) => value;
