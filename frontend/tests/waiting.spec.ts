/** Parts are gone: the line, the courtyard, the home, the browser. Nothing is lost, nothing comes twice, and the app says what waits for what. */
import { expect, test, type Page } from '@playwright/test';
import { mei as meisName, stories, tom as tomsName } from './stage/story';

/** How long a message that is still to come stands there without these words, in ms, as the page sees it: a busy machine lets a test wait longer. */
function until(page: Page, message: string, words: string): Promise<number> {
  return page.evaluate(({ message, words }) => new Promise<number>((resolve) => {
    let since: number | undefined;
    const watcher = new MutationObserver(() => {
      const glass = document.body.textContent;
      if (glass.includes(message)) since ??= performance.now();
      if (since === undefined || !glass.includes(words)) return;
      watcher.disconnect();
      resolve(performance.now() - since);
    });
    watcher.observe(document.body, { subtree: true, childList: true, characterData: true });
  }), { message, words });
}

stories('with parts gone', (cast, homeless) => {
  test('a dead line: what is written waits on the device, through a reload, says so after ten seconds, and goes once', async () => {
    const { mei, tom, yard } = cast;
    await mei.says('before the tunnel');
    await tom.sees('before the tunnel');
    await mei.hasWorker();
    const waited = until(mei.page, 'in the tunnel', 'Waiting for a connection.');
    mei.line.cut();
    const cut = Date.now();
    await mei.says('in the tunnel');
    await mei.hasTick('in the tunnel', 'Waiting to be sent');
    await mei.reads('Waiting for a connection. It is safe on this device; you may close the app, it goes by itself when you are back.');
    expect(Date.now() - cut).toBeGreaterThanOrEqual(10_000);
    expect(await waited).toBeLessThan(20_000);
    await mei.opens(`${yard.url}/app/`);
    await mei.opensChatWith(tomsName);
    await mei.sees('in the tunnel');
    await mei.says('still in the tunnel');
    await expect(tom.message('in the tunnel')).toHaveCount(0);
    mei.line.mend();
    await tom.sees(/^.*(?<!still )in the tunnel/);
    await tom.sees('still in the tunnel');
    await mei.hasTick('still in the tunnel', `Read by ${tomsName}`);
    await mei.readsNowhere('Waiting for a connection');
    await tom.says('welcome back');
    await mei.sees('welcome back');
    expect(await tom.all()).toEqual(await mei.all());
  });

  test('a reload in the very moment of Send: the words are sent once, or stand in the field', async () => {
    const { mei, tom } = cast;
    for (const text of ['gone in a blink', 'gone in a wink', 'gone in a flash']) {
      await mei.writes(mei.composer, text);
      await Promise.all([
        mei.page.waitForEvent('load'),
        mei.composer.evaluate((field: HTMLTextAreaElement) => {
          field.form?.requestSubmit();
          location.reload();
        }),
      ]);
      await expect(mei.talk(tomsName)).toBeVisible();
      const field = mei.composer;
      await expect
        .poll(async () => ((await field.inputValue()) === text ? 1 : 0) + (await mei.message(text).count()), { message: 'neither lost nor twice' })
        .toBe(1);
      if ((await field.inputValue()) === text) await mei.presses('Send');
      await tom.sees(text);
      await expect(field).toHaveValue('');
    }
    expect(await tom.all()).toEqual(await mei.all());
  });

  test('the chats say that one is offline', async () => {
    const { mei } = cast;
    await mei.presses('Back to chats');
    mei.line.cut();
    await mei.context.setOffline(true);
    await mei.reads('No connection to your courtyard. What you write is kept here and goes out by itself.');
    mei.line.mend();
    await mei.context.setOffline(false);
    await mei.readsNowhere('No connection to your courtyard.');
  });

  test('the courtyard loses its power and comes back: one row of each, for both', async () => {
    const { mei, tom, yard } = cast;
    await mei.says('it was fine a moment ago');
    await tom.sees('it was fine a moment ago');
    await yard.relay.stop('SIGKILL');
    await mei.says('is anybody there?');
    await tom.says('I hear nothing');
    await mei.hasTick('is anybody there?', 'Waiting to be sent');
    await mei.reads(/Waiting for (the courtyard|a connection)\. It is safe on this device/);
    await yard.relay.start();
    await tom.sees('is anybody there?');
    await mei.sees('I hear nothing');
    await mei.hasTick('is anybody there?', `Read by ${tomsName}`);
    await tom.hasTick('I hear nothing', `Read by ${meisName}`);
    await expect.poll(async () => (await tom.all()).join('\n')).toBe((await mei.all()).join('\n'));
    // The homes are back as well: what is said now gets there.
    await tom.says('and now?');
    await tom.hasTick('and now?', `Read by ${meisName}`);
  });

  test('a power cut in the middle of many words', async () => {
    const { mei, tom, yard } = cast;
    for (let n = 1; n <= 12; n++) {
      await mei.says(`word ${String(n)} of twelve`);
      if (n === 5) await yard.relay.stop('SIGKILL');
      if (n === 9) await yard.relay.start();
    }
    await tom.sees('word 12 of twelve');
    const said = (all: string[]): string[] => all.filter((one) => one.endsWith('of twelve'));
    await expect.poll(async () => said(await tom.all()), { timeout: 60_000 }).toEqual(Array.from({ length: 12 }, (_, n) => `word ${String(n + 1)} of twelve`));
    expect(said(await mei.all())).toEqual(said(await tom.all()));
  });

  test('a letter reaches its rest while no browser is open', async ({ browser }) => {
    const { mei, tom, yard } = cast;
    await tom.page.close();
    await mei.says('for when you are back');
    await mei.hasTick('for when you are back', cast.restsAtToms);
    cast.tom = await tom.tab();
    await cast.tom.opens(`${yard.url}/app/`);
    await cast.tom.opensChatWith(meisName);
    await cast.tom.sees('for when you are back');
    await mei.hasTick('for when you are back', `Read by ${tomsName}`);
    expect(browser.isConnected()).toBe(true);
  });

  if (homeless) return;

  test('the friend’s home is off: accepted, then the words, then its tick without a browser', async () => {
    const { mei, tom, tomsHome, yard } = cast;
    if (tomsHome === undefined) throw new Error('Tomás has a home in this story');
    await mei.says('before the lights went out');
    await tom.sees('before the lights went out');
    await mei.hasTick('before the lights went out', `Read by ${tomsName}`); // nothing is on its way any more
    await tomsHome.program.stop();
    await tom.page.close();
    await mei.says('your lights are out');
    await mei.hasTick('your lights are out', 'Accepted by the courtyard');
    await mei.reads(`Waiting for ${tomsName}’s home. You may close the app; it goes by itself.`);
    await mei.leaves();
    await mei.goesTo('Me');
    await mei.follows('Diagnostics');
    await mei.reads(new RegExp(`^1 letter for the home of ${tomsName}, since .*they wait at the courtyard\\.$`, 'u'));
    await mei.leaves();
    await mei.goesTo('Chats');
    await mei.opensChatWith(tomsName);
    await tomsHome.program.start();
    await mei.hasTick('your lights are out', `Safe in ${tomsName}’s home`);
    await mei.readsNowhere(`Waiting for ${tomsName}’s home`);
    cast.tom = await tom.tab();
    await cast.tom.opens(`${yard.url}/app/`);
    await cast.tom.opensChatWith(meisName);
    await cast.tom.sees('your lights are out');
    await mei.hasTick('your lights are out', `Read by ${tomsName}`);
  });

  test('the home loses its power: nothing is missing in it and nothing doubled', async () => {
    const { mei, tom, tomsHome } = cast;
    if (tomsHome === undefined) throw new Error('Tomás has a home in this story');
    for (let n = 1; n <= 8; n++) {
      await mei.says(`line ${String(n)} of eight`);
      if (n === 3) await tomsHome.program.stop('SIGKILL');
      if (n === 6) await tomsHome.program.start();
    }
    await tom.sees('line 8 of eight');
    await mei.hasTick('line 8 of eight', `Read by ${tomsName}`);
    const wanted = Array.from({ length: 8 }, (_, n) => `line ${String(n + 1)} of eight`);
    await expect.poll(async () => (await tom.all()).filter((one) => one.endsWith('of eight'))).toEqual(wanted);
  });
});
