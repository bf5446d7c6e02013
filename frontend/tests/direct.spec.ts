/**
 * History and photos beside the courtyard, over a real connection between a real browser and a real home. On one machine it
 * is never farther than the own network; what other networks let through is tried by scripts/natlab.
 */
import { networkInterfaces } from 'node:os';
import { expect, test, type Page } from '@playwright/test';
import { useCourtyard } from './stage/courtyard';
import type { Courtyard, Home } from './stage/courtyard';
import { chatters, homeIsFine } from './stage/house';
import type { Person } from './stage/person';
import { photograph } from './stage/photo';
import { mei as meisName, tom as tomsName } from './stage/story';

const many = 110;

declare global {
  interface Window {
    /** connections that the page has made, the newest last */
    peers: RTCPeerConnection[];
    /** what the page says into its channels is lost */
    deaf: boolean;
    /** what it said over them so far */
    said: string[];
  }
}

/** Looks on while the page makes connections; may swallow what it says, as a network that has gone away does. */
async function watched(page: Page): Promise<void> {
  await page.addInitScript(() => {
    window.peers = [];
    window.deaf = false;
    window.said = [];
    const Real = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Real {
      constructor(config?: RTCConfiguration) {
        super(config);
        window.peers.push(this);
      }
    };
    const send = RTCDataChannel.prototype.send as (this: RTCDataChannel, text: string) => void;
    RTCDataChannel.prototype.send = function (this: RTCDataChannel, data: unknown): void {
      if (typeof data !== 'string' || window.deaf) return;
      window.said.push((JSON.parse(data) as { m: string }).m);
      send.call(this, data);
    };
  });
}

interface Path {
  readonly local: string;
  readonly remote: string;
  readonly protocol: string;
  readonly received: number;
}

/** The pair of the newest connection that is up, as the browser tells it. */
async function path(page: Page): Promise<Path | undefined> {
  return page.evaluate(async () => {
    const peer = window.peers.findLast(({ connectionState }) => connectionState === 'connected');
    if (!peer) return undefined;
    const all = new Map<string, Record<string, unknown>>();
    (await peer.getStats()).forEach((stats: RTCStats) => all.set(stats.id, stats as unknown as Record<string, unknown>));
    const transport = [...all.values()].find(({ type }) => type === 'transport');
    const pair = all.get(String(transport?.['selectedCandidatePairId']));
    const local = all.get(String(pair?.['localCandidateId']));
    const remote = all.get(String(pair?.['remoteCandidateId']));
    if (!pair || !local || !remote) return undefined;
    return { local: String(local['candidateType']), remote: String(remote['candidateType']), protocol: String(local['protocol']), received: Number(pair['bytesReceived']) };
  });
}

async function said(page: Page): Promise<readonly string[]> {
  return page.evaluate(() => window.said);
}

/** What the head of the conversation says of the way to the home. */
function way(person: Person, words: string): Promise<void> {
  return expect(person.page.locator('header .way')).toHaveText(`your home: ${words}`, { timeout: 30_000 });
}

/** To the top of what stands there, which fetches what is above it. */
async function older(person: Person): Promise<void> {
  await person.page.locator('.scroll').filter({ has: person.page.locator('li[data-mid]') }).evaluate((box) => {
    box.scrollTop = 0;
  });
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
  });

  test('a fresh device fetches history and a photo from the home itself', async ({ browser }) => {
    const fresh = await yard.person(browser);
    await watched(fresh.page);
    await fresh.opens(await handover());
    await fresh.presses('Continue');
    await fresh.opensChatWith(tomsName);
    await way(fresh, near);
    const before = await path(fresh.page);
    expect(before).toMatchObject({ local: /host|prflx/u, remote: /host|prflx/u, protocol: 'udp' });

    // The courtyard has let the photo go, so it comes from the home; some of it is larger than a piece.
    await fresh.taps(fresh.page.getByRole('link', { name: /Look at the photo/ }).last());
    const picture = fresh.page.getByRole('dialog').getByRole('img', { name: `Photo from ${tomsName}` });
    await expect(picture).toBeVisible({ timeout: 30_000 });
    await expect.poll(() => picture.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBeGreaterThan(1000);
    await fresh.presses('Close');
    const files = (await said(fresh.page)).filter((method) => method === 'file').length;
    expect(files).toBeGreaterThan(2);
    const after = await path(fresh.page);
    expect((after?.received ?? 0) - (before?.received ?? 0)).toBeGreaterThan((files - 1) * 40_000);

    await older(fresh);
    expect(await said(fresh.page)).toContain('page');

    // What is said goes nowhere any more, and nobody says so: within five seconds it is asked through the courtyard.
    await fresh.page.evaluate(() => {
      window.deaf = true;
    });
    const lines = await fresh.all();
    await older(fresh);
    await way(fresh, far);
    await expect.poll(async () => (await fresh.all()).length, { timeout: 20_000 }).toBeGreaterThan(lines.length);
    // And it comes back by itself.
    await fresh.page.evaluate(() => {
      window.deaf = false;
    });
    await way(fresh, near);

    // The home goes away and comes back.
    await meisHome.program.stop('SIGKILL');
    await meisHome.program.start();
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
    await mei.presses('Copy as text');
    const copied = await mei.page.evaluate(() => navigator.clipboard.readText());
    expect(copied).toContain('A direct connection to your home came about.');
    expect(copied).toMatch(/- Path: (?:host|prflx) to (?:host|prflx), UDP/u);
    await mei.presses('Look again');
    await mei.reads('A direct connection to your home came about.');
  });
});
