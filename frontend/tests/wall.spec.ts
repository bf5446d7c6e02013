/** The public wall: posting to the whole internet, reading it as a stranger, following across courtyards, and what a wall that lies looks like. */
import { expect, test, type Locator } from '@playwright/test';
import { useCourtyards } from './stage/courtyard';
import { noViolations } from './stage/looks';
import type { Person } from './stage/person';
import { photograph, place } from './stage/photo';
import { movesIn } from './stage/story';

const mei = '林美';
const tom = 'Tomás';

function post(person: Person, text: string | RegExp): Locator {
  return person.page.getByRole('article').filter({ hasText: text });
}

async function goesToWall(person: Person): Promise<void> {
  await person.leaves();
  await person.goesTo('Wall');
}

/** Writes a post; the first one asks whether name and picture may be public. */
async function posts(person: Person, text: string, photo?: Buffer): Promise<void> {
  await goesToWall(person);
  await person.follows('Write something');
  await person.writes(person.field('Your post'), text);
  if (photo) await addsPhoto(person, photo);
  await person.presses('Post to the whole internet');
  const yes = person.button('Yes, post it');
  const done = person.page.getByRole('dialog');
  await expect(yes.or(post(person, text))).toBeVisible();
  if (await yes.isVisible()) await person.taps(yes);
  await expect(done).toHaveCount(0);
  await expect(post(person, text)).toBeVisible();
}

async function addsPhoto(person: Person, photo: Buffer): Promise<void> {
  await person.chooses(person.button('Add photos'), { name: 'IMG_4712.jpg', mimeType: 'image/jpeg', buffer: photo });
  await expect(person.page.getByRole('img', { name: 'Photo to send' })).toBeVisible();
}

/** It stands on the wall at the courtyard, not on this phone alone. */
async function isOut(person: Person, text: string | RegExp): Promise<void> {
  await expect(post(person, text)).toBeVisible();
  await expect(post(person, text)).not.toContainText(/On its way|Waits on this device/u, { timeout: 40_000 });
}

async function takesUp(person: Person, text: string): Promise<void> {
  await person.taps(post(person, text).getByRole('button', { name: /^More about the post/u }));
}

async function follows(person: Person, handle: string, name: string): Promise<void> {
  await goesToWall(person);
  await person.follows('Whom I follow');
  await person.presses('Follow somebody');
  await person.writes(person.field('Their address'), handle);
  await person.presses('Look for their wall');
  await person.presses(`Follow ${name}`);
  await expect(person.page.getByRole('dialog')).toHaveCount(0);
}

