/** The app served from elsewhere: built for one courtyard, handed out by any web server, let in by name and not otherwise. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@playwright/test';
import { Courtyard, useCourtyard } from './stage/courtyard';
import { talk } from './stage/friends';
import type { Person } from './stage/person';
import { Site } from './stage/site';
import { mei as meisName, tom as tomsName } from './stage/story';

const flags: string[] = [];
const folder = mkdtempSync(join(tmpdir(), 'courtyard-static-'));
let site: Site;
let stranger: Site;
let mei: Person;

test.beforeAll(async () => {
  [site, stranger] = [await Site.open(folder, 'yard'), await Site.open(folder, 'yard')];
  flags.push('--allow-origin', site.origin);
});
const yard = useCourtyard(new Courtyard('127.0.0.1', () => flags));
test.beforeAll(async ({ browser }) => {
  test.setTimeout(240_000);
  execFileSync(join(import.meta.dirname, '../../scripts/build'), ['static', '--api', yard.url], { env: { ...process.env, COURTYARD_STATIC: folder } });
  mei = await yard.person(browser);
  await mei.joins(yard.claim(), meisName);
});
test.afterAll(async () => {
  await Promise.all([site.close(), stranger.close()]);
  rmSync(folder, { recursive: true });
});

function at(where: Site, link: string): string {
  return `${where.origin}/yard/#invited.${encodeURIComponent(link)}`;
}

test('says itself what it may do, and with whom it may talk', () => {
  const page = readFileSync(join(folder, 'index.html'), 'utf8');
  const policy = /<meta http-equiv="Content-Security-Policy" content="([^"]+)"/u.exec(page)?.[1] ?? '';
  expect(policy).toContain("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'");
  expect(policy).toContain(`connect-src 'self' ${yard.url} ${yard.url.replace('http', 'ws')};`);
  expect(page.indexOf('charset')).toBeLessThan(1000);
  expect(page.indexOf('Content-Security-Policy')).toBeLessThan(page.indexOf('<script'));
  expect(page).not.toMatch(/(?:src|href)="\//u);
});

test('one joins, chats, and opens it again without a network', async ({ browser }) => {
  const tom = await yard.person(browser);
  await tom.opens(at(site, await mei.invites()));
  await expect(tom.page.getByRole('heading', { name: `${meisName} asks you in` })).toBeVisible();
  await tom.writes(tom.field('Your name, as friends call you'), tomsName);
  await tom.reads(`You will be tomas@${yard.host}`);
  await tom.presses('Join');
  await expect(tom.talk(meisName)).toBeVisible({ timeout: 60_000 });
  await talk(tom, tomsName, mei, meisName, 'from elsewhere');
  expect(new URL(tom.page.url()).origin).toBe(site.origin);
  // An invitation made here leads to the courtyard, not to this server.
  expect(await tom.invites()).toContain(`${yard.url}/i/`);
  await tom.page.evaluate(() => navigator.serviceWorker.ready.then(({ active }) => new Promise<void>((resolve) => {
    if (active?.state === 'activated') resolve();
    else active?.addEventListener('statechange', () => { if (active.state === 'activated') resolve(); });
  })));
  await tom.opensChatWith(meisName);
  tom.line.cut();
  await tom.reloads();
  await tom.sees('from elsewhere!');
  tom.line.mend();
  await tom.page.evaluate(() => { dispatchEvent(new Event('online')); });
  await tom.says('and back');
  await mei.opensChatWith(tomsName);
  await mei.sees('and back');
});

test('from a server that the courtyard does not know it is refused, in words', async ({ browser }) => {
  const bo = await yard.person(browser);
  await bo.opens(at(stranger, await mei.invites()));
  await bo.reads('The page was opened under another name than the courtyard’s own.');
  await expect(bo.field('Your name, as friends call you')).toHaveCount(0);
});

test('an address that is none is not built for', () => {
  for (const api of ['relay.example', 'http://relay.example', 'https://relay.example/app', 'https://[::1]']) {
    const build = (): Buffer => execFileSync(join(import.meta.dirname, '../../scripts/build'), ['static', '--api', api], {
      env: { ...process.env, COURTYARD_STATIC: join(folder, 'not') }, stdio: ['ignore', 'ignore', 'pipe'],
    });
    expect(build, api).toThrow(/--api/u);
  }
});
