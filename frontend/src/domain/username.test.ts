import { expect, test } from 'vitest';
import { usernameAllowed } from '../protocol/address';
import { candidates, plain } from './username';

async function first(name: string, count = 1): Promise<string[]> {
  const found: string[] = [];
  for await (const candidate of candidates(name, () => 0.5)) {
    found.push(candidate);
    if (found.length === count) break;
  }
  return found;
}

test.each([
  ['Tomás Ó Súilleabháin', 'tomas.o.suilleabhain'],
  ['林美', 'lin.mei'],
  ['外婆', 'wai.po'],
  ['Иван Петров', 'ivan.petrov'],
  ["O'Brien", 'obrien'],
  ['  Mei  ', 'mei'],
  ['a', 'friend50050'],
  ['👵🏽', 'friend50050'],
  ['Zoë 🌻', 'zoe'],
  ['!!!', 'friend50050'],
  ['admin', 'admin2'],
])('%s becomes %s', async (name, expected) => {
  const [candidate = ''] = await first(name);
  expect(usernameAllowed(candidate)).toBe(true);
  expect(candidate).toBe(expected);
});

test('taken ones are counted up, then get digits', async () => {
  expect(await first('Mei', 11)).toEqual(['mei', 'mei2', 'mei3', 'mei4', 'mei5', 'mei6', 'mei7', 'mei8', 'mei9', 'mei50050', 'mei50050']);
});

test('whatever comes in, what comes out may be one', async () => {
  for (const name of ['..a..', '-_-', '\u202e\u0000', 'ß', 'x'.repeat(500), '名'.repeat(100), 'a_.b', 'A--B']) {
    for (const candidate of await first(name, 3)) expect(usernameAllowed(candidate), `${name} → ${candidate}`).toBe(true);
  }
  expect(plain('-a-')).toBe('a');
});
