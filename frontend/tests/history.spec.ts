/** History streams from the home (or from what the courtyard keeps, sealed), newest first, older on scroll. */
import { expect, test, type Browser } from '@playwright/test';
import type { Courtyard } from './stage/courtyard';
import { chatters } from './stage/house';
import type { Person } from './stage/person';
import { mei as meisName, stories, tom as tomsName } from './stage/story';

const many = 130;

/** The same person in a browser that knows nothing yet. */
async function secondDevice(yard: Courtyard, browser: Browser, person: Person): Promise<Person> {
  await person.leaves();
  await person.goesTo('Me');
  await person.follows(/^Devices/);
  await person.follows('Add a device');
  const box = person.page.getByRole('group', { name: 'Add a device' });
  await expect(box).toContainText('/app/#handover.');
  const link = await person.copied();
  const second = await yard.person(browser);
  const actions = await second.counts(async () => {
    second.actions += 1; // scanning the code
    await second.opens(link);
    await second.presses('Continue');
    await expect(second.page.getByRole('heading', { name: 'Chats' })).toBeVisible({ timeout: 60_000 });
  });
  expect(actions).toBeLessThanOrEqual(2);
  return second;
}

async function toTheTop(person: Person): Promise<void> {
  const list = person.page.locator('.scroll').filter({ has: person.page.locator('li[data-mid]') });
  await list.evaluate((box: Element) => {
    box.scrollTop = 0;
  });
}

/** Scrolls up until the beginning stands there; tells what was seen on the way, from the oldest. */
async function readsBack(person: Person, enough: number): Promise<string[]> {
  const seen = new Map<string, number>();
  await expect
    .poll(
      async () => {
        for (const row of await person.page.locator('li[data-mid]').evaluateAll((rows: Element[]) => rows.map((one) => one.querySelector('.words')?.textContent ?? ''))) {
          seen.set(row, (seen.get(row) ?? 0) + 1);
        }
        await toTheTop(person);
        const more = person.button('Older messages');
        if (await more.isVisible()) await person.tapsIfThere(more);
        return seen.size;
      },
      { timeout: 45_000, intervals: [100] },
    )
    .toBeGreaterThanOrEqual(enough);
  return [...seen.keys()];
}

stories('history', (cast, homeless) => {
  test.setTimeout(180_000);
  const whole = Array.from({ length: many }, (_, n) => `Nr. ${String(n + 1)} of the long talk`);

  test('a new browser has it all, newest first, older on scroll', async ({ browser }) => {
    const { tom, mei, yard } = cast;
    await chatters(tom, whole);
    await mei.sees(`Nr. ${String(many)} of`);
    await tom.hasTick(`Nr. ${String(many)} of`, `Read by ${meisName}`);

    const second = await secondDevice(yard, browser, tom);
    await second.opensChatWith(meisName);
    await second.sees(`Nr. ${String(many)} of`);
    const standing = await second.all();
    expect(standing.at(-1)).toBe(whole.at(-1));
    expect(standing.length).toBeLessThan(many);
    const seen = await readsBack(second, many);
    expect(seen.filter((one) => one.endsWith('of the long talk')).toSorted(byNumber)).toEqual(whole);
    await second.reads('This is where it begins.');

    // It is a device like the first: what comes now comes to both.
    await mei.says('to both of you');
    // It reads far above; the newest is one tap away.
    await second.presses('1 new message, go there');
    await second.sees('to both of you');
    await tom.opensChatWith(meisName);
    await tom.sees('to both of you');
    await second.says('from the second');
    await tom.sees('from the second');
    await mei.sees('from the second');
    await second.goes();
  });

  if (homeless) return;

  test('with the home off the app says since when, and new ones arrive', async ({ browser }) => {
    const { tom, mei, tomsHome, yard } = cast;
    if (tomsHome === undefined) throw new Error('Tomás has a home in this story');
    await mei.says('one before');
    await tom.sees('one before');
    const second = await secondDevice(yard, browser, tom);
    // It has met the home once, and has from it what opens letters.
    await expect(second.page.getByRole('listitem').filter({ hasText: meisName })).toContainText('one before');
    await tomsHome.program.stop();
    await second.opensChatWith(meisName);
    // Some it may have here already.
    const words = second.page.getByText(/^Your older messages are in your home, off since \d{1,2}:\d{2}\. New ones arrive here\.$/);
    await expect(async () => {
      await toTheTop(second);
      await expect(words).toBeVisible({ timeout: 500 });
    }).toPass();
    await mei.says('you still hear me');
    await second.sees('you still hear me');
    await second.leaves();
    await second.goesTo('Me');
    await second.reads(/^Your home has been away since \d{1,2}:\d{2}$/);
    await tomsHome.program.start();
    await second.reads('Your home is fine');
    await second.opensChatWith(meisName);
    await second.sees('one before');
    await second.readsNowhere('off since');
    await mei.hasTick('you still hear me', `Read by ${tomsName}`);
  });
});

function byNumber(one: string, other: string): number {
  return Number(/\d+/u.exec(one)?.[0]) - Number(/\d+/u.exec(other)?.[0]);
}
