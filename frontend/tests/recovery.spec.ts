/** The recovery card: when it is offered, how it is kept, and that it brings everything back. */
import { expect, test, type Locator } from '@playwright/test';
import { asFile, asPicture, comesWithACard, isBack, keepsCard, misread, picks, savesCard, types, type KeptCard } from './stage/card';
import { useCourtyard } from './stage/courtyard';
import type { Person } from './stage/person';
import { photograph } from './stage/photo';
import { mei as meisName, movesIn, stories, tom as tomsName } from './stage/story';

function reminder(person: Person): Locator {
  return person.page.getByRole('heading', { name: 'Keep your recovery card' });
}

async function sameList(person: Person): Promise<void> {
  await person.leaves();
  await person.goesTo('Chats');
}

test.describe('the card is offered', () => {
  const yard = useCourtyard();
  let mei: Person;

  test.beforeAll(async ({ browser }) => {
    mei = await yard.person(browser);
    await mei.joins(yard.claim(), meisName);
  });

  /** Joins, and says the first word. */
  async function newcomer(person: Person, name: string): Promise<void> {
    await person.joins(await mei.invites(), name);
    await person.says(`${name} is here`);
    await sameList(person);
    await expect(reminder(person)).toBeVisible();
  }

  test('after the first chat, not before', async ({ browser }) => {
    const tom = await yard.person(browser);
    await tom.joins(await mei.invites(), 'Before');
    await sameList(tom);
    await tom.reads('Chats');
    await expect(reminder(tom)).toHaveCount(0);
    await tom.opensChatWith(meisName);
    await tom.says('hello');
    await sameList(tom);
    await expect(reminder(tom)).toBeVisible();
    await tom.reads('If this phone is lost, the card brings you back with your friends and your chats.');
  });

  test('“Later” is one tap and lets one alone, also after a reload; some days on it is asked again', async ({ browser }) => {
    const tom = await yard.person(browser);
    await newcomer(tom, 'Later');
    expect(await tom.counts(() => tom.presses('Later'))).toBe(1);
    await expect(reminder(tom)).toHaveCount(0);
    await tom.reloads();
    await tom.reads('Later is here');
    await expect(reminder(tom)).toHaveCount(0);

    // The phone's own clock counts while nobody tells the time: opened on a train, from its own memory.
    await tom.hasWorker();
    tom.line.cut();
    const day = 24 * 60 * 60_000;
    await tom.page.clock.setSystemTime(Date.now() + 2 * day);
    await tom.reloads();
    await tom.reads('No connection to your courtyard.');
    await expect(reminder(tom)).toHaveCount(0);
    await tom.page.clock.setSystemTime(Date.now() + 3 * day + 60 * 60_000);
    await tom.reloads();
    await tom.reads('No connection to your courtyard.');
    await expect(reminder(tom)).toBeVisible();
  });

  test('not any more once it is kept', async ({ browser }) => {
    const tom = await yard.person(browser);
    await newcomer(tom, 'Keeper');
    await tom.follows('Make my card');
    await tom.presses('Make my card');
    await savesCard(tom);
    await tom.presses('I have kept it');
    await tom.reads('Good. Your card is kept.');
    await sameList(tom);
    await tom.reads('Keeper is here');
    await expect(reminder(tom)).toHaveCount(0);
    await tom.goesTo('Me');
    await tom.follows(/^Recovery card/);
    await tom.reads(/^You kept your card on/);
    await expect(tom.button('Make my card')).toHaveCount(0);
  });

  test('still, when it was made and looked at but not saved; and then it is the same card', async ({ browser }) => {
    const tom = await yard.person(browser);
    await newcomer(tom, 'Looker');
    await tom.follows('Make my card');
    await tom.presses('Make my card');
    const code = tom.page.getByText(/^(?:[0-9A-Z]{4}[ -]){6}[0-9A-Z]{4}$/);
    const first = await code.innerText();
    await sameList(tom);
    await expect(reminder(tom)).toBeVisible();
    await tom.follows('Make my card');
    await tom.presses('Make my card');
    await expect(code).toHaveText(first);
  });

  test('not any more once there is a second device', async ({ browser }) => {
    const tom = await yard.person(browser);
    await newcomer(tom, 'Second');
    await tom.goesTo('Me');
    await tom.follows(/^Devices/);
    await tom.follows('Add a device');
    const link = tom.page.getByRole('group', { name: 'Add a device' });
    await expect(link).toContainText('#handover.');
    const other = await yard.person(browser);
    await other.opens(await tom.copied());
    await other.presses('Continue');
    await isBack(other);
    await sameList(tom);
    await expect(reminder(tom)).toHaveCount(0);
    await expect(reminder(other)).toHaveCount(0);
  });

  test('also with a home: it keeps everything, but brings nobody back', async ({ browser }) => {
    const tom = await yard.person(browser);
    await newcomer(tom, 'Owner');
    await movesIn(yard, tom);
    await sameList(tom);
    await tom.reads('Owner is here');
    await expect(reminder(tom)).toBeVisible();
    await tom.goesTo('Me');
    await tom.follows('Sign out');
    await tom.reads(/a home alone brings nobody back: Owner’s account would be gone for good/);
    await tom.presses('Cancel');

    // Seen and not kept, the card opens nothing; that is said.
    await tom.follows(/^Recovery card/);
    await tom.presses('Make my card');
    await tom.reads('The card works from the moment you save it');
    await tom.presses('Back');
    await tom.reads('The card you saw does not work yet');
    await expect(tom.link(/^Recovery card/)).toContainText('not kept yet');
  });
});

