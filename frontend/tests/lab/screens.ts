/** What people of the lab do that takes more than one tap. */
import { writeFileSync } from 'node:fs';
import { expect } from '@playwright/test';
import type { Person } from '../stage/person';
import { photograph } from '../stage/photo';

/** What Diagnostics says, once it has looked at the network anew. */
export async function diagnosis(person: Person): Promise<string> {
  await person.leaves();
  await person.goesTo('Me');
  await person.follows('Diagnostics');
  const copy = person.page.getByRole('button', { name: 'Copy', exact: false }).last();
  const again = person.button('Look again');
  await expect(copy).toBeEnabled({ timeout: 30_000 });
  await person.taps(again);
  await expect(copy).toBeDisabled();
  await expect(copy).toBeEnabled({ timeout: 30_000 });
  return person.page.getByRole('main').last().innerText();
}

/** A picture that no encoder makes small: noise. */
export async function makePhoto(person: Person, path: string): Promise<void> {
  writeFileSync(path, await photograph(person.page, 4000, 3000, 1));
}

/** The caption is what it is found by at the other's. */
export async function sendsPhoto(person: Person, path: string, caption: string): Promise<void> {
  await person.chooses(person.button('Add a photo'), path);
  await person.writes(person.field('Caption'), caption);
  await person.presses('Send photo');
}

/** Opens the photo with this caption, once it is there, and saves it. */
export async function savesPhoto(person: Person, caption: string, path: string, patience: number): Promise<void> {
  const photo = person.message(caption).getByRole('link', { name: /Look at the photo/u });
  await expect(photo).toBeVisible({ timeout: patience });
  await person.taps(photo);
  const glass = person.page.getByRole('dialog');
  await expect(glass.getByText(caption)).toBeVisible();
  await expect(glass.getByRole('img').last()).toBeVisible({ timeout: patience });
  const saving = person.page.waitForEvent('download');
  await person.taps(glass.getByRole('link', { name: 'Save photo' }));
  await (await saving).saveAs(path);
  await person.presses('Close');
  await expect(glass).toHaveCount(0);
}

export async function hangsUp(person: Person): Promise<void> {
  await person.presses('Hang up');
  await seesItEnd(person);
}

/** The call's screen goes away by itself, or says that it is over and is closed. */
export async function seesItEnd(person: Person): Promise<void> {
  const screen = person.page.getByRole('dialog', { name: /^Call with/u });
  const close = screen.getByRole('button', { name: 'Close' });
  await expect(close.or(person.composer)).toBeVisible();
  await person.tapsIfThere(close);
  await expect(screen).toHaveCount(0);
}
