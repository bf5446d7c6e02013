/** Where one stumbles: used links, addresses where nothing is, large text, somebody who has shut the door. One story. */
import { expect, test, type Locator } from '@playwright/test';
import { useCourtyard } from './stage/courtyard';
import { entersCode, homeIsFine, shownCode, standsBefore } from './stage/house';
import { escaped, type Person } from './stage/person';
import { mei as meisName, tom as tomsName } from './stage/story';

test.describe.configure({ mode: 'serial' });

const yard = useCourtyard();
let mei: Person;
let tom: Person;

/** What the browser's console complains of from now on. */
function complaintsOf(person: Person): string[] {
  const heard: string[] = [];
  person.page.on('console', (said) => {
    if (said.type() === 'error' || said.type() === 'warning') heard.push(said.text() + ' ' + said.location().url);
  });
  return heard;
}

/** Where in the history somebody is: the address, and what the app noted there. */
function stands(person: Person): Promise<unknown> {
  return person.page.evaluate(() => ({ address: location.href, noted: history.state as unknown }));
}

function goesTo(person: Person, screen: string): Promise<void> {
  return person.opens(`${yard.url}/app/#/${screen}`);
}

test('an invitation says who came in by it, and then offers a new one', async ({ browser }) => {
  mei = await yard.person(browser, { width: 360 });
  await mei.joins(yard.claim(), meisName);
  // Opened right at its address it waits for the connection.
  await goesTo(mei, 'friends/invite');
  const box = mei.page.getByRole('group', { name: 'Invite link' });
  await expect(box).toContainText('/i/');
  const used = (await box.innerText()).trim();

  tom = await yard.person(browser, { width: 360 });
  const heard = complaintsOf(tom);
  await tom.joins(used, tomsName);
  const scopes = (): Promise<string[]> => tom.page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).map(({ scope }) => scope));
  await expect.poll(scopes).toEqual([`${yard.url}/app/`]);
  expect(heard).toEqual([]);

  await expect(mei.page.getByRole('dialog').getByRole('status')).toHaveText(`${tomsName} came in by this link.`);
  await expect(box).toHaveCount(0);
  await mei.presses('Make a new link');
  await expect(box).toContainText('/i/');
  expect((await box.innerText()).trim()).not.toBe(used);

  const stranger = await yard.person(browser);
  await stranger.opens(used);
  await stranger.reads('This link has been used');
  await stranger.readsNowhere(/your account/);
  await tom.opens(used);
  await tom.reads(`You and ${meisName} are friends already.`);
  await tom.readsNowhere(/Join as someone else/); // it lets nobody in any more
});

