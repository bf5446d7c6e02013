/** The owner's page about what goes by way of the courtyard: a call that does, who sees whose share of it, and how it looks. */
import { networkInterfaces } from 'node:os';
import { expect, test, type Locator } from '@playwright/test';
import { calls, hangsUp, hears, pretended, watched } from './stage/calls';
import { Courtyard, useCourtyard } from './stage/courtyard';
import { fits, noViolations, picture } from './stage/looks';
import type { Person } from './stage/person';
import { mei as meisName, tom as tomsName } from './stage/story';

test.use({ ...pretended, actionTimeout: 60_000, navigationTimeout: 60_000 });
test.setTimeout(300_000);

const own = Object.values(networkInterfaces()).flat().flatMap((each) => (each?.family === 'IPv4' ? [each.cidr ?? ''] : []));
const yard = useCourtyard(
  new Courtyard('127.0.0.1', () => [
    '--turn', 'on', '--turn-month-gib', '2', '--turn-bandwidth', '8', ...own.flatMap((net) => ['--turn-reach', net]),
  ]),
);
const title = 'Calls through your courtyard';
/** owns the courtyard */
let mei: Person;
let tom: Person;

async function opensPage(person: Person): Promise<void> {
  await person.leaves();
  await person.goesTo('Me');
  await person.follows(title);
  await expect(person.page.getByRole('heading', { name: title, level: 1 })).toBeVisible();
}

function row(name: string): Locator {
  return mei.page.getByRole('listitem').filter({ has: mei.page.getByText(name, { exact: true }) });
}

test.beforeAll(async ({ browser }) => {
  test.setTimeout(240_000);
  mei = await yard.person(browser);
  await mei.joins(yard.claim(), meisName);
  // Before there is anybody to be connected with.
  await opensPage(mei);
  await mei.reads('Nothing has gone by way of your courtyard this month.');
  await mei.reads('Each person has 2.1 GB a month, at most 1 MB a second.');
  tom = await yard.person(browser);
  await tom.joins(await mei.invites(), tomsName);
  for (const person of [mei, tom]) await watched(person);
});

test('a call that goes by way of the courtyard is counted, and everybody’s share is the owner’s to see', async () => {
  await mei.leaves();
  await mei.goesTo('Me');
  await mei.switches(mei.page.getByRole('switch', { name: /^Always through my courtyard/ }), 'vault');
  await mei.opensChatWith(tomsName);
  await calls(mei, tomsName);
  await tom.presses('Answer');
  await hears(mei, tom);
  await mei.presses('Back to the app, keep talking');
  await opensPage(mei);
  // Of Tomás nothing has to go through: it is what goes to and from Mei's end.
  await expect(row(meisName)).toContainText(/(?:kB|MB) of 2\.1 GB · \d+ connections? now · [\d.]+ (?:kB|bytes) a second just now/u);
  await mei.reads(/(?:kB|MB) this month$/u);
  await mei.presses(/^Back to the call/);
  await hangsUp(mei, tom);

  // Others have no such row under Me, and who knows the address sees their own share alone.
  await tom.leaves();
  await tom.goesTo('Me');
  await expect(tom.link(title)).toHaveCount(0);
  await tom.opensConnected(`${yard.url}/app/#/me/traffic`);
  await tom.reads('Each person has 2.1 GB a month, at most 1 MB a second.');
  await tom.readsNowhere('Who used it');
  await tom.readsNowhere(meisName);
});

test('it says when the courtyard is away, and goes on when it is back', async () => {
  await opensPage(mei);
  await mei.reads(/this month$/u);
  await yard.relay.stop();
  await expect(mei.page.getByRole('alert')).toBeVisible({ timeout: 60_000 });
  await yard.relay.start();
  await expect(mei.page.getByRole('alert')).toHaveCount(0, { timeout: 60_000 });
  await expect(row(meisName)).toContainText('of 2.1 GB');
});

test('looked at: nothing for axe to find, nothing wider than the glass', async () => {
  const GiB = 2 ** 30;
  const month = { on: true, month: '2026-11', limit: 100 * GiB, second: 2_500_000, mine: { allocations: 2, bytes: 23.4 * GiB } };
  const all = [
    { username: 'maximilian.featherstonehaugh.oye', allocations: 6, bytes: 100 * GiB },
    { username: (await handleOf(mei)).split('@', 1)[0], allocations: 2, bytes: 23.4 * GiB },
    { username: (await handleOf(tom)).split('@', 1)[0], allocations: 1, bytes: 640_000_000 },
    { username: 'bo', allocations: 0, bytes: 41_000 },
  ].map((one) => ({ ...one, bytes: Math.round(one.bytes) }));
  const looks = {
    everybody: { ...month, mine: { ...month.mine, bytes: Math.round(month.mine.bytes) }, all },
    off: { ...month, on: false, limit: 0, second: 0, mine: { allocations: 0, bytes: 0 }, all: [] },
  };
  let answer: object = looks.everybody;
  await mei.page.route('**/api/1/traffic', (route) => route.fulfill({ json: answer }));
  for (const [width, dark, language] of [[360, false, 'en'], [360, true, 'zh-Hans'], [1280, true, 'en'], [1280, false, 'zh-Hant']] as const) {
    await mei.page.setViewportSize({ width, height: width === 360 ? 640 : 800 });
    await mei.page.emulateMedia({ colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce' });
    await mei.page.evaluate((chosen) => {
      localStorage.setItem('courtyard.language', chosen);
    }, language);
    for (const [what, json] of Object.entries(looks)) {
      answer = json;
      await mei.opensConnected(`${yard.url}/app/#/me/traffic`);
      if (what === 'everybody') await expect(row(tomsName)).toContainText(/640/u);
      else await expect(mei.page.locator('p.hint:not([role])')).toHaveCount(1);
      await look(`${String(width)}-${dark ? 'dark' : 'light'}-${language}-traffic-${what}`);
    }
    await mei.opensConnected(`${yard.url}/app/#/me`);
    await mei.page.locator('a[href$="#/me/traffic"]').scrollIntoViewIfNeeded();
    await look(`${String(width)}-${dark ? 'dark' : 'light'}-${language}-traffic-me`);
  }
});

async function handleOf(person: Person): Promise<string> {
  await person.opensConnected(`${yard.url}/app/#/me`);
  return person.page.locator('.handle').first().innerText();
}

async function look(name: string): Promise<void> {
  await picture(mei.page, name);
  await fits(mei.page, name);
  await noViolations(mei.page, name);
}
