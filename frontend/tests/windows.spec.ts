import { expect, test } from '@playwright/test';
import { useCourtyard } from './stage/courtyard';
import type { Person } from './stage/person';

const wechat =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.49(0x18003137) NetType/WIFI Language/zh_CN';
const whatsapp =
  'Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UD1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/124.0 Mobile Safari/537.36 WhatsApp/2.24.10';

const yard = useCourtyard();
let mei: Person;

/** Names of everything a browser keeps for this address. */
async function kept(person: Person): Promise<string[]> {
  return person.page.evaluate(async () => {
    const databases = 'indexedDB' in window ? (await indexedDB.databases()).map((one) => one.name ?? '') : [];
    const drawer = Object.keys(localStorage).filter((name) => !/language|theme/u.test(name));
    return [...databases, ...drawer, ...(document.cookie === '' ? [] : [document.cookie])];
  });
}

test.beforeAll(async ({ browser }) => {
  mei = await yard.person(browser);
  await mei.joins(yard.claim(), '林美');
});

test.describe('a window inside another app', () => {
  for (const [app, userAgent, real] of [
    ['WeChat', wechat, 'Safari'],
    ['WhatsApp', whatsapp, 'Chrome'],
  ] as const) {
    test(`${app}: no keys are made, ${real} is offered and the link can be copied`, async ({ browser }) => {
      const link = await mei.invites();
      const visitor = await yard.person(browser, { userAgent });
      await visitor.opens(link);
      await expect(visitor.page.getByRole('heading', { name: `Open in ${real}` })).toBeVisible();
      await visitor.reads(`${app} shows this page in a window of its own`);
      const target = await visitor.link(`Open in ${real}`).getAttribute('href');
      expect(target).toContain(link.replace('http://', ''));
      await visitor.presses('Copy link');
      await expect(visitor.button('Copied')).toBeVisible();
      expect(await visitor.page.evaluate(() => navigator.clipboard.readText())).toBe(link);
      await expect(visitor.field('Your name, as friends call you')).toHaveCount(0);
      expect(await kept(visitor)).toEqual([]);
      // The link is still good in a real browser.
      const real2 = await yard.person(browser);
      await real2.opens(link);
      await real2.reads('林美 asks you in');
    });
  }
});

test('opened without https the app explains, and is never a blank page', async ({ browser }) => {
  // A name that is not this machine's own: no secure context.
  const context = await browser.newContext({ viewport: { width: 390, height: 640 } });
  const page = await context.newPage();
  await page.route('http://yard.test/**', async (route) => {
    const url = route.request().url().replace('http://yard.test', yard.url);
    await route.fulfill({ response: await route.fetch({ url, headers: { ...route.request().headers(), host: yard.host } }) });
  });
  await page.goto('http://yard.test/app/');
  await expect(page.getByRole('heading', { name: 'This connection is not private' })).toBeVisible();
  await expect(page.getByRole('link', { name: 'Try with https' })).toHaveAttribute('href', 'https://yard.test/app/');
  await context.close();
});

test('without script there are words too', async ({ browser }) => {
  const context = await browser.newContext({ javaScriptEnabled: false, baseURL: yard.url });
  const page = await context.newPage();
  await page.goto('/app/');
  await expect(page.getByRole('heading', { name: 'Courtyard does not open' })).toBeVisible();
  await expect(page.getByRole('heading', { name: '院子打不开' })).toBeVisible();
  await context.close();
});

test.describe('an invitation opened by somebody who is here already', () => {
  test('says as whom, befriends, and never replaces the account', async ({ browser }) => {
    const tom = await yard.person(browser);
    await tom.joins(await mei.invites(), 'Tomás');
    const wei = await yard.person(browser);
    await wei.joins(await mei.invites(), '陈薇');
    const fromTom = await tom.invites();

    await wei.opens(fromTom);
    await expect(wei.page.getByRole('heading', { name: 'An invitation from Tomás' })).toBeVisible();
    await wei.reads('You are here as 陈薇.');
    await wei.reads('Join as someone else');
    await wei.reads(/private window/);
    await expect(wei.field('Your name, as friends call you')).toHaveCount(0);
    expect(await wei.copied()).toBe(fromTom);
    await wei.presses('Be friends with Tomás');
    await expect(wei.talk('Tomás')).toBeVisible();
    await wei.says('we know each other now');
    await tom.opensChatWith('陈薇');
    await tom.sees('we know each other now');
    await wei.leaves();
    await wei.goesTo('Me');
    await wei.reads('陈薇');

    // It was used by befriending.
    const late = await yard.person(browser);
    await late.opens(fromTom);
    await late.reads('This link has been used');
  });

  test('one of a friend leads to the chat, one’s own says so', async ({ browser }) => {
    const ioana = await yard.person(browser);
    await ioana.joins(await mei.invites(), 'Ioana');
    const own = await mei.invites();
    await ioana.opens(own);
    await ioana.reads('You and 林美 are friends already.');
    await ioana.follows('Chat with 林美');
    await expect(ioana.talk('林美')).toBeVisible();
    await mei.opens(own);
    await mei.reads('This is your own invitation.');
    await mei.follows('Go to Chats');
    await expect(mei.page.getByRole('heading', { name: 'Chats' })).toBeVisible();
  });
});
