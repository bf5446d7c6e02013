/**
 * Every screen, on a phone of 360 px and a screen of 1280, light and dark, English and Chinese: nothing for axe to find,
 * nothing wider than the glass, and a picture to look at (test-results/screens). Two ways are looked at each time, which
 * have no size, theme or language in common; all eight with COURTYARD_LONG=1.
 */
import { expect, test, type Browser } from '@playwright/test';
import { useCourtyard, type Courtyard } from './stage/courtyard';
import { fits, noViolations, picture } from './stage/looks';
import type { Person } from './stage/person';
import { photograph } from './stage/photo';
import { hasHome } from './stage/story';

type Language = 'en' | 'zh-Hans' | 'zh-Hant';
interface Way {
  readonly width: 360 | 1280;
  readonly dark: boolean;
  readonly language: Language;
}

const all: readonly Way[] = ([360, 1280] as const).flatMap((width) =>
  [false, true].flatMap((dark) => (['en', 'zh-Hans'] as const).map((language) => ({ width, dark, language }))),
);
const ways =
  process.env['COURTYARD_LONG'] === '1'
    ? all
    : all.filter(({ width, dark, language }) => (width === 360) === dark && dark === (language !== 'en'));

/** Screens of somebody who is signed in, by what stands behind `#/`. */
const rooms = [
  'chats', 'new', 'wall', 'wall/write', 'wall/follow', 'wall/following', 'friends', 'friends/invite', 'friends/code', 'friends/scan', 'friends/name', 'me', 'me/profile', 'me/devices',
  'me/add', 'me/card', 'me/home', 'me/pair', 'me/household', 'me/install', 'me/notifications', 'me/language', 'me/theme', 'me/space', 'me/courtyards', 'me/traffic', 'me/diagnostics', 'me/about', 'me/leave',
] as const;

const yard = useCourtyard();
let phone: Person;
let desk: Person;
/** uids of friends, by name */
const friends = new Map<string, string>();
let invitation: string;
let used: string;

test.beforeAll(async ({ browser }) => {
  test.setTimeout(180_000);
  const home = await yard.home();
  phone = await yard.person(browser, { width: 360, height: 640 });
  await phone.joins(yard.claim(home), '林美 Lindqvist');
  await hasHome(phone);
  await friend(browser, yard, 'Maximilian Featherstonehaugh-Oyelaran', ['The train gets in at 17:42, platform nine.']);
  const long = await friend(browser, yard, '欧阳靖怡', ['照片都发到你家里了，原图，没压缩。', 'https://letters.example.org/1987/grandmother/the-recipe-for-dried-persimmons?for=mei']);
  await talk(long);
  const stranger = await yard.person(browser);
  await stranger.joins(await long.invites(), '司马长风');
  await stranger.leaves();
  await stranger.goesTo('Friends');
  await stranger.follows('By name');
  await stranger.writes(stranger.field('Their address'), 'lin.mei.lindqvist');
  await stranger.writes(stranger.field(/A few words, so that they know you/), '上周在靖怡家一起包过饺子。');
  await stranger.presses('Ask to be friends');
  await phone.leaves();
  await phone.goesTo('Friends');
  await phone.reads('上周在靖怡家一起包过饺子。');
  invitation = await phone.invites();
  used = await phone.invites();
  await friend(browser, yard, 'Bo', ['short'], used);

  await phone.leaves();
  await phone.goesTo('Me');
  await phone.follows(/^Devices/);
  await phone.follows('Add a device');
  const box = phone.page.getByRole('group', { name: 'Add a device' });
  await expect(box).toContainText('/app/#handover.');
  desk = await yard.person(browser, { desk: true });
  await desk.opens(await phone.copied());
  await desk.presses('Continue');
  await expect(desk.page.getByRole('heading', { name: 'Chats', level: 1 })).toBeVisible({ timeout: 60_000 });
});

async function friend(browser: Browser, at: Courtyard, name: string, says: readonly string[], link?: string): Promise<Person> {
  const person = await at.person(browser);
  await person.joins(link ?? (await phone.invites()), name);
  for (const text of says) await person.says(text);
  await phone.opensChatWith(name);
  await phone.sees(says.at(-1) ?? '');
  friends.set(name, /chats\/([\w-]+)/u.exec(phone.page.url())?.[1] ?? '');
  return person;
}

/** A conversation with everything in it. */
async function talk(other: Person): Promise<void> {
  await phone.opensChatWith('欧阳靖怡');
  await phone.says('Did the persimmons survive the frost? 外婆说，霜打过的才甜。');
  await other.sees('Did the persimmons');
  await other.takesUp('Did the persimmons');
  await other.presses('Reply');
  await other.says('今早摘了两筐，先给你留一筐，剩下的拿去做柿饼。');
  await phone.sees('今早摘了两筐');
  await phone.takesUp('今早摘了两筐');
  await phone.presses('React with heart');
  await phone.chooses(phone.button('Add a photo'), { name: 'p.jpg', mimeType: 'image/jpeg', buffer: await photograph(phone.page, 900, 1200, 2) });
  await phone.writes(phone.field('Caption'), 'Before the ladder');
  await phone.presses('Send photo');
  await other.sees('Before the ladder');
  await phone.says('this was wrong');
  await phone.takesUp('this was wrong');
  await phone.presses('Edit');
  await phone.writes(phone.composer, 'this was mended');
  await phone.presses('Save');
  await phone.says('gone in a moment');
  await other.sees('gone in a moment');
  await phone.takesUp('gone in a moment');
  await phone.presses('Delete for everyone');
  await phone.presses('Delete for everyone');
  await other.reads('Message deleted');
  await other.says(`${'院子里的柿子树今年结了很多果子，'.repeat(150)}就这样。`);
  await phone.sees(/院子里的柿子树今年/);
  await phone.says('Perfect');
  await other.sees('Perfect');
}

