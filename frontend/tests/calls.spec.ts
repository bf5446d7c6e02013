/** Calls one to one: two browsers, real relays, Chromium's pretended camera and microphone, and what really arrives. */
import { networkInterfaces } from 'node:os';
import { expect, test } from '@playwright/test';
import { calls, hangsUp, heard, hears, incoming, notes, pretended, screen, sees, stood, watched } from './stage/calls';
import { Courtyard, useCourtyard, useCourtyards } from './stage/courtyard';
import type { Person } from './stage/person';
import { mei, tom } from './stage/story';

test.use({ ...pretended, actionTimeout: 60_000, navigationTimeout: 60_000 });
test.setTimeout(300_000);

async function befriended(yard: Courtyard, browser: Parameters<Courtyard['person']>[0]): Promise<[Person, Person]> {
  const meis = await yard.person(browser);
  await meis.joins(yard.claim(), mei);
  const toms = await yard.person(browser);
  await toms.joins(await meis.invites(), tom);
  for (const person of [meis, toms]) await watched(person);
  return [meis, toms];
}

test.describe('in one courtyard', () => {
  const yard = useCourtyard();
  let meis: Person;
  let toms: Person;

  test.beforeAll(async ({ browser }) => {
    test.setTimeout(300_000);
    [meis, toms] = await befriended(yard, browser);
  });

  test.beforeEach(async () => {
    await meis.opensChatWith(tom);
    await toms.opensChatWith(mei);
  });

  test('a call takes one tap to make and one to answer, and both hear each other', async () => {
    expect(await meis.counts(() => calls(meis, tom))).toBe(1);
    await expect(screen(meis, tom)).toContainText('Calling …');
    await expect(incoming(toms, mei)).toBeVisible();
    expect(await toms.counts(() => toms.presses('Answer'))).toBe(1);
    await hears(meis, toms);
    await expect(screen(meis, tom)).toContainText(/\d:\d\d/);
    await expect(screen(meis, tom)).toContainText('Direct');

    // Muted at one end, there is silence at the other.
    await meis.presses('Mute');
    await expect(meis.button('Muted')).toBeVisible();
    await expect.poll(async () => {
      const before = (await heard(toms.page)).energy;
      await toms.page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 500)));
      return (await heard(toms.page)).energy - before;
    }).toBe(0);
    await meis.presses('Muted');
    await hears(toms);

    // The camera, in the middle of it, and off again.
    await toms.presses('Camera');
    await sees(meis);
    await toms.presses('Camera');
    await expect(meis.page.getByLabel(`${tom}’s picture`)).toBeHidden();

    // Folded, it goes on.
    await meis.presses('Back to the app, keep talking');
    await meis.says('While we talk');
    await hears(meis, toms);
    await meis.presses(/^Back to the call/);
    await hangsUp(meis, toms);
    for (const person of [meis, toms]) await expect(notes(person, 'Call,')).toHaveCount(1);
  });

  test('with video both see each other', async () => {
    await calls(meis, tom, true);
    await expect(toms.page.getByRole('dialog', { name: `${mei} calls you with video` })).toBeVisible();
    await toms.presses('Answer');
    await sees(meis, toms);
    await hears(meis, toms);
    await hangsUp(toms, meis);
    for (const person of [meis, toms]) await expect(notes(person, 'Video call,')).toHaveCount(1);
  });

  test('declined, and missed: both see what became of it, and call back with a tap', async () => {
    await calls(meis, tom);
    await expect(incoming(toms, mei)).toBeVisible();
    for (let presses = 0; presses < 4; presses++) await toms.page.keyboard.press('Escape');
    await expect(incoming(toms, mei).getByRole('button', { name: 'Answer' })).toBeVisible();
    await toms.presses('Decline');
    await stood(meis, tom, `${tom} cannot talk now`);
    for (const person of [meis, toms]) await expect(notes(person, 'Call declined')).toHaveCount(1);
    await expect(screen(meis, tom)).toHaveCount(0);

    await calls(meis, tom);
    await expect(incoming(toms, mei)).toBeVisible();
    await hangsUp(meis, toms);
    await expect(notes(meis, 'Call, no answer')).toHaveCount(1);
    await expect(notes(toms, 'Missed call')).toHaveCount(1);
    await toms.taps(notes(toms, 'Missed call').getByRole('button', { name: 'Call back' }));
    await meis.presses('Answer');
    await hears(meis, toms);
    await hangsUp(toms, meis);
  });

  test('the network goes and comes back in the middle of it', async () => {
    await calls(meis, tom);
    await toms.presses('Answer');
    await hears(meis, toms);
    const told = (): Promise<string | undefined> => meis.page.evaluate(() => window.speaking()?.localDescription?.sdp.match(/a=ice-ufrag:(\S+)/u)?.[1]);
    const before = await told();
    expect(before).toBeDefined();
    meis.line.cut();
    await meis.context.setOffline(true);
    await meis.page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 1_000)));
    meis.line.mend();
    await meis.context.setOffline(false);
    // A way was looked for anew, and they hear each other.
    await expect.poll(told, { timeout: 60_000 }).not.toBe(before);
    await hears(meis, toms);
    await hangsUp(meis, toms);
  });

  test('another tab knows of it', async () => {
    await calls(meis, tom);
    await toms.presses('Answer');
    await hears(meis, toms);
    const second = await toms.tab();
    await second.opens(`${yard.url}/app/`);
    await second.opensChatWith(mei);
    await calls(second, mei);
    await second.reads('You are in a call already. It goes on. Hang up first.');
    await hears(meis, toms);
    await second.page.close();
    await hangsUp(toms, meis);
  });

  test('whose page is loaded anew has left the call', async () => {
    await calls(meis, tom);
    await toms.presses('Answer');
    await hears(meis, toms);
    const before = await Promise.all([meis, toms].map((person) => notes(person, 'Call,').count()));
    await meis.reloads();
    await expect(screen(toms, mei)).toHaveCount(0, { timeout: 30_000 });
    for (const [i, person] of [meis, toms].entries()) await expect(notes(person, 'Call,')).toHaveCount((before[i] ?? 0) + 1, { timeout: 30_000 });
  });

  test('every device rings, one answers, and a third caller hears that it is busy', async ({ browser }) => {
    await toms.leaves();
    await toms.goesTo('Me');
    await toms.follows(/^Devices/);
    await toms.follows('Add a device');
    const box = toms.page.getByRole('group', { name: 'Add a device' });
    await expect(box).toContainText('#handover.');
    const tablet = await yard.person(browser, { desk: true });
    await tablet.opens(await toms.copied());
    await tablet.presses('Continue');
    await expect(tablet.page.getByRole('heading', { name: 'Chats', level: 1 })).toBeVisible({ timeout: 30_000 });
    await watched(tablet);
    await toms.leaves();

    await calls(meis, tom);
    for (const person of [toms, tablet]) await expect(incoming(person, mei)).toBeVisible();
    await tablet.presses('Answer');
    await expect(toms.page.getByRole('dialog')).toHaveCount(0);
    await hears(meis, tablet);
    const ann = await yard.person(browser);
    await ann.joins(await toms.invites(), 'Ann');
    await watched(ann);
    await ann.opensChatWith(tom);
    await calls(ann, tom);
    await stood(ann, tom, `${tom} is in another call`);
    await hears(meis, tablet);
    await hangsUp(tablet, meis);
  });
});

