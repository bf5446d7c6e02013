/** The owner's page about other courtyards, and everybody's way to refuse one: what it says, and what happens to letters then. */
import { expect, test, type Locator } from '@playwright/test';
import { useCourtyards } from './stage/courtyard';
import { goesToFriends, opensPerson, talk } from './stage/friends';
import { fits, noViolations, picture } from './stage/looks';
import type { Person } from './stage/person';
import { mei as meisName, tom as tomsName } from './stage/story';

const [here, there] = useCourtyards();
/** owns `here` */
let mei: Person;
/** owns `there`, and is a friend of both others */
let tom: Person;
/** lives here */
let ana: Person;

async function befriends(person: Person, link: string): Promise<void> {
  await goesToFriends(person);
  await person.follows('Scan code');
  await person.writes(person.field('Or paste a link'), link);
  await person.presses('Open');
  await person.presses(`Be friends with ${tomsName}`);
  await expect(person.talk(tomsName)).toBeVisible();
}

test.beforeAll(async ({ browser }) => {
  test.setTimeout(240_000);
  mei = await here.person(browser);
  await mei.joins(here.claim(), meisName);
  tom = await there.person(browser);
  await tom.joins(there.claim(), tomsName);
  ana = await here.person(browser);
  await ana.joins(await mei.invites(), 'Ana');
  await befriends(mei, await tom.invites());
  await befriends(ana, await tom.invites());
  await talk(mei, meisName, tom, tomsName, 'on good terms');
  await talk(ana, 'Ana', tom, tomsName, 'on good terms, too');
});

async function opensPage(person: Person, name: string): Promise<void> {
  await person.leaves();
  await person.goesTo('Me');
  await person.follows(name);
  await expect(person.page.getByRole('heading', { name, level: 1 })).toBeVisible();
}

/** The row of a courtyard on the page. */
function row(person: Person, host: string): Locator {
  return person.page.getByRole('listitem').filter({ has: person.page.getByText(host, { exact: true }) });
}

async function agrees(person: Person, title: string, act: string, said?: string): Promise<void> {
  await person.taps(person.page.getByRole('dialog', { name: title }).getByRole('button', { name: act, exact: true }));
  if (said !== undefined) await person.reads(said); // first of all: it stands for four seconds
  await expect(person.page.getByRole('dialog')).toHaveCount(0);
}

/** What is said about a letter that came back. */
async function cameBack(person: Person, text: string, why: string): Promise<void> {
  await person.hasTick(text, 'Not sent');
  await person.takesUp(text);
  await expect(person.page.getByRole('dialog')).toContainText(why);
  await person.closesSheet();
}

const apart = 'Your courtyard and theirs do not deal with each other.';

test('refused by the owner, a courtyard’s letters come back and so do those to it; taken again, they go', async () => {
  await opensPage(mei, 'Your courtyard');
  await expect(row(mei, there.host)).toContainText('2 people here have friends there');
  await expect(row(mei, there.host)).toContainText('connected now');
  await mei.presses(`Refuse ${there.host}`);
  await agrees(mei, `Refuse ${there.host}?`, 'Refuse', `${there.host} is refused.`);
  await expect(row(mei, there.host)).toContainText('Refused since');

  await tom.opensChatWith(meisName);
  await tom.says('are you angry?');
  await cameBack(tom, 'are you angry?', apart);
  await ana.opensChatWith(tomsName);
  await ana.says('what has happened?');
  await cameBack(ana, 'what has happened?', apart);

  await mei.presses(`Allow again ${there.host}`);
  await mei.reads(`${there.host} is allowed again.`);
  await mei.opensChatWith(tomsName);
  await tom.presses('Try again');
  await mei.sees('are you angry?');
});

test('only courtyards on the list', async () => {
  await opensPage(mei, 'Your courtyard');
  const only = mei.page.getByRole('switch', { name: 'Only courtyards on my list' });
  await mei.taps(only);
  await mei.presses('Cancel');
  await expect(only).not.toBeChecked();
  await mei.taps(only);
  await agrees(mei, 'Deal only with the courtyards on your list?', 'Only courtyards on my list');
  await expect(only).toBeChecked();
  await expect(row(mei, there.host)).toContainText('Not on your list.');
  await tom.opensChatWith(meisName);
  await tom.says('a list?');
  await cameBack(tom, 'a list?', apart);
  await mei.presses(`Put on my list ${there.host}`);
  await expect(row(mei, there.host)).toContainText('On your list');
  await tom.presses('Try again');
  await mei.opensChatWith(tomsName);
  await mei.sees('a list?');
  await opensPage(mei, 'Your courtyard');
  await mei.taps(only);
  await expect(only).not.toBeChecked();
  await mei.presses(`Take off my list ${there.host}`);
  await mei.reads(`${there.host} is no longer on your list.`);

  // One that nobody here knows yet.
  await mei.writes(mei.field('Another courtyard'), 'no courtyard');
  await mei.presses('Refuse');
  await mei.reads('This is not the address of a courtyard.');
  await mei.writes(mei.field('Another courtyard'), 'Eve@Evil.example:8443');
  await mei.presses('Refuse');
  await expect(row(mei, 'evil.example:8443')).toContainText('Refused since');
  await mei.presses('Allow again evil.example:8443');
  await expect(row(mei, 'evil.example:8443')).toHaveCount(0);
});