test.describe('the card is kept', () => {
  const yard = useCourtyard();

  test('as a picture, as a file, and on paper', async ({ browser }) => {
    const mei = await yard.person(browser);
    await mei.joins(yard.claim(), meisName);
    await mei.goesTo('Me');
    await mei.follows(/^Recovery card/);
    await mei.reads('whoever has it is you');
    await mei.presses('Make my card');
    const card = await savesCard(mei);

    expect(card.handle).toBe(`lin.mei@${yard.host}`);
    expect(card.code).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-){6}[0-9A-HJKMNP-TV-Z]{4}$/u);
    expect(card.picture.subarray(0, 8).toString('hex')).toBe('89504e470d0a1a0a');
    const file = card.file.toString('utf8');
    for (const word of [meisName, card.handle, card.code, 'I have a recovery card']) expect(file).toContain(word);

    // The dialogue of the system belongs to the system; that it is asked for, and what would be on the paper, is ours.
    await mei.page.evaluate(() => {
      window.print = () => { document.title = 'asked to print'; };
    });
    await mei.presses('Print');
    await expect(mei.page).toHaveTitle('asked to print');
    await mei.page.emulateMedia({ media: 'print' });
    const shown = mei.page.getByRole('region', { name: 'Your recovery card' });
    await expect(shown).toContainText(card.code);
    await expect(shown.getByRole('img', { name: /Code of your recovery card/ })).toBeVisible();
    for (const button of ['Save picture', 'Save file', 'Print', 'I have kept it']) await expect(mei.button(button)).toBeHidden();
    const paper = await mei.page.pdf({ format: 'A4' });
    expect(paper.toString('latin1').match(/\/Type \/Page\b/gu)).toHaveLength(1);
  });
});

stories('with the card one is back', (cast, homeless) => {
  let card: KeptCard;
  let before: string[];
  let last = 'the last word before the loss';

  /** Everything that was there is there again, and goes on. */
  async function hasEverything(back: Person): Promise<void> {
    const { mei } = cast;
    await expect(back.page.getByRole('listitem').filter({ hasText: meisName })).toContainText(last);
    await back.opensChatWith(meisName);
    await back.sees('the first word');
    expect((await back.all()).slice(0, before.length)).toEqual(before);
    const photo = back.page.getByRole('link', { name: /^Photo from .*Look at the photo/ }).first();
    await back.taps(photo);
    await expect(back.page.getByRole('dialog').getByRole('img')).toBeVisible({ timeout: 60_000 });
    await back.presses('Close');

    await back.taps(back.page.getByRole('link', { name: new RegExp(meisName) }).first());
    await expect(back.page.getByRole('heading', { name: 'Confirmed', exact: true })).toBeVisible();
    await back.leaves();
    await back.goesTo('Me');
    await back.reads(tomsName);
    await back.reads(card.handle);
    await expect(back.page.getByRole('switch', { name: /Can be found by name/ })).not.toBeChecked();
    if (homeless) await back.reads('You have no home yet');
    else await expect(back.page.getByText('Your home is fine')).toBeVisible({ timeout: 60_000 });

    await mei.opensChatWith(tomsName);
    const word = `welcome back number ${String(await mei.message(/welcome back/).count())}`;
    await mei.says(word);
    await back.opensChatWith(meisName);
    await back.sees(word);
    last = `thank you for ${word}`;
    await back.says(last);
    await mei.sees(last);
  }

  test.beforeAll(async () => {
    test.setTimeout(240_000);
    const { mei, tom } = cast;
    await mei.opensChatWith(tomsName);
    await tom.opensChatWith(meisName);
    await tom.says('the first word');
    await mei.sees('the first word');
    await mei.says('第二句');
    await tom.sees('第二句');
    await mei.chooses(mei.button('Add a photo'), { name: 'p.jpg', mimeType: 'image/jpeg', buffer: await photograph(mei.page, 640, 480) });
    await mei.presses('Send photo');
    await expect(tom.page.getByRole('link', { name: /^Photo from/ })).toHaveCount(1, { timeout: 60_000 });
    await tom.says(last);
    await mei.sees(last);
    before = await tom.all();
    card = await keepsCard(tom);
    const findable = tom.page.getByRole('switch', { name: /Can be found by name/ });
    await tom.switches(findable, 'vault');
    await expect(findable).not.toBeChecked();
    await tom.opensChatWith(meisName);
    // The phone lies at the bottom of the lake.
    tom.line.cut();
  });

  test('by picking the picture: friends, settings and history', async ({ browser }) => {
    const back = await comesWithACard(cast.yard, browser);
    expect(await back.counts(() => picks(back, asPicture(card)))).toBeLessThanOrEqual(2);
    await isBack(back);
    await hasEverything(back);
  });

  test('by picking the file', async ({ browser }) => {
    const back = await comesWithACard(cast.yard, browser);
    await picks(back, asFile(card));
    await isBack(back);
    await hasEverything(back);
  });

  test('by typing it as tired people do', async ({ browser }) => {
    const back = await comesWithACard(cast.yard, browser);
    await types(back, card.handle.replace(/@.*/u, ''), misread(card.code));
    await isBack(back);
    await hasEverything(back);
    await back.leaves();
    await back.goesTo('Me');
    await back.follows(/^Recovery card/);
    await back.reads(/^You kept your card on/);
  });
});

