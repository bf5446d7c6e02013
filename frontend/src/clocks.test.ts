/** Two courtyards that do not agree on the time. */

import 'fake-indexeddb/auto';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { complaints, depart, last, Player, texts, until } from './platform/players';
import { TestRelay } from './platform/testrelay';

// Real programs on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const HOUR = 3600;

let here: TestRelay;
let there: TestRelay;
let mei: Player;
let tom: Player;

beforeAll(async () => {
  [here, there] = await Promise.all([TestRelay.drifting('127.0.0.1'), TestRelay.drifting('127.0.0.2')]);
  [mei, tom] = [new Player(here), new Player(there)];
  await mei.app.join(await here.claim(), '林美', 'mei');
  await tom.app.join(await there.claim(), 'Tomás', 'tomas');
}, 240_000);

afterEach(() => {
  here.setClock(0);
  there.setClock(0);
  expect(complaints()).toEqual([]);
});

afterAll(async () => {
  depart();
  await Promise.all([here.end(), there.end()]);
});

async function pair(one: string, other: string): Promise<[Player, Player]> {
  const first = await Player.invited(mei, one, one.toLowerCase());
  const second = await Player.invited(tom, other, other.toLowerCase());
  await first.app.befriend(await second.app.invite());
  const view = await first.view(second);
  await first.app.send(second.uid, 'so that keys are known');
  await until(() => last(view).tick === 'kept');
  return [first, second];
}

/** A new connection, which tells the courtyard's time. */
async function reconnect(player: Player): Promise<void> {
  player.browser.online = false;
  await until(() => player.app.state.link === 'offline');
  player.browser.online = true;
  await player.online();
}

/** Chat letters that the app puts. */
function puts(player: Player): string[] {
  const put: string[] = [];
  player.tab.says = (frame) => {
    if (frame.startsWith('{"op":"put"') && frame.includes('"type":"chat"')) put.push(frame);
    return frame;
  };
  return put;
}

test('ahead for good: what comes back is dated by this device, and from then on everything', async () => {
  const [cleo, dan] = await pair('Cleo', 'Dan');
  here.setClock(HOUR);
  await reconnect(cleo);
  const [hers, his] = [await cleo.view(dan), await dan.view(cleo)];
  const put = puts(cleo);
  const seen = new Set<string | undefined>();
  const stop = cleo.app.subscribe(() => seen.add(last(hers).tick));
  await cleo.app.send(dan.uid, 'now or in an hour?');
  await until(() => last(hers).tick === 'kept');
  expect(put).toHaveLength(2);
  expect(put.map((frame) => frame.includes('"unsure":true'))).toEqual([true, false]);
  await cleo.app.send(dan.uid, 'now');
  await until(() => last(hers).tick === 'kept' && texts(his).length === 3);
  stop();
  expect(put).toHaveLength(3);
  expect(seen.has('failed')).toBe(false);
  expect(texts(his)).toEqual(['so that keys are known', 'now or in an hour?', 'now']);
  for (const { sent } of his.messages) expect(Math.abs(sent - Date.now())).toBeLessThan(5 * 60_000);
});

test('ahead for a while, and this device as well: what waited comes back and goes by itself, the read mark too', async () => {
  const [eva, fred] = await pair('Eva', 'Fred');
  const [hers, his] = [await eva.view(fred), await fred.view(eva)];
  await fred.app.send(eva.uid, 'Read this in the future.');
  await until(() => texts(hers).length === 2);
  here.setClock(HOUR);
  eva.browser.lead = HOUR * 1000;
  await reconnect(eva);
  const put = puts(eva);
  hers.seen();
  await until(() => put.length === 1);
  await eva.app.send(fred.uid, 'I am in the future.');
  await expect.poll(async () => (await eva.app.diagnose()).outbound, { timeout: 30_000, interval: 500 }).toMatchObject([{ name: 'Fred', count: 2, code: 'clock-ahead' }]);
  await until(() => last(hers).tick === 'accepted');
  expect(put.some((frame) => frame.includes('"unsure":true'))).toBe(false);
  here.setClock(0);
  await until(() => last(hers).tick === 'waiting', 60_000);
  // By this device's clock the date was right, so it is kept for ten minutes.
  eva.browser.lead += 11 * 60_000;
  await until(() => texts(his).includes('I am in the future.'), 60_000);
  await until(() => last(hers).tick === 'kept');
  await until(() => his.messages.find(({ text }) => text === 'Read this in the future.')?.tick === 'read');
  expect(texts(his).filter((text) => text === 'I am in the future.')).toHaveLength(1);
  expect(Math.abs(last(his).sent - Date.now())).toBeLessThan(5 * 60_000);
  expect((await eva.app.diagnose()).outbound).toEqual([]);
});

test('behind for a while, both courtyards: what comes back keeps its place', async () => {
  const [gus, hana] = await pair('Gus', 'Hana');
  const [his, hers] = [await gus.view(hana), await hana.view(gus)];
  await hana.app.send(gus.uid, 'Half past four?');
  await until(() => texts(his).length === 2);
  there.setClock(-HOUR);
  await gus.app.send(hana.uid, 'Half past four.');
  await expect.poll(async () => (await gus.app.diagnose()).outbound, { timeout: 30_000, interval: 500 }).toMatchObject([{ count: 1, code: 'clock-ahead' }]);
  await until(() => last(his).tick === 'accepted');
  const put = puts(gus);
  const arrived = new Set<string>();
  const stop = hana.app.subscribe(() => {
    for (const text of texts(hers)) arrived.add(text);
  });
  here.setClock(-HOUR);
  await reconnect(gus);
  await until(() => last(his).tick === 'waiting', 60_000);
  await gus.app.send(hana.uid, 'Or five?'); // which could go, and would be shown before it
  expect(put).toEqual([]);
  here.setClock(0);
  there.setClock(0);
  await until(() => texts(hers).includes('Or five?'), 60_000);
  stop();
  expect(put).toHaveLength(2);
  expect([...arrived].slice(2)).toEqual(['Half past four.', 'Or five?']);
  for (const view of [hers, his]) expect(texts(view)).toEqual(['so that keys are known', 'Half past four?', 'Half past four.', 'Or five?']);
  expect(Math.abs(last(hers).sent - Date.now())).toBeLessThan(5 * 60_000);
});
