/**
 * The screens of calls, and Diagnostics, on a phone of 360 px and a screen of 1280: one is dark and speaks Chinese, the other
 * light and speaks English, and each sees every state of a call while the other makes it. Nothing for axe to find, nothing
 * wider than the glass, and a picture to look at (test-results/screens). With COURTYARD_LONG=1 they change places too.
 */
import { expect, test, type Locator } from '@playwright/test';
import type { Catalogue } from '../src/i18n/catalogue';
import { loadCatalogue, type Language } from '../src/i18n/languages';
import { calls, hears, pretended, sees, watched } from './stage/calls';
import { useCourtyard } from './stage/courtyard';
import { fits, noViolations, picture } from './stage/looks';
import type { Person } from './stage/person';

test.use({ ...pretended, actionTimeout: 60_000, navigationTimeout: 60_000 });
test.setTimeout(300_000);

declare global {
  interface Window {
    /** ms that this page's clock goes ahead */
    ahead: number;
  }
}

interface Side {
  readonly person: Person;
  readonly name: string;
  readonly width: 360 | 1280;
  words: Catalogue;
  /** 360-dark-zh-Hans */
  way: string;
}

const yard = useCourtyard();
let phone: Side;
let desk: Side;
let third: Person;
/** uids by name */
const uids = new Map<string, string>();

test.beforeAll(async ({ browser }) => {
  test.setTimeout(240_000);
  const home = await yard.home();
  const people = [await yard.person(browser, { width: 360, height: 640 }), await yard.person(browser, { desk: true }), await yard.person(browser)] as const;
  const names = ['欧阳靖怡', 'Maximilian Featherstonehaugh-Oyelaran von und zu Hohenlohe', 'Bo'] as const;
  third = people[2];
  const words = await loadCatalogue('en');
  phone = { person: people[0], name: names[0], width: 360, words, way: '' };
  desk = { person: people[1], name: names[1], width: 1280, words, way: '' };
  await phone.person.joins(yard.claim(home), phone.name);
  await desk.person.joins(await phone.person.invites(), desk.name);
  await third.joins(await phone.person.invites(), 'Bo');
  await befriend();
  for (const person of people) {
    await person.page.addInitScript(() => {
      // What stands on the glass for a moment only, stays; and a call that nobody takes is over when the test says so.
      const [after, now] = [window.setTimeout.bind(window), Date.now.bind(Date)];
      window.setTimeout = ((call: () => void, ms?: number) => after(call, ms === 2_500 ? 2 ** 30 : ms)) as typeof window.setTimeout;
      window.ahead = 0;
      Date.now = () => now() + window.ahead;
    });
    await watched(person);
  }
  for (const name of names) {
    const asked = name === phone.name ? desk.person : phone.person;
    await asked.opensChatWith(name);
    uids.set(name, /chats\/([\w-]+)/u.exec(asked.page.url())?.[1] ?? '');
  }
});

/** The desk and the third, who know the phone only. */
async function befriend(): Promise<void> {
  const link = await third.invites();
  await desk.person.opens(link);
  await desk.person.presses('Be friends with Bo');
  await expect(desk.person.talk('Bo')).toBeVisible();
}

