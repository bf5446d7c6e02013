/** Friends in two courtyards, by link, by code, by address; what they say to each other, and what they see while one courtyard is away. */
import { expect, test } from '@playwright/test';
import { useCourtyards } from './stage/courtyard';
import { asks, blocks, goesToFriends, isConfirmed, removes, row, showsCode, talk } from './stage/friends';
import type { Person } from './stage/person';
import { photograph } from './stage/photo';
import { mei as meisName, movesIn, tom as tomsName } from './stage/story';

/** Pastes a link into one's own app. */
async function pastes(person: Person, link: string): Promise<void> {
  await goesToFriends(person);
  await person.follows('Scan code');
  await person.writes(person.field('Or paste a link'), link);
  await person.presses('Open');
}

/** Whoever has a home, in a tick. */
interface House {
  readonly title: string;
  readonly mei: boolean;
  readonly tom: boolean;
}

const houses: readonly House[] = [
  { title: 'both without a home', mei: false, tom: false },
  { title: '林美 with a home', mei: true, tom: false },
  { title: 'Tomás with a home', mei: false, tom: true },
];

for (const house of houses) {
  test.describe(`two courtyards, ${house.title}`, () => {
    const [here, there] = useCourtyards();
    let mei: Person;
    let tom: Person;

    test.beforeAll(async ({ browser }) => {
      test.setTimeout(240_000);
      mei = await here.person(browser);
      await mei.joins(here.claim(), meisName);
      tom = await there.person(browser);
      await tom.joins(there.claim(), tomsName);
      if (house.mei) await movesIn(here, mei);
      if (house.tom) await movesIn(there, tom);
    });

    /** The tick of a letter that has come as far as it comes by itself. */
    const restsAt = (name: string, home: boolean): string => (home ? `Safe in ${name}’s home` : `Kept at ${name}’s courtyard`);

    test('an invitation from the other courtyard, pasted into one’s own app: confirmed on both sides', async () => {
      const link = await tom.invites();
      await pastes(mei, link);
      await expect(mei.page.getByRole('heading', { name: `An invitation from ${tomsName}` })).toBeVisible();
      await mei.reads(`It comes from another courtyard: ${there.host}.`);
      await mei.presses(`Be friends with ${tomsName}`);
      await expect(mei.talk(tomsName)).toBeVisible();
      await talk(mei, meisName, tom, tomsName, 'by a link');
      await isConfirmed(mei, tomsName, true);
      await mei.reads(`tomas@${there.host}`);
      await isConfirmed(tom, meisName, true);
      await goesToFriends(tom);
      await expect(tom.page.getByRole('heading', { name: 'In other courtyards' })).toBeVisible();
      // Opened once more it says what it was.
      await pastes(mei, link);
      await mei.reads(`You and ${tomsName} are friends already.`);
      await mei.follows('Go to Chats');
    });

    test('words, a photo, an answer, an edit, a reaction, a deletion; and the ticks on the way', async () => {
      await mei.opensChatWith(tomsName);
      await tom.leaves();
      await tom.goesTo('Me');
      await mei.says('柿子熟了吗？');
      await mei.hasTick('柿子熟了吗？', restsAt(tomsName, house.tom));
      await tom.opensChatWith(meisName);
      await tom.sees('柿子熟了吗？');
      await mei.hasTick('柿子熟了吗？', `Read by ${tomsName}`);

      await mei.chooses(mei.button('Add a photo'), { name: 'IMG_4711.jpg', mimeType: 'image/jpeg', buffer: await photograph(mei.page, 1600, 1200) });
      await mei.presses('Send photo');
      const arrived = tom.page.getByRole('link', { name: `Photo from ${meisName}. Look at the photo` }).last();
      await expect(arrived).toBeVisible({ timeout: 40_000 });
      await tom.taps(arrived);
      const glass = tom.page.getByRole('dialog', { name: `Photo from ${meisName}` });
      await expect(glass.getByRole('img', { name: `Photo from ${meisName}` })).toBeVisible({ timeout: 60_000 });
      await tom.presses('Close');

      await mei.leaves();
      await mei.goesTo('Me');
      await tom.says('how many are thre?');
      await tom.hasTick('how many are thre?', restsAt(meisName, house.mei));
      await mei.opensChatWith(tomsName);
      await mei.sees('how many are thre?');
      await tom.takesUp('how many are thre?');
      await tom.presses('Edit');
      await tom.writes(tom.composer, 'how many are there?');
      await tom.presses('Save');
      await mei.sees('how many are there?');
      await mei.takesUp('how many are there?');
      await mei.presses('React with heart');
      await expect(tom.message('how many are there?').getByRole('button', { name: `❤️ from ${meisName}` })).toBeVisible();
      await tom.takesUp('how many are there?');
      await tom.presses('Delete for everyone');
      await tom.presses('Delete for everyone');
      await expect(mei.message('how many are there?')).toHaveCount(0);
    });

    test('the other courtyard down: one tick and why, through a reload; back, it all arrives once', async () => {
      test.setTimeout(240_000);
      await tom.opensChatWith(meisName);
      // Nothing of hers, nor of her home, is on its way any more: it would be counted below.
      await mei.leaves();
      await mei.goesTo('Me');
      await tom.says('good night');
      await tom.hasTick('good night', restsAt(meisName, house.mei));
      await mei.opensChatWith(tomsName);
      await tom.hasTick('good night', `Read by ${meisName}`);
      await expect(async () => {
        await mei.leaves();
        await mei.goesTo('Me');
        await mei.follows('Diagnostics');
        await expect(mei.page.getByText('Nothing waits there.', { exact: true })).toBeVisible({ timeout: 3_000 });
      }).toPass();
      await mei.opensChatWith(tomsName);
      await there.relay.stop('SIGKILL');
      await mei.says('are you there?');
      await mei.hasTick('are you there?', 'Accepted by the courtyard');
      await mei.reloads();
      await mei.sees('are you there?');
      await mei.reads(`At your courtyard, sealed; ${tomsName}’s courtyard does not have it yet.`);
      await mei.says('and still?');
      await mei.hasTick('and still?', 'Accepted by the courtyard');

      // What waits where, in words.
      await mei.leaves();
      await mei.goesTo('Me');
      await mei.follows('Diagnostics');
      await mei.reads(new RegExp(`2 letters to ${tomsName} at ${there.host}`, 'u'));
      await mei.reads(/Their courtyard does not answer just now/u);
      const text = await mei.copied('Copy as text');
      expect(text).toContain(`2 letters to ${tomsName} at ${there.host}`);
      expect(text).not.toContain('are you there?');

      await there.relay.start();
      await tom.sees('are you there?');
      await tom.sees('and still?');
      await mei.opensChatWith(tomsName);
      await mei.hasTick('and still?', `Read by ${tomsName}`);
    });

    test('blocked: a letter comes back and says why; what was said stays', async () => {
      await tom.leaves();
      await blocks(tom, meisName);
      await mei.opensChatWith(tomsName);
      await mei.says('hello?');
      await mei.hasTick('hello?', 'Not sent');
      await mei.takesUp('hello?');
      await expect(mei.page.getByRole('dialog')).toContainText('They cannot be reached');
      await mei.closesSheet();
      await tom.presses('Unblock');
      await tom.reads(`${meisName} is no longer blocked.`);
      // By invitation again, this time the other way round.
      await pastes(tom, await mei.invites());
      await tom.presses(/^(?:Be friends with|Confirm)/);
      await expect(tom.talk(meisName)).toBeVisible();
      await mei.opensChatWith(tomsName);
      await mei.presses('Try again');
      await tom.sees('hello?');
      await mei.hasTick('hello?', `Read by ${tomsName}`);
    });
  });
}

