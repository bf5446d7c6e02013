/** Friends within the courtyard: by handle, by invitation, by a code on the screen; removed, blocked, and back. */
import { expect, test, type Route } from '@playwright/test';
import { useCourtyard } from './stage/courtyard';
import { asks, blocks, goesToFriends, isConfirmed, opensPerson, pictureOf, removes, row, showsCode, talk } from './stage/friends';
import type { Person } from './stage/person';
import { movesIn } from './stage/story';

const meisName = '林美';
const tomsName = 'Tomás';
const weisName = '陈薇';
const unknown = 'It is not there, or not for you to see.';

for (const homeless of [false, true]) {
  test.describe(`friends, 陈薇 ${homeless ? 'without a home' : 'with a home'}`, () => {
    const yard = useCourtyard();
    let mei: Person;
    let tom: Person;
    let wei: Person;
    let weisAddress: string;

    /** Mei knows both; Tomás and 陈薇 do not know each other. */
    test.beforeAll(async ({ browser }) => {
      test.setTimeout(240_000);
      mei = await yard.person(browser);
      await mei.joins(yard.claim(), meisName);
      tom = await yard.person(browser);
      await tom.joins(await mei.invites(), tomsName);
      wei = await yard.person(browser);
      await wei.joins(await mei.invites(), weisName);
      if (!homeless) await movesIn(yard, wei);
      await wei.leaves();
      await wei.goesTo('Me');
      weisAddress = /\S+@\S+:\d+/u.exec(await wei.page.getByRole('main').innerText())?.[0] ?? '';
      expect(weisAddress).toContain('@localhost:');
    });

    /** Tomás and 陈薇 are friends, by name. */
    async function acquainted(): Promise<void> {
      await goesToFriends(tom);
      if ((await row(tom, weisName).count()) > 0) return;
      await asks(tom, weisAddress);
      await goesToFriends(wei);
      await wei.taps(row(wei, tomsName).getByRole('button', { name: 'Accept' }));
      await expect(row(tom, weisName)).toContainText('not confirmed');
    }

    test('what is no address, oneself, and another courtyard each have a sentence', async () => {
      await asks(tom, 'Not An Address!');
      await tom.reads('An address looks like wei or wei@courtyard.example.');
      await tom.writes(tom.field('Their address'), 'wei@elsewhere.example');
      await tom.presses('Ask to be friends');
      await tom.reads('Their courtyard does not answer just now.');
      await tom.writes(tom.field('Their address'), 'tomas');
      await tom.presses('Ask to be friends');
      await tom.reads('That is you.');
      await tom.writes(tom.field('Their address'), 'nobody.by.this.name');
      await tom.presses('Ask to be friends');
      await tom.reads(unknown);
      await tom.presses('Close');
    });

    test('by address, with words, while the other’s browser is closed; accepted', async () => {
      await wei.page.goto('about:blank');
      await asks(tom, weisAddress, 'We made dumplings at 静怡’s.');
      await expect(tom.page.getByRole('dialog')).toHaveCount(0);
      await tom.reads(/will see your request\.$|they will see your request\.$/);
      await expect(tom.page.getByRole('heading', { name: 'Asked, not answered yet' })).toBeVisible();

      await wei.opens(`${yard.url}/app/#/friends`);
      await expect(wei.page.getByRole('heading', { name: 'Would like to be friends' })).toBeVisible();
      const request = row(wei, tomsName);
      await expect(request).toContainText('We made dumplings at 静怡’s.');
      await expect(request).toContainText(`tomas@${yard.host}`);
      await expect(wei.page.getByRole('navigation', { name: 'Rooms' }).getByRole('link', { name: /^Friends/ })).toContainText('1 request');
      expect(await wei.counts(() => wei.taps(request.getByRole('button', { name: 'Accept' })))).toBe(1);
      await wei.reads(`You and ${tomsName} are friends now.`);
      await expect(row(tom, weisName)).toContainText('not confirmed');
      await talk(tom, tomsName, wei, weisName, 'dumplings');
    });

    test('known by name alone is not confirmed, on both sides; the code on the screen confirms both', async () => {
      await acquainted();
      await isConfirmed(tom, weisName, false);
      await tom.reads(`You know ${weisName} by name alone, and have the courtyard’s word for it.`);
      await isConfirmed(wei, tomsName, false);

      const code = await showsCode(wei);
      await opensPerson(tom, weisName);
      await tom.follows('Scan code');
      await tom.chooses(tom.button('Choose a picture'), code);
      await expect(tom.page.getByRole('heading', { name: `An invitation from ${weisName}` })).toBeVisible();
      await tom.reads(`You and ${weisName} are friends already.`);
      await tom.presses(`Confirm ${weisName}`);
      await expect(tom.talk(weisName)).toBeVisible();
      await isConfirmed(tom, weisName, true);
      await isConfirmed(wei, tomsName, true);
    });

    test('removed: nothing can be sent either way; asked again and accepted they go on', async () => {
      await acquainted();
      await talk(tom, tomsName, wei, weisName, 'before');
      await removes(tom, weisName);
      await tom.opensChatWith(weisName);
      await tom.reads(`You and ${weisName} are not friends at the moment. Nothing can be sent.`);
      await tom.sees('before!');
      await expect(tom.composer).toHaveCount(0);
      await wei.opensChatWith(tomsName);
      await wei.reads(`You and ${tomsName} are not friends at the moment. Nothing can be sent.`);
      await expect(wei.composer).toHaveCount(0);
      await wei.presses('Ask to be friends again');
      await wei.reads(`${tomsName} has not answered your request yet.`);
      await tom.reads(`${weisName} would like to be friends.`);
      await tom.presses('Accept');
      await talk(wei, weisName, tom, tomsName, 'reconciled');
    });

    test('blocked: nothing gets through and the other is not told; unblocked one may ask again', async () => {
      await acquainted();
      await blocks(wei, tomsName);
      await wei.reads(`You have blocked ${tomsName}.`);
      await expect(wei.link('Chat')).toHaveCount(0);
      await wei.leaves();
      await wei.goesTo('Chats');
      await expect(wei.page.getByRole('listitem').filter({ hasText: tomsName })).toHaveCount(0);
      await tom.opensChatWith(weisName);
      await tom.says('are you there?');
      await expect(tom.page.getByText('They cannot be reached: you are not friends, or there is nobody by this name.').first()).toBeVisible();
      await tom.readsNowhere(/blocked/);

      await asks(tom, weisAddress);
      await tom.reads(unknown);
      await tom.presses('Close');
      await goesToFriends(wei);
      await expect(wei.page.getByRole('heading', { name: 'Would like to be friends' })).toHaveCount(0);
      await wei.taps(wei.page.getByText('Blocked and removed (1)'));
      await expect(row(wei, tomsName)).toContainText('blocked');
      await wei.taps(row(wei, tomsName).getByRole('link'));
      await wei.presses('Unblock');
      await wei.reads(`${tomsName} is no longer blocked.`);
      // To Tomás they were friends all the time, so he has nothing to decide.
      await wei.presses('Ask to be friends again');
      await expect(wei.link('Chat')).toBeVisible({ timeout: 40_000 });
      await talk(wei, weisName, tom, tomsName, 'after the block');
      await wei.readsNowhere('are you there?');
    });

    test('an invitation scanned from the screen by somebody who is here', async ({ browser }) => {
      const ana = await yard.person(browser);
      await ana.joins(await mei.invites(), 'Ana');
      await goesToFriends(wei);
      await wei.follows('Invite link');
      const code = await pictureOf(wei, 'Invitation as a code for a camera');
      await wei.presses('Close');
      await goesToFriends(ana);
      await ana.follows('Scan code');
      await ana.chooses(ana.button('Choose a picture'), code);
      await expect(ana.page.getByRole('heading', { name: `An invitation from ${weisName}` })).toBeVisible();
      await ana.presses(`Be friends with ${weisName}`);
      await expect(ana.talk(weisName)).toBeVisible();
      await talk(ana, 'Ana', wei, weisName, 'scanned');
      await isConfirmed(ana, weisName, true);
      await isConfirmed(wei, 'Ana', true);
    });

    test('a code on the screen makes friends of two who did not know each other, confirmed on both sides', async ({ browser }) => {
      const bo = await yard.person(browser);
      await bo.joins(await mei.invites(), 'Bo');
      const code = await showsCode(wei);
      await goesToFriends(bo);
      const actions = await bo.counts(async () => {
        await bo.follows('Scan code');
        await bo.chooses(bo.button('Choose a picture'), code);
        await bo.presses(`Be friends with ${weisName}`);
      });
      expect(actions).toBeLessThanOrEqual(4);
      await talk(bo, 'Bo', wei, weisName, 'from screen to screen');
      await isConfirmed(bo, weisName, true);
      await isConfirmed(wei, 'Bo', true);
    });

    test('declined, with ten seconds to think better of it', async ({ browser }) => {
      const cy = await yard.person(browser);
      await cy.joins(await mei.invites(), 'Cy');
      await asks(cy, weisAddress, 'Remember me?');
      await goesToFriends(wei);
      await wei.taps(row(wei, 'Cy').getByRole('button', { name: 'Not now' }));
      await wei.reads('Set aside the request from Cy.');
      await expect(row(wei, 'Remember me?')).toHaveCount(0);
      await wei.presses('Undo');
      await expect(row(wei, 'Remember me?')).toBeVisible();
      await wei.taps(row(wei, 'Cy').getByRole('button', { name: 'Not now' }));
      // Ten seconds later it is said.
      await expect(wei.page.getByText(/^Blocked and removed/)).toBeVisible({ timeout: 60_000 });
      await goesToFriends(cy);
      await expect(cy.page.getByText(/^Blocked and removed/)).toBeVisible({ timeout: 40_000 });
      await expect(cy.page.getByRole('heading', { name: 'Asked, not answered yet' })).toHaveCount(0);
    });

    test('asked twice: the request waits already, and once accepted it counts', async ({ browser }) => {
      const dee = await yard.person(browser);
      await dee.joins(await mei.invites(), 'Dee');
      await asks(dee, weisAddress, 'the first time');
      await expect(dee.page.getByRole('heading', { name: 'Asked, not answered yet' })).toBeVisible();
      await asks(dee, weisAddress, 'the second time');
      await dee.reads('One request a day reaches them, and today’s has.');
      await dee.presses('Close');
      await expect(dee.page.getByRole('heading', { name: 'Asked, not answered yet' })).toBeVisible();
      await goesToFriends(wei);
      await expect(row(wei, 'Dee')).toHaveCount(1);
      await expect(row(wei, 'Dee')).toContainText('the first time');
      await wei.taps(row(wei, 'Dee').getByRole('button', { name: 'Accept' }));
      await talk(dee, 'Dee', wei, weisName, 'at last');
    });

    test('unknown, private and blocking look the same, to the eye and on the wire', async ({ browser }) => {
      const eve = await yard.person(browser);
      await eve.joins(await mei.invites(), 'Eve');
      const fay = await yard.person(browser);
      await fay.joins(await mei.invites(), 'Fay');
      // Fay knows Eve, and blocks her.
      await eve.opens(await fay.invites());
      await eve.presses('Be friends with Fay');
      await expect(eve.talk('Fay')).toBeVisible();
      await expect.poll(async () => { await goesToFriends(fay); return row(fay, 'Eve').count(); }).toBe(1);
      await blocks(fay, 'Eve');
      // Mei cannot be found by name.
      const gus = await yard.person(browser);
      await gus.joins(await mei.invites(), 'Gus');
      await gus.leaves();
      await gus.goesTo('Me');
      const findable = gus.page.getByRole('switch', { name: /Can be found by name/ });
      await gus.switches(findable, 'settings');
      await expect(findable).not.toBeChecked();

      const answers: Answer[] = [];
      const sentences: string[] = [];
      for (const name of ['nobody.at.all', 'gus', 'fay']) {
        const asked = overheard(eve, `**/api/1/people/${name}*`);
        await asks(eve, name);
        answers.push(await asked);
        const said = eve.page.getByRole('dialog').getByRole('alert');
        await expect(said).toBeVisible();
        sentences.push((await said.innerText()).trim());
        await eve.presses('Close');
      }
      expect(new Set(sentences).size, sentences.join('\n')).toBe(1);
      expect(sentences[0]).toContain(unknown);
      for (const answer of answers) expect(answer).toEqual(answers[0]);
      expect(answers[0]?.status).toBe(404);
    });
  });
}

interface Answer { status: number; body: string; headers: string[] }

/** What the relay answers to the next question at such an address, without what differs from one second to the next. */
function overheard(person: Person, address: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const listen = async (route: Route): Promise<void> => {
      const response = await route.fetch();
      const lasting = response.headersArray().filter(({ name }) => !/^(?:date|x-request-id)$/iu.test(name)).map(({ name, value }) => `${name}: ${value}`);
      const answer = { status: response.status(), body: await response.text(), headers: lasting.sort() };
      await route.fulfill({ response });
      resolve(answer);
    };
    person.page.route(address, (route) => { listen(route).catch(reject); }, { times: 1 }).catch(reject);
  });
}
