import { expect, test } from '@playwright/test';
import { useCourtyard } from './stage/courtyard';
import type { Person } from './stage/person';

const yard = useCourtyard();
let mei: Person;
let claim: string;

test.describe('coming in', () => {
  test.beforeAll(async ({ browser }) => {
    mei = await yard.person(browser);
    claim = yard.claim();
    await mei.opens(claim);
    await mei.reads('Your courtyard is ready');
    const actions = await mei.counts(async () => {
      await mei.writes(mei.field('Your name, as friends call you'), '林美');
      await mei.reads(`You will be lin.mei@${yard.host}`);
      await mei.presses('Join');
    });
    expect(actions).toBeLessThanOrEqual(2);
    await mei.reads('Nobody here yet');
  });

  test('the claim link is spent', async ({ browser }) => {
    const late = await yard.person(browser);
    await late.opens(claim);
    await late.reads('This link has been used');
  });

  test('an invitation says who asks; joining takes two actions and makes both friends at once', async ({ browser }) => {
    const link = await mei.invites();
    expect(link).toMatch(new RegExp(`^${yard.url}/i/[\\w-]{22}#1\\.[\\w-]{43}\\.[\\w-]{43}\\.[\\w-]{22}$`));
    const tom = await yard.person(browser);
    await tom.opens(link);
    await tom.reads('林美 asks you in');
    const actions = await tom.counts(async () => {
      await tom.writes(tom.field('Your name, as friends call you'), 'Tomás Ó Súilleabháin');
      await tom.presses('Join');
    });
    expect(actions).toBeLessThanOrEqual(2);
    await expect(tom.talk('林美')).toBeVisible();
    expect(await tom.counts(() => tom.says('I am in'))).toBeLessThanOrEqual(2);
    await mei.opensChatWith('Tomás Ó Súilleabháin');
    await mei.sees('I am in');
    await mei.taps(mei.page.getByRole('link', { name: /Tomás Ó Súilleabháin/ }).first());
    await expect(mei.page.getByRole('heading', { name: 'Confirmed', exact: true })).toBeVisible();
    await tom.taps(tom.page.getByRole('link', { name: /林美/ }).first());
    await expect(tom.page.getByRole('heading', { name: 'Confirmed', exact: true })).toBeVisible();
  });

  for (const [name, username] of [
    ['欧阳靖怡', 'ou.yang.jing.yi'],
    ['司馬長風', undefined],
    ['Дарья Семёнова', undefined],
    ['فاطمة', undefined],
    ['🦊', undefined],
    ['x', undefined],
    ['admin', undefined],
    ['Maximilian Featherstonehaugh-Oyelaran the Third of Somewhere', undefined],
  ] as const) {
    test(`a name in any script is no error: ${name}`, async ({ browser }) => {
      const person = await yard.person(browser);
      await person.opens(await mei.invites());
      await person.writes(person.field('Your name, as friends call you'), name);
      const said = person.page.getByText(/^You will be /);
      await expect(said).toContainText(new RegExp(`You will be [a-z0-9][a-z0-9._-]{0,30}[a-z0-9]@${yard.host}`));
      if (username !== undefined) await expect(said).toContainText(`You will be ${username}@`);
      await person.presses('Join');
      await expect(person.talk('林美')).toBeVisible({ timeout: 60_000 });
      await person.goes();
    });
  }

  test('two people of one name get two addresses', async ({ browser }) => {
    const another = await yard.person(browser);
    await another.opens(await mei.invites());
    await another.writes(another.field('Your name, as friends call you'), '林美');
    const said = another.page.getByText(/^You will be /);
    await expect(said).toBeVisible();
    await expect(said).not.toContainText('You will be lin.mei@');
  });

  test('the address may be changed, and one that is taken says so', async ({ browser }) => {
    const wei = await yard.person(browser);
    await wei.opens(await mei.invites());
    await wei.writes(wei.field('Your name, as friends call you'), '陈薇');
    await wei.presses('change');
    await wei.writes(wei.field('Your address in this courtyard'), 'lin.mei');
    await wei.reads('Somebody has this one already. Try another.');
    await wei.writes(wei.field('Your address in this courtyard'), 'wei-2');
    await wei.reads('This one is free.');
    await wei.presses('Join');
    await expect(wei.talk('林美')).toBeVisible();
    await wei.leaves();
    await wei.goesTo('Me');
    await wei.reads(`wei-2@${yard.host}`);
  });

  test('looking at a link does not spend it: previews, a second browser, opening twice', async ({ browser, request }) => {
    const link = await mei.invites();
    const page = link.slice(0, link.indexOf('#'));
    for (const agent of ['WhatsApp/2.24 N', 'facebookexternalhit/1.1', 'Slackbot-LinkExpanding 1.0', 'TelegramBot (like TwitterBot)']) {
      const preview = await request.get(page, { headers: { 'user-agent': agent } });
      expect(preview.ok()).toBe(true);
    }
    await request.head(page);
    const first = await yard.person(browser);
    await first.opens(link);
    await first.reads('林美 asks you in');
    const second = await yard.person(browser);
    await second.opens(link);
    await second.opens(link);
    await second.joins(link, 'Second');
    await expect(second.talk('林美')).toBeVisible();
    // Whoever had it open meanwhile is told, and nothing has happened to them.
    await first.writes(first.field('Your name, as friends call you'), 'First');
    await first.presses('Join');
    await first.reads(/This invitation has been used|This link has been used/);
    await first.opens(link);
    await first.reads('This link has been used');
    await first.follows('To the beginning');
    await first.reads('A place for a few friends');
  });

  test('a link that was cut short says so', async ({ browser }) => {
    const person = await yard.person(browser);
    const link = await mei.invites();
    await person.opens(link.slice(0, -9));
    await person.reads('This link is not known here');
    await person.opens(`${yard.url}/i/AAAAAAAAAAAAAAAAAAAAAA${link.slice(link.indexOf('#'))}`);
    await person.reads(/This link (is not known here|has been used)/);
    await expect(person.field('Your name, as friends call you')).toHaveCount(0);
  });

  test('a link can be pasted at the door', async ({ browser }) => {
    const person = await yard.person(browser);
    await person.opens(`${yard.url}/app/`);
    await person.writes(person.field('Your invitation link'), 'hello');
    await person.presses('Open');
    await person.reads('This is not an invitation link.');
    await person.writes(person.field('Your invitation link'), await mei.invites());
    await person.presses('Open');
    await person.reads('林美 asks you in');
  });
});
