/** What a call goes through: every way it can begin, be taken, and end. No clock, no network. */

import { describe, expect, test } from 'vitest';
import { ANSWER_EVERY, JOINS, RING_EVERY, RINGS, SILENCE, step, type CallSays, type Effect, type Input, type Standing } from './machine';

/** One device in the play. */
class Side {
  standing: Standing | undefined;
  readonly device: string;
  now = 1_000_000;

  constructor(device: string) {
    this.device = device;
  }

  does(input: Input): readonly Effect[] {
    const { standing, effects } = step(this.standing, input, this.now, this.device);
    this.standing = standing;
    return effects;
  }

  rings(call = 'c1', peer = 'tom'): readonly Effect[] {
    return this.does({ what: 'start', call, peer, media: 'audio' });
  }

  hears(peer: string, dev: string, said: CallSays): readonly Effect[] {
    return this.does({ what: 'heard', peer, dev, said });
  }

  waits(ms: number): readonly Effect[] {
    this.now += ms;
    return this.does({ what: 'tick' });
  }
}

const offer = { sdp: { type: 'offer' as const, sdp: 'v=0' } };
const says = (effects: readonly Effect[]): string[] => effects.flatMap((effect) => (effect.do === 'send' ? [effect.said.op] : []));
const why = (effects: readonly Effect[]): string[] => effects.flatMap((effect) => (effect.do === 'over' ? [effect.why] : []));
const notes = (effects: readonly Effect[]): unknown[] => effects.flatMap((effect) => (effect.do === 'note' ? [[effect.note.result, effect.note.seconds]] : []));

/** Mei has rung Tomás, whose phone has taken it. */
function talking(): { mei: Side; tom: Side } {
  const mei = new Side('m1');
  const tom = new Side('t1');
  mei.rings();
  tom.hears('mei', 'm1', { call: 'c1', op: 'ring', media: 'audio' });
  tom.does({ what: 'accept' });
  mei.hears('tom', 't1', { call: 'c1', op: 'answer', to: 'm1', ...offer });
  tom.hears('mei', 'm1', { call: 'c1', op: 'taken', by: 't1' });
  for (const side of [mei, tom]) side.does({ what: 'connected' });
  return { mei, tom };
}

