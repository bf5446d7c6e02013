import { expect, test } from 'vitest';
import type { PeerChannel, PeerChannelListener } from './platform';
import { until } from './players';
import { TestRtc } from './testpeers';

interface Ear extends PeerChannelListener {
  readonly heard: string[];
}

function ear(): Ear {
  const heard: string[] = [];
  return {
    heard,
    opened: () => heard.push('opened'),
    message: (text) => heard.push(text),
    closed: () => heard.push('closed'),
    drained: () => heard.push('drained'),
  };
}

test('two browsers that told each other where they are can talk', async () => {
  const [here, there] = [new TestRtc(), new TestRtc()];
  const [near, far] = [ear(), ear()];
  let theirs: PeerChannel | undefined;
  const caller = here.connect([], 'all', { state: () => undefined });
  const callee = there.connect([], 'all', {
    state: () => undefined,
    channel: (channel) => {
      theirs = channel;
      return far;
    },
  });
  const ours = caller.channel('courtyard', 'home/1', near);
  await callee.accept(await caller.describe());
  await caller.accept(await callee.describe());
  await until(() => ours.open && theirs?.open === true);
  ours.send('hello');
  theirs?.send('good day');
  await until(() => far.heard.includes('hello') && near.heard.includes('good day'));
  expect([caller.settled, callee.settled, caller.state, callee.state]).toEqual([true, true, 'connected', 'connected']);
  callee.close();
  await until(() => near.heard.includes('closed'));
  expect(() => { ours.send('too late'); }).toThrow(TypeError);
});

test('and cannot where the air is thick', async () => {
  const [here, there] = [new TestRtc(), new TestRtc()];
  there.reaches = false;
  const states: string[] = [];
  const caller = here.connect([], 'all', { state: (state) => states.push(state) });
  const callee = there.connect([], 'all', { state: () => undefined });
  const ours = caller.channel('courtyard', 'home/1', ear());
  await callee.accept(await caller.describe());
  await caller.accept(await callee.describe());
  await until(() => states.length > 0);
  expect([states, ours.open]).toEqual([['connecting'], false]);
});