test.describe('whose certificate is another than the letter tells', () => {
  const yard = useCourtyard();

  test('nobody is heard, nothing goes beside the courtyard, and letters arrive', async ({ browser }) => {
    const [meis, toms] = await befriended(yard, browser);
    // As if somebody stood between, and answered in his place: what she is told of is not what answers.
    await toms.page.addInitScript(() => {
      let prototype = RTCPeerConnection.prototype as object; // of the class that looks on; the browser's own is beneath
      while (!Object.hasOwn(prototype, 'localDescription')) prototype = Object.getPrototypeOf(prototype) as object;
      const told = Object.getOwnPropertyDescriptor(prototype, 'localDescription');
      Object.defineProperty(prototype, 'localDescription', {
        get(this: RTCPeerConnection): RTCSessionDescriptionInit | null {
          const said = told?.get?.call(this) as RTCSessionDescription | null;
          return said && { type: said.type, sdp: said.sdp.replace(/(?<=^a=fingerprint:sha-256 )../gmu, (digits) => (digits === '00' ? '01' : '00')) };
        },
      });
    });
    await toms.reloads();
    await meis.opensChatWith(tom);
    await toms.opensChatWith(mei);
    await meis.says('Are you there?');
    await toms.sees('Are you there?');
    await toms.says('I am.');
    await meis.sees('I am.');
    const failed = (): Promise<boolean> => meis.page.evaluate(() => window.became.includes('failed'));
    await expect.poll(failed, { timeout: 60_000 }).toBe(true);
    await calls(meis, tom);
    await toms.presses('Answer');
    await stood(meis, tom, 'No connection came about');
    expect(await meis.page.evaluate(() => window.connections.length)).toBeGreaterThan(1);
    expect(await meis.page.evaluate(() => window.became)).not.toContain('connected');
    for (const { page } of [meis, toms]) expect(await heard(page)).toMatchObject({ frames: 0, energy: 0 });
    for (const person of [meis, toms]) await expect(notes(person, 'Call, no connection')).toHaveCount(1);
  });
});