describe('one who rings', () => {
  test('rings every three seconds, the first time aloud, and for three quarters of a minute', () => {
    const mei = new Side('m1');
    expect(mei.rings()).toEqual([{ do: 'send', peer: 'tom', said: { call: 'c1', op: 'ring', media: 'audio' }, first: true }]);
    let rings = 1;
    let effects: readonly Effect[] = [];
    while (mei.standing) {
      effects = mei.waits(RING_EVERY);
      rings += says(effects).filter((op) => op === 'ring').length;
    }
    expect(rings).toBe(RINGS / RING_EVERY);
    expect(says(effects)).toEqual(['end']);
    expect(why(effects)).toEqual(['unanswered']);
    expect(notes(effects)).toEqual([['missed', 0]]);
  });

  test.each([['decline', 'declined'], ['busy', 'busy']] as const)('hears %s', (op, result) => {
    const mei = new Side('m1');
    mei.rings();
    const effects = mei.hears('tom', 't1', { call: 'c1', op });
    expect(says(effects)).toEqual(['end']); // so that the others stop
    expect(why(effects)).toEqual([result]);
    expect(notes(effects)).toEqual([[result, 0]]);
  });

  test('thinks better of it', () => {
    const mei = new Side('m1');
    mei.rings();
    const effects = mei.does({ what: 'hang-up' });
    expect([says(effects), notes(effects)]).toEqual([['end'], [['missed', 0]]]);
  });

  test('goes on with the first device that takes it, and tells the others', () => {
    const mei = new Side('m1');
    mei.rings();
    const effects = mei.hears('tom', 't1', { call: 'c1', op: 'answer', to: 'm1', ...offer });
    expect(effects).toEqual([{ do: 'send', peer: 'tom', said: { call: 'c1', op: 'taken', by: 't1' } }, { do: 'join', offer }]);
    expect(mei.hears('tom', 't2', { call: 'c1', op: 'answer', to: 'm1', ...offer })).toEqual([{ do: 'send', peer: 'tom', said: { call: 'c1', op: 'taken', by: 't1' } }]);
    // The word may have been lost: who took it asks again.
    expect(says(mei.hears('tom', 't1', { call: 'c1', op: 'answer', to: 'm1', ...offer }))).toEqual(['taken']);
    expect(mei.hears('tom', 't2', { call: 'c1', op: 'signal', to: 'm1' })).toEqual([]);
    expect(mei.hears('tom', 't2', { call: 'c1', op: 'end' })).toEqual([]);
    expect(mei.hears('tom', 't2', { call: 'c1', op: 'decline' })).toEqual([]);
    expect(mei.standing?.phase).toBe('joining');
  });

  test('is not heard by anybody else, nor for another call, nor at another device', () => {
    const mei = new Side('m1');
    mei.rings();
    for (const [peer, said] of [
      ['eve', { call: 'c1', op: 'answer', to: 'm1' }], ['tom', { call: 'c2', op: 'answer', to: 'm1' }], ['tom', { call: 'c1', op: 'answer', to: 'm2' }],
      ['eve', { call: 'c1', op: 'decline' }], ['tom', { call: 'c1', op: 'signal', to: 'm1' }],
    ] as const) expect(mei.hears(peer, 't1', said)).toEqual([]);
    expect(mei.standing?.phase).toBe('calling');
  });

  test('gives up a way that does not come about', () => {
    const mei = new Side('m1');
    mei.rings();
    mei.hears('tom', 't1', { call: 'c1', op: 'answer', to: 'm1', ...offer });
    const effects = mei.waits(JOINS);
    expect([says(effects), why(effects), notes(effects)]).toEqual([['end'], ['failed'], [['failed', 0]]]);
  });
});

describe('one who is rung', () => {
  const rung = (): Side => {
    const tom = new Side('t1');
    expect(tom.hears('mei', 'm1', { call: 'c1', op: 'ring', media: 'video' })).toEqual([]);
    expect(tom.standing).toMatchObject({ phase: 'ringing', media: 'video', other: 'm1', out: false });
    return tom;
  };

  test('rings as long as rings come, and writes no note', () => {
    const tom = rung();
    for (let n = 0; n < 10; n++) {
      tom.now += RING_EVERY;
      tom.hears('mei', 'm1', { call: 'c1', op: 'ring', media: 'video' });
      expect(tom.waits(0)).toEqual([]);
    }
    const effects = tom.waits(SILENCE);
    expect([says(effects), notes(effects), tom.standing]).toEqual([[], [], undefined]);
  });

  test('does not ring for ever, whatever comes', () => {
    const tom = rung();
    for (let n = 0; tom.standing && n < 60; n++) {
      tom.hears('mei', 'm1', { call: 'c1', op: 'ring', media: 'video' });
      tom.waits(RING_EVERY);
    }
    expect(tom.standing).toBeUndefined();
  });

  test('takes it, and says so until it is heard', () => {
    const tom = rung();
    expect(tom.does({ what: 'accept' })).toEqual([{ do: 'join' }]);
    expect(tom.waits(ANSWER_EVERY)).toEqual([{ do: 'answer' }]);
    expect(tom.waits(ANSWER_EVERY)).toEqual([{ do: 'answer' }]);
    expect(tom.hears('mei', 'm1', { call: 'c1', op: 'signal', to: 't1', candidates: [] })).toEqual([{ do: 'signal', signal: { candidates: [] } }]);
    expect(tom.waits(ANSWER_EVERY)).toEqual([]);
  });

  test('declines', () => {
    const effects = rung().does({ what: 'decline' });
    expect([says(effects), notes(effects)]).toEqual([['decline'], []]);
  });

  test('stops when the caller does, or another device has it', () => {
    for (const said of [{ call: 'c1', op: 'end' }, { call: 'c1', op: 'taken', by: 't2' }, { call: 'c1', op: 'taken', by: 't1' }] as const) {
      const tom = rung();
      tom.hears('mei', 'm1', said);
      expect(tom.standing).toBeUndefined();
    }
  });

  test('was slower than another device', () => {
    const tom = rung();
    tom.does({ what: 'accept' });
    const effects = tom.hears('mei', 'm1', { call: 'c1', op: 'taken', by: 't2' });
    expect([why(effects), says(effects)]).toEqual([['elsewhere'], []]);
  });

  test('believes the caller’s device alone', () => {
    const tom = rung();
    for (const [peer, dev] of [['eve', 'm1'], ['mei', 'm2']] as const) tom.hears(peer, dev, { call: 'c1', op: 'end' });
    expect(tom.standing?.phase).toBe('ringing');
  });

  test('who is in a call, or is rung already, is busy for a third', () => {
    for (const tom of [rung(), talking().tom]) {
      const before = tom.standing;
      expect(tom.hears('wei', 'w1', { call: 'c9', op: 'ring', media: 'audio' })).toEqual([{ do: 'send', peer: 'wei', said: { call: 'c9', op: 'busy' } }]);
      expect(tom.standing).toEqual(before);
    }
  });
});

