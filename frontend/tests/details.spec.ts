/** What one tells about oneself, and how the app looks: name, picture, words; languages; light and dark; findable. */
import { expect, test, type Locator } from '@playwright/test';
import { useCourtyard } from './stage/courtyard';
import type { Person } from './stage/person';
import { photograph } from './stage/photo';
import { mei as meisName, stories, tom as tomsName } from './stage/story';

async function goesToProfile(person: Person): Promise<void> {
  await person.leaves();
  await person.goesTo('Me');
  await person.follows(/Name, picture, words$/);
  await expect(person.page.getByRole('heading', { name: 'Name, picture, words', level: 1 })).toBeVisible();
}

/** Saved, it leads back to Me; what is said of it may still stand there from the last time. */
async function saves(person: Person): Promise<void> {
  await person.presses('Save');
  await person.reads('Saved. Your friends will see it.');
  await expect(person.page.getByRole('heading', { name: 'Name, picture, words', level: 1 })).toHaveCount(0);
}

/** From the open conversation to the page about the other. */
async function looksAt(person: Person, name: string): Promise<void> {
  await person.opensChatWith(name);
  await person.taps(person.page.getByRole('main', { name: `Conversation with ${name}` }).getByRole('link', { name: new RegExp(name) }).first());
  await expect(person.page.getByRole('heading', { name: 'About', level: 1 })).toBeVisible();
}

