/**
 * The people of scripts/natlab: each with a real browser in a network of its own. What they do is told by scripts/nat;
 * what they see is told back, and judged there.
 */
import { chromium, expect, test, type BrowserContext } from '@playwright/test';
import { diagnosis, hangsUp, makePhoto, savesPhoto, seesItEnd, sendsPhoto } from './screens';
import { calls } from '../stage/calls';
import { hasHome } from '../stage/story';
import { Person } from '../stage/person';
import { peersOf, watchPeers } from './peers';
import { serve, type Request } from './socket';

interface Owner {
  readonly context: BrowserContext;
  readonly person: Person;
}

const owners = new Map<string, Owner>();

function owner(who: string): Owner {
  const found = owners.get(who);
  if (found === undefined) throw new Error(`${who} has no browser open`);
  return found;
}

function asked(request: Request, name: string): string {
  const value = request.with[name];
  if (value === undefined) throw new Error(`${request.do} needs "${name}"`);
  return value;
}

/** A browser that is closed and opened again is the same one: its folder stays. */
async function begins(request: Request): Promise<void> {
  const context = await chromium.launchPersistentContext(asked(request, 'folder'), {
    executablePath: asked(request, 'browser'),
    viewport: { width: 390, height: 640 }, isMobile: true, hasTouch: true, locale: 'en-GB', reducedMotion: 'reduce', acceptDownloads: true,
    permissions: ['clipboard-read', 'clipboard-write'],
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
      // Pictures that move are enough to do for two cores.
      '--use-fake-device-for-media-stream=fps=5', '--use-fake-ui-for-media-stream', '--autoplay-policy=no-user-gesture-required',
      `--ignore-certificate-errors-spki-list=${asked(request, 'certificate')}`,
    ],
  });
  await watchPeers(context);
  const page = context.pages()[0] ?? (await context.newPage());
  const person = Person.at(context, page);
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') person.complaints.push(`${message.type()}: ${message.text()}`);
  });
  owners.set(request.who, { context, person });
}

async function ends(who: string): Promise<void> {
  await owner(who).context.close();
  owners.delete(who);
}

async function does(request: Request): Promise<unknown> {
  if (request.do === 'begin') return begins(request);
  if (request.do === 'end') return ends(request.who);
  const { person } = owner(request.who);
  switch (request.do) {
    case 'join':
      return person.joins(asked(request, 'link'), asked(request, 'name'));
    case 'invite':
      return person.invites();
    case 'hasHome':
      return hasHome(person);
    case 'open':
      return person.opensConnected(asked(request, 'url'));
    case 'chat':
      return person.opensChatWith(asked(request, 'name'));
    case 'say':
      return person.says(asked(request, 'text'));
    case 'see':
      await person.sees(asked(request, 'text'));
      return person.message(asked(request, 'text')).innerText();
    case 'leave':
      return person.leaves();
    case 'way':
      return person.page.locator('.way').innerText();
    case 'diagnosis':
      return diagnosis(person);
    case 'makePhoto':
      return makePhoto(person, asked(request, 'path'), Number(asked(request, 'side')));
    case 'sendPhoto':
      return sendsPhoto(person, asked(request, 'path'), asked(request, 'caption'));
    case 'savePhoto':
      return savesPhoto(person, asked(request, 'caption'), asked(request, 'path'), Number(asked(request, 'patience')));
    case 'call':
      return calls(person, asked(request, 'name'), true);
    case 'answer':
      return person.presses('Answer');
    case 'hangUp':
      return hangsUp(person);
    case 'seesItEnd':
      return seesItEnd(person);
    case 'peers':
      return peersOf(person.page);
    case 'complaints':
      return person.complaints.splice(0);
    case 'picture':
      await person.page.screenshot({ path: asked(request, 'path') });
      return undefined;
    default:
      throw new Error(`nobody knows how to ${request.do}`);
  }
}

test('do what scripts/nat says', async () => {
  const path = process.env['NATLAB_SOCKET'];
  expect(path, 'this is started by scripts/natlab').toBeDefined();
  if (path === undefined) return;
  await serve(path, does);
  for (const { context } of owners.values()) await context.close();
});
