/**
 * A person with a phone in the hand. What a test lets them do is what a person does: open a link, tap what has a
 * name, write into what has a label; and what they see is what stands on the glass. Every tap, every field written
 * into and every file chosen counts as one action.
 */
import { expect, type Browser, type BrowserContext, type BrowserContextOptions, type FileChooser, type Locator, type Page } from '@playwright/test';
import { Line } from './network';

const android =
  'Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36';

export interface Surroundings {
  /** the phone's language */
  readonly locale?: string;
  readonly userAgent?: string;
  readonly width?: number;
  readonly height?: number;
  readonly dark?: boolean;
  /** a mouse and a wide screen instead of a finger */
  readonly desk?: boolean;
}

export class Person {
  readonly context: BrowserContext;
  readonly #line: Line | undefined;
  readonly page: Page;
  /** taps, fields and files so far */
  actions = 0;
  readonly #desk: boolean;
  /** what the page itself complained about; looked at when the test is over */
  readonly complaints: string[] = [];

  private constructor(context: BrowserContext, line: Line | undefined, page: Page, desk: boolean) {
    this.context = context;
    this.#line = line;
    this.page = page;
    this.#desk = desk;
    page.on('pageerror', (error) => this.complaints.push(String(error.stack ?? error)));
  }

  static async comes(browser: Browser, host: string, of: Surroundings = {}): Promise<Person> {
    const line = await Line.open();
    const desk = of.desk ?? false;
    const options: BrowserContextOptions = {
      viewport: { width: of.width ?? (desk ? 1280 : 390), height: of.height ?? (desk ? 800 : 640) },
      locale: of.locale ?? 'en-GB',
      timezoneId: 'Europe/Zurich',
      colorScheme: of.dark === true ? 'dark' : 'light',
      reducedMotion: 'reduce',
      isMobile: !desk,
      hasTouch: !desk,
      proxy: line.proxy,
      baseURL: host,
      acceptDownloads: true,
    };
    if (of.userAgent !== undefined) options.userAgent = of.userAgent;
    else if (!desk) options.userAgent = android;
    const context = await browser.newContext(options);
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    return new Person(context, line, await context.newPage(), desk);
  }

  /** Somebody whose browser has a network of its own, and so no line that could be cut here. */
  static at(context: BrowserContext, page: Page): Person {
    return new Person(context, undefined, page, false);
  }

  async goes(): Promise<void> {
    await this.context.close();
    await this.#line?.close();
  }

