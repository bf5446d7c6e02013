import { describe, expect, test } from 'vitest';
import { b64 } from '../protocol/bytes';
import { derive, tickOf } from './conversation';
import { clampClock, compareEvents, type LogEvent } from './event';

const ME = b64(new Uint8Array(32).fill(1));
const FRIEND = b64(new Uint8Array(32).fill(2));
const mid = (n: number): string => b64(new Uint8Array(16).fill(n));

function event(n: number, clock: number, more: Partial<LogEvent> = {}): LogEvent {
  return {
    peer: FRIEND, author: FRIEND, mid: mid(n), dev: 'dev', type: 'chat', kind: 'text', clock, ts: clock, received: clock, body: { text: `text ${String(n)}` }, hash: 'h',
    ...more,
  };
}
const edit = (n: number, clock: number, text: string, author = FRIEND): LogEvent => event(n, clock, { author, kind: 'edit', body: { target: mid(1), text } });
const react = (n: number, clock: number, author: string, emoji: string): LogEvent =>
  event(n, clock, { author, kind: 'react', body: { target: mid(1), author: FRIEND, emoji } });

function shuffled<T>(items: readonly T[]): T[] {
  return items.map((item) => ({ item, at: Math.random() })).sort((a, b) => a.at - b.at).map(({ item }) => item);
}

describe('a message is derived', () => {
  test('the same from the same events in any order', () => {
    const touches = [edit(2, 20, 'second'), edit(3, 30, 'third'), react(4, 40, ME, '❤'), react(5, 41, FRIEND, '❤'), react(6, 50, ME, '')];
    const expected = derive(event(1, 10), touches);
    expect(expected).toMatchObject({ text: 'third', edited: true, reactions: [{ emoji: '❤', by: [FRIEND] }] });
    for (let turn = 0; turn < 20; turn++) expect(derive(event(1, 10), shuffled(touches))).toEqual(expected);
  });

  test('of two edits with one clock the same wins everywhere', () => {
    const touches = [edit(2, 20, 'a'), edit(3, 20, 'b')];
    expect(derive(event(1, 10), touches).text).toBe('b');
    expect(derive(event(1, 10), touches.toReversed()).text).toBe('b');
  });

  test('nobody edits or deletes what another wrote', () => {
    const forged = [edit(2, 20, 'put in your mouth', ME), event(3, 30, { author: ME, kind: 'delete', body: { target: mid(1) } })];
    expect(derive(event(1, 10), forged)).toMatchObject({ kind: 'text', text: 'text 1', edited: false });
  });

  test('a deletion ends it, whatever else there is', () => {
    const gone = event(9, 15, { kind: 'delete', body: { target: mid(1) } });
    expect(derive(event(1, 10), [edit(2, 20, 'later'), gone, react(4, 40, ME, '❤')])).toMatchObject({ kind: 'deleted', text: '', reactions: [] });
  });

  test('a reaction is to the message of that author only', () => {
    const elsewhere = event(4, 40, { author: ME, kind: 'react', body: { target: mid(1), author: ME, emoji: '❤' } });
    expect(derive(event(1, 10), [elsewhere]).reactions).toEqual([]);
  });

  test.each([
    ['a kind from later', { kind: 'poll', body: { question: '?' } }],
    ['a body that cannot be', { kind: 'photo', body: { width: -1 } }],
    ['no body at all', { body: null }],
  ])('%s is shown as not known', (_what, more) => {
    expect(derive(event(1, 10, more), []).kind).toBe('unknown');
  });
});

describe('order', () => {
  test('is by clock, then mid', () => {
    const events = [event(3, 20), event(2, 20), event(1, 30), event(4, 10)];
    expect(events.sort(compareEvents).map((each) => each.mid)).toEqual([mid(4), mid(2), mid(3), mid(1)]);
  });

  test('nobody puts a message further ahead than ten minutes', () => {
    expect(clampClock(10_000_000, 1_000)).toBe(601_000);
    expect(clampClock(900, 1_000)).toBe(900);
  });
});

describe('ticks', () => {
  const marks = { theirs: 0, friendHome: true };
  const own = (more: Partial<LogEvent>): LogEvent => event(1, 10, { author: ME, ...more });

  test.each([
    ['waiting', {}, marks],
    ['failed', { failure: { code: 'not-contact', params: {} } }, marks],
    ['accepted', { accepted: 5 }, marks],
    ['kept', { accepted: 5, kept: true }, marks],
    ['accepted', { accepted: 5, kept: false }, { theirs: 0, friendHome: false }],
    ['kept', { accepted: 5 }, { theirs: 0, friendHome: false }],
    ['home', { accepted: 5, home: 6 }, marks],
    ['read', { accepted: 5, home: 6 }, { theirs: 10, friendHome: true }],
    ['read', { accepted: 5, read: 7 }, marks],
    // A mark from the future does not make read what never left.
    ['waiting', {}, { theirs: 99, friendHome: true }],
  ] as const)('%s', (tick, more, seen) => {
    expect(tickOf(own(more), seen)).toBe(tick);
  });
});
