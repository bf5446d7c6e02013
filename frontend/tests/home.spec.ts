/** The home: all the ways to pair one, what it keeps, who lives in it, and what is said while it is away. */
import { expect, test, type Browser } from '@playwright/test';
import { useCourtyard, type Home } from './stage/courtyard';
import { chatters, entersCode, goesToPairing, homeIsFine, keptNothing, meSays, pairsByCommand, shownCode, space, standsBefore } from './stage/house';
import type { Person } from './stage/person';
import { hasHome, mei as meisName, movesIn } from './stage/story';

const owned = 'Whoever owns the device can read what it keeps.';

test.describe('the first home', () => {
  const yard = useCourtyard();

  test('comes with the claim link in one go', async ({ browser }) => {
    const home = await yard.home();
    const mei = await yard.person(browser);
    await mei.opens(yard.claim(home));
    await mei.reads('Say who you are; your home is paired in the same go.');
    const actions = await mei.counts(async () => {
      await mei.writes(mei.field('Your name, as friends call you'), meisName);
      await mei.presses('Join');
    });
    expect(actions).toBe(2);
    await homeIsFine(mei);
    const visitor = await standsBefore(yard, browser, home);
    await visitor.reads('This home looks after one person.');
    await visitor.reads('Everything is connected.');
    await visitor.readsNowhere(meisName);
  });
});

