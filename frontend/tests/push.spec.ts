/**
 * Notifications. What a browser's maker would do is done by a push service on this machine: the page gets its address
 * in place of the maker's, and what the service has opened is handed to the service worker as the browser would.
 */
import { expect, test, type CDPSession, type Page, type Worker } from '@playwright/test';
import { windowed } from '../playwright.config';
import { Courtyard, useCourtyard } from './stage/courtyard';
import { opensPerson, talk } from './stage/friends';
import { fits, noViolations, picture } from './stage/looks';
import type { Person } from './stage/person';
import { mei, tom } from './stage/story';
import { Vendor, type Address } from './stage/vendor';

test.use(windowed); // pages alone get no push

let vendor: Vendor;
test.beforeAll(async () => {
  vendor = await Vendor.start();
});
test.afterAll(() => vendor.stop());

const yard = useCourtyard(new Courtyard('127.0.0.1', () => ['--push-host', vendor.host, '--reach', '127.0.0.0/8']));

/** From any room. */
async function goesToNotifications(person: Person): Promise<void> {
  await person.leaves();
  await person.goesTo('Me');
  await person.follows('Notifications');
  await expect(person.page.getByRole('heading', { name: 'Notifications', level: 1 })).toBeVisible();
}

function theSwitch(person: Person): ReturnType<Page['getByRole']> {
  return person.page.getByRole('switch', { name: /^Tell me when somebody writes/ });
}

/** Gives the pages of somebody's browser a subscription of ours, where the maker's would be asked for one. */
async function subscribes(person: Person, address: Address): Promise<void> {
  await person.context.addInitScript(({ endpoint, p256dh, auth }) => {
    const part = (text: string): ArrayBuffer => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0)).buffer;
    const made = (): unknown => {
      const key = localStorage.getItem('test.subscribed');
      return key === null ? null : {
        endpoint, options: { applicationServerKey: Uint8Array.from(JSON.parse(key) as number[]).buffer },
        getKey: (name: string) => part(name === 'auth' ? auth : p256dh),
        unsubscribe: () => {
          localStorage.removeItem('test.subscribed');
          return Promise.resolve(true);
        },
      };
    };
    PushManager.prototype.getSubscription = () => Promise.resolve(made() as PushSubscription | null);
    PushManager.prototype.subscribe = (options) => {
      localStorage.setItem('test.subscribed', JSON.stringify([...(options?.applicationServerKey as Uint8Array)]));
      return Promise.resolve(made() as PushSubscription);
    };
  }, address);
}

/** The browser's hand: gives the service worker what the maker's service would have brought. */
class Hand {
  readonly #session: CDPSession;
  readonly #registration: string;
  readonly #origin: string;
  readonly worker: Worker;

  private constructor(session: CDPSession, registration: string, origin: string, worker: Worker) {
    this.#session = session;
    this.#registration = registration;
    this.#origin = origin;
    this.worker = worker;
  }

  static async of(person: Person): Promise<Hand> {
    const session = await person.context.newCDPSession(person.page);
    const scope = `${yard.url}/app/`;
    const registered = new Promise<string>((resolve) => {
      session.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => {
        const ours = registrations.find(({ scopeURL }) => scopeURL === scope);
        if (ours) resolve(ours.registrationId);
      });
    });
    await session.send('ServiceWorker.enable');
    const id = await registered;
    const worker = person.context.serviceWorkers().find((each) => each.url().startsWith(scope)) ?? (await person.context.waitForEvent('serviceworker'));
    return new Hand(session, id, yard.url, worker);
  }

  async delivers(data: string): Promise<void> {
    await this.#session.send('ServiceWorker.deliverPushMessage', { origin: this.#origin, registrationId: this.#registration, data });
  }

  /** Title and words of what is shown. */
  shown(): Promise<string[]> {
    return this.worker.evaluate(async () => {
      const worker = globalThis as unknown as { registration: ServiceWorkerRegistration };
      return (await worker.registration.getNotifications()).map(({ title, body }) => `${title}: ${body}`);
    });
  }

  /** Somebody taps the one about whom it says this. */
  taps(title: string): Promise<void> {
    return this.worker.evaluate(async (wanted) => {
      const worker = globalThis as unknown as { registration: ServiceWorkerRegistration; dispatchEvent(event: Event): boolean };
      const notification = (await worker.registration.getNotifications()).find((each) => each.title === wanted);
      if (!notification) throw new Error(`nothing shown about ${wanted}`);
      worker.dispatchEvent(new NotificationEvent('notificationclick', { notification }));
    }, title);
  }
}

