/** Files from the home: several pieces are asked for before the first is here, and what arrives is whole all the same. */

import 'fake-indexeddb/auto';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Api } from '../platform/api';
import { until } from '../platform/players';
import { TestBrowser, TestTab } from '../platform/testing';
import { b64, equal, type Bytes } from '../protocol/bytes';
import { describeFile, sealedSize, sealFile } from '../protocol/file';
import type { JsonObject } from '../protocol/json';
import type { FileRef } from '../protocol/message';
import { Problem } from '../protocol/problem';
import { randomBytes } from '../protocol/primitives';
import { Store } from '../store/store';
import { Trouble } from './failure';
import { Transfers } from './transfers';

const PIECE = 40_000;

let tab: TestTab;
let store: Store;
let transfers: Transfers;
let file: FileRef;
let content: Bytes;
let sealed: Bytes;
/** offsets asked for, and how each is answered */
let asked: number[];
let waiting: Map<number, { readonly answer: () => void; readonly refuse: (code: 'home-away' | 'not-found' | 'offline') => void }>;
/** how much the home gives at a time */
let gives: number;
/** whether the courtyard has it, and how much of it the friend's device gives before it goes */
let there: boolean;
let aside: number;
/** it takes the question, and does not answer */
let silent: boolean;
/** what it answers instead */
let junk: Bytes | undefined;

beforeEach(async () => {
  tab = new TestTab(new TestBrowser('https://yard.example'));
  store = await Store.open(`transfers-${crypto.randomUUID()}`, () => undefined);
  content = new Uint8Array(10.5 * PIECE);
  for (let at = 0; at < content.length; at += PIECE / 2) content.set(randomBytes(PIECE / 2), at);
  file = await describeFile(content, 'image/jpeg');
  sealed = new Uint8Array(sealedSize(file.size));
  let at = 0;
  for await (const chunk of sealFile(file, content)) {
    sealed.set(chunk, at);
    at += chunk.length;
  }
  asked = [];
  waiting = new Map();
  gives = PIECE;
  there = false;
  aside = 0;
  silent = false;
  junk = undefined;
  transfers = new Transfers({
    platform: tab, files: store.files,
    // The courtyard has let it go, or does not have it yet.
    api: { getFile: (_id: string, offset: number) => (there ? Promise.resolve(sealed.slice(offset)) : Promise.reject(new Problem('not-found'))) } as unknown as Api,
    linked: () => true, abroad: () => undefined, hasHome: () => true,
    aside: (peer, _id, offset) => {
      expect(peer).toBe('tom');
      if (junk) return Promise.resolve(junk);
      if (silent) return Promise.reject(new Trouble('offline'));
      return offset < aside ? Promise.resolve(sealed.slice(offset, offset + PIECE)) : undefined;
    },
    uploaded: () => undefined, refused: () => undefined, progress: () => undefined,
    askHome: (_method, { id, offset = 0 }) => {
      expect(id).toBe(b64(file.id));
      const from = Number(offset);
      asked.push(from);
      return new Promise<JsonObject>((resolve, reject) => {
        waiting.set(from, {
          answer: () => {
            waiting.delete(from);
            resolve({ data: b64(sealed.slice(from, from + gives)), size: sealed.length });
          },
          refuse: (code) => {
            waiting.delete(from);
            reject(code === 'offline' ? new Trouble(code) : new Problem(code));
          },
        });
      });
    },
  });
});

afterEach(() => {
  tab.close();
  expect(tab.browser.complaints).toEqual([]);
});

function answerAll(): void {
  for (const { answer } of [...waiting.values()]) answer();
}

/** Answers whatever is asked until it is all here. */
async function served(loading: Promise<Bytes>): Promise<Bytes> {
  let over = false;
  const done = loading.finally(() => {
    over = true;
  });
  await until(() => {
    answerAll();
    return over;
  });
  return done;
}

test('eight pieces are on their way at a time, and the answers may come in any order', async () => {
  const loading = transfers.load(file);
  await until(() => asked.length === 8);
  expect(asked).toEqual(Array.from({ length: 8 }, (_, n) => n * PIECE));
  // Who asks for it meanwhile is told how far it is, too.
  const told: number[] = [];
  const second = transfers.load(file, undefined, (part) => told.push(part));
  // The last first: nothing is written until those before it are here.
  for (const { answer } of [...waiting.values()].reverse()) answer();
  await until(() => asked.length > 8);
  expect(equal(await served(loading), content)).toBe(true);
  expect(await second).toBe(await loading);
  expect(told.at(-1)).toBe(1);
  expect(told.length).toBeGreaterThan(2);
  expect(new Set(asked).size).toBe(asked.length);
  expect(asked).toHaveLength(Math.ceil(sealed.length / PIECE));
});

test('a home that gives less at a time is followed', async () => {
  gives = 30_000;
  expect(equal(await served(transfers.load(file)), content)).toBe(true);
});

test('what is here stays here when the home goes away in the middle, and it goes on from there', async () => {
  const loading = transfers.load(file);
  await until(() => asked.length === 8);
  waiting.get(0)?.answer();
  waiting.get(PIECE)?.answer();
  for (const code of ['home-away', 'offline'] as const) {
    await until(() => asked.at(-1) === 9 * PIECE);
    asked.length = 0;
    for (const { refuse } of [...waiting.values()]) refuse(code);
  }
  expect(equal(await served(loading), content)).toBe(true);
  expect(asked[0]).toBe(2 * PIECE);
});

test('of a home that is away nothing is waited for when nothing has come', async () => {
  const failed = expect(transfers.load(file)).rejects.toMatchObject({ code: 'home-away' });
  await until(() => asked.length === 8);
  for (const { refuse } of [...waiting.values()]) refuse('home-away');
  await failed;
});

test('a file that the home does not have is missing', async () => {
  const failed = expect(transfers.load(file)).rejects.toMatchObject({ code: 'file-missing' });
  await until(() => asked.length === 8);
  for (const { refuse } of [...waiting.values()]) refuse('not-found');
  await failed;
});

test.each([
  ['came straight from the friend and broke off', (): number => (aside = 2 * PIECE)],
  ['the friend was asked for and did not give', (): number => Number((silent = true)) - 1],
])('what %s is waited for, until the courtyard has it', async (_what, arrange) => {
  const from = arrange();
  const loading = transfers.load(file, 'tom');
  await until(() => asked.length === 8);
  expect(asked[0]).toBe(from);
  for (const { refuse } of [...waiting.values()]) refuse('not-found');
  there = true;
  expect(equal(await loading, content)).toBe(true);
});

test.each([1, PIECE])('what is not what was sent, %i bytes of it, does not keep the courtyard from giving that', async (bytes) => {
  junk = randomBytes(bytes);
  there = true;
  expect(equal(await transfers.load(file, 'tom'), content)).toBe(true);
});

test('nobody but who sent a file is asked for it', async () => {
  junk = randomBytes(1);
  there = true;
  const asks = vi.spyOn(store.files, 'append');
  expect(equal(await transfers.load(file), content)).toBe(true);
  expect(asks).toHaveBeenCalledTimes(1);
  asks.mockRestore();
});