test.describe('between two courtyards', () => {
  const [here, there] = useCourtyards();

  test('they hear each other as well', async ({ browser }) => {
    const meis = await here.person(browser);
    await meis.joins(here.claim(), mei);
    const toms = await there.person(browser);
    await toms.joins(there.claim(), tom);
    const link = await meis.invites();
    await toms.opens(`${there.url}/app/#invited.${encodeURIComponent(link)}`);
    await toms.presses(`Be friends with ${mei}`);
    await expect(toms.talk(mei)).toBeVisible();
    for (const person of [meis, toms]) await watched(person);
    await meis.opensChatWith(tom);
    await toms.opensChatWith(mei);
    await meis.says('Can you hear me?');
    await toms.sees('Can you hear me?');
    await calls(meis, tom);
    await expect(incoming(toms, mei)).toBeVisible({ timeout: 30_000 });
    await toms.presses('Answer');
    await hears(meis, toms);
    await hangsUp(meis, toms);
    for (const person of [meis, toms]) await expect(notes(person, 'Call,')).toHaveCount(1);
  });
});

const own = Object.values(networkInterfaces()).flat().flatMap((each) => (each?.family === 'IPv4' ? [each.cidr ?? ''] : []));
const lending = (): Courtyard => new Courtyard('127.0.0.1', () => ['--turn', 'on', ...own.flatMap((net) => ['--turn-reach', net])]);

test.describe('always through the own courtyard, while somebody calls', () => {
  const yard = useCourtyard(lending());

  test('switched on in the middle of a call, no other address is told from then on', async ({ browser }) => {
    const [meis, toms] = await befriended(yard, browser);
    await meis.opensChatWith(tom);
    await toms.opensChatWith(mei);
    await calls(meis, tom);
    await toms.presses('Answer');
    await hears(meis, toms);
    expect((await heard(meis.page)).local).not.toBe('relay');
    await meis.presses('Back to the app, keep talking');
    await meis.leaves();
    await meis.goesTo('Me');
    await meis.taps(meis.page.getByRole('switch', { name: /^Always through my courtyard/ }));
    await expect.poll(() => meis.page.evaluate(() => window.speaking()?.getConfiguration().iceTransportPolicy), { timeout: 30_000 }).toBe('relay');
    const before = await toms.page.evaluate(() => window.told.length);
    meis.line.cut();
    await meis.context.setOffline(true);
    await meis.page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 1_000)));
    meis.line.mend();
    await meis.context.setOffline(false);
    await expect.poll(async () => (await toms.page.evaluate(() => window.told)).slice(before).some((line) => line.includes(' typ relay')), { timeout: 60_000 }).toBe(true);
    await hears(meis, toms);
    const told = (await toms.page.evaluate(() => window.told)).slice(before);
    expect(told.filter((line) => line.includes('candidate:') && !line.includes(' typ relay'))).toEqual([]);
    await meis.taps(meis.page.getByRole('switch', { name: /^Always through my courtyard/ }));
    await meis.presses(/^Back to the call/);
    await hangsUp(meis, toms);
  });
});

test.describe('always through the own courtyard', () => {
  const yard = useCourtyard(lending());

  test('no address of one’s own is told, and they hear each other', async ({ browser }) => {
    const [meis, toms] = await befriended(yard, browser);
    await meis.leaves();
    await meis.goesTo('Me');
    await meis.switches(meis.page.getByRole('switch', { name: /^Always through my courtyard/ }), 'vault');
    await meis.opensChatWith(tom);
    await calls(meis, tom);
    await toms.presses('Answer');
    await hears(meis, toms);
    await expect(screen(meis, tom)).toContainText('Through a courtyard');
    expect((await heard(meis.page)).local).toBe('relay');
    const told = await toms.page.evaluate(() => window.told.filter((line) => line !== ''));
    expect(told.some((line) => line.includes(' typ relay'))).toBe(true);
    for (const line of told.filter((each) => each.includes('candidate:'))) expect(line).toMatch(/ typ relay raddr 0\.0\.0\.0 rport 0/u);
    for (const line of told.filter((each) => !each.includes('candidate:'))) expect(line).toMatch(/^(?:c=IN IP4 0\.0\.0\.0|a=rtcp:9 IN IP4 0\.0\.0\.0)$/u);
    await hangsUp(meis, toms);
  });
});
