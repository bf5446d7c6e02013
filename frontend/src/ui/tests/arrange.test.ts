import { describe, expect, test } from 'vitest';
import type { Message } from '../../domain/types';
import { arrange, keep, type MessageRow } from '../talk/arrange';
import { around, downward, follow, most, opening, step, upward } from '../talk/span';

const noon = new Date(2026, 10, 20, 12, 0, 0).getTime();
const minute = 60_000;

function message(mid: string, more: Partial<Message> = {}): Message {
  return {
    mid, peer: 'mei', author: 'mei', own: false, clock: noon, sent: noon, kind: 'text', text: mid, call: undefined, more: undefined, photo: undefined,
    reply: undefined, edited: false, reactions: [], tick: undefined, waiting: undefined, failure: undefined, by: undefined, ...more,
  };
}

function mine(mid: string, more: Partial<Message> = {}): Message {
  return message(mid, { author: 'me', own: true, tick: 'read', ...more });
}

function shape(messages: readonly Message[], unreadFrom?: string): string[] {
  return arrange(messages, 0, messages.length, unreadFrom).map((row) => {
    if (row.kind !== 'message') return row.kind;
    return [row.key, row.up ? 'up' : '', row.down ? 'down' : '', row.timed ? 'time' : '', row.ticked ? 'tick' : ''].filter((word) => word !== '').join(' ');
  });
}

describe('bubbles', () => {
  test('those of one person in one minute join, and the time stands on the last', () => {
    expect(shape([message('a'), message('b', { sent: noon + 20_000 }), message('c', { sent: noon + minute })])).toEqual([
      'day', 'a down', 'b up time', 'c time',
    ]);
  });

  test('another person or another minute ends a turn', () => {
    expect(shape([message('a'), mine('b'), mine('c', { sent: noon + minute })])).toEqual(['day', 'a time', 'b time tick', 'c time tick']);
  });

  test('an earlier bubble of a turn carries a tick only when its state differs from the last', () => {
    expect(shape([mine('a', { tick: 'home' }), mine('b'), mine('c')])).toEqual(['day', 'a down tick', 'b up down', 'c up time tick']);
  });

  test('what waits is told beneath it, so nothing joins from below', () => {
    expect(shape([mine('a', { tick: 'waiting', waiting: { for: 'network' } }), mine('b', { tick: 'waiting' })])).toEqual([
      'day', 'a time tick', 'b time tick',
    ]);
  });

  test('the line above what is new parts a turn', () => {
    expect(shape([message('a'), message('b')], 'b')).toEqual(['day', 'a time', 'new', 'b time']);
  });

  test('each day has its line, in the calendar of the reader', () => {
    const late = new Date(2026, 10, 20, 23, 59, 59).getTime();
    expect(shape([message('a', { sent: late }), message('b', { sent: late + 2_000 })])).toEqual(['day', 'a time', 'day', 'b time']);
  });

  test('a bubble looks the same wherever the window ends', () => {
    const all = [message('a'), message('b'), message('c')];
    const inner = arrange(all, 1, 2, undefined);
    expect(inner).toEqual(arrange(all, 0, 3, undefined).filter((row) => row.key === 'b'));
  });

  test('rows that say the same stay the same objects', () => {
    const first = [message('a'), message('b')];
    const before = arrange(first, 0, 2, undefined);
    const after = keep(before, arrange([...first, message('c', { sent: noon + minute })], 0, 3, undefined));
    expect(after[1]).toBe(before[1]);
    const changed = keep(before, arrange([message('a', { text: 'other' }), ...first.slice(1)], 0, 2, undefined));
    expect(changed[1]).not.toBe(before[1]);
    expect((changed[1] as MessageRow).message.text).toBe('other');
  });
});

describe('the part of a long conversation that stands in the page', () => {
  const many = Array.from({ length: 100_000 }, (_, n) => message(`m${String(n)}`));

  test('opens at the end', () => {
    const span = opening(many, undefined);
    expect(span.to).toBe(100_000);
    expect(span.to - span.from).toBeLessThanOrEqual(most);
  });

  test('opens where the unread begins, when that is further back', () => {
    const span = opening(many, 'm50000');
    expect(span.from).toBeLessThan(50_000);
    expect(span.to).toBeGreaterThan(50_000);
    expect(span.to - span.from).toBeLessThanOrEqual(most);
  });

  test('never holds more than its bound, all the way up and down', () => {
    let span = opening(many, undefined);
    let steps = 0;
    while (span.from > 0) {
      const next = upward(span);
      expect(next.from).toBe(Math.max(0, span.from - step));
      expect(next.to - next.from).toBeLessThanOrEqual(most);
      span = next;
      steps += 1;
    }
    expect(steps).toBeGreaterThan(3_000);
    while (span.to < many.length) {
      span = downward(span, many.length);
      expect(span.to - span.from).toBeLessThanOrEqual(most);
    }
    expect(span.to).toBe(many.length);
  });

  test('keeps to its messages when older ones come before them', () => {
    const short = many.slice(500, 600);
    const span = { from: 0, to: 100 };
    expect(follow(span, many.slice(450, 600), short[0]?.mid, false, 100)).toEqual({ from: 50, to: 150 });
  });

  test('follows the end when it stood at the end, dropping from the top', () => {
    const before = many.slice(0, 200);
    const span = { from: 200 - most, to: 200 };
    expect(follow(span, many.slice(0, 201), before[span.from]?.mid, true, 200)).toEqual({ from: 201 - most, to: 201 });
  });

  test('finds its first message again when one above it is gone', () => {
    const list = [...many.slice(0, 10), ...many.slice(11, 100)];
    expect(follow({ from: 50, to: 90 }, list, 'm50', false, 100).from).toBe(49);
  });

  test('an empty conversation is an empty span', () => {
    expect(follow({ from: 0, to: 0 }, [], undefined, true, 0)).toEqual({ from: 0, to: 0 });
    expect(opening([], undefined)).toEqual({ from: 0, to: 0 });
    expect(around(0, 1)).toEqual({ from: 0, to: 1 });
  });
});
