/** To the home screen of an iPhone, whose icon has a storage of its own; and the second device, which comes the same way. */
import { expect, test, type Browser } from '@playwright/test';
import type { Courtyard } from './stage/courtyard';
import type { Person } from './stage/person';
import { mei as meisName, stories, tom as tomsName } from './stage/story';

const iphone =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1';

/** Opened from an icon: a storage of its own, and the window without the browser around it. */
async function icon(yard: Courtyard, browser: Browser): Promise<Person> {
  const person = await yard.person(browser, { userAgent: iphone });
  // What an iPhone says of such a window; Chromium has none to open it in.
  await person.context.addInitScript(() => {
    Object.defineProperty(navigator, 'standalone', { value: true });
    const asked = window.matchMedia.bind(window);
    window.matchMedia = (query) => asked(query.replace('(display-mode: standalone)', 'all'));
  });
  return person;
}

async function inChats(person: Person): Promise<void> {
  await expect(person.page.getByRole('heading', { name: 'Chats', level: 1 })).toBeVisible({ timeout: 60_000 });
}

async function goesToDevices(person: Person): Promise<void> {
  await person.leaves();
  await person.goesTo('Me');
  await person.follows(/^Devices/);
}

stories('an icon on the home screen', (cast, homeless) => {
  let safari: Person;
  let own: Person;
  let link: string;

  /** Tomás, on his iPhone this time: the account he has, taken over by Safari, so that both stories of homes are told. */
  test.beforeAll(async ({ browser }) => {
    test.setTimeout(240_000);
    const { mei, tom, yard } = cast;
    await tom.opensChatWith(meisName);
    await mei.opensChatWith(tomsName);
    await tom.says('written before there was an icon');
    await mei.sees('written before there was an icon');
    await goesToDevices(tom);
    await tom.follows('Add a device');
    const box = tom.page.getByRole('group', { name: 'Add a device' });
    await expect(box).toContainText('#handover.');
    safari = await yard.person(browser, { userAgent: iphone });
    await safari.opens(await tom.copied());
    await expect(safari.page.getByRole('heading', { name: 'Continue on this device?' })).toBeVisible();
    await safari.presses('Continue');
    await inChats(safari);
  });

  test('Safari prepares the link, and the icon opens with it: the account comes along in one tap', async ({ browser }) => {
    await safari.leaves();
    await safari.goesTo('Me');
    const actions = await safari.counts(async () => {
      await safari.follows(/^Put it on the home screen/);
      await safari.presses('Prepare');
    });
    expect(actions).toBe(2);
    await safari.reads('Ready. Stay on this page.');
    await safari.reads('Choose “Add to Home Screen”, then “Add”.');
    link = safari.page.url();
    expect(link).toMatch(new RegExp(`^${cast.yard.url}/app/#handover\\.[\\w-]{22}\\.[\\w-]{43}$`));
    // Safari itself stays where it is.
    await safari.reads('Put it on the home screen');

    own = await icon(cast.yard, browser);
    await own.opens(link);
    await expect(own.page.getByRole('heading', { name: 'Continue on this icon?' })).toBeVisible();
    await own.reads('If nobody has used it yet, your account comes along: friends, chats and settings.');
    expect(await own.counts(() => own.presses('Continue'))).toBe(1);
    await inChats(own);
    await expect(own.page.getByRole('listitem').filter({ hasText: meisName })).toContainText('written before there was an icon');
    expect(own.page.url()).not.toContain('handover');
  });

  test('the icon opens with the same link for ever, and then it leads to the chats', async () => {
    await own.opens(link);
    await inChats(own);
    await own.goesTo('Me');
    await own.reads(tomsName);
    await own.follows(/^Put it on the home screen/);
    await own.reads('Courtyard runs from its icon already.');
  });

  test('opened anywhere else a second time, the link says that it was used', async ({ browser }) => {
    const stranger = await cast.yard.person(browser, { userAgent: iphone });
    await stranger.opens(link);
    await stranger.presses('Continue');
    await expect(stranger.page.getByRole('heading', { name: 'This link has been used or is older than a day' })).toBeVisible();
    await stranger.reads('Make a new one on the device where you are signed in');
    await stranger.follows('To the beginning');
    await stranger.reads('A place for a few friends');
  });

  test('a link that was cut short brings nothing', async ({ browser }) => {
    const stranger = await cast.yard.person(browser, { userAgent: iphone });
    await stranger.opens(link.slice(0, -5));
    await stranger.reads(/This link is not known here|This link is not complete/);
    await expect(stranger.button('Continue')).toHaveCount(0);
  });

  test('both devices write and see the same, in the same order', async () => {
    const { mei } = cast;
    await safari.opens(`${cast.yard.url}/app/`);
    await safari.opensChatWith(meisName);
    await own.opensChatWith(meisName);
    await safari.says('from Safari');
    await own.sees('from Safari');
    await own.says('from the icon');
    await safari.sees('from the icon');
    // In words: "from the icon 16:20" has an "icon 1" in it.
    const rounds = ['one', 'two', 'three'] as const;
    for (const round of rounds) {
      await Promise.all([safari.says(`Safari ${round}`), own.says(`icon ${round}`), mei.says(`Mei ${round}`)]);
    }
    await mei.says('that was all');
    for (const person of [safari, own]) {
      await person.sees('that was all');
      for (const round of rounds) for (const from of ['Safari', 'icon', 'Mei']) await person.sees(`${from} ${round}`);
    }
    for (const round of rounds) for (const from of ['Safari', 'icon']) await mei.sees(`${from} ${round}`);
    const seen = await mei.all();
    expect(seen).toHaveLength(13);
    expect(seen[0]).toBe('written before there was an icon');
    await expect.poll(() => safari.all()).toEqual(seen);
    await expect.poll(() => own.all()).toEqual(seen);
    await own.reloads();
    await own.sees('that was all');
    await expect.poll(() => own.all()).toEqual(seen);
  });

  test('a change on one is there on the other', async () => {
    await safari.takesUp('from Safari');
    await safari.presses('Edit');
    await safari.writes(safari.composer, 'from Safari, by hand');
    await safari.presses('Save');
    await expect(own.message('from Safari, by hand')).toContainText('edited');
    await own.takesUp('from the icon');
    await own.presses('Delete for everyone');
    await own.presses('Delete for everyone');
    await expect(safari.page.getByText('You deleted this message').first()).toBeVisible();
    await safari.readsNowhere('from the icon');
  });

  test('Devices lists all of them', async () => {
    await goesToDevices(safari);
    const rows = safari.page.getByRole('main', { name: 'Devices' }).getByRole('listitem');
    await expect(rows).toHaveCount(3);
    await expect(rows.filter({ hasText: 'this one' })).toHaveCount(1);
    await expect(rows.filter({ hasText: 'iPhone' })).toHaveCount(2);
    await expect(rows.first()).toContainText('this one');
    await safari.presses('Back');
    await expect(safari.link(/^Devices/)).toContainText('3');
  });

  test('one is signed out from another: it is out, and says so', async () => {
    const { mei } = cast;
    await goesToDevices(safari);
    const rows = safari.page.getByRole('main', { name: 'Devices' }).getByRole('listitem');
    await safari.taps(rows.filter({ hasText: 'iPhone' }).filter({ hasNotText: 'this one' }).getByRole('button', { name: /^Sign out/ }));
    const sure = safari.page.getByRole('dialog', { name: /^Sign out “.*iPhone.*”\?$/ });
    await expect(sure).toContainText('It can no longer read or send anything as you.');
    await safari.taps(sure.getByRole('button', { name: 'Sign out', exact: true }));
    await safari.reads(/is signed out\.$/);
    await expect(rows).toHaveCount(2);

    await own.leaves();
    await own.goesTo('Chats');
    await own.reads('Your courtyard no longer knows this browser. It may have been signed out from another device.');
    await mei.says('only for those who are left');
    await safari.opensChatWith(meisName);
    await safari.sees('only for those who are left');
    await own.reloads();
    await own.reads('Your courtyard no longer knows this browser.');
    await own.opensChatWith(meisName);
    await own.readsNowhere('only for those who are left');
    await own.says('does anybody hear me?');
    await safari.says('one more');
    await mei.sees('one more');
    await mei.readsNowhere('does anybody hear me?');
    if (homeless) return;
    // Nor did the home take it.
    await mei.reloads();
    await mei.readsNowhere('does anybody hear me?');
  });
});

