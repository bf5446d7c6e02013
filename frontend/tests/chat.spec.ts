import { readFileSync } from 'node:fs';
import { expect, test } from '@playwright/test';
import { photograph, place } from './stage/photo';
import { mei as meisName, stories, tom as tomsName } from './stage/story';

stories('a chat', (cast) => {
  test('what one says the other sees, in the same order on both screens, once', async () => {
    const { mei, tom } = cast;
    await mei.says('柿子熟了吗？');
    await tom.sees('柿子熟了吗？');
    for (let round = 1; round <= 4; round++) {
      await Promise.all([mei.says(`Mei's ${String(round)}. word`), tom.says(`Tomás' ${String(round)}. word`)]);
    }
    await tom.says('that was all');
    await mei.sees('that was all');
    for (let round = 1; round <= 4; round++) {
      await mei.sees(`Tomás' ${String(round)}. word`);
      await tom.sees(`Mei's ${String(round)}. word`);
    }
    const seen = await mei.all();
    expect(seen).toHaveLength(10);
    expect(await tom.all()).toEqual(seen);
    await mei.reloads();
    await mei.sees('that was all');
    expect(await mei.all()).toEqual(seen);
  });

  test('the first message takes two actions', async () => {
    const { tom } = cast;
    expect(await tom.counts(() => tom.says('two actions'))).toBeLessThanOrEqual(2);
    await cast.mei.sees('two actions');
  });

  test('the tick goes from accepted to where it rests to read', async () => {
    const { mei, tom } = cast;
    await tom.presses('Back to chats');
    await expect(tom.talk(meisName)).toHaveCount(0);
    await mei.says('have you got a minute?');
    await mei.hasTick('have you got a minute?', cast.restsAtToms);
    await expect(tom.page.getByRole('listitem').filter({ hasText: 'have you got a minute?' })).toContainText('1 new message');
    await mei.takesUp('have you got a minute?');
    await expect(mei.page.getByRole('dialog')).toContainText(cast.restsAtToms);
    await mei.closesSheet();
    await tom.opensChatWith(meisName);
    await tom.sees('have you got a minute?');
    await mei.hasTick('have you got a minute?', `Read by ${tomsName}`);
    await tom.says('for you always');
    await tom.hasTick('for you always', `Read by ${meisName}`);
  });

  test('one sees that the other is writing', async () => {
    const { mei, tom } = cast;
    await tom.composer.pressSequentially('I am thinking');
    await expect(mei.page.getByText('writing …', { exact: true })).toBeVisible();
    await mei.presses('Back to chats');
    // It is said while he writes, and a little longer.
    await Promise.all([
      tom.composer.pressSequentially(' about it, slowly', { delay: 250 }),
      expect(mei.page.getByText('is writing …')).toBeVisible(),
    ]);
    await tom.presses('Send');
    await expect(mei.page.getByRole('listitem').filter({ hasText: 'I am thinking about it, slowly' })).toBeVisible();
  });

  test('a reply carries what it answers, and leads there', async () => {
    const { mei, tom } = cast;
    await mei.says('Saturday at six, or Sunday at noon?');
    await tom.sees('Saturday at six, or Sunday at noon?');
    await tom.takesUp('Saturday at six');
    await tom.presses('Reply');
    await expect(tom.page.getByText(`Reply to ${meisName}`)).toBeVisible();
    await tom.says('the second');
    const answer = mei.message('the second');
    await expect(answer.getByRole('button', { name: /Saturday at six/ })).toBeVisible();
    await mei.taps(answer.getByRole('button', { name: /Saturday at six/ }));
    await expect(mei.message('Saturday at six').first()).toBeInViewport();
  });

  test('lifting the finger after a long press touches nothing of what came beneath it', async () => {
    const { mei } = cast;
    const sheet = mei.page.getByRole('dialog', { name: 'What to do with this message' });
    await mei.says('hold me');
    await mei.holds(mei.message('hold me').locator('.bubble'), sheet, 'on the spot');
    await mei.page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    await expect(sheet).toBeVisible();
    await mei.closesSheet();
    await expect(mei.message('hold me')).toBeVisible();
  });

  test('a reaction comes, is changed and taken back', async () => {
    const { mei, tom } = cast;
    await mei.says('the kettle is on');
    await tom.sees('the kettle is on');
    await tom.takesUp('the kettle is on');
    await tom.presses('React with heart');
    await expect(mei.message('the kettle is on').getByRole('button', { name: `❤️ from ${tomsName}` })).toBeVisible();
    await tom.takesUp('the kettle is on');
    await tom.presses('React with thank you');
    await expect(mei.message('the kettle is on').getByRole('button', { name: `🙏 from ${tomsName}` })).toBeVisible();
    await expect(mei.message('the kettle is on').getByRole('button', { name: /❤️/ })).toHaveCount(0);
    await tom.taps(tom.message('the kettle is on').getByRole('button', { name: /🙏/ }));
    await expect(mei.message('the kettle is on').getByRole('button', { name: /🙏/ })).toHaveCount(0);
  });

  test('an edit changes the words everywhere and says so', async () => {
    const { mei, tom } = cast;
    await mei.says('see you at sixx');
    await tom.sees('see you at sixx');
    await mei.takesUp('see you at sixx');
    await mei.presses('Edit');
    await expect(mei.composer).toHaveValue('see you at sixx');
    await mei.writes(mei.composer, 'see you at six');
    await mei.presses('Save');
    await expect(tom.message(/see you at six(?!x)/)).toContainText('edited');
    await expect(mei.message(/see you at six(?!x)/)).toContainText('edited');
    await expect(tom.message('sixx')).toHaveCount(0);
    await expect(mei.message('sixx')).toHaveCount(0);
    await tom.reloads();
    await tom.sees(/see you at six(?!x)/);
    await tom.readsNowhere('sixx');
  });

  test('a message is deleted for everyone', async () => {
    const { mei, tom } = cast;
    await mei.says('I should not have said this');
    await tom.sees('I should not have said this');
    await mei.takesUp('I should not have said this');
    await mei.presses('Delete for everyone');
    await expect(mei.page.getByRole('dialog', { name: 'Delete this message for everyone?' })).toContainText(tomsName);
    await mei.presses('Delete for everyone');
    await mei.reads('You deleted this message');
    await tom.reads('Message deleted');
    for (const person of [mei, tom]) {
      await expect(person.message('I should not have said this')).toHaveCount(0);
      await person.reloads();
      await person.reads(person === mei ? 'You deleted this message' : 'Message deleted');
      await person.readsNowhere('I should not have said this');
    }
  });

  test('a photo takes three actions and arrives without the place it was taken at', async () => {
    const { mei, tom } = cast;
    const jpeg = await photograph(mei.page, 1600, 1200);
    expect(jpeg.includes(place)).toBe(true);
    const actions = await mei.counts(async () => {
      await mei.chooses(mei.button('Add a photo'), { name: 'IMG_4711.jpg', mimeType: 'image/jpeg', buffer: jpeg });
      await mei.presses('Send photo');
    });
    expect(actions).toBeLessThanOrEqual(3);
    const arrived = tom.page.getByRole('link', { name: `Photo from ${meisName}. Look at the photo` }).last();
    await tom.taps(arrived);
    const glass = tom.page.getByRole('dialog', { name: `Photo from ${meisName}` });
    const picture = glass.getByRole('img', { name: `Photo from ${meisName}` });
    await expect(picture).toBeVisible({ timeout: 60_000 });
    const [width, height] = await picture.evaluate((image: HTMLImageElement) => [image.naturalWidth, image.naturalHeight] as const);
    expect(width / height).toBeCloseTo(1600 / 1200, 1);
    const saving = tom.page.waitForEvent('download');
    await tom.taps(glass.getByRole('link', { name: 'Save photo' }));
    const file = readFileSync(await (await saving).path());
    expect(file.subarray(0, 3).toString('hex')).toBe('ffd8ff');
    for (const trace of ['Exif', 'GPS', place, 'IMG_4711']) expect(file.includes(trace), trace).toBe(false);
    await tom.presses('Close');
    await expect(glass).toHaveCount(0);
  });

  test('a photo may have a caption, and be answered', async () => {
    const { mei, tom } = cast;
    await tom.chooses(tom.button('Add a photo'), { name: 'p.jpg', mimeType: 'image/jpeg', buffer: await photograph(tom.page, 300, 400, 3) });
    await tom.writes(tom.field('Caption'), '院子里的柿子树');
    await tom.presses('Send photo');
    await mei.sees('院子里的柿子树');
    await mei.takesUp('院子里的柿子树');
    await mei.presses('Reply');
    await mei.says('谁爬上去的？');
    await expect(tom.message('谁爬上去的？').getByRole('button', { name: /Photo\. 院子里的柿子树/ })).toBeVisible();
  });

  test('a draft is kept where one left it', async () => {
    const { mei } = cast;
    await mei.writes(mei.composer, 'half a thou');
    await mei.presses('Back to chats');
    await expect(mei.page.getByRole('listitem').filter({ hasText: tomsName })).toContainText('Draft half a thou');
    // Another tab reads it from the disk: it is there now.
    const tab = await mei.tab();
    await tab.opens(`${cast.yard.url}/app/#/chats`);
    await expect(tab.page.getByRole('listitem').filter({ hasText: tomsName })).toContainText('Draft half a thou');
    await tab.page.close();
    await mei.reloads();
    await mei.opensChatWith(tomsName);
    await expect(mei.composer).toHaveValue('half a thou');
    await mei.writes(mei.composer, '');
    await mei.presses('Back to chats');
    await expect(mei.page.getByRole('listitem').filter({ hasText: tomsName })).not.toContainText('Draft');
  });
});