for (const house of [false, true]) test.describe(`a public wall, its author ${house ? 'with' : 'without'} a home`, () => {
  const [here, there] = useCourtyards();
  let meisPhone: Person;
  let tomsPhone: Person;
  let photo: Buffer;

  test.beforeAll(async ({ browser }) => {
    test.setTimeout(240_000);
    meisPhone = await here.person(browser);
    await meisPhone.joins(here.claim(), mei);
    if (house) await movesIn(here, meisPhone);
    tomsPhone = await there.person(browser);
    await tomsPhone.joins(there.claim(), tom);
    photo = await photograph(meisPhone.page, 1600, 1200);
  });

  const handle = (): string => `lin.mei@${here.host}`;

  test('the first post says what becomes public and asks once; then text and photo in four taps', async () => {
    await goesToWall(meisPhone);
    await meisPhone.reads('Nothing on the wall yet');
    await noViolations(meisPhone.page, 'an empty wall');
    await meisPhone.follows('Write something');
    await noViolations(meisPhone.page, 'the composer');
    await meisPhone.writes(meisPhone.field('Your post'), 'First frost.');
    // Whoever taps twice has not answered what the first tap asked. The second waits for nothing, as a finger does.
    const button = meisPhone.button('Post to the whole internet');
    await expect(button).toBeEnabled();
    await button.scrollIntoViewIfNeeded();
    const box = await button.boundingBox();
    if (box === null) throw new Error('nothing to tap');
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    await Promise.all([meisPhone.page.touchscreen.tap(x, y), meisPhone.page.touchscreen.tap(x, y)]);
    await meisPhone.reads(/your name, your picture and the words about you become public/u);
    expect((await fetch(`${here.url}/@lin.mei`)).status).toBe(404);
    await noViolations(meisPhone.page, 'the question');
    await meisPhone.presses('Yes, post it');
    await isOut(meisPhone, 'First frost.');
    const taps = await meisPhone.counts(async () => {
      await meisPhone.follows('Write something');
      await addsPhoto(meisPhone, photo);
      await meisPhone.presses('Post to the whole internet');
    });
    expect(taps).toBeLessThanOrEqual(4);
    const card = meisPhone.page.getByRole('article').first();
    await expect(card.getByRole('button', { name: /Photo from 林美/u })).toBeVisible();
    await expect(card).toContainText('Everyone');
    await isOut(meisPhone, 'First frost.');
    await expect(card).not.toContainText(/On its way|Waits/u, { timeout: 40_000 });
  });

  test('a stranger without script reads it; a photo carries no place', async ({ browser }) => {
    const stranger = await browser.newContext({ javaScriptEnabled: false, locale: 'en-GB' });
    const page = await stranger.newPage();
    await page.goto(`${here.url}/@lin.mei`);
    await expect(page.getByText('First frost.')).toBeVisible();
    const image = page.locator('img[src^="/media/"]').first();
    await expect(image).toBeVisible();
    const jpeg = await (await stranger.request.get(new URL((await image.getAttribute('src')) ?? '', here.url).href)).body();
    expect(jpeg.length).toBeGreaterThan(1000);
    expect(jpeg.includes(place)).toBe(false);
    expect(jpeg.includes('Exif')).toBe(false);
    await stranger.close();
  });

  test('what one changes about oneself is said to be public, and is at once', async () => {
    const about = async (): Promise<string> => (await fetch(`${here.url}/@lin.mei`)).text();
    const saves = async (words: string): Promise<void> => {
      await meisPhone.leaves();
      await meisPhone.goesTo('Me');
      await meisPhone.follows(/Name, picture, words/);
      await meisPhone.reads('Your friends see this, and so does anybody who opens your public wall.');
      await meisPhone.writes(meisPhone.field(/A few words about you/), words);
      await meisPhone.presses('Save');
      await meisPhone.reads('Saved. Your friends will see it, and your public wall shows it.');
    };
    await saves('Grows persimmons.');
    await expect.poll(about).toContain('Grows persimmons.');
    await saves('');
    await expect.poll(about).not.toContain('Grows persimmons.');
  });

  test('a friend in the other courtyard follows by address and reads it all, photo too', async () => {
    await follows(tomsPhone, handle(), mei);
    await expect(post(tomsPhone, 'First frost.')).toBeVisible({ timeout: 40_000 });
    await tomsPhone.reads('You are up to date');
    await tomsPhone.taps(tomsPhone.page.getByRole('button', { name: /Photo from 林美/u }));
    const glass = tomsPhone.page.getByRole('dialog');
    await expect(glass.getByRole('img', { name: /Photo from 林美/u })).toBeVisible({ timeout: 40_000 });
    await tomsPhone.presses('Close');
    await expect(glass).toHaveCount(0);
    await noViolations(tomsPhone.page, 'a wall that is followed');
  });

  test('edited, taken down, and more, while he is away: he catches up, and it opens offline', async () => {
    await posts(meisPhone, 'Persimons for all');
    await isOut(meisPhone, 'Persimons for all');
    await takesUp(meisPhone, 'Persimons for all');
    await meisPhone.presses('Edit');
    await meisPhone.writes(meisPhone.field('Your post'), 'Persimmons for all');
    await meisPhone.presses('Save');
    await isOut(meisPhone, 'Persimmons for all');
    await expect(post(meisPhone, 'Persimmons for all')).toContainText('edited');
    await takesUp(meisPhone, 'First frost.');
    await meisPhone.presses('Take down');
    await meisPhone.presses('Take down');
    await expect(post(meisPhone, 'First frost.')).toHaveCount(0);
    for (const n of [1, 2, 3]) await posts(meisPhone, `Note ${String(n)} from the bench`);
    await isOut(meisPhone, 'Note 3 from the bench');
    await expect.poll(async () => (await (await fetch(`${here.url}/@lin.mei`)).text()).includes('First frost.')).toBe(false);

    await tomsPhone.opens(`${there.url}/app/#/wall`);
    await expect(post(tomsPhone, 'Note 3 from the bench')).toBeVisible({ timeout: 40_000 });
    await expect(post(tomsPhone, 'Persimmons for all')).toBeVisible();
    await expect(post(tomsPhone, 'First frost.')).toHaveCount(0);
    const order = await tomsPhone.page.getByRole('article').allInnerTexts();
    const at = (text: string): number => order.findIndex((card) => card.includes(text));
    expect(at('Note 3')).toBeLessThan(at('Note 1'));
    expect(at('Note 1')).toBeLessThan(at('Persimmons'));
    await tomsPhone.reads('You are up to date');

    tomsPhone.line.cut();
    await tomsPhone.reloads();
    await expect(post(tomsPhone, 'Note 3 from the bench')).toBeVisible();
    await tomsPhone.reads('No connection to your courtyard; this is what was here last');
    tomsPhone.line.mend();
    await tomsPhone.reads('You are up to date');
  });

  test('written offline it waits through a reload, photo and all, and goes out by itself', async () => {
    await goesToWall(meisPhone);
    meisPhone.line.cut();
    await meisPhone.reads('No connection to your courtyard; this is what was here last');
    await posts(meisPhone, 'From the train', photo);
    await expect(post(meisPhone, 'From the train')).toContainText('Waits on this device');
    await meisPhone.reloads();
    await expect(post(meisPhone, 'From the train')).toContainText('Waits on this device');
    await expect(post(meisPhone, 'From the train').getByRole('button', { name: /Photo from 林美/u })).toBeVisible();
    meisPhone.line.mend();
    await isOut(meisPhone, 'From the train');
    const page = await (await fetch(`${here.url}/@lin.mei`)).text();
    expect(page.split('From the train').length - 1).toBeGreaterThan(0);
    expect(page.split('<article').length - 1).toBe(await meisPhone.page.getByRole('article').count());
  });

  test('a courtyard that rolls a wall back is told by name; keep, or trust the new', async () => {
    // The wall as it was a post ago, each word of it signed.
    const old = await (await fetch(`${here.url}/@lin.mei/posts?limit=100`)).json() as { head: unknown; changes: unknown[] };
    await posts(meisPhone, 'Soon to be hidden');
    await isOut(meisPhone, 'Soon to be hidden');
    await tomsPhone.opens(`${there.url}/app/#/wall`);
    await expect(post(tomsPhone, 'Soon to be hidden')).toBeVisible({ timeout: 40_000 });
    // What Tomás’ own courtyard shows him from now on.
    await tomsPhone.page.route(/\/api\/1\/walls\/lin\.mei\?/u, async (route) => {
      const answer = await (await route.fetch()).json() as { changes: unknown[] };
      const first = new URL(route.request().url()).searchParams.get('after') === '0';
      await route.fulfill({ json: { ...answer, head: old.head, changes: first ? old.changes : [], more: false } });
    });
    await tomsPhone.opens(`${there.url}/app/#/wall`);
    await tomsPhone.reads(`The wall of ${mei} is not as it was`);
    await noViolations(tomsPhone.page, 'the alarm');
    await expect(post(tomsPhone, 'Soon to be hidden')).toBeVisible();
    await tomsPhone.presses('Keep what I have');
    await tomsPhone.readsNowhere(`The wall of ${mei} is not as it was`);
    await expect(post(tomsPhone, 'Soon to be hidden')).toBeVisible();
    await tomsPhone.follows('Whom I follow');
    await tomsPhone.reads('Not as it was; you keep what was there');
    await tomsPhone.taps(tomsPhone.page.getByRole('dialog').getByRole('link', { name: new RegExp(mei, 'u') }));
    await tomsPhone.presses('Trust what is there now');
    await tomsPhone.taps(tomsPhone.page.getByRole('dialog').getByRole('button', { name: 'Trust what is there now' }));
    await expect(post(tomsPhone, 'Soon to be hidden')).toHaveCount(0);
    await expect(post(tomsPhone, 'From the train')).toBeVisible();
    await tomsPhone.readsNowhere(`The wall of ${mei} is not as it was`);
    await tomsPhone.page.unroute(/\/api\/1\/walls\/lin\.mei\?/u);
  });

  test('one’s own wall rolled back: an alarm, nothing is posted onto it, and what was posted is not lost', async () => {
    const old = await (await fetch(`${here.url}/@lin.mei/posts?limit=100`)).json() as { head: unknown; changes: unknown[] };
    await posts(meisPhone, 'The last line');
    await isOut(meisPhone, 'The last line');
    await meisPhone.page.route(/\/api\/1\/walls\/lin\.mei\?/u, async (route) => {
      const answer = await (await route.fetch()).json() as { changes: unknown[] };
      const first = new URL(route.request().url()).searchParams.get('after') === '0';
      await route.fulfill({ json: { ...answer, head: old.head, changes: first ? old.changes : [], more: false } });
    });
    await meisPhone.opens(`${here.url}/app/#/wall`);
    await meisPhone.reads('Your own wall is not as you left it');
    await expect(post(meisPhone, 'The last line')).toBeVisible();
    await meisPhone.presses('Trust what is there now');
    await meisPhone.taps(meisPhone.page.getByRole('dialog').getByRole('button', { name: 'Trust what is there now' }));
    await expect(post(meisPhone, 'The last line')).toContainText('This is not on your wall any more, but this device still has it.');
    await meisPhone.page.unroute(/\/api\/1\/walls\/lin\.mei\?/u);
    await meisPhone.taps(post(meisPhone, 'The last line').getByRole('button', { name: 'Try again' }));
    await expect(post(meisPhone, 'The last line')).toHaveCount(1);
    await expect(post(meisPhone, 'The last line')).not.toContainText('not on your wall any more');
    await isOut(meisPhone, 'The last line');
  });

  test('from the page that anybody reads to following in one’s own app; one’s own wall, its link, and no more following', async () => {
    await tomsPhone.presses(`Stop following ${mei}`);
    await expect(tomsPhone.button(`Follow ${mei}`)).toBeVisible();
    await expect(post(tomsPhone, 'From the train')).toBeVisible();
    await tomsPhone.opens(`${there.url}/app/#follow.${handle()}`);
    await tomsPhone.presses(`Follow ${mei}`);
    await expect(tomsPhone.page.getByRole('dialog')).toHaveCount(0);
    await expect(post(tomsPhone, 'From the train')).toBeVisible({ timeout: 40_000 });

    await goesToWall(meisPhone);
    await meisPhone.follows('My public wall');
    await noViolations(meisPhone.page, 'one’s own wall');
    expect(await meisPhone.copied()).toBe(`${here.url}/@lin.mei`);
  });
});