// One story, told in order.
test.describe.configure({ mode: 'serial' });

let owner: Person;
let friend: Person;
test.beforeAll(async ({ browser }) => {
  owner = await yard.person(browser);
  await owner.joins(yard.claim(), mei);
  await owner.leaves();
  await owner.goesTo('Me');
  await owner.follows(/Name, picture, words$/);
  await owner.writes(owner.field('A few words about you (optional)'), '种柿子。');
  await owner.presses('Save');
  await owner.reads('Saved. Your friends will see it.');
  friend = await yard.person(browser);
  await friend.joins(await owner.invites(), tom);
  // The worker knows people by what they told about themselves: her words come with the name that it shows.
  await opensPerson(friend, mei);
  await friend.reads('种柿子。');
  await talk(owner, mei, friend, tom, 'here');
});

test('a browser that is not let tells so in words', async () => {
  await goesToNotifications(owner);
  // A headless browser forbids what nobody has allowed.
  await expect(owner.page.getByText('Notifications from this courtyard are forbidden in your browser.')).toBeVisible();
  await expect(theSwitch(owner)).toBeDisabled();
});

test('a browser that does not reach its maker tells so in words', async () => {
  await owner.context.grantPermissions(['notifications', 'clipboard-read', 'clipboard-write']);
  await owner.reloads();
  await expect(theSwitch(owner)).toBeEnabled();
  // This Chromium has no maker to turn to: what it does here it does behind a wall as well.
  await owner.taps(theSwitch(owner));
  await expect(owner.page.getByText('Your browser did not reach the service that brings notifications.')).toBeVisible();
  await expect(theSwitch(owner)).not.toBeChecked();
});

test('switched on, a letter wakes the browser and shows who wrote', async () => {
  const address = vendor.subscribe();
  await subscribes(friend, address);
  await friend.context.grantPermissions(['notifications', 'clipboard-read', 'clipboard-write']);
  await friend.opensConnected(`${yard.url}/app/#/me/notifications`);
  await friend.taps(theSwitch(friend));
  await expect(theSwitch(friend)).toBeChecked();

  // The test goes all the way to the service, and the worker says that it has come.
  const hand = await Hand.of(friend);
  await friend.presses('Send a test');
  const text = await vendor.push(1);
  expect(JSON.parse(text)).toMatchObject({ v: 1, kind: 'test', n: 0 });
  await hand.delivers(text);
  await expect(friend.page.getByText('The test has arrived.')).toBeVisible();
  await expect.poll(() => hand.shown()).toEqual(['Courtyard: This is the test. Notifications work.']);

  // Nobody is there now.
  await friend.page.goto('about:blank');
  await owner.opensChatWith(tom);
  await owner.says('吃了吗？');
  const woken = JSON.parse(await vendor.push(2)) as Record<string, unknown>;
  expect(woken).toMatchObject({ v: 1, kind: 'chat', n: 1 });
  expect(JSON.stringify(woken)).not.toContain('吃');
  await hand.delivers(JSON.stringify(woken));
  await expect.poll(() => hand.shown()).toContain(`${mei}: New message`);
  // The same conversation has one notification, whatever comes.
  await hand.delivers(JSON.stringify({ ...woken, n: 3 }));
  await expect.poll(() => hand.shown()).toEqual(expect.arrayContaining([`${mei}: 3 new messages`]));
  expect((await hand.shown()).filter((each) => each.startsWith(mei))).toHaveLength(1);

  // A tap leads to the conversation; having seen it takes the notification away.
  await friend.opensConnected(`${yard.url}/app/#/me`);
  // A page that does not listen yet would miss where it leads.
  await expect.poll(() => friend.page.evaluate(() => navigator.serviceWorker.onmessage !== null)).toBe(true);
  await hand.taps(mei);
  await friend.sees('吃了吗？');
  await expect.poll(() => hand.shown()).not.toContain(`${mei}: 3 new messages`);
});

