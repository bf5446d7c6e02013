/**
 * Every decoder against what nobody would write: pieces of all vectors, cut, doubled, joined and sprinkled. Whatever
 * comes, it is read or refused with one of our codes. A seed that is the same in every run; ten new ones with
 * COURTYARD_LONG=1. The seed and the input of what fails are printed.
 */
import { expect, test } from 'vitest';
import { parseHandle, parseHost } from '../address';
import { bareJpeg, wallPhotoSize } from '../barejpeg';
import { b64, type Bytes, concat, unb64, utf8 } from '../bytes';
import { readCardCode, readCardText } from '../card';
import { parseEnvelope } from '../envelope';
import { parseHandover } from '../handover';
import { Chain } from '../ident';
import { parseInvite } from '../invite';
import { bearable } from '../jpeg';
import { any, type Json, parseJson } from '../json';
import { openLetter } from '../letter';
import { parseLink } from '../link';
import { isLetterType, parseBody, parseMeta } from '../message';
import { parsePairing } from '../pairing';
import { parseChange, readWallPage } from '../post';
import { isProblem } from '../problem';
import { readSigned } from '../signed';
import { readSealedVault } from '../vault';
import { parseVault } from '../vaultdata';
import { headerBetween, person, repeatable } from './cast';
import { vectorFiles, vectors } from './vectors';

const alice = await person('alice');
const bob = await person('bob');
const header = headerBetween(alice, bob);
const limits = { bytes: 4 * 1024 * 1024, depth: 12 };

const kinds = [
  ['chat', 'text'], ['chat', 'photo'], ['chat', 'edit'], ['chat', 'react'], ['chat', 'read'], ['chat', 'profile'],
  ['friend', 'request'], ['friend', 'joined'], ['receipt', 'home'], ['receipt', 'stale'], ['live', 'typing'],
] as const;

const ofBytes: Readonly<Record<string, (input: Bytes) => unknown>> = {
  parseJson: (input) => parseJson(input, limits),
  parseEnvelope: (input) => parseEnvelope(input),
  parseMeta: (input) => parseMeta(input),
  parseLink: (input) => parseLink(input),
  parseVault: (input) => parseVault(input),
  parseChange: (payload) => parseChange({ payload, by: alice.keys.sign, sig: new Uint8Array(64) }),
  chain: (payload) => Chain.parse([{ payload, by: alice.keys.sign, sig: new Uint8Array(64) }], alice.chain.uid),
  signed: (input) => readSigned(parseJson(input, limits)),
  vault: (input) => readSealedVault(parseJson(input, limits)),
  page: (input) => readWallPage(parseJson(input, limits)),
  jpeg: (input) => [bearable(input), wallPhotoSize(input), bareJpeg(input)],
  letter: (input) => openLetter(header, input, [bob.uek], () => Promise.resolve(alice.chain)),
  ...Object.fromEntries(kinds.map(([type, kind]) => [`${type} ${kind}`, (input: Bytes) => isLetterType(type) && parseBody(type, kind, input)])),
};

const ofText: Readonly<Record<string, (input: string) => unknown>> = {
  unb64: (input) => unb64(input, 32),
  parseHost: (input) => parseHost(input),
  parseHandle: (input) => parseHandle(input),
  parseInvite: (input) => parseInvite(input),
  parseHandover: (input) => parseHandover(input),
  parsePairing: (input) => parsePairing(input),
  readCardCode: (input) => readCardCode(input),
  readCardText: (input) => readCardText(input),
};

/** All strings of the vectors, and all objects as JSON. */
function pieces(value: Json, into: string[]): void {
  if (typeof value === 'string') into.push(value);
  else if (typeof value === 'object' && value !== null) {
    into.push(JSON.stringify(value));
    for (const each of Object.values(value) as Json[]) pieces(each, into);
  }
}

function seedsOfAll(): readonly string[] {
  const all: string[] = [];
  for (const name of vectorFiles()) pieces(vectors(name, any), all);
  return [...new Set(all)].filter(({ length }) => length > 0 && length <= 20_000);
}

const sprinkles = ['"', '{', '}', '[', ',', ':', '\\u0000', '\\ud800', '-', '0', '1e999', '9007199254740993', 'null', '__proto__', '#', '%', '%zz', '.', '@', '/', '😀', '\u202e', '\u0000'];

/** A source of whole numbers below `n`, the same for the same name. */
function dice(name: string): (n: number) => number {
  const random = repeatable(name);
  return (n) => {
    const [a = 0, b = 0, c = 0, d = 0] = random(4);
    return (((a << 24) | (b << 16) | (c << 8) | d) >>> 0) % n;
  };
}

function one<T>(of: readonly T[], roll: (n: number) => number): T {
  return of[roll(of.length)] as T;
}

function mangled(seeds: readonly string[], roll: (n: number) => number): string {
  let text = one(seeds, roll);
  for (let left = roll(4); left > 0; left--) {
    const [a, b] = [roll(text.length + 1), roll(text.length + 1)].sort((x, y) => x - y) as [number, number];
    const turns = [
      () => text.slice(0, a) + text.slice(b),
      () => text.slice(0, b) + text.slice(a),
      () => text.slice(0, a) + one(sprinkles, roll) + text.slice(a),
      () => text.slice(0, a) + one(sprinkles, roll) + text.slice(a + 1),
      () => text.slice(0, a) + one(seeds, roll) + text.slice(b),
    ];
    text = one(turns, roll)().slice(0, 40_000);
  }
  return text;
}

/** As it would come over the wire: the text, or the bytes that it stands for with some of them changed. */
function bytesOf(text: string, roll: (n: number) => number): Bytes {
  let out = utf8(text);
  if (/^[\w-]+$/u.test(text) && roll(2) === 0) {
    try {
      out = unb64(text.slice(0, text.length - (text.length % 4)));
    } catch (error) {
      if (!isProblem(error)) throw error; // letters that end in unused bits: as text, then
    }
  }
  for (let left = roll(3); left > 0 && out.length > 0; left--) out[roll(out.length)] = roll(256);
  return roll(8) === 0 ? concat(out, out) : out;
}

const rounds = 1500;
const runs = process.env['COURTYARD_LONG'] === '1' ? Array.from({ length: 10 }, () => b64(crypto.getRandomValues(new Uint8Array(9)))) : ['mangled'];

test.each(runs)('whatever comes is read, or refused with a code (seed %s)', async (seed) => {
  const seeds = seedsOfAll();
  const roll = dice(seed);
  let read = 0;
  let refused = 0;
  for (let round = 0; round < rounds; round++) {
    const text = mangled(seeds, roll);
    const bytes = bytesOf(text, roll);
    const tries = [
      ...Object.entries(ofText).map(([name, decode]) => [name, () => decode(text)] as const),
      ...Object.entries(ofBytes).map(([name, decode]) => [name, () => decode(bytes)] as const),
    ];
    for (const [name, decode] of tries) {
      try {
        await decode();
        read++;
      } catch (error) {
        if (!isProblem(error)) throw new Error(`${name} threw something else, seed ${seed}, for ${JSON.stringify(text)} = ${b64(bytes)}`, { cause: error });
        refused++;
      }
    }
  }
  // Neither is what a decoder that does nothing would do.
  expect(read).toBeGreaterThan(rounds / 10);
  expect(refused).toBeGreaterThan(rounds * 10);
});