function named(way: Way): string {
  return `${String(way.width)}-${way.dark ? 'dark' : 'light'}-${way.language}`;
}

async function turn(person: Person, way: Way): Promise<void> {
  await person.page.emulateMedia({ colorScheme: way.dark ? 'dark' : 'light', reducedMotion: 'reduce' });
  await person.page.evaluate((language) => {
    localStorage.setItem('courtyard.language', language);
  }, way.language);
}

/** To another screen of the open app, as a link within it does. */
async function walk(person: Person, screen: string): Promise<void> {
  await person.page.evaluate((to) => {
    location.hash = `#/${to}`;
  }, screen);
}

async function look(person: Person, name: string): Promise<void> {
  await expect(person.page.locator('h1').first()).toBeVisible();
  await expect(person.page.locator('[aria-busy="true"]')).toHaveCount(0);
  await picture(person.page, name);
  await fits(person.page, name);
  await noViolations(person.page, name);
}

for (const way of ways) {
  test.describe(named(way), () => {
    test('rooms', async () => {
      test.setTimeout(240_000);
      const person = way.width === 360 ? phone : desk;
      await turn(person, way);
      await person.opensConnected(`${yard.url}/app/#/chats`);
      for (const room of rooms) {
        await walk(person, room);
        if (room === 'me/add' || room === 'friends/invite' || room === 'friends/code') {
          await expect(person.page.getByRole('img', { name: /./ }).last()).toBeVisible();
        }
        await look(person, `${named(way)}-${room.replace('/', '-')}`);
      }
    });

    test('conversations and people', async () => {
      const person = way.width === 360 ? phone : desk;
      await turn(person, way);
      for (const [name, uid] of friends) {
        await person.opens(`${yard.url}/app/#/chats/${uid}`);
        await expect(person.page.locator('li[data-mid]').last()).toBeVisible();
        await look(person, `${named(way)}-talk-${name.slice(0, 3)}`);
        await person.opens(`${yard.url}/app/#/people/${uid}`);
        await look(person, `${named(way)}-person-${name.slice(0, 3)}`);
      }
      await person.opens(`${yard.url}/app/#/chats/${friends.get('欧阳靖怡') ?? ''}`);
      await person.takesUp('Before the ladder');
      await look(person, `${named(way)}-actions`);
      await person.closesSheet();
      await person.taps(person.message('Before the ladder').getByRole('link'));
      await look(person, `${named(way)}-photo`);
    });

    test('at the door', async ({ browser }) => {
      const visitor = await yard.person(browser, { width: way.width, desk: way.width === 1280, dark: way.dark });
      await visitor.opens(`${yard.url}/app/`);
      await turn(visitor, way);
      for (const [name, url] of [
        ['door', '/app/'],
        ['restore', '/app/#/restore'],
        ['invite', invitation.slice(yard.url.length)],
        ['spent', used.slice(yard.url.length)],
        ['unknown', `/i/AAAAAAAAAAAAAAAAAAAAAA#1.${'A'.repeat(43)}.${'A'.repeat(43)}.${'A'.repeat(22)}`],
        ['handover', `/app/#handover.${'A'.repeat(22)}.${'A'.repeat(43)}`],
        ['nowhere', '/app/#/no/such/place'],
      ] as const) {
        await visitor.opens(yard.url + url);
        await look(visitor, `${named(way)}-${name}`);
      }
      await visitor.goes();
      const inside = way.width === 360 ? phone : desk;
      await turn(inside, way);
      await inside.opens(invitation);
      await look(inside, `${named(way)}-invite-inside`);
    });
  });
}

test('text of twice the size fits a phone', async () => {
  await turn(phone, { width: 360, dark: false, language: 'en' });
  await phone.opensConnected(`${yard.url}/app/#/chats`);
  await phone.page.evaluate(() => (document.documentElement.style.fontSize = '200%'));
  for (const room of [...rooms, `chats/${friends.get('欧阳靖怡') ?? ''}`, `people/${friends.get('Maximilian Featherstonehaugh-Oyelaran') ?? ''}`]) {
    await walk(phone, room);
    await expect(phone.page.locator('h1').first()).toBeVisible();
    await expect(phone.page.locator('[aria-busy="true"]')).toHaveCount(0);
    await fits(phone.page, room);
    await picture(phone.page, `large-${room.replace('/', '-').slice(0, 30)}`);
  }
});

test('opened right on a screen that needs the courtyard, the app waits for its connection', async () => {
  await turn(phone, { width: 360, dark: false, language: 'en' });
  await phone.opens(`${yard.url}/app/#/friends/invite`);
  await expect(phone.page.getByRole('group', { name: 'Invite link' })).toContainText('/i/');
  await phone.readsNowhere('There is no connection to your courtyard.');
});

test('the words are all there in three languages', async () => {
  for (const [language, chats] of [['en', 'Chats'], ['zh-Hans', '聊天'], ['zh-Hant', '聊天']] as const) {
    await turn(phone, { width: 360, dark: false, language });
    await phone.opens(`${yard.url}/app/#/chats`);
    await expect(phone.page.getByRole('heading', { level: 1, name: chats })).toBeVisible();
    await expect(phone.page.locator('html')).toHaveAttribute('lang', language);
  }
});