describe('two who talk', () => {
  test('either hangs up; the one who rang writes how long it was', () => {
    const { mei, tom } = talking();
    for (const side of [mei, tom]) side.now += 180_000;
    expect(says(tom.does({ what: 'hang-up' }))).toEqual(['end']);
    const effects = mei.hears('tom', 't1', { call: 'c1', op: 'end' });
    expect([notes(effects), why(effects)]).toEqual([[['answered', 180]], ['ended']]);
  });

  test('nobody is believed to have talked longer than a day', () => {
    const { mei } = talking();
    mei.now += 30 * 60 * 60_000;
    expect(notes(mei.does({ what: 'hang-up' }))).toEqual([['answered', 86_400]]);
  });

  test('the page at the other end has gone', () => {
    const { mei } = talking();
    expect(why(mei.does({ what: 'gone' }))).toEqual(['ended']);
  });

  test('who begins anew with another call has ended this one', () => {
    const { mei, tom } = talking();
    const effects = tom.hears('mei', 'm1', { call: 'c2', op: 'ring', media: 'audio' });
    expect(why(effects)).toEqual(['ended']);
    expect(tom.standing).toMatchObject({ call: 'c2', phase: 'ringing' });
    expect(mei.standing?.call).toBe('c1');
  });
});

test('both ring each other: they talk in the call with the smaller name, and one note is written', () => {
  const mei = new Side('m1');
  const tom = new Side('t1');
  mei.rings('c1', 'tom');
  tom.rings('c2', 'mei');
  expect(mei.hears('tom', 't1', { call: 'c2', op: 'ring', media: 'audio' })).toEqual([]);
  expect(tom.hears('mei', 'm1', { call: 'c1', op: 'ring', media: 'audio' })).toEqual([{ do: 'send', peer: 'mei', said: { call: 'c2', op: 'end' } }, { do: 'join' }]);
  expect(tom.standing).toMatchObject({ call: 'c1', phase: 'joining', out: false, other: 'm1' });
  mei.hears('tom', 't1', { call: 'c2', op: 'end' });
  expect(mei.hears('tom', 't1', { call: 'c1', op: 'answer', to: 'm1', ...offer }).map((effect) => effect.do)).toEqual(['send', 'join']);
  for (const side of [mei, tom]) side.does({ what: 'connected' });
  expect([notes(tom.does({ what: 'hang-up' })), notes(mei.hears('tom', 't1', { call: 'c1', op: 'end' }))]).toEqual([[], [['answered', 0]]]);
});