test.describe('a home', () => {
  const yard = useCourtyard();
  let mei: Person;
  let meisHome: Home;

  /** Somebody new, friends with Mei, without a home. */
  async function newcomer(browser: Browser, name: string): Promise<Person> {
    const person = await yard.person(browser);
    await person.joins(await mei.invites(), name);
    await expect(person.talk(meisName)).toBeVisible();
    return person;
  }

  /** What Mei writes is safe in the other's home, whether or not a browser of theirs is open. */
  async function keepsFor(person: Person, name: string): Promise<void> {
    const { context } = person;
    await Promise.all(context.pages().map((page) => page.close()));
    await mei.opensChatWith(name);
    await mei.says(`${name} sleeps`);
    await mei.hasTick(`${name} sleeps`, `Safe in ${name}’s home`);
    const again = await person.tab();
    await again.opens(`${yard.url}/app/`);
    await again.opensChatWith(meisName);
    await again.sees(`${name} sleeps`);
  }

  test.beforeAll(async ({ browser }) => {
    test.setTimeout(240_000);
    meisHome = await yard.home();
    mei = await yard.person(browser);
    await mei.joins(yard.claim(meisHome), meisName);
    await homeIsFine(mei);
  });

  test('is paired by its own page, which opens the app: two taps', async ({ browser }) => {
    const tom = await newcomer(browser, 'Two taps');
    const home = await yard.home();
    const door = await tom.tab();
    await door.opens(home.page);
    await door.reads('Your home is ready.');
    const actions = await door.counts(async () => {
      await door.follows('Connect it with my Courtyard');
      await expect(door.page.getByRole('heading', { name: 'Is this your home?' })).toBeVisible();
      await door.reads('Say yes only if you have just set it up yourself.');
      await door.presses('Pair this home');
    });
    expect(actions).toBe(2);
    await door.reads('Your home is paired');
    await homeIsFine(door);
    await keepsFor(tom, 'Two taps');
  });

  test('is paired by the app’s code at its own page', async ({ browser }) => {
    const tom = await newcomer(browser, 'By page');
    await goesToPairing(tom);
    await tom.reads(owned);
    const code = await shownCode(tom);
    expect(code).toMatch(new RegExp(`^${yard.host}/([0-9A-Z]{4}-){3}[0-9A-Z]{4}$`, 'u'));
    await tom.reads(/^Valid for \d+:\d\d$/);
    const home = await yard.home();
    const visitor = await standsBefore(yard, browser, home);
    await entersCode(visitor, 'this is no code');
    await visitor.reads('That is not a code. It looks like courtyard.example/ABCD-EFGH-JKMN-PQRS.');
    await entersCode(visitor, code);
    await homeIsFine(tom);
    await visitor.reads('Connected. You can close this page.');
    await keepsFor(tom, 'By page');
  });

  test('is paired by the app’s code on its command line', async ({ browser }) => {
    const tom = await newcomer(browser, 'By command');
    const home = await yard.home();
    expect(await pairsByCommand(yard, home, await shownCode(tom))).toBe('Paired.');
    await homeIsFine(tom);
    await keepsFor(tom, 'By command');
  });

  test('is paired by the app’s code in COURTYARD_PAIR', async ({ browser }) => {
    const tom = await newcomer(browser, 'By setting');
    const home = await movesIn(yard, tom);
    // The same setting is still there when it starts again, and does no harm.
    await home.program.stop();
    await home.program.start();
    await keepsFor(tom, 'By setting');
  });

  test('is paired by the code that it shows, pasted in the app', async ({ browser }) => {
    const tom = await newcomer(browser, 'By pasting');
    const home = await yard.home();
    const visitor = await standsBefore(yard, browser, home);
    const link = await visitor.link('Connect it with my Courtyard').getAttribute('href');
    const code = link?.split('#pair.')[1] ?? '';
    await goesToPairing(tom);
    await tom.writes(tom.field('The code from your home’s page'), 'ABCD-EFGH');
    await tom.presses('Pair');
    await tom.reads('A code looks like courtyard.example/XXXX-XXXX-XXXX-XXXX.');
    const actions = await tom.counts(async () => {
      await tom.writes(tom.field('The code from your home’s page'), code.toLowerCase());
      await tom.presses('Pair');
    });
    expect(actions).toBe(2);
    await homeIsFine(tom);
    await keepsFor(tom, 'By pasting');
  });

  test('a code works once', async ({ browser }) => {
    const tom = await newcomer(browser, 'Once');
    const first = await yard.home();
    const second = await yard.home();
    const code = await shownCode(tom);
    const door = await standsBefore(yard, browser, first);
    await entersCode(door, code);
    await homeIsFine(tom);
    const late = await standsBefore(yard, browser, second);
    await entersCode(late, code);
    await late.reads('This code has been used already. Please make a new one.');
    await late.opens(second.page);
    await late.reads('Your home is ready.');
  });

  test('a second person of the household moves in by the code of the first', async ({ browser }) => {
    const kim = await newcomer(browser, 'Kim');
    await mei.leaves();
    await mei.goesTo('Me');
    await mei.follows('Your home is fine');
    await mei.reads(owned);
    await mei.follows('Household code');
    await mei.reads('Whoever owns the device could read all of them.');
    await mei.presses('Show a code');
    const box = mei.page.getByRole('group', { name: 'Pairing code' });
    await expect(box).toContainText('/');
    await goesToPairing(kim);
    await kim.writes(kim.field('The code from your home’s page'), (await box.innerText()).trim());
    await kim.presses('Pair');
    await homeIsFine(kim);
    await kim.reads(owned);
    const visitor = await standsBefore(yard, browser, meisHome);
    await visitor.reads('This home looks after 2 people.');
    await keepsFor(kim, 'Kim');
  });

  test('a code typed at the page of a house where somebody lives waits for a yes in the app', async ({ browser }) => {
    const lee = await newcomer(browser, 'Lee');
    const visitor = await standsBefore(yard, browser, meisHome);
    await visitor.reads('Whoever was here first is asked in Courtyard whether that is all right.');
    await expect(visitor.link('Connect it with my Courtyard')).toHaveCount(0);
    await entersCode(visitor, await shownCode(lee));
    await visitor.reads('Waiting for a yes in Courtyard, from whoever was here first …');
    const ask = mei.page.getByRole('dialog', { name: 'Pair a home from its page?' });
    await expect(ask).toContainText('Say yes only if that was you or somebody of your household.');
    await mei.taps(ask.getByRole('button', { name: 'Yes, that was me' }));
    await homeIsFine(lee);
    await visitor.reads('Connected. You can close this page.');
    await keepsFor(lee, 'Lee');
  });

  test('and is refused with a no', async ({ browser }) => {
    const eve = await newcomer(browser, 'Stranger');
    const visitor = await standsBefore(yard, browser, meisHome);
    const before = await visitor.page.getByRole('heading', { level: 1 }).innerText();
    await entersCode(visitor, await shownCode(eve));
    const ask = mei.page.getByRole('dialog', { name: 'Pair a home from its page?' });
    await mei.taps(ask.getByRole('button', { name: 'No, refuse it' }));
    await expect(ask).toHaveCount(0);
    await visitor.reads('The answer was no.');
    await meSays(eve, 'You have no home yet');
    const again = await standsBefore(yard, browser, meisHome);
    await again.reads(before);
  });

  test('takes over the history of before, and the courtyard’s keep is emptied', async ({ browser }) => {
    const tom = await newcomer(browser, 'Mover');
    for (const n of [1, 2, 3, 4, 5]) await tom.says(`kept ${String(n)}`);
    await mei.opensChatWith('Mover');
    await mei.sees('kept 5');
    await mei.says('kept by the courtyard');
    await mei.hasTick('kept by the courtyard', 'Read by Mover');
    await tom.leaves();
    await tom.goesTo('Me');
    await tom.reloads();
    await expect(space(tom)).toHaveText(/[1-9][\d.]* [kM]?B|[1-9]\d* bytes/u);
    const home = await movesIn(yard, tom);
    await meSays(tom, /\d+ messages, .* free\./);
    await keptNothing(tom);
    await meSays(tom, /6 messages, .* free\./);

    // The browser is lost with all that was in it; the home has it all.
    await tom.goesTo('Me');
    await tom.follows(/^Devices/);
    await tom.follows('Add a device');
    const box = tom.page.getByRole('group', { name: 'Add a device' });
    await expect(box).toContainText('#handover.');
    const fresh = await yard.person(browser);
    await fresh.opens(await tom.copied());
    await fresh.presses('Continue');
    await fresh.opensChatWith(meisName);
    await fresh.sees('kept 1');
    expect(await fresh.all()).toEqual([1, 2, 3, 4, 5].map((n) => `kept ${String(n)}`).concat('kept by the courtyard'));
    expect(home.program.running).toBe(true);
  });

  test('is removed: from then on the courtyard keeps the history again', async ({ browser }) => {
    const tom = await newcomer(browser, 'Remover');
    await movesIn(yard, tom);
    await tom.presses('Remove this home');
    const sure = tom.page.getByRole('dialog', { name: 'Remove your home?' });
    await tom.taps(sure.getByRole('button', { name: 'Remove this home' }));
    await tom.reads('Your home is removed.');
    await meSays(tom, 'You have no home yet');
    await mei.opensChatWith('Remover');
    await mei.says('and now?');
    await mei.hasTick('and now?', 'Kept at Remover’s courtyard');
    await tom.opensChatWith(meisName);
    await tom.sees('and now?');
  });

  test('survives that the courtyard starts anew, and so does the app', async ({ browser }) => {
    const tom = await newcomer(browser, 'Patient');
    await movesIn(yard, tom);
    await mei.opensChatWith('Patient');
    await tom.opensChatWith(meisName);
    await tom.says('before the night');
    await mei.sees('before the night');
    await yard.relay.stop('SIGKILL');
    await tom.says('written in the dark');
    await tom.hasTick('written in the dark', 'Waiting to be sent');
    await yard.relay.start();
    await tom.hasTick('written in the dark', `Read by ${meisName}`);
    await mei.sees('written in the dark');
    await mei.presses('Back to chats');
    await tom.says('at first light');
    await tom.hasTick('at first light', `Safe in ${meisName}’s home`);
    await hasHome(tom);
    await hasHome(mei);
  });

  test('survives that it is itself killed and started again', async ({ browser }) => {
    const tom = await newcomer(browser, 'Killed');
    const home = await movesIn(yard, tom);
    await home.program.stop('SIGKILL');
    await meSays(tom, /^.*Your home has been away since \d\d:\d\d/u);
    await tom.follows('What can I check?');
    await tom.reads('Is the device switched on, and does its network light blink?');
    await mei.opensChatWith('Killed');
    await mei.says('while it was off');
    await mei.hasTick('while it was off', 'Accepted by the courtyard');
    await tom.opensChatWith(meisName);
    await tom.sees('while it was off');
    await tom.presses('Back to chats');
    await home.program.start();
    await mei.says('now it is on');
    await mei.hasTick('now it is on', 'Safe in Killed’s home');
    await hasHome(tom);
  });
});