stories('details', (cast, homeless) => {
  test('a friend sees the new name and the words, wherever the name stands', async () => {
    const { mei, tom } = cast;
    await tom.says('this is still the old me');
    await mei.sees('this is still the old me');
    await goesToProfile(tom);
    const actions = await tom.counts(async () => {
      await tom.writes(tom.field('Name'), '托马斯 Ó S.');
      await tom.writes(tom.field('A few words about you (optional)'), 'Grows 柿子.\nSlow to answer.');
      await tom.presses('Save');
    });
    expect(actions).toBe(3);
    await tom.reads('Saved. Your friends will see it.');
    await tom.reads('托马斯 Ó S.');
    await expect(mei.talk('托马斯 Ó S.')).toBeVisible({ timeout: 40_000 });
    await looksAt(mei, '托马斯 Ó S.');
    await expect(mei.page.getByText('Grows 柿子.')).toContainText('Slow to answer.');
    await mei.leaves();
    await mei.goesTo('Chats');
    await expect(mei.page.getByRole('listitem').filter({ hasText: '托马斯 Ó S.' })).toContainText('this is still the old me');
    // The address stays what it was.
    await mei.goesTo('Friends');
    await expect(mei.page.getByRole('listitem').filter({ hasText: '托马斯 Ó S.' })).toContainText(`tomas@${cast.yard.host}`);
    await goesToProfile(tom);
    await tom.writes(tom.field('Name'), tomsName);
    await saves(tom);
    await expect(mei.page.getByRole('listitem').filter({ hasText: tomsName })).toBeVisible({ timeout: 40_000 });
  });

  test('a picture is chosen, seen by the friend, made small, and taken back', async () => {
    const { mei, tom } = cast;
    await goesToProfile(tom);
    await tom.chooses(tom.button('Change picture'), { name: 'me.jpg', mimeType: 'image/jpeg', buffer: await photograph(tom.page, 1800, 1200, 5) });
    await saves(tom);
    await looksAt(mei, tomsName);
    const face = mei.page.getByRole('button', { name: `Picture of ${tomsName}` });
    await expect(face).toBeVisible({ timeout: 40_000 });
    const [width, height] = await face.locator('img').evaluate(async (image: HTMLImageElement) => {
      await image.decode();
      return [image.naturalWidth, image.naturalHeight] as const;
    });
    expect(Math.max(width, height)).toBeLessThanOrEqual(320);
    await mei.taps(face);
    await expect(face).toHaveAttribute('aria-expanded', 'true');

    await goesToProfile(tom);
    await tom.presses('Remove picture');
    await saves(tom);
    await expect(face).toHaveCount(0, { timeout: 40_000 });
  });

  test('the picture goes out with an invitation', async ({ browser }) => {
    const { tom, yard } = cast;
    await goesToProfile(tom);
    await tom.chooses(tom.button('Change picture'), { name: 'me.jpg', mimeType: 'image/jpeg', buffer: await photograph(tom.page, 400, 400, 7) });
    await saves(tom);
    const guest = await yard.person(browser);
    await guest.opens(await tom.invites());
    await guest.reads(`${tomsName} asks you in`);
    const face = guest.page.locator('main img');
    await expect(face).toBeVisible();
    await expect.poll(() => face.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBeGreaterThan(0);
  });

  test('what cannot be said or read is told at once, and nothing is changed', async () => {
    const { tom } = cast;
    await goesToProfile(tom);
    await tom.writes(tom.field('Name'), '   ');
    await tom.presses('Save');
    await tom.reads('Write a name, so that your friends know you.');
    await tom.writes(tom.field('Name'), '名'.repeat(65));
    await tom.presses('Save');
    await tom.reads('This name is too long.');
    await tom.chooses(tom.button('Change picture'), { name: 'broken.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('no picture') });
    await tom.reads('This picture cannot be read.');
    await tom.writes(tom.field('Name'), '名'.repeat(64));
    await tom.presses('Back');
    await tom.reads(tomsName);
    await tom.readsNowhere('名'.repeat(64));
  });

  test('a friend who was away sees it on coming back, also after a reload', async () => {
    const { mei, tom } = cast;
    mei.line.cut();
    await goesToProfile(tom);
    await tom.writes(tom.field('A few words about you (optional)'), homeless ? 'Lives in the courtyard.' : 'Lives at home.');
    await saves(tom);
    mei.line.mend();
    await looksAt(mei, tomsName);
    await expect(mei.page.getByText(homeless ? 'Lives in the courtyard.' : 'Lives at home.')).toBeVisible({ timeout: 45_000 });
    await mei.reloads();
    await mei.reads(homeless ? 'Lives in the courtyard.' : 'Lives at home.');
  });

  test('it follows to another device of one’s own', async ({ browser }) => {
    const { tom, yard } = cast;
    await goesToProfile(tom);
    await tom.writes(tom.field('Name'), 'Tomás at large');
    await saves(tom);
    await tom.follows(/^Devices/);
    await tom.follows('Add a device');
    const box = tom.page.getByRole('group', { name: 'Add a device' });
    await expect(box).toContainText('#handover.');
    const other = await yard.person(browser);
    await other.opens(await tom.copied());
    await other.presses('Continue');
    await expect(other.page.getByRole('heading', { name: 'Chats', level: 1 })).toBeVisible({ timeout: 60_000 });
    await other.goesTo('Me');
    await other.reads('Tomás at large');
    await goesToProfile(other);
    await other.writes(other.field('Name'), tomsName);
    await saves(other);
    await tom.leaves();
    await tom.goesTo('Me');
    await expect(tom.page.getByText('Tomás at large')).toHaveCount(0, { timeout: 40_000 });
    await tom.reads(tomsName);
  });
});

test.describe('as one likes it', () => {
  const yard = useCourtyard();
  let mei: Person;

  test.beforeAll(async ({ browser }) => {
    mei = await yard.person(browser);
    await mei.joins(yard.claim(), meisName);
  });

  test('the language switches at once, and stays: after a reload, in a new tab, at every screen', async () => {
    for (const [chosen, tongue, chats, me, label] of [
      ['简体中文', 'zh-Hans', '聊天', '我', '语言'],
      ['繁體中文', 'zh-Hant', '聊天', '我', '語言'],
      ['English', 'en', 'Chats', 'Me', 'Language'],
    ] as const) {
      await mei.opens(`${yard.url}/app/#/me/language`);
      await mei.taps(mei.page.getByRole('radio', { name: chosen }));
      await expect(mei.page.locator('html')).toHaveAttribute('lang', tongue);
      await expect(mei.page.getByRole('heading', { name: label, level: 1 })).toBeVisible();
      await mei.reloads();
      await expect(mei.page.getByRole('heading', { name: label, level: 1 })).toBeVisible();
      await expect(mei.page.getByRole('radio', { name: chosen })).toBeChecked();
      const tab = await mei.tab();
      await tab.opens(`${yard.url}/app/#/chats`);
      await expect(tab.page.getByRole('heading', { name: chats, level: 1 })).toBeVisible();
      await expect(tab.page.locator('html')).toHaveAttribute('lang', tongue);
      await tab.opens(`${yard.url}/app/#/me`);
      await expect(tab.page.getByRole('heading', { name: me, level: 1 })).toBeVisible();
      await tab.page.close();
    }
  });

  for (const locale of [
    'zh-CN', 'zh-TW', 'zh-HK', 'de-CH',
  ] as const) {
    test(`a phone in ${locale} is spoken to in its own language, or in English`, async ({ browser }) => {
      const person = await yard.person(browser, { locale });
      await person.opens(`${yard.url}/app/`);
      const tongue = locale === 'zh-CN' ? 'zh-Hans' : locale.startsWith('zh') ? 'zh-Hant' : 'en';
      await expect(person.page.locator('html')).toHaveAttribute('lang', tongue);
      await expect(person.page.getByRole('button', { pressed: true })).toHaveText({ 'zh-Hans': '简体中文', 'zh-Hant': '繁體中文', en: 'English' }[tongue]);
      if (locale === 'de-CH') await person.reads('A place for a few friends');
      // And at the door it can be another.
      await person.presses(locale === 'de-CH' ? '繁體中文' : 'English');
      await expect(person.page.locator('html')).toHaveAttribute('lang', locale === 'de-CH' ? 'zh-Hant' : 'en');
      await person.reloads();
      await expect(person.page.locator('html')).toHaveAttribute('lang', locale === 'de-CH' ? 'zh-Hant' : 'en');
    });
  }

  test('light and dark: as the device, or as chosen, and it stays', async () => {
    const paper = async (): Promise<string> => mei.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = 'rgb(251, 248, 243)';
    const dark = 'rgb(22, 20, 18)';
    await mei.opens(`${yard.url}/app/#/me`);
    await expect.poll(paper).toBe(light);
    await mei.page.emulateMedia({ colorScheme: 'dark' });
    await expect.poll(paper).toBe(dark);
    await mei.page.emulateMedia({ colorScheme: 'light' });
    await mei.follows(/^Light and dark/);
    await mei.taps(mei.page.getByRole('radio', { name: 'dark' }));
    await expect.poll(paper).toBe(dark);
    await mei.reloads();
    await expect.poll(paper).toBe(dark);
    await mei.presses('Back');
    await expect(mei.link(/^Light and dark/)).toContainText('dark');
    await mei.follows(/^Light and dark/);
    await mei.page.emulateMedia({ colorScheme: 'dark' });
    await mei.taps(mei.page.getByRole('radio', { name: 'light' }));
    await expect.poll(paper).toBe(light);
    await mei.taps(mei.page.getByRole('radio', { name: 'as the device' }));
    await expect.poll(paper).toBe(dark);
    await mei.page.emulateMedia({ colorScheme: 'light' });
    await expect.poll(paper).toBe(light);
  });

  test('who does not want to be found by name is not, until they do', async ({ browser }) => {
    const tom = await yard.person(browser);
    await tom.joins(await mei.invites(), tomsName);
    const wei = await yard.person(browser);
    await wei.joins(await mei.invites(), '陈薇');
    const findable = (person: Person): Locator => person.page.getByRole('switch', { name: /Can be found by name/ });
    const asks = async (): Promise<void> => {
      await wei.leaves();
      await wei.goesTo('Friends');
      await wei.follows('By name');
      await wei.writes(wei.field('Their address'), 'tomas');
      await wei.presses('Ask to be friends');
    };
    await tom.leaves();
    await tom.goesTo('Me');
    await expect(findable(tom)).toBeChecked();
    // The courtyard knows first, then one's own devices.
    const said = tom.page.waitForResponse((response) => response.url().endsWith('/api/1/settings'));
    const noted = tom.page.waitForResponse((response) => response.url().endsWith('/api/1/vault') && response.request().method() === 'PUT');
    await tom.taps(findable(tom));
    expect((await said).status()).toBe(200);
    expect((await noted).status()).toBe(200);
    await tom.reloads();
    await expect(findable(tom)).not.toBeChecked();
    await asks();
    await wei.reads('It is not there, or not for you to see.');
    await wei.presses('Close');
    const back = tom.page.waitForResponse((response) => response.url().endsWith('/api/1/settings'));
    await tom.taps(findable(tom));
    expect((await back).status()).toBe(200);
    await asks();
    await wei.reads(/will see your request/);
    await tom.goesTo('Friends');
    await expect(tom.page.getByRole('listitem').filter({ hasText: '陈薇' }).getByRole('button', { name: 'Accept' })).toBeVisible();
  });
});