test.describe('a card that is none', () => {
  const yard = useCourtyard();
  const bad = 'These characters do not belong to a card: one may be misread. Nothing was changed.';
  const unknown = 'No account under this address belongs to this card. Nothing was changed.';
  let card: KeptCard;
  let others: KeptCard;

  test.beforeAll(async ({ browser }) => {
    const mei = await yard.person(browser);
    await mei.joins(yard.claim(), meisName);
    card = await keepsCard(mei);
    const tom = await yard.person(browser);
    await tom.joins(await mei.invites(), 'Tom');
    others = await keepsCard(tom);
  });

  /** The sentence, and nobody is signed in. */
  async function isRefused(person: Person, sentence: string): Promise<void> {
    await person.reads(sentence);
    await person.opens(`${yard.url}/app/`);
    await person.reads('I have a recovery card');
  }

  test('one character misread', async ({ browser }) => {
    const person = await comesWithACard(yard, browser);
    const last = card.code.charAt(12);
    await types(person, card.handle, `${card.code.slice(0, 12)}${last === 'A' ? 'B' : 'A'}${card.code.slice(13)}`);
    await isRefused(person, bad);
  });

  test('somebody else’s characters', async ({ browser }) => {
    const person = await comesWithACard(yard, browser);
    await types(person, card.handle, others.code);
    await isRefused(person, unknown);
  });

  test('an address that nobody has', async ({ browser }) => {
    const person = await comesWithACard(yard, browser);
    await types(person, 'nobody.at.all', card.code);
    await isRefused(person, unknown);
  });

  test('of another courtyard', async ({ browser }) => {
    const person = await comesWithACard(yard, browser);
    await types(person, 'lin.mei@elsewhere.example', card.code);
    await isRefused(person, 'This card is for another courtyard: its address names it after the @.');
  });

  test('too few and too many characters are counted', async ({ browser }) => {
    const person = await comesWithACard(yard, browser);
    const field = person.field('The 28 characters on the card');
    await person.writes(field, card.code.slice(0, -3));
    await person.reads('3 characters are missing.');
    await person.writes(field, `${card.code}7`);
    await person.reads('That is more than 28 characters.');
    await expect(person.button('Bring me back')).toBeDisabled();
    await person.writes(field, card.code);
    await person.page.setViewportSize({ width: 360, height: 740 });
    expect(await field.evaluate((one) => one.scrollWidth - one.clientWidth)).toBe(0); // all of it can be looked at
    await person.presses('Bring me back');
    await person.reads('Write the address that stands on the card.');
  });

  test('a picture and a file of something else', async ({ browser }) => {
    const person = await comesWithACard(yard, browser);
    await picks(person, { name: 'cat.jpg', mimeType: 'image/jpeg', buffer: await photograph(person.page, 300, 300) });
    await person.reads('There is no readable card in this picture.');
    await picks(person, { name: 'shopping.txt', mimeType: 'text/plain', buffer: Buffer.from('milk\nsix eggs\n') });
    await isRefused(person, bad);
    await person.follows('I have a recovery card');
    await picks(person, { name: 'torn.png', mimeType: 'image/png', buffer: card.picture.subarray(0, 2_000) });
    await isRefused(person, 'There is no readable card in this picture.');
  });

  test('used where somebody is signed in it replaces nothing', async ({ browser }) => {
    const person = await comesWithACard(yard, browser);
    await picks(person, asFile(others));
    await isBack(person);
    await person.opens(`${yard.url}/app/#/restore`);
    await expect(person.page.getByText('Back with your card').or(person.page.getByRole('heading', { name: 'Chats', level: 1 })).first()).toBeVisible();
    await expect(person.page.getByText('Bring me back')).toHaveCount(0);
    await person.opens(`${yard.url}/app/#/me`);
    await person.reads(others.handle);
  });
});
