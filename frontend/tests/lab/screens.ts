/** What people of the lab do that takes more than one tap. */
import { writeFileSync } from 'node:fs';
import { expect } from '@playwright/test';
import type { Person } from '../stage/person';

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

/** As large as a file may nearly be (20 MiB), once the app has drawn it anew; that keeps a photo in full size at this quality. */
const WANTED = 20_200_000;
const QUALITY = 0.92;

/** A photo of noise, which no encoder makes small, of as many pixels as it takes. */
export async function makePhoto(person: Person, path: string): Promise<void> {
  const base64 = await person.page.evaluate(async ({ wanted, quality }) => {
    const width = 4_000;
    const draw = (height: number, source: (pen: OffscreenCanvasRenderingContext2D) => void): Promise<Blob> => {
      const canvas = new OffscreenCanvas(width, height);
      const pen = canvas.getContext('2d', { alpha: false });
      if (pen === null) throw new Error('no canvas');
      source(pen);
      return canvas.convertToBlob({ type: 'image/jpeg', quality });
    };
    const noise = (height: number): Promise<Blob> =>
      draw(height, (pen) => {
        const image = pen.createImageData(width, height);
        for (let at = 0; at < image.data.length; at += 65_536) crypto.getRandomValues(image.data.subarray(at, at + 65_536));
        for (let at = 3; at < image.data.length; at += 4) image.data[at] = 255;
        pen.putImageData(image, 0, 0);
      });
    const tried = 200;
    const once = await createImageBitmap(await noise(tried));
    const { size } = await draw(tried, (pen) => { pen.drawImage(once, 0, 0); });
    const bytes = new Uint8Array(await (await noise(Math.round((tried * wanted) / size))).arrayBuffer());
    let text = '';
    for (let at = 0; at < bytes.length; at += 8_192) text += String.fromCharCode(...bytes.subarray(at, at + 8_192));
    return btoa(text);
  }, { wanted: WANTED, quality: QUALITY });
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

/** The call's screen goes away by itself, or says that it is over and is closed. */
export async function seesItEnd(person: Person): Promise<void> {
  const screen = person.page.getByRole('dialog', { name: /^Call with/u });
  const close = screen.getByRole('button', { name: 'Close' });
  await expect(close.or(person.composer)).toBeVisible();
  await person.tapsIfThere(close);
  await expect(screen).toHaveCount(0);
}