  get line(): Line {
    if (this.#line === undefined) throw new Error('this browser has a network of its own');
    return this.#line;
  }

  /** Another tab of the same browser. */
  async tab(): Promise<Person> {
    return new Person(this.context, this.#line, await this.context.newPage(), this.#desk);
  }

  // What a finger does.

  async opens(url: string): Promise<void> {
    // A second link of the same page differs behind '#' only, which would not load it anew.
    await this.page.goto('about:blank');
    await this.page.goto(url);
  }

  /** Opens an address and waits until the courtyard knows this device. */
  async opensConnected(url: string): Promise<void> {
    const ready = new Promise<void>((resolve) => {
      this.page.on('websocket', (socket) => {
        socket.on('framereceived', ({ payload }) => {
          if (payload.toString().includes('"op":"ready"')) resolve();
        });
      });
    });
    await this.opens(url);
    await ready;
  }

  async reloads(): Promise<void> {
    await this.page.reload();
  }

  /** Waits until the app would open without a network. */
  async hasWorker(): Promise<void> {
    // `ready` would wait for ever on a page that began as /i/…, where the worker has no say.
    await expect
      .poll(() => this.page.evaluate(async () => (await navigator.serviceWorker.getRegistration('/app/'))?.active?.state), { timeout: 60_000 })
      .toBe('activated');
  }

  async taps(what: Locator): Promise<void> {
    this.actions += 1;
    await this.#hits(what);
  }

  #hits(what: Locator, within: { timeout?: number } = {}): Promise<void> {
    return this.#desk ? what.click(within) : what.tap(within);
  }

  /** Taps what may go away by itself; tells whether it was there. */
  async tapsIfThere(what: Locator): Promise<boolean> {
    const hit = async (within: { timeout?: number }): Promise<boolean> => {
      try {
        await this.#hits(what, within);
      } catch (error) {
        if (await what.isVisible()) throw error;
        return false;
      }
      this.actions += 1;
      return true;
    };
    // What is still there after two seconds was only slow.
    return hit({ timeout: 2_000 }).catch(() => hit({}));
  }

  /** Turns a switch, and waits until the courtyard has taken it down: in this part of its API, and wherever else it belongs. */
  async switches(what: Locator, part: 'vault' | 'settings'): Promise<void> {
    const taken = this.page.waitForResponse((response) => response.url().endsWith(`/api/1/${part}`) && response.request().method() === 'PUT' && response.ok());
    await this.taps(what);
    await taken;
    // It may be used again once all of it is done.
    await expect(what).toBeEnabled();
  }

  async writes(where: Locator, text: string): Promise<void> {
    this.actions += 1;
    await where.fill(text);
  }

  button(name: string | RegExp): Locator {
    return this.page.getByRole('button', { name, exact: typeof name === 'string' });
  }

  link(name: string | RegExp): Locator {
    return this.page.getByRole('link', { name, exact: typeof name === 'string' });
  }

  field(label: string | RegExp): Locator {
    return this.page.getByLabel(label, { exact: typeof label === 'string' });
  }

  async presses(name: string | RegExp): Promise<void> {
    await this.taps(this.button(name));
  }

  async follows(name: string | RegExp): Promise<void> {
    await this.taps(this.link(name));
  }

  async reads(text: string | RegExp): Promise<void> {
    await expect(this.page.getByText(text).filter({ visible: true }).first()).toBeVisible();
  }

  /** Copies the link or code that is shown, and what is in the clipboard then. */
  async copied(button = 'Copy link'): Promise<string> {
    await this.presses(button);
    await expect(this.button('Copied')).toBeVisible();
    return (await this.page.evaluate(() => navigator.clipboard.readText())).trim();
  }

  async readsNowhere(text: string | RegExp): Promise<void> {
    await expect(this.page.getByText(text).filter({ visible: true })).toHaveCount(0);
  }

  /** Does something and tells how many actions it took. */
  async counts(doing: () => Promise<void>): Promise<number> {
    const before = this.actions;
    await doing();
    return this.actions - before;
  }

  async chooses(what: Locator, files: Parameters<FileChooser['setFiles']>[0]): Promise<void> {
    const asked = this.page.waitForEvent('filechooser');
    await this.taps(what);
    this.actions += 1;
    await (await asked).setFiles(files);
  }

  /**
   * Rests a finger on something until it answers. Lifted on the spot right then, it may still be a tap to the
   * system; a finger that has wandered a little is none.
   */
  async holds(what: Locator, until: Locator, lifted: 'after wandering' | 'on the spot' = 'after wandering'): Promise<void> {
    this.actions += 1;
    await what.scrollIntoViewIfNeeded();
    const box = await what.boundingBox();
    if (box === null) throw new Error('nothing to hold');
    // The beginning of a bubble: a long one reaches beyond the glass, a link inside would be followed.
    const point = { x: box.x + Math.min(12, box.width / 2), y: box.y + Math.min(10, box.height / 2) };
    const finger = await this.context.newCDPSession(this.page);
    await finger.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: [point] });
    await expect(until).toBeVisible();
    if (lifted === 'after wandering') {
      await finger.send('Input.dispatchTouchEvent', { type: 'touchMove', touchPoints: [{ x: point.x + 40, y: point.y }] });
    }
    await finger.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
    await finger.detach();
  }

  /** Presses beside a sheet, which closes it. */
  async closesSheet(): Promise<void> {
    this.actions += 1;
    if (this.#desk) await this.page.mouse.click(8, 8);
    else await this.page.touchscreen.tap(8, 8);
    await expect(this.page.getByRole('dialog')).toHaveCount(0);
  }

  // The rooms.

  async goesTo(room: 'Chats' | 'Wall' | 'Friends' | 'Me'): Promise<void> {
    const link = this.page.getByRole('navigation', { name: 'Rooms' }).getByRole('link', { name: new RegExp(`^${room}`) });
    await this.#leads(link, this.page.getByRole('heading', { name: room, level: 1 }));
  }

  /** Taps what leads somewhere; as a person would, again if nothing came of it in ten seconds, and that is told. */
  async #leads(link: Locator, there: Locator): Promise<void> {
    await this.taps(link);
    await there.waitFor({ timeout: 10_000 }).catch(async () => {
      if (await there.isVisible()) return;
      console.log(`NOTE: a tap came to nothing: ${String(link)}`);
      await this.tapsIfThere(link); // what it led to may have covered it meanwhile
    });
    await expect(there).toBeVisible();
  }

  async joins(link: string, name: string): Promise<void> {
    await this.opens(link);
    await this.writes(this.field('Your name, as friends call you'), name);
    await this.presses('Join');
    await expect(this.button('Join')).toHaveCount(0);
    await expect(this.button('Joining …')).toHaveCount(0, { timeout: 60_000 });
  }

  /** From any room to a fresh invitation link. */
  async invites(): Promise<string> {
    await this.leaves();
    await this.goesTo('Friends');
    await this.follows('Invite link');
    const box = this.page.getByRole('group', { name: 'Invite link' });
    await expect(box).toContainText('/i/');
    const link = await box.innerText();
    await this.presses('Close');
    return link.trim();
  }

  /** Back out of a page within a room, so that the rooms stand at the foot again. */
  async leaves(): Promise<void> {
    const rooms = this.page.getByRole('navigation', { name: 'Rooms' });
    const back = this.page.getByRole('button', { name: /^Back/ });
    await expect(rooms.or(back).filter({ visible: true }).first()).toBeVisible();
    while (!(await rooms.isVisible())) {
      const before = this.page.url();
      const button = back.filter({ visible: true }).first();
      // A page that is leaving by itself just now takes its way back with it, and then the rooms are there.
      await expect(rooms.or(button).filter({ visible: true }).first()).toBeVisible();
      if (await this.tapsIfThere(button)) await expect.poll(() => this.page.url()).not.toBe(before);
    }
  }

  async opensChatWith(name: string): Promise<void> {
    if (await this.talk(name).isVisible()) return;
    await this.leaves();
    await this.goesTo('Chats');
    await this.#leads(this.page.getByRole('listitem').getByRole('link', { name: new RegExp(escaped(name)) }), this.talk(name));
  }

  talk(name: string): Locator {
    return this.page.getByRole('main', { name: `Conversation with ${name}` });
  }

  // The conversation that is open.

  get composer(): Locator {
    return this.field('Message');
  }

  async says(text: string): Promise<void> {
    await this.writes(this.composer, text);
    await this.presses('Send');
    await expect(this.composer).toHaveValue('');
  }

  message(text: string | RegExp): Locator {
    return this.page.locator('li[data-mid]').filter({ hasText: text });
  }

  async sees(text: string | RegExp): Promise<void> {
    await expect(this.message(text)).toHaveCount(1, { timeout: 40_000 });
    await expect(this.message(text)).toBeVisible();
  }

  /** All messages that stand in the conversation, from the top. */
  async all(): Promise<string[]> {
    return this.page.locator('li[data-mid] .words').allInnerTexts();
  }

  /** What the tick beneath a message says to the ear. A turn of several messages carries it on its last one. */
  async tick(text: string): Promise<string> {
    return this.message(text).evaluate((row: Element) => {
      for (let at: Element | null = row; at !== null; at = at.nextElementSibling) {
        const tick = at.querySelector('svg[role="img"]');
        if (tick !== null) return tick.getAttribute('aria-label') ?? '';
        if (!at.classList.contains('down')) return '';
      }
      return '';
    });
  }

  async hasTick(text: string, words: string): Promise<void> {
    await this.sees(text);
    await expect.poll(() => this.tick(text), { timeout: 40_000 }).toBe(words);
  }

  /** Opens what can be done with a message. */
  async takesUp(text: string | RegExp): Promise<void> {
    const bubble = this.message(text).locator('.bubble');
    const sheet = this.page.getByRole('dialog');
    if (this.#desk) {
      await this.message(text).hover();
      await this.taps(this.message(text).locator('[aria-haspopup="dialog"]'));
      await expect(sheet).toBeVisible();
    } else {
      await this.holds(bubble, sheet);
    }
  }
}

export function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/gu, '\\$&');
}