stories('a second device', (cast) => {
  test('takes two actions: scan, confirm', async ({ browser }) => {
    const { tom, mei, yard } = cast;
    await goesToDevices(tom);
    await tom.reads('Only this one so far.');
    await tom.follows('Add a device');
    const box = tom.page.getByRole('group', { name: 'Add a device' });
    await expect(box).toContainText('#handover.');
    const link = await tom.copied();
    expect(link).toMatch(/#handover\.[\w-]{22}\.[\w-]{43}$/u);
    // What stands there opens nothing: a glance or a screenshot carries no account away.
    expect((await box.innerText()).trim()).toBe(`${yard.host}/app/#handover.…`);

    const desk = await yard.person(browser, { desk: true });
    const actions = await desk.counts(async () => {
      desk.actions += 1; // the camera
      await desk.opens(link);
      await desk.presses('Continue');
    });
    expect(actions).toBeLessThanOrEqual(2);
    await expect(desk.page.getByRole('link', { name: new RegExp(meisName) })).toBeVisible({ timeout: 60_000 });
    await mei.says('can you read this at the desk?');
    await desk.taps(desk.page.getByRole('link', { name: new RegExp(meisName) }));
    await desk.sees('can you read this at the desk?');
    await desk.says('at the desk, yes');
    await mei.sees('at the desk, yes');
  });
});
