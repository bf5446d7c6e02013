/** One person in two tabs, and the app without a network. */
import { expect, test } from '@playwright/test';
import { mei as meisName, stories, tom as tomsName } from './stage/story';

stories('two tabs and no network', (cast) => {
  test('two tabs of one browser do not fight: each message once, in both', async () => {
    const { mei, tom, yard } = cast;
    const other = await mei.tab();
    await other.opens(`${yard.url}/app/#/chats`);
    await other.opensChatWith(tomsName);
    await Promise.all([mei.says('from the first tab'), other.says('from the other tab'), tom.says('to both tabs')]);
    for (const person of [mei, other, tom]) {
      for (const text of ['from the first tab', 'from the other tab', 'to both tabs']) await person.sees(text);
    }
    expect(await other.all()).toEqual(await mei.all());
    expect(await tom.all()).toEqual(await mei.all());
    await mei.hasTick('from the first tab', `Read by ${tomsName}`);
    await other.hasTick('from the other tab', `Read by ${tomsName}`);
    // The one that is closed does not take the other with it.
    await mei.page.close();
    await other.says('one tab left');
    await tom.sees('one tab left');
    await tom.says('heard');
    await other.sees('heard');
    cast.mei = other;
  });

  test('the app opens from its cache on what it showed last, with no network at all', async () => {
    const { mei, tom, yard } = cast;
    await tom.says('read me without a network');
    await mei.sees('read me without a network');
    await mei.hasWorker();
    await mei.reloads(); // from here on the worker answers
    await mei.sees('read me without a network');
    mei.line.cut();
    await mei.context.setOffline(true);
    await mei.opens(`${yard.url}/app/`);
    await expect(mei.talk(tomsName)).toBeVisible();
    await mei.sees('read me without a network');
    for (const room of ['Chats', 'Friends', 'Me', 'Wall'] as const) {
      await mei.leaves();
      await mei.goesTo(room);
    }
    await mei.opensChatWith(tomsName);
    await mei.says('written without a network');
    await mei.hasTick('written without a network', 'Waiting to be sent');
    mei.line.mend();
    await mei.context.setOffline(false);
    await tom.opensChatWith(meisName);
    await tom.sees('written without a network');
  });
});
