/** A home as the people of a house meet it: its own small page, its command line, and what the app says about it. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, type Browser, type Locator } from '@playwright/test';
import type { Courtyard, Home } from './courtyard';
import type { Person } from './person';
import { binary, surroundings } from './program';

const run = promisify(execFile);

/** From any room to the page with both ways to pair. */
export async function goesToPairing(person: Person): Promise<void> {
  await person.leaves();
  await person.goesTo('Me');
  await person.follows('Set up a home');
  await person.follows('Pair a home');
}

/** The code that the app shows; the page with it stays open, since it waits there for the home. */
export async function shownCode(person: Person): Promise<string> {
  await goesToPairing(person);
  const box = person.page.getByRole('group', { name: 'Pairing code' });
  await expect(box).toContainText('/');
  return (await box.innerText()).trim();
}

/** `courtyard-home pair CODE` beside the agent that runs; what it prints. */
export async function pairsByCommand(yard: Courtyard, home: Home, code: string): Promise<string> {
  const { stdout } = await run(binary('courtyard-home'), ['pair', '--data', home.data, '--relay', yard.url, code], { env: surroundings(), timeout: 60_000 });
  return stdout.trim();
}

/** Somebody stands before the home's own page, in a browser of theirs. */
export async function standsBefore(yard: Courtyard, browser: Browser, home: Home): Promise<Person> {
  const person = await yard.person(browser);
  await person.opens(home.page);
  return person;
}

/** Types a code at the home's own page. */
export async function entersCode(visitor: Person, code: string): Promise<void> {
  await visitor.writes(visitor.field('Code'), code);
  await visitor.presses('Connect');
}

export async function homeIsFine(person: Person): Promise<void> {
  await expect(person.page.getByRole('heading', { name: 'Your home is fine' })).toBeVisible({ timeout: 40_000 });
}

/** What Me says about the home, once it says `words`. */
export async function meSays(person: Person, words: string | RegExp): Promise<void> {
  await person.leaves();
  await person.goesTo('Me');
  await expect(person.page.getByRole('region', { name: /home/i })).toContainText(words, { timeout: 40_000 });
}

/** The row of the space at the courtyard, on Me. */
export function space(person: Person): Locator {
  return person.page.getByRole('link', { name: /^Space used/ });
}

/** Goes to Me and looks until the courtyard keeps nothing for them; a page that stands open may show what was. */
export async function keptNothing(person: Person): Promise<void> {
  await person.leaves();
  await person.goesTo('Me');
  await expect(async () => {
    await person.reloads();
    await expect(space(person)).toContainText(/(?<![\d.,])0 bytes of/u, { timeout: 3_000 });
  }).toPass();
}

/** Says many things, one after another, as fast as the app takes them: each once the field is empty again. */
export async function chatters(person: Person, texts: readonly string[]): Promise<void> {
  await person.composer.evaluate(async (field: HTMLTextAreaElement, texts: readonly string[]) => {
    const turn = (): Promise<void> => new Promise((resolve) => requestAnimationFrame(() => { resolve(); }));
    for (const text of texts) {
      field.value = text;
      field.dispatchEvent(new Event('input', { bubbles: true }));
      await turn();
      field.form?.requestSubmit();
      while (field.value !== '') await turn();
    }
  }, texts);
}