test('who may pass through is given, seen, and withdrawn', async () => {
  await opensPage(mei, 'Your courtyard');
  await mei.presses('Let a courtyard pass');
  const sheet = mei.page.getByRole('dialog', { name: 'Let a courtyard pass' });
  await mei.writes(mei.field('Its address'), '127.0.0.9:1');
  await mei.presses('Let it pass');
  await expect(sheet.getByRole('alert')).toBeVisible();
  await mei.writes(mei.field('Its address'), there.host);
  await mei.taps(sheet.getByText('A week'));
  await mei.taps(sheet.getByText('10 MB'));
  await mei.presses('Let it pass');
  await expect(sheet).toHaveCount(0);
  await mei.reads(new RegExp(`^Letters from ${there.host} may pass through here until .*, up to 10 MB a day\\.`, 'u'));
  await mei.reads('0 bytes used today.');
  await mei.reloads();
  await mei.reads(/up to 10 MB a day/u);
  await mei.presses(`Withdraw ${there.host}`);
  await mei.reads(`Letters from ${there.host} no longer pass through here.`);
  await mei.readsNowhere(/up to 10 MB a day/u);
});

test('refused by one person, everybody of a courtyard is turned away from that one alone', async () => {
  await opensPerson(ana, tomsName);
  await ana.presses(`Refuse everybody from ${there.host}`);
  await agrees(ana, `Refuse everybody from ${there.host}?`, 'Refuse');
  await expect(ana.button(`Take letters from ${there.host} again`)).toBeVisible();
  await tom.opensChatWith('Ana');
  await tom.says('and you?');
  await cameBack(tom, 'and you?', 'They cannot be reached');
  await talk(tom, tomsName, mei, meisName, 'still speaking');

  await opensPage(ana, 'Other courtyards');
  await ana.readsNowhere('Let a courtyard pass');
  await ana.presses(`Allow again ${there.host}`);
  await ana.reads('You refuse none.');
  await tom.opensChatWith('Ana');
  await tom.presses('Try again');
  await ana.opensChatWith(tomsName);
  await ana.sees('and you?');
});

test('all of it looked at: nothing for axe to find, nothing wider than the glass', async () => {
  test.setTimeout(180_000);
  await opensPage(mei, 'Your courtyard');
  for (const host of ['a-courtyard-with-a-very-long-name.somewhere-in-the-mountains.example', 'xn--fiq228c.example:8443']) {
    await mei.writes(mei.field('Another courtyard'), host);
    await mei.presses('Refuse');
    await expect(row(mei, host)).toBeVisible();
  }
  await mei.presses('Let a courtyard pass');
  await mei.writes(mei.field('Its address'), there.host);
  await mei.presses('Let it pass');
  await mei.reads(/may pass through here/u);
  for (const [width, dark, language] of [[360, false, 'en'], [360, true, 'zh-Hans'], [1280, true, 'en'], [1280, false, 'zh-Hant']] as const) {
    const name = `${String(width)}-${dark ? 'dark' : 'light'}-${language}-courtyards`;
    await mei.page.setViewportSize({ width, height: width === 360 ? 640 : 800 });
    await mei.page.emulateMedia({ colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce' });
    await mei.page.evaluate((chosen) => {
      localStorage.setItem('courtyard.language', chosen);
    }, language);
    await mei.opensConnected(`${here.url}/app/#/me/courtyards`);
    await expect(row(mei, there.host).first()).toBeVisible();
    const give = mei.page.getByRole('button').filter({ has: mei.page.locator('svg') }).last();
    await look(`${name}-top`);
    await give.scrollIntoViewIfNeeded();
    await look(name);
    await mei.taps(give);
    await expect(mei.page.getByRole('dialog')).toBeVisible();
    await look(`${name}-pass`);
    await mei.closesSheet();
    await mei.opens(`${here.url}/app/#/friends`);
    await mei.taps(mei.page.getByRole('listitem').filter({ hasText: tomsName }).getByRole('link').first());
    const refuse = mei.page.getByRole('button', { name: there.host });
    await refuse.scrollIntoViewIfNeeded();
    await look(`${name}-person`);
  }
});

async function look(name: string): Promise<void> {
  await picture(mei.page, name);
  await fits(mei.page, name);
  await noViolations(mei.page, name);
}