test('whatever comes, something is shown', async () => {
  const hand = await Hand.of(friend);
  await hand.delivers('no JSON');
  await expect.poll(() => hand.shown()).toContain('Courtyard: New message');
  await hand.delivers(JSON.stringify({ v: 2, kind: 'call', uid: '../../evil', n: -1, to: 'x' }));
  await expect.poll(() => hand.shown()).toContain('Courtyard: Calls you');
});

test('a page that nobody looks at tells by itself', async () => {
  const hand = await Hand.of(friend);
  const before = vendor.pushes.length;
  await friend.leaves();
  await friend.goesTo('Chats');
  // Headless pages are always looked at, whatever lies over them: both sides are told otherwise.
  await friend.page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => 'hidden' });
  });
  await hand.worker.evaluate(() => {
    Object.defineProperty(WindowClient.prototype, 'visibilityState', { get: () => 'hidden' });
  });
  await owner.says('还在吗？');
  await expect(friend.page).toHaveTitle(/\(1\)/u);
  await expect.poll(() => hand.shown()).toContain(`${mei}: New message`);
  expect(vendor.pushes.length).toBe(before);
  // Looked at, it goes.
  await friend.page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => 'visible' });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await friend.opensChatWith(mei);
  await expect.poll(() => hand.shown()).not.toContain(`${mei}: New message`);
});

test('a muted friend wakes nobody, on any device', async () => {
  await friend.opensConnected(`${yard.url}/app/#/chats`);
  await friend.opensChatWith(mei);
  await friend.taps(friend.page.getByRole('link', { name: new RegExp(mei) }));
  const tell = friend.page.getByRole('switch', { name: /^Notifications/ });
  await expect(tell).toBeChecked();
  await friend.taps(tell);
  await expect(friend.page.getByText(`You are not told when ${mei} writes.`)).toBeVisible();
  const before = vendor.pushes.length;
  await friend.page.goto('about:blank');
  await owner.says('不吵你了');
  await friend.opensConnected(`${yard.url}/app/#/chats`);
  await friend.opensChatWith(mei);
  await friend.sees('不吵你了');
  await friend.taps(friend.page.getByRole('link', { name: new RegExp(mei) }));
  await expect(tell).not.toBeChecked();
  await friend.taps(tell);
  await expect(friend.page.getByText(`You are told when ${mei} writes.`)).toBeVisible();
  await friend.page.goto('about:blank');
  await owner.says('现在呢？');
  expect(JSON.parse(await vendor.push(before + 1))).toMatchObject({ kind: 'chat', n: 1 });
});

test('what a browser has dropped is subscribed anew when the app opens', async () => {
  await friend.page.goto(`${yard.url}/app/icon.svg`);
  await friend.page.evaluate(() => {
    localStorage.removeItem('test.subscribed');
  });
  await friend.opensConnected(`${yard.url}/app/#/me/notifications`);
  await expect(theSwitch(friend)).toBeChecked();
  await expect.poll(() => friend.page.evaluate(() => localStorage.getItem('test.subscribed'))).not.toBeNull();
  await friend.presses('Send a test');
  await expect.poll(() => vendor.pushes.at(-1)).toContain('"test"');
});

