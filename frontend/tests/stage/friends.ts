/** The room of friends, as people use it: asking, accepting, blocking, and the code on the screen. */
import { expect, type Locator } from '@playwright/test';
import type { Person } from './person';

export async function goesToFriends(person: Person): Promise<void> {
  await person.leaves();
  await person.goesTo('Friends');
}

/** Friends, then By name; the sheet is filled in and sent. */
export async function asks(person: Person, address: string, words?: string): Promise<void> {
  await goesToFriends(person);
  await person.follows('By name');
  await person.writes(person.field('Their address'), address);
  if (words !== undefined) await person.writes(person.field('A few words, so that they know you (optional)'), words);
  await person.presses('Ask to be friends');
}

export function row(person: Person, name: string): Locator {
  return person.page.getByRole('main', { name: 'Friends' }).getByRole('listitem').filter({ hasText: name });
}

export async function opensPerson(person: Person, name: string): Promise<void> {
  await goesToFriends(person);
  await person.taps(row(person, name).getByRole('link').first());
  await expect(person.page.getByRole('heading', { name, exact: true })).toBeVisible();
}

export async function removes(person: Person, name: string): Promise<void> {
  await opensPerson(person, name);
  await person.presses('Remove from friends');
  const sure = person.page.getByRole('dialog', { name: `Remove ${name}?` });
  await expect(sure).toContainText(`${name} can no longer write to you.`);
  await person.taps(sure.getByRole('button', { name: 'Remove from friends' }));
  await person.reads(`${name} is no longer among your friends.`);
}

export async function blocks(person: Person, name: string): Promise<void> {
  await opensPerson(person, name);
  await person.presses('Block');
  const sure = person.page.getByRole('dialog', { name: `Block ${name}?` });
  await expect(sure).toContainText('is not told');
  await person.taps(sure.getByRole('button', { name: 'Block', exact: true }));
  await person.reads(`${name} is blocked.`);
}

/** Both write, both read. */
export async function talk(one: Person, onesName: string, other: Person, othersName: string, word: string): Promise<void> {
  await one.opensChatWith(othersName);
  await one.says(`${word}?`);
  await other.opensChatWith(onesName);
  await other.sees(`${word}?`);
  await other.says(`${word}!`);
  await one.sees(`${word}!`);
}

export async function isConfirmed(person: Person, name: string, yes: boolean): Promise<void> {
  await opensPerson(person, name);
  await expect(person.page.getByRole('heading', { name: yes ? 'Confirmed' : 'Not confirmed yet', exact: true })).toBeVisible();
}

/** A photo of somebody's screen, at least of the part with the code. */
export async function pictureOf(person: Person, code: string): Promise<{ name: string; mimeType: string; buffer: Buffer }> {
  const square = person.page.getByRole('img', { name: code });
  await expect(square).toBeVisible();
  await square.scrollIntoViewIfNeeded();
  return { name: 'screen.png', mimeType: 'image/png', buffer: await person.page.screenshot() };
}

export async function showsCode(person: Person): Promise<{ name: string; mimeType: string; buffer: Buffer }> {
  await goesToFriends(person);
  await person.follows('Show code');
  const picture = await pictureOf(person, 'Your code for a friend’s camera');
  await person.presses('Close');
  return picture;
}
