import { expect, test } from 'vitest';
import { waitingFor, wordsDue, type Circumstances } from './waiting';

const late: Circumstances = { tick: 'waiting', since: 0, now: 10_000, link: 'online', name: 'Mei', fork: false, lack: undefined, way: false };

test.each([
  ['nothing before ten seconds', { now: 9_999 }, undefined],
  ['the network, when there is none', { link: 'offline' }, { for: 'network' }],
  ['nothing any more, when the courtyard does not know this device', { link: 'refused' }, { for: 'nothing' }],
  ['the courtyard, when it does not answer', {}, { for: 'courtyard' }],
  ['the home, when the courtyard has it', { tick: 'accepted' }, { for: 'home', name: 'Mei' }],
  ['the home, also without a network here', { tick: 'accepted', link: 'offline' }, { for: 'home', name: 'Mei' }],
  ['a key', { lack: 'key' }, { for: 'key', name: 'Mei' }],
  ['a courtyard that does not answer', { lack: 'away' }, { for: 'away', name: 'Mei' }],
  ['the other courtyard, when the own one has it', { tick: 'accepted', way: true }, { for: 'carry', name: 'Mei' }],
  ['a decision before anything else', { fork: true, link: 'offline', lack: 'key' }, { for: 'decision', name: 'Mei' }],
  ['nothing once it is kept', { tick: 'kept' }, undefined],
  ['nothing once it is home', { tick: 'home' }, undefined],
  ['nothing once it has failed', { tick: 'failed' }, undefined],
] as const)('waits for %s', (_what, more, expected) => {
  expect(waitingFor({ ...late, ...more })).toEqual(expected);
});

test('the words are due ten seconds after the last tick, once', () => {
  expect(wordsDue('waiting', 1_000, 5_000)).toBe(11_000);
  expect(wordsDue('accepted', 1_000, 11_000)).toBeUndefined();
  expect(wordsDue('home', 1_000, 5_000)).toBeUndefined();
});