test.describe('two courtyards, their doors', () => {
  const [here, there] = useCourtyards();
  let mei: Person;
  let tom: Person;

  test.beforeAll(async ({ browser }) => {
    mei = await here.person(browser);
    await mei.joins(here.claim(), meisName);
    tom = await there.person(browser);
    await tom.joins(there.claim(), tomsName);
  });

  test('the page of an invitation sends whoever has a courtyard elsewhere there, with the invitation', async ({ browser }) => {
    const ana = await here.person(browser);
    await ana.joins(await mei.invites(), 'Ana');
    const link = await tom.invites();
    // Ana opens it in the browser in which she lives here; the page of the other courtyard does not know her.
    await ana.opens(link);
    await ana.taps(ana.page.getByText('I live in another courtyard'));
    await ana.writes(ana.field('Your address there'), 'no address');
    await ana.presses('Go there');
    await ana.reads('This is not an address.');
    await ana.writes(ana.field('Your address there'), `ana@${here.host}`);
    await ana.presses('Go there');
    await expect(ana.page.getByRole('heading', { name: `An invitation from ${tomsName}` })).toBeVisible();
    await ana.reads('You are here as Ana.');
    expect(ana.page.url()).toContain(`${here.url}/app/#invited.`);
    await ana.presses(`Be friends with ${tomsName}`);
    await expect(ana.talk(tomsName)).toBeVisible();
    await talk(ana, 'Ana', tom, tomsName, 'over the threshold');
    await isConfirmed(ana, tomsName, true);
    await isConfirmed(tom, 'Ana', true);
  });

  test('taken along to a courtyard where nobody is signed in, it says so and leads back', async ({ browser }) => {
    const link = await tom.invites();
    const guest = await here.person(browser);
    await guest.opens(`${here.url}/app/#invited.${encodeURIComponent(link)}`);
    await expect(guest.page.getByRole('heading', { name: 'An invitation from another courtyard' })).toBeVisible();
    await guest.follows(`Join at ${there.host}`);
    await guest.writes(guest.field('Your name, as friends call you'), 'Bo');
    await guest.presses('Join');
    await expect(guest.talk(tomsName)).toBeVisible();
  });

  test('a code on the screen makes friends across courtyards', async ({ browser }) => {
    const cy = await here.person(browser);
    await cy.joins(await mei.invites(), 'Cy');
    const code = await showsCode(tom);
    await goesToFriends(cy);
    await cy.follows('Scan code');
    await cy.chooses(cy.button('Choose a picture'), code);
    await cy.presses(`Be friends with ${tomsName}`);
    await expect(cy.talk(tomsName)).toBeVisible();
    await talk(cy, 'Cy', tom, tomsName, 'from screen to screen');
    await isConfirmed(cy, tomsName, true);
    await isConfirmed(tom, 'Cy', true);
  });

  test('by address: asked, accepted, not confirmed; one who is not there, and a courtyard that is not', async () => {
    await asks(mei, `nobody@${there.host}`);
    await mei.reads('It is not there, or not for you to see.');
    await mei.presses('Close');
    await asks(mei, 'wei@127.0.0.3:8443');
    await mei.reads('Their courtyard does not answer just now.');
    await mei.presses('Close');
    await asks(mei, `tomas@${there.host}`, 'We met at the well.');
    await goesToFriends(tom);
    await expect(row(tom, meisName)).toContainText('We met at the well.');
    await expect(row(tom, meisName)).toContainText(`@${here.host}`);
    await tom.taps(row(tom, meisName).getByRole('button', { name: 'Accept' }));
    await talk(mei, meisName, tom, tomsName, 'by address');
    await isConfirmed(mei, tomsName, false);
    await isConfirmed(tom, meisName, false);
    // An invitation confirms them afterwards.
    await pastes(tom, await mei.invites());
    await tom.presses(`Confirm ${meisName}`);
    await isConfirmed(tom, meisName, true);
    await isConfirmed(mei, tomsName, true);
  });

  test('removed, and nothing more arrives', async () => {
    await removes(mei, tomsName);
    await goesToFriends(tom);
    await expect(tom.page.getByText(/^Blocked and removed/)).toBeVisible({ timeout: 40_000 });
  });

  test('declined: another request within the day comes back, and nobody is told that it waits', async () => {
    const waits = tom.page.getByRole('heading', { name: 'Asked, not answered yet' });
    await asks(tom, `lin.mei@${here.host}`, 'Once more?');
    await goesToFriends(mei);
    await mei.taps(row(mei, tomsName).getByRole('button', { name: 'Not now' }));
    await expect(row(mei, 'Once more?')).toHaveCount(0);
    await goesToFriends(tom);
    await expect(waits).toHaveCount(0, { timeout: 60_000 });
    await asks(tom, `lin.mei@${here.host}`, 'And now?');
    await expect(waits).toHaveCount(0, { timeout: 60_000 });
    await tom.taps(tom.page.getByText(/^Blocked and removed/));
    await tom.taps(row(tom, meisName).getByRole('link').first());
    await tom.reads(`Your request to ${meisName} came back.`);
    await tom.reads('One request a day reaches them, and today’s has.');
  });
});
