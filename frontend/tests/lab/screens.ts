/** What people of the lab do that takes more than one tap. */
import { writeFileSync } from 'node:fs';
import { expect } from '@playwright/test';
import type { Person } from '../stage/person';

/** What Diagnostics says, once it has looked at the network anew. */
export async function diagnosis(person: Person): Promise<string> {
  // A call that goes on may be left for the app.
  const fold = person.button('Back to the app, keep talking');
  if (await fold.isVisible()) await person.taps(fold);
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

/**
 * A photo of noise, which no encoder makes small. With 4,096 pixels a side it is as heavy as the app sends one: of as many
 * as it keeps (protocol section 8). Colours are kept for four pixels at once, so it has one for each four.
 */
export async function makePhoto(person: Person, path: string, side: number): Promise<void> {
  const base64 = await person.page.evaluate(async (side) => {
    const canvas = new OffscreenCanvas(side, side);
    const pen = canvas.getContext('2d', { alpha: false });
    if (pen === null) throw new Error('no canvas');
    const strip = 64;
    const image = pen.createImageData(side, strip);
    const dice = new Uint8Array(side * strip);
    for (let top = 0; top < side; top += strip) {
      for (let at = 0; at < dice.length; at += 65_536) crypto.getRandomValues(dice.subarray(at, at + 65_536));
      for (let at = 0; at < dice.length; at++) {
        const [x, y] = [at % side, Math.floor(at / side)];
        const red = ((dice[(y & ~1) * side + (x & ~1)] ?? 0) & 1) * 255;
        image.data.set([red, ((dice[at] ?? 0) & 2) * 127.5, 255 - red, 255], 4 * at);
      }
      pen.putImageData(image, 0, top);
    }
    const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.98 })).arrayBuffer());
    let text = '';
    for (let at = 0; at < bytes.length; at += 8_192) text += String.fromCharCode(...bytes.subarray(at, at + 8_192));
    return btoa(text);
  }, side);
  writeFileSync(path, Buffer.from(base64, 'base64'));
}

/** The caption is what it is found by at the other's. */
export async function sendsPhoto(person: Person, path: string, caption: string): Promise<void> {
  await person.chooses(person.button('Add a photo'), path);
  await person.page.getByLabel('Full size').check();
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

/** The call's screen says why it is over, and goes away by itself. */
export async function seesItEnd(person: Person): Promise<void> {
  await expect(person.page.getByRole('dialog', { name: /^Call with/u })).toHaveCount(0);
}