test('a subscription that the browser moves goes on without the app', async () => {
  const before = vendor.pushes.length;
  const next = vendor.subscribe();
  const hand = await Hand.of(friend);
  await friend.page.goto('about:blank');
  const told = friend.context.waitForEvent('response', (response) => response.url().endsWith('/api/1/push/moved'));
  await hand.worker.evaluate(({ endpoint, p256dh, auth }) => {
    const newSubscription = { endpoint, toJSON: () => ({ endpoint, keys: { p256dh, auth } }) };
    const worker = globalThis as unknown as { dispatchEvent(event: Event): boolean };
    worker.dispatchEvent(Object.assign(new ExtendableEvent('pushsubscriptionchange'), { newSubscription }));
  }, next);
  expect((await told).status()).toBe(200);
  await owner.opensChatWith(tom);
  await owner.says('搬家了？');
  await vendor.push(before + 1);
  expect(vendor.endpoints.at(-1)).toBe(next.endpoint);
  // The page still has the former one, and says so.
  await friend.opensConnected(`${yard.url}/app/#/me/notifications`);
  await expect(theSwitch(friend)).toBeChecked();
});

test('the pages are whole, narrow and wide, light and dark, in all languages', async () => {
  const { page } = friend;
  for (const language of ['en', 'zh-Hans', 'zh-Hant']) {
    await page.evaluate((chosen) => {
      localStorage.setItem('courtyard.language', chosen);
    }, language);
    for (const [width, scheme] of [[360, 'light'], [360, 'dark'], [1280, 'light']] as const) {
      const name = `notifications-${String(width)}-${scheme}-${language}`;
      await page.setViewportSize({ width, height: 640 });
      await page.emulateMedia({ colorScheme: scheme });
      await friend.opensConnected(`${yard.url}/app/#/me/notifications`);
      await expect(page.getByRole('switch')).toBeChecked();
      await page.locator('.stack button').click();
      await noViolations(page, name);
      await fits(page, name);
      await picture(page, name);
    }
  }
  await page.evaluate(() => {
    localStorage.setItem('courtyard.language', 'en');
  });
  await page.setViewportSize({ width: 390, height: 640 });
  await page.emulateMedia({ colorScheme: 'light' });
});

test('another language is spoken by notifications as well', async () => {
  const hand = await Hand.of(friend);
  await friend.opensConnected(`${yard.url}/app/#/me/language`);
  await friend.taps(friend.page.getByRole('radio', { name: '简体中文' }));
  await expect(friend.page.getByRole('heading', { name: '语言', level: 1 })).toBeVisible();
  await expect.poll(async () => {
    await hand.delivers('{"v":1,"kind":"chat","n":2}');
    return hand.shown();
  }).toContain('Courtyard: 2 条新消息');
  await friend.page.evaluate(() => {
    localStorage.setItem('courtyard.language', 'en');
  });
});

test('switched off, and signed out, nothing stays', async () => {
  await friend.opensConnected(`${yard.url}/app/#/me/notifications`);
  await expect(theSwitch(friend)).toBeChecked();
  await friend.taps(theSwitch(friend));
  await expect(theSwitch(friend)).not.toBeChecked();
  await expect(friend.button('Send a test')).toHaveCount(0);
  await expect(theSwitch(friend)).toBeEnabled(); // it is while the courtyard is being told that it is not
  await friend.reloads();
  await expect(theSwitch(friend)).toBeEnabled();
  await expect(theSwitch(friend)).not.toBeChecked();
  await friend.taps(theSwitch(friend));
  await expect(theSwitch(friend)).toBeChecked();
  await expect(friend.button('Send a test')).toBeVisible(); // the switch goes ahead of what stands
  await friend.leaves();
  await friend.follows('Sign out');
  await friend.presses(/^(?:Sign out and wipe|Lose the account and sign out)$/u);
  await expect(friend.field('Your invitation link')).toBeVisible();
  expect(await friend.page.evaluate(() => localStorage.getItem('test.subscribed'))).toBeNull();
});

test('the page on which one has joined can switch them on', async ({ browser }) => {
  const guest = await yard.person(browser);
  await guest.context.grantPermissions(['notifications', 'clipboard-read', 'clipboard-write']);
  await guest.joins(await owner.invites(), 'Wei');
  await goesToNotifications(guest);
  await guest.taps(theSwitch(guest));
  // It has got as far as the browser's maker, of which there is none here.
  await expect(guest.page.getByText('Your browser did not reach the service that brings notifications.')).toBeVisible();
});