test.describe('a home with years in it', () => {
  const yard = useCourtyard();
  const many = 240;
  let mei: Person;
  let meisHome: Home;
  let tom: Person;
  let handover: () => Promise<string>;

  test.beforeAll(async ({ browser }) => {
    test.setTimeout(360_000);
    meisHome = await yard.home();
    mei = await yard.person(browser);
    await mei.joins(yard.claim(meisHome), meisName);
    await homeIsFine(mei);
    tom = await yard.person(browser);
    await tom.joins(await mei.invites(), 'Tomás');
    await chatters(tom, Array.from({ length: many }, (_, i) => `line ${String(i + 1)}.`));
    await mei.leaves();
    await mei.goesTo('Chats');
    await expect(mei.page.getByRole('listitem').filter({ hasText: 'Tomás' })).toContainText(`line ${String(many)}.`, { timeout: 120_000 });
    await mei.opensChatWith('Tomás');
    // There are so many new ones that she begins with the first of them.
    await mei.sees('line 1.');
    await mei.presses(/^To the latest message$|, go there$/);
    await expect(mei.message(`line ${String(many)}.`)).toBeInViewport({ timeout: 120_000 });
    await meSays(mei, new RegExp(`${String(many)} messages`, 'u'));
    handover = async () => {
      await mei.leaves();
      await mei.goesTo('Me');
      await mei.follows(/^Devices/);
      await mei.follows('Add a device');
      const box = mei.page.getByRole('group', { name: 'Add a device' });
      await expect(box).toContainText('#handover.');
      return mei.copied();
    };
  });

  /** The number of each line that stands there, from the top. */
  async function lines(person: Person): Promise<number[]> {
    return (await person.all()).map((text) => Number(/^line (\d+)\.$/u.exec(text)?.[1]));
  }

  async function scrollsUp(person: Person): Promise<void> {
    await person.page.locator('.scroll').filter({ has: person.page.locator('li[data-mid]') }).evaluate((box) => {
      box.scrollTop = 0;
    });
  }

  test('shows the newest first on a fresh device, and older ones on scrolling, down to the beginning', async ({ browser }) => {
    const fresh = await yard.person(browser);
    await fresh.opens(await handover());
    await fresh.presses('Continue');
    await fresh.opensChatWith('Tomás');
    await expect(fresh.message(`line ${String(many)}.`)).toBeInViewport();
    const first = await lines(fresh);
    expect(first.length).toBeLessThan(many);
    expect(first.at(-1)).toBe(many);

    const seen = new Set(first);
    for (;;) {
      const now = await lines(fresh);
      // In order, without a gap, and nothing twice.
      expect(now).toEqual(now.map((_, i) => (now[0] ?? 0) + i));
      for (const n of now) seen.add(n);
      const top = now[0] ?? 0;
      if (top === 1) break;
      await expect.poll(async () => {
        await scrollsUp(fresh);
        return (await lines(fresh))[0] ?? many;
      }, { timeout: 60_000, intervals: [50] }).toBeLessThan(top);
    }
    expect(seen.size).toBe(many);
    await fresh.reads('This is where it begins.');
    await fresh.presses(/^To the latest message/);
    await expect(fresh.message(`line ${String(many)}.`)).toBeInViewport();
    await fresh.goes();
  });

  test('while it is off that is said in words, new ones arrive, and when it is back the older ones come', async ({ browser }) => {
    const fresh = await yard.person(browser);
    await fresh.opens(await handover());
    await fresh.presses('Continue');
    await fresh.opensChatWith('Tomás');
    await expect(fresh.message(`line ${String(many)}.`)).toBeInViewport();
    const off = new Date();
    await meisHome.program.stop();
    await expect.poll(async () => {
      await scrollsUp(fresh);
      return fresh.page.getByText(/^Your older messages are in your home, off since/).count();
    }, { timeout: 60_000 }).toBe(1);
    const sentence = await fresh.page.getByText(/^Your older messages/).innerText();
    expect(sentence).toMatch(/^Your older messages are in your home, off since \d\d:\d\d\. New ones arrive here\.$/u);
    const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', timeZone: 'Europe/Zurich' });
    expect([clock.format(off), clock.format(off.getTime() + 60_000)].some((at) => sentence.includes(at))).toBe(true);
    const held = await lines(fresh);
    expect(held).not.toContain(1);

    await tom.says('written while it was off');
    await fresh.sees('written while it was off');
    await fresh.says('and answered');
    await tom.sees('and answered');

    await meisHome.program.start();
    await expect(fresh.page.getByText(/^Your older messages/)).toHaveCount(0, { timeout: 40_000 });
    await scrollsUp(fresh);
    await expect.poll(async () => Math.min(...(await lines(fresh)).filter((n) => !Number.isNaN(n))), { timeout: 60_000 }).toBeLessThan(Math.min(...held));
    await fresh.goes(); // what stands open is read
  });

  test('a device that comes while it is off says where the messages are, and has them once it is back', async ({ browser }) => {
    const link = await handover();
    await meisHome.program.stop();
    const fresh = await yard.person(browser);
    await fresh.opens(link);
    await fresh.presses('Continue');
    await expect(fresh.page.getByRole('heading', { name: 'Chats', level: 1 })).toBeVisible({ timeout: 60_000 });
    await fresh.goesTo('Friends');
    await fresh.taps(fresh.page.getByRole('link', { name: /Tomás/ }));
    await fresh.follows('Chat');
    await fresh.reads(/^Your older messages are in your home, off since \d\d:\d\d\. New ones arrive here\.$/);
    // The keys of the day are at home too, so what comes meanwhile can be opened once it is back.
    await tom.says('for the newest device');
    await tom.hasTick('for the newest device', 'Accepted by the courtyard');
    await meisHome.program.start();
    await fresh.sees('for the newest device');
    await expect(fresh.message(`line ${String(many)}.`)).toBeVisible({ timeout: 40_000 });
    await fresh.readsNowhere(/^Your older messages/);
  });
});
