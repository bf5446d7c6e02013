/** The recovery card as a person handles it: made and kept, and later picked or typed in a browser that knows nothing. */
import { readFileSync } from 'node:fs';
import { expect, type Browser, type Download } from '@playwright/test';
import type { Courtyard } from './courtyard';
import type { Person } from './person';

/** What somebody has in a drawer. */
export interface KeptCard {
  readonly handle: string;
  /** 28 characters in groups of four */
  readonly code: string;
  readonly picture: Buffer;
  readonly file: Buffer;
}

export interface Chosen {
  readonly name: string;
  readonly mimeType: string;
  readonly buffer: Buffer;
}

export function asPicture(card: KeptCard): Chosen {
  return { name: 'IMG_0815.png', mimeType: 'image/png', buffer: card.picture };
}

export function asFile(card: KeptCard): Chosen {
  return { name: 'card.txt', mimeType: 'text/plain', buffer: card.file };
}

/** From any room: makes the card, saves it as picture and as file, and says so. */
export async function keepsCard(person: Person): Promise<KeptCard> {
  await person.leaves();
  await person.goesTo('Me');
  await person.follows(/^Recovery card/);
  await person.presses('Make my card');
  const card = await savesCard(person);
  await person.presses('I have kept it');
  await person.reads('Good. Your card is kept.');
  return card;
}

/** The card lies open; it is saved in both ways. */
export async function savesCard(person: Person): Promise<KeptCard> {
  const shown = person.page.getByRole('region', { name: 'Your recovery card' });
  await expect(shown).toBeVisible();
  const words = await shown.innerText();
  const code = /(?:[0-9A-Z]{4}-){6}[0-9A-Z]{4}/u.exec(words)?.[0];
  const handle = /\S+@\S+/u.exec(words)?.[0];
  if (code === undefined || handle === undefined) throw new Error(`no card in: ${words}`);
  return {
    handle, code,
    picture: await contents(await saved(person, 'Save picture')),
    file: await contents(await saved(person, 'Save file')),
  };
}

/** A browser without an account, at the page for people with a card. */
export async function comesWithACard(yard: Courtyard, browser: Browser): Promise<Person> {
  const person = await yard.person(browser);
  await person.opens(`${yard.url}/app/`);
  await person.follows('I have a recovery card');
  await expect(person.page.getByRole('heading', { name: 'Back with your card', level: 1 })).toBeVisible();
  return person;
}

export async function picks(person: Person, chosen: Chosen): Promise<void> {
  await person.chooses(person.button('Choose picture or file'), chosen);
}

export async function types(person: Person, handle: string, code: string): Promise<void> {
  await person.writes(person.field('Your address'), handle);
  await person.writes(person.field('The 28 characters on the card'), code);
  await person.presses('Bring me back');
}

export async function isBack(person: Person): Promise<void> {
  await expect(person.page.getByRole('heading', { name: 'Chats', level: 1 })).toBeVisible({ timeout: 60_000 });
}

/** As tired people copy: O for 0, l for 1, small letters, no dashes. */
export function misread(code: string): string {
  return code.replaceAll('-', '').toLowerCase().replaceAll('0', 'O').replaceAll('1', 'l');
}

async function saved(person: Person, way: string): Promise<Download> {
  const saving = person.page.waitForEvent('download');
  await person.presses(way);
  return saving;
}

async function contents(download: Download): Promise<Buffer> {
  return readFileSync(await download.path());
}