async function turn(side: Side, dark: boolean, language: Language): Promise<void> {
  await side.person.page.emulateMedia({ colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce' });
  await side.person.page.evaluate((chosen) => {
    localStorage.setItem('courtyard.language', chosen);
  }, language);
  side.words = await loadCatalogue(language);
  side.way = `${String(side.width)}-${dark ? 'dark' : 'light'}-${language}`;
}

async function opens({ person, words }: Side, name: string): Promise<void> {
  await person.opensConnected(`${yard.url}/app/#/chats/${uids.get(name) ?? ''}`);
  await expect(person.page.getByRole('main', { name: words.talk.with(name) })).toBeVisible();
}

function dialog({ person }: Side, name?: string): Locator {
  return person.page.getByRole('dialog', name === undefined ? {} : { name, exact: true });
}

async function look(side: Side, what: string): Promise<void> {
  const name = `${side.way}-call-${what}`;
  await picture(side.person.page, name);
  await fits(side.person.page, name);
  await noViolations(side.person.page, name);
}

/** The browser, asked for a microphone or a camera, says no, or nothing at all; without `how` it gives them again. */
async function media({ person }: Side, how?: 'no' | 'nothing'): Promise<void> {
  await person.page.evaluate((answer) => {
    const { mediaDevices } = navigator;
    if (answer === undefined) Reflect.deleteProperty(mediaDevices, 'getUserMedia');
    else mediaDevices.getUserMedia = () => (answer === 'no' ? Promise.reject(new DOMException('no', 'NotAllowedError')) : new Promise(() => undefined));
  }, how);
}

async function isOver({ person, words }: Side, why: string): Promise<void> {
  await person.reads(why);
  await expect(person.button(words.call.hangUp)).toHaveCount(0);
}

for (const changed of process.env['COURTYARD_LONG'] === '1' ? [false, true] : [false]) {
  test.describe(changed ? 'places changed' : 'at their places', () => {
    test.beforeAll(async () => {
      await turn(phone, !changed, changed ? 'en' : 'zh-Hans');
      await turn(desk, changed, changed ? 'zh-Hant' : 'en');
      await opens(phone, desk.name);
      await opens(desk, phone.name);
    });

    for (const video of [false, true]) {
      test(video ? 'with video' : 'with the voice alone', async () => {
        const [from, to] = video ? [desk, phone] : [phone, desk];
        const sides = [from, to];
        const what = video ? 'video' : 'voice';
        await from.person.presses(from.words.call[what](to.name));
        await expect(dialog(from, from.words.call.with(to.name))).toContainText(from.words.call.calling);
        // In the dark in either theme.
        await expect(dialog(from)).toHaveCSS('background-color', 'rgb(22, 20, 18)');
        await expect(dialog(to, (video ? to.words.call.incomingVideo : to.words.call.incoming)(from.name))).toBeVisible();
        await Promise.all([look(from, `${what}-out`), look(to, `${what}-in`)]); // it rings for 45 seconds
        await to.person.presses(to.words.call.answer);
        await hears(from.person, to.person);
        if (video) await sees(from.person, to.person);
        for (const side of sides) {
          await expect(dialog(side)).toContainText(side.words.call.direct);
          await look(side, what);
        }
        for (const side of sides) {
          await side.person.presses(side.words.call.mute);
          if (video) await side.person.presses(side.words.call.camera);
        }
        for (const side of sides) {
          if (video) {
            await expect(side.person.page.locator('video').filter({ visible: true })).toHaveCount(0);
            await media(side, 'no');
            await side.person.presses(side.words.call.camera);
            await expect(side.person.page.getByRole('alert')).toHaveText(side.words.error['camera-denied']);
            await media(side);
          }
          await look(side, `${what}-muted`);
          if (video) continue;
          await side.person.presses(side.words.call.fold);
          await look(side, `${what}-folded`);
          await side.person.presses(new RegExp(`^${side.words.call.unfold('')}`, 'u'));
        }
        await from.person.presses(from.words.call.hangUp);
        await isOver(to, to.words.call.over.ended);
        await to.person.presses(to.words.act.close);
        for (const { person } of sides) await expect(person.button(/./u).and(person.page.locator('[data-act]'))).toHaveCount(video ? 2 : 1);
      });
    }

    test('calls that nobody takes', async () => {
      for (const [side, other] of [[phone, desk], [desk, phone]] as const) {
        const { person, words } = side;
        await media(side, 'nothing');
        await person.presses(words.call.voice(other.name));
        await person.reads(words.call.asking);
        await look(side, 'asking');
        await person.presses(words.call.hangUp);
        await media(side);

        await person.presses(words.call.video(other.name));
        await media(other, 'no');
        await other.person.presses(other.words.call.answer);
        await expect(other.person.page.getByRole('alert')).toHaveText(other.words.error['microphone-denied']);
        await media(other);
        await look(other, 'in-denied');
        await person.page.evaluate(() => (window.ahead = 50_000));
        await isOver(side, words.call.over.unanswered(other.name));
        await person.page.evaluate(() => (window.ahead = 0));
        await look(side, 'unanswered');
        await person.presses(words.act.close);
        await expect(dialog(other)).toHaveCount(0);
      }
      for (const side of [phone, desk]) await look(side, 'notes');

      for (const [side, other] of [[phone, desk], [desk, phone]] as const) {
        // Who rings somebody is busy.
        await third.opensChatWith(other.name);
        await opens(side, 'Bo');
        await calls(third, other.name);
        await side.person.presses(side.words.call.voice('Bo'));
        await isOver(side, side.words.call.over.busy('Bo'));
        await other.person.presses(other.words.call.decline);
        await third.reads(`${other.name} cannot talk now`);
        await third.presses('Close');
        await look(side, 'busy');
        await side.person.presses(side.words.act.close);
      }
    });

    test('the switch, and Diagnostics', async () => {
      for (const side of [phone, desk]) {
        const { person, words } = side;
        await person.opensConnected(`${yard.url}/app/#/me`);
        await person.page.getByRole('switch', { name: words.call.relayed }).scrollIntoViewIfNeeded();
        await look(side, 'switch');
        await person.page.evaluate(() => (location.hash = '#/me/diagnostics'));
        await expect(person.button(words.diagnosis.copy)).toBeEnabled();
        await person.button(words.diagnosis.copy).scrollIntoViewIfNeeded();
        await look(side, 'diagnostics');
        await opens(side, side === phone ? desk.name : phone.name);
        person.line.cut();
        await person.context.setOffline(true);
        await person.writes(person.field(words.talk.message), 'Later');
        await person.presses(words.talk.send);
        await person.page.evaluate(() => (location.hash = '#/me/diagnostics'));
        await person.reads(words.diagnosis.offline);
        await expect(person.button(words.diagnosis.copy)).toBeEnabled();
        await look(side, 'diagnostics-offline');
        await person.context.setOffline(false);
        person.line.mend();
      }
    });
  });
}
