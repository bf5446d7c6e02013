/**
 * History and photos beside the courtyard, over a real connection between a real browser and a real home. On one machine it
 * is never farther than the own network; what other networks let through is tried by scripts/natlab.
 */
import { networkInterfaces } from 'node:os';
import { expect, test, type Page } from '@playwright/test';
import { useCourtyard } from './stage/courtyard';
import type { Courtyard, Home } from './stage/courtyard';
import { chatters, homeIsFine, keptNothing } from './stage/house';
import type { Person } from './stage/person';
import { photograph } from './stage/photo';
import { mei as meisName, tom as tomsName } from './stage/story';

/** A device fetches fifty at a time, and some before anybody scrolls: enough that there is always another page. */
const many = 160;

declare global {
  interface Window {
    /** connections that the page has made to its home, the newest last */
    homes: RTCPeerConnection[];
    /** what the page says to its home beside the courtyard is lost */
    deaf: boolean;
    /** what it said there so far */
    said: string[];
  }
}

/** Looks on while the page makes connections to its home; may swallow what it says, as a network that has gone away does. */
async function watched(page: Page): Promise<void> {
  await page.addInitScript(() => {
    window.homes = [];
    window.deaf = false;
    window.said = [];
    const Real = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Real {
      override createDataChannel(label: string, init?: RTCDataChannelInit): RTCDataChannel {
        if (init?.protocol === 'home/1') window.homes.push(this); // the others lead to friends, or nowhere
        return super.createDataChannel(label, init);
      }
    };
    const channel = RTCDataChannel.prototype as { send: (this: RTCDataChannel, data: unknown) => void };
    const { send } = channel;
    channel.send = function (data) {
      if (this.protocol === 'home/1') {
        if (typeof data !== 'string' || window.deaf) return;
        window.said.push((JSON.parse(data) as { m: string }).m);
      }
      send.call(this, data);
    };
  });
}

interface Path {
  readonly local: string;
  readonly remote: string;
  readonly protocol: string;
  /** over all pairs: the home may answer on another than it is asked on */
  readonly received: number;
}

/** The pair of the newest connection to the home that is up, as the browser tells it. */
async function path(page: Page): Promise<Path | undefined> {
  return page.evaluate(async () => {
    const peer = window.homes.findLast(({ connectionState }) => connectionState === 'connected');
    if (!peer) return undefined;
    const all = new Map<string, Record<string, unknown>>();
    (await peer.getStats()).forEach((stats: RTCStats) => all.set(stats.id, stats as unknown as Record<string, unknown>));
    const transport = [...all.values()].find(({ type }) => type === 'transport');
    const pair = all.get(String(transport?.['selectedCandidatePairId']));
    const local = all.get(String(pair?.['localCandidateId']));
    const remote = all.get(String(pair?.['remoteCandidateId']));
    if (!pair || !local || !remote) return undefined;
    return { local: String(local['candidateType']), remote: String(remote['candidateType']), protocol: String(local['protocol']), received: Number(transport?.['bytesReceived']) };
  });
}

/** How often the page has asked its home for this, beside the courtyard. */
async function asked(page: Page, method: string): Promise<number> {
  return page.evaluate((method) => window.said.filter((each) => each === method).length, method);
}

/** What the head of the conversation says of the way to the home. */
function way(person: Person, words: string): Promise<void> {
  return expect(person.page.locator('header .way')).toHaveText(`your home: ${words}`, { timeout: 30_000 });
}

/** To the top of what stands there, again and again: what the device has already comes before what it has to fetch. */
async function scrollsUp(person: Person, until: () => Promise<boolean>): Promise<void> {
  const box = person.page.locator('.scroll').filter({ has: person.page.locator('li[data-mid]') });
  await expect.poll(async () => {
    if (await until()) return true;
    await box.evaluate((box) => {
      box.scrollTop = 0;
    });
    return false;
  }).toBe(true);
}

const near = 'at home, in your network';
const far = 'through your courtyard';

