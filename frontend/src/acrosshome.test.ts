/** Homes in two courtyards: what they keep of a friendship between them, and what they tell a device that was not there. */

import 'fake-indexeddb/auto';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { complaints, depart, last, Player, texts, until } from './platform/players';
import { TestRelay, type TestHome } from './platform/testrelay';

// Real programs on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

let here: TestRelay;
let there: TestRelay;
let mei: Player;
let tom: Player;
let meisHome: TestHome;
let tomsHome: TestHome;

/** The owner of a courtyard, with a home. */
async function settle(relay: TestRelay, name: string, username: string): Promise<[Player, TestHome]> {
  const home = await relay.home();
  await home.up();
  const player = new Player(relay);
  await player.app.join(`${await relay.claim()}.${await home.offer()}`, name, username);
  await until(() => player.app.state.home.state === 'online');
  return [player, home];
}

beforeAll(async () => {
  [here, there] = await Promise.all([TestRelay.neighbour('127.0.0.1'), TestRelay.neighbour('127.0.0.2')]);
  [mei, meisHome] = await settle(here, '林美', 'mei');
  [tom, tomsHome] = await settle(there, 'Tomás', 'tomas');
  await mei.app.befriend(await tom.app.invite());
  await until(() => [mei, tom].every(({ app }) => app.people().some(({ state, confirmed }) => state === 'friend' && confirmed)));
}, 240_000);

afterEach(() => {
  expect(complaints()).toEqual([]);
});

afterAll(async () => {
  depart();
  await Promise.all([meisHome.down(), tomsHome.down()]);
  await Promise.all([here.end(), there.end()]);
});

test('the house tick comes from the other courtyard’s home', async () => {
  const [ours, theirs] = [await mei.view(tom), await tom.view(mei)];
  await mei.app.send(tom.uid, 'to your house');
  await until(() => last(ours).tick === 'home');
  await tom.app.send(mei.uid, 'and to yours');
  await until(() => last(theirs).tick === 'home');
});

test('their home away: one tick; home again, the house tick', async () => {
  const ours = await mei.view(tom);
  await tomsHome.down();
  await mei.app.send(tom.uid, 'nobody at home');
  await until(() => last(ours).tick === 'accepted');
  await tomsHome.up();
  await until(() => last(ours).tick === 'home', 60_000);
});

test('what came back is told to a browser that is new, and can be tried again there', async () => {
  const ours = await mei.view(tom);
  await tom.app.block(mei.uid);
  const mid = await mei.app.send(tom.uid, 'are you there?');
  await until(() => last(ours).tick === 'failed');
  const { url } = await mei.app.addDevice();
  const desk = new Player(here);
  await desk.app.takeHandover(url);
  const screen = await desk.view(tom);
  await until(() => texts(screen).includes('are you there?') && last(screen).tick === 'failed');
  expect(last(screen).failure?.code).toBe('not-contact');
  await tom.app.unblock(mei.uid);
  await tom.app.befriend(await mei.app.invite());
  const theirs = await tom.view(mei);
  // The home may have confirmed the new letter before the phone was given a copy; then the home tells of it.
  mei.tab.hears = (frame) => {
    const own = frame.startsWith('{"op":"deliver"') && frame.includes('"type":"chat"') && new RegExp(`"from":\\{[^}]*"id":"${mei.uid}"`, 'u').test(frame);
    return own ? undefined : frame;
  };
  await desk.app.retry(tom.uid, mid);
  await until(() => texts(theirs).includes('are you there?'));
  await until(() => last(screen).tick === 'home' && last(ours).tick === 'home');
});