test('a one-use link that nobody took is no device, and can be withdrawn', async ({ browser }) => {
  await goesTo(mei, 'me/add');
  const box = mei.page.getByRole('group', { name: 'Add a device' });
  await expect(box).toHaveText(`${yard.host}/app/#handover.…`);
  const link = await mei.copied();
  expect(link).toMatch(/#handover\.[\w-]{22}\.[\w-]{43}$/u);

  // Opened where one is signed in, it says for whom it is, and is not spent.
  await mei.opens(link);
  await expect(mei.page.getByRole('heading', { name: 'This link is for another device' })).toBeVisible();
  await mei.reads(`You are here as ${meisName}.`);

  await goesTo(mei, 'me');
  await expect(mei.link(/^Devices/)).toContainText('1');
  await mei.follows(/^Devices/);
  const rows = mei.page.getByRole('main', { name: 'Devices' }).getByRole('listitem');
  await expect(rows).toHaveCount(2);
  await expect(rows.filter({ hasText: 'Unused link' })).toContainText(/ends at \d/u);
  await mei.reads('Only this one so far.');
  await mei.presses('Withdraw');
  await mei.reads('The link is withdrawn.');
  await expect(rows).toHaveCount(1);

  const finder = await yard.person(browser);
  await finder.opens(link);
  await finder.reads(/If nobody has used it yet/);
  await finder.presses('Continue');
  await expect(finder.page.getByRole('heading', { name: 'This link has been used or is older than a day' })).toBeVisible();
});

test('the line above what is new goes once one has answered', async () => {
  await tom.opens(`${yard.url}/app/#/chats`);
  await tom.opensChatWith(meisName);
  await goesTo(mei, 'chats');
  await tom.says('are you there?');
  await expect(mei.page.getByRole('listitem').filter({ hasText: 'are you there?' })).toBeVisible({ timeout: 40_000 });
  await mei.opensChatWith(tomsName);
  const line = mei.page.getByRole('listitem').getByText('New', { exact: true }).or(mei.page.locator('li.new'));
  await expect(line).toHaveCount(1);
  await mei.says('here I am');
  await expect(line).toHaveCount(0);
  await tom.sees('here I am');
});

test('what is no emoji is said to be none, and what was deleted is called the same everywhere', async () => {
  await mei.takesUp('are you there?');
  const other = mei.field('Another emoji');
  await mei.writes(other, 'ok');
  await expect(mei.page.getByRole('alert')).toHaveText('This is no emoji. Choose one from your keyboard.');
  await mei.writes(other, '🎉');
  await expect(mei.message('are you there?')).toContainText('🎉');

  await mei.takesUp('here I am');
  await mei.presses('Delete for everyone');
  await mei.taps(mei.page.getByRole('dialog').getByRole('button', { name: 'Delete for everyone' }));
  await mei.sees('You deleted this message');
  await tom.sees('Message deleted');
  await mei.leaves();
  await expect(mei.page.getByRole('listitem').filter({ hasText: tomsName })).toContainText('You deleted this message');
  await tom.leaves();
  await expect(tom.page.getByRole('listitem').filter({ hasText: meisName })).toContainText('Message deleted');
});

test('Back closes a sheet, and only then leaves the conversation', async () => {
  await mei.opensChatWith(tomsName);
  await mei.says('at nine');
  const talk = await stands(mei);
  const sheet = mei.page.getByRole('dialog');

  await mei.takesUp('at nine');
  await mei.page.goBack();
  await expect(sheet).toHaveCount(0);
  expect(await stands(mei)).toEqual(talk);
  await mei.takesUp('at nine');
  await mei.presses('Delete for everyone');
  await expect(sheet.getByRole('heading', { name: 'Delete this message for everyone?' })).toBeVisible();
  await mei.page.goBack();
  await expect(sheet).toHaveCount(0);
  expect(await stands(mei)).toEqual(talk);
  await mei.sees('at nine');
  // Closed otherwise it takes its entry of the history with it.
  await mei.takesUp('at nine');
  await mei.closesSheet();
  await expect.poll(() => stands(mei)).toEqual(talk);
});

test('Back ends an answer or a change, and what was being written stands there again', async () => {
  const talk = await stands(mei);
  const sheet = mei.page.getByRole('dialog');
  await mei.writes(mei.composer, 'and bring');
  await mei.takesUp('at nine');
  await mei.presses('Edit');
  await expect(mei.composer).toHaveValue('at nine');
  await mei.writes(mei.composer, 'at ten');
  await mei.takesUp('are you there?');
  await mei.page.goBack();
  await expect(sheet).toHaveCount(0);
  await expect(mei.composer).toHaveValue('at ten');
  await mei.page.goBack();
  await expect(mei.composer).toHaveValue('and bring');
  expect(await stands(mei)).toEqual(talk);
  await mei.takesUp('are you there?');
  await mei.presses('Reply');
  await mei.page.goBack();
  await expect(mei.button('No reply')).toHaveCount(0);
  await expect(mei.composer).toHaveValue('and bring');
  expect(await stands(mei)).toEqual(talk);

  await mei.takesUp('are you there?');
  await mei.presses('Reply');
  await mei.says('and bring bread');
  await expect.poll(() => stands(mei)).toEqual(talk);
  // The arrow leaves at once; going there again by Forward finds nothing open.
  await mei.writes(mei.composer, 'and bring');
  await mei.takesUp('at nine');
  await mei.presses('Edit');
  await mei.presses('Back to chats');
  await expect(mei.page.getByRole('heading', { name: 'Chats', level: 1 })).toBeVisible();
  await mei.page.goForward();
  await mei.page.goForward();
  await expect.poll(() => stands(mei)).toEqual(talk);
  await expect(mei.composer).toHaveValue('and bring');
  await mei.page.goBack();
  await expect(mei.page.getByRole('heading', { name: 'Chats', level: 1 })).toBeVisible();
});

test('a long message goes on where one taps', async () => {
  await mei.opensChatWith(tomsName);
  await tom.opensChatWith(meisName);
  await tom.says(Array.from({ length: 1_900 }, (_, n) => `word ${String(n)},`).join(' '));
  const long = mei.message('word 0, word 1,');
  const top = (): Promise<number> => long.evaluate((row) => Math.round(row.getBoundingClientRect().top));
  const on = mei.button('Read on');
  await expect(on).toBeInViewport({ timeout: 40_000 });
  const before = await top();
  await mei.taps(on);
  await expect(long).toContainText('word 1899,');
  await expect(mei.button('To the latest message')).toBeVisible();
  expect(Math.abs((await top()) - before)).toBeLessThanOrEqual(1);
});

test('text of twice the size fits, on the narrowest glass', async () => {
  await mei.opensChatWith(tomsName);
  await enlarges(mei);
  await fits(mei.talk(tomsName).getByRole('banner').or(mei.talk(tomsName).locator('header')));
  await goesTo(mei, 'me');
  await enlarges(mei);
  const profile = mei.page.getByRole('link', { name: new RegExp(`^${escaped(meisName)}`) });
  await fits(profile);
  expect(await profile.ariaSnapshot()).not.toMatch(/\s,/u);
  await goesTo(mei, 'friends');
  await enlarges(mei);
  await mei.taps(mei.page.getByRole('listitem').getByRole('link', { name: new RegExp(tomsName) }));
  await fits(mei.page.getByText(new RegExp(`@${escaped(yard.host)}`)));

  async function enlarges(person: Person): Promise<void> {
    await person.page.evaluate(() => { document.documentElement.style.fontSize = '200%'; });
  }

  /** Nothing is cut off, and nothing reaches beyond the glass. */
  async function fits(part: Locator): Promise<void> {
    await expect(part).toBeVisible();
    const wrong = await part.evaluate((top) => {
      const cut = (one: Element): boolean => {
        const { right } = one.getBoundingClientRect();
        const hides = getComputedStyle(one).overflow === 'hidden' && one.clientWidth > 1;
        return right > window.innerWidth + 1 || (hides && (one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1));
      };
      return [top, ...top.querySelectorAll('*')].filter((one) => !one.matches('.said-only, svg *') && cut(one)).map((one) => one.outerHTML);
    });
    expect(wrong).toEqual([]);
  }
});

test('nobody is online behind a door that was shut', async () => {
  await goesTo(mei, 'chats');
  await mei.opensChatWith(tomsName);
  await tom.opensChatWith(meisName);
  const line = (person: Person, name: string): Locator => person.talk(name).locator('header small');
  await expect(line(tom, meisName)).toHaveText('online', { timeout: 40_000 });
  // Whoever writes is there.
  await tom.says('good evening');
  await expect(line(mei, tomsName)).toHaveText('online', { timeout: 40_000 });

  await mei.taps(mei.talk(tomsName).getByRole('link', { name: tomsName }));
  await mei.presses('Block');
  await mei.taps(mei.page.getByRole('dialog').getByRole('button', { name: 'Block' }));
  await mei.reads(`${tomsName} is blocked.`);
  await mei.presses('Back');
  await mei.reads(`You have blocked ${tomsName}.`);
  await expect(line(mei, tomsName)).toHaveText('');

  await tom.says('hello?');
  await expect(tom.page.getByText('They cannot be reached')).toBeVisible({ timeout: 40_000 });
  await expect(line(tom, meisName)).not.toHaveText('online');
});

test('the home that Me tells to run takes the code that the app shows', async ({ browser }) => {
  await goesTo(tom, 'me/home');
  await tom.reads('There is no installer yet.');
  expect(await tom.copied('Copy')).toBe(
    'git clone https://github.com/courtyard-social/courtyard\ncd courtyard\ngo build ./homedb/cmd/courtyard-home\n./courtyard-home',
  );
  // Nobody has told it of a courtyard: the code does.
  const home = await yard.home(undefined, { alone: true });
  const code = await shownCode(tom);
  const visitor = await standsBefore(yard, browser, home);
  await visitor.readsNowhere('Or enter a code');
  await entersCode(visitor, code);
  await homeIsFine(tom);
});

test('an address where nothing is says so in words', async ({ browser }) => {
  const lost = await yard.person(browser);
  for (const [path, status] of [['/nonsense', 404], ['/i/%ff', 400], [`/i/${'a'.repeat(1500)}`, 400]] as const) {
    const answer = await lost.page.goto(yard.url + path);
    expect(answer?.status()).toBe(status);
    expect(answer?.headers()['content-security-policy']).toContain("default-src 'none'");
    await lost.reads('There is nothing at this address');
    await lost.reads('這個網址沒有內容');
  }
  await lost.taps(lost.link('Open Courtyard'));
  await lost.reads('A place for a few friends');
});

test('what only some need is not fetched unasked', async ({ request }) => {
  const worker = await (await request.get(`${yard.url}/app/sw.js`)).text();
  const list = /const FILES = (\[.*\]);/u.exec(worker)?.[1] ?? '';
  const files = JSON.parse(list) as string[];
  expect(files).toContain('index.html');
  expect(files.filter((name) => /reader|any-ascii|\.wasm$|\.png$/u.test(name))).toEqual([]);
});