test.describe('beside the courtyard', () => {
  test.setTimeout(240_000);
  const outside = Object.values(networkInterfaces()).flat().some((each) => each?.internal === false && each.family === 'IPv4');
  test.skip(!outside, 'this machine is in no network, and a browser connects over none but real ones');
  const yard: Courtyard = useCourtyard();
  let meisHome: Home;
  let mei: Person;
  let tom: Person;

  async function handover(): Promise<string> {
    await mei.leaves();
    await mei.goesTo('Me');
    await mei.follows(/^Devices/);
    await mei.follows('Add a device');
    await expect(mei.page.getByRole('group', { name: 'Add a device' })).toContainText('#handover.');
    return mei.copied();
  }

  test.beforeAll(async ({ browser }) => {
    test.setTimeout(420_000);
    meisHome = await yard.home();
    mei = await yard.person(browser);
    await mei.joins(yard.claim(meisHome), meisName);
    await homeIsFine(mei);
    tom = await yard.person(browser);
    await tom.joins(await mei.invites(), tomsName);
    await chatters(tom, Array.from({ length: many }, (_, n) => `line ${String(n + 1)}.`));
    await tom.sees(`line ${String(many)}.`);
    await tom.chooses(tom.button('Add a photo'), { name: 'p.jpg', mimeType: 'image/jpeg', buffer: await photograph(tom.page, 2400, 1800) });
    await tom.presses('Send photo');
    await expect(tom.page.getByRole('link', { name: /Your photo/ })).toBeVisible();
    // The photo is up. Then the home has fetched all of it, and the courtyard has let it go.
    await mei.leaves();
    await mei.goesTo('Chats');
    await expect(mei.page.getByRole('listitem').filter({ hasText: tomsName })).toContainText('Photo', { timeout: 60_000 });
    await keptNothing(mei);
  });

  test('a fresh device fetches history and a photo from the home itself', async ({ browser }) => {
    const fresh = await yard.person(browser);
    await watched(fresh.page);
    await fresh.opens(await handover());
    await fresh.presses('Continue');
    // The photo is fetched as soon as it is near the screen, so the way stands before the conversation is opened.
    await fresh.goesTo('Me');
    await fresh.reads(`Connection: ${near}.`);
    const before = await path(fresh.page);
    expect(before).toMatchObject({ local: /host|prflx/u, remote: /host|prflx/u, protocol: 'udp' });
    await fresh.opensChatWith(tomsName);
    await way(fresh, near);

    // The photo comes from the home, in pieces.
    await fresh.taps(fresh.page.getByRole('link', { name: /Look at the photo/ }).last());
    const picture = fresh.page.getByRole('dialog').getByRole('img', { name: `Photo from ${tomsName}` });
    await expect(picture).toBeVisible({ timeout: 30_000 });
    await expect.poll(() => picture.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBeGreaterThan(1000);
    await fresh.presses('Close');
    const files = await asked(fresh.page, 'file');
    expect(files).toBeGreaterThan(1);
    const after = await path(fresh.page);
    expect((after?.received ?? 0) - (before?.received ?? 0)).toBeGreaterThan((files - 1) * 40_000);

    const pages = await asked(fresh.page, 'page');
    await scrollsUp(fresh, async () => (await asked(fresh.page, 'page')) > pages);
    expect(await fresh.message('line 1.').count()).toBe(0);

    // What is said goes nowhere any more, and nobody says so: within five seconds it is asked through the courtyard.
    await fresh.page.evaluate(() => {
      window.deaf = true;
    });
    await scrollsUp(fresh, async () => (await fresh.page.locator('header .way').textContent()) === `your home: ${far}`);
    await scrollsUp(fresh, () => fresh.message('line 1.').isVisible());
    // And it comes back by itself.
    await fresh.page.evaluate(() => {
      window.deaf = false;
    });
    await way(fresh, near);

    // The home goes away and comes back.
    const ways = await fresh.page.evaluate(() => window.homes.length);
    await meisHome.program.stop('SIGKILL');
    await meisHome.program.start();
    await expect.poll(() => fresh.page.evaluate(() => window.homes.length), { timeout: 60_000 }).toBeGreaterThan(ways);
    await way(fresh, near);
    await fresh.says('from the new device');
    await tom.sees('from the new device');
  });

  test('Me, Home and Diagnostics say it in words', async () => {
    await mei.leaves();
    await mei.goesTo('Me');
    await mei.reads(`Connection: ${near}.`);
    await mei.follows(/^Your home is fine/);
    await mei.reads(near);
    await mei.leaves();
    await mei.goesTo('Me');
    await mei.follows('Diagnostics');
    for (const words of ['History and photos come from your home within your own network (WebRTC).', 'A direct connection to your home came about.', /^Path: (host|prflx) to (host|prflx), UDP/]) await mei.reads(words);
    const copied = await mei.copied('Copy as text');
    expect(copied).toContain('A direct connection to your home came about.');
    expect(copied).toMatch(/- Path: (?:host|prflx) to (?:host|prflx), UDP/u);
    await mei.presses('Look again');
    await mei.reads('A direct connection to your home came about.');
  });
});
