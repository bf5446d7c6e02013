/** Calls one to one: two browsers, real relays, Chromium's pretended camera and microphone, and what really arrives. */
import { expect, test } from '@playwright/test';
import { heard, hears, pretended, sees, watched } from './stage/calls';
import { useCourtyard } from './stage/courtyard';
import type { Person } from './stage/person';
import { mei, tom } from './stage/story';

test.use(pretended);
test.setTimeout(240_000);

test.describe('calls', () => {
  const yard = useCourtyard();
  let meis: Person;
  let toms: Person;

  test.beforeAll(async ({ browser }) => {
    test.setTimeout(120_000);
    meis = await yard.person(browser);
    await meis.joins(yard.claim(), mei);
    toms = await yard.person(browser);
    await toms.joins(await meis.invites(), tom);
    for (const person of [meis, toms]) await watched(person);
  });

  test.beforeEach(async () => {
    await meis.opensChatWith(tom);
    await toms.opensChatWith(mei);
  });

  const incoming = (person: Person, name: string) => person.page.getByRole('dialog', { name: `${name} calls you` });
  const screen = (person: Person, name: string) => person.page.getByRole('dialog', { name: `Call with ${name}` });
  const note = (person: Person, text: string | RegExp) => person.page.locator('li[data-mid]').filter({ hasText: text });

  test('a call takes one tap to make and one to answer, and both hear each other', async () => {
    expect(await meis.counts(() => meis.presses(`Call ${tom}`))).toBe(1);
    await expect(screen(meis, tom)).toContainText('It rings');
    await expect(incoming(toms, mei)).toBeVisible();
    expect(await toms.counts(() => toms.presses('Answer'))).toBe(1);
    await hears(meis, toms);
    await expect(screen(meis, tom)).toContainText(/\d:\d\d/);
    await expect(screen(meis, tom)).toContainText('Direct, clear');

    // Muted at one end, there is silence at the other.
    await meis.presses('Mute');
    await expect(meis.button('Muted')).toBeVisible();
    await expect.poll(async () => {
      const before = (await heard(toms.page)).energy;
      await toms.page.waitForTimeout(500);
      return (await heard(toms.page)).energy - before;
    }).toBe(0);
    await meis.presses('Muted');
    await hears(toms);

    // The camera, in the middle of it.
    await toms.presses('Camera');
    await sees(meis);
    await meis.presses('Camera');
    await sees(toms, meis);
    await toms.presses('Camera');
    await expect(meis.page.getByLabel(`${tom}’s picture`)).toBeHidden();

    // Folded, it goes on.
    await meis.presses('Back to the app, keep talking');
    await meis.says('While we talk');
    await hears(meis, toms);
    await meis.presses(/^Back to the call/);
    await meis.presses('Hang up');
    for (const [person, name] of [[meis, tom], [toms, mei]] as const) {
      await expect(screen(person, name)).toHaveCount(0);
      await expect(note(person, 'Call,')).toHaveCount(1);
    }
  });
});
