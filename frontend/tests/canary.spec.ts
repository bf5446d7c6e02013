/**
 * The relay cannot read it. After a real chat with everything in it, words that only the two of them know are looked for
 * in all that the relay has: its disk (database, WAL, free pages, files), its log, its metrics, its memory, in every
 * guise (scripts/canary). A control that the relay must know, a username, proves that the search finds what is there.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@playwright/test';
import { savesCard } from './stage/card';
import { photograph, place } from './stage/photo';
import { stories } from './stage/story';

interface Hit {
  readonly needle: string;
  readonly guise: string;
  readonly place: string;
  readonly offset: number;
}

/** Only the two of them know these. */
const secrets = {
  text: 'the persimmons behind the blue shed are ripe',
  chinese: '蓝色棚子后面的柿子熟透了别告诉别人',
  edited: 'this sentence was changed before anybody slept',
  became: 'and this is what it was changed into afterwards',
  deleted: 'words that were taken back within the minute',
  reply: 'an answer that mentions the rusty wheelbarrow',
  caption: 'caption under the picture of the brass kettle',
  draft: 'never sent: a draft about the leaking cistern',
  about: 'Mends clocks in a yellow kitchen; hums loudly',
  name: 'Wilhelmina von Kanarienvogel-Quetzalcoatl',
  chineseName: '司徒金丝雀翩翩',
  long: 'deep inside the long letter stands the copper weathercock',
  words: 'I am the one with the squeaking violin case',
};
const photo = 'IMG_of_the_secret_greenhouse_4711.jpg';

stories('the canary', (cast) => {
  test.setTimeout(180_000);

  test('after a chat with everything in it the relay holds no word of it', async ({ browser }) => {
    const { mei, tom, yard } = cast;
    // Display names and words about oneself.
    await mei.leaves();
    await mei.goesTo('Me');
    await mei.follows(/Name, picture, words$/);
    await mei.writes(mei.field('Name'), secrets.name);
    await mei.writes(mei.field('A few words about you (optional)'), secrets.about);
    await mei.presses('Save');
    await mei.reads('Saved. Your friends will see it.');
    await expect(tom.page.getByRole('heading', { name: secrets.name })).toBeVisible();

    await mei.opensChatWith('Tomás');
    await mei.says(secrets.text);
    await mei.says(secrets.chinese);
    await tom.sees(secrets.text);
    await tom.sees(secrets.chinese);
    await tom.takesUp(secrets.text);
    await tom.presses('Reply');
    await tom.says(secrets.reply);
    await mei.sees(secrets.reply);
    await mei.says(secrets.edited);
    await tom.sees(secrets.edited);
    await mei.takesUp(secrets.edited);
    await mei.presses('Edit');
    await mei.writes(mei.composer, secrets.became);
    await mei.presses('Save');
    await tom.sees(secrets.became);
    await mei.says(secrets.deleted);
    await tom.sees(secrets.deleted);
    await mei.takesUp(secrets.deleted);
    await mei.presses('Delete for everyone');
    await mei.presses('Delete for everyone');
    await tom.reads('Message deleted');
    // A text so long that it travels as a file, and a photo.
    await tom.says(`${'柿子树'.repeat(4_000)} ${secrets.long} ${'柿子树'.repeat(2_000)}`);
    await mei.sees(/^.*柿子树柿子树/);
    await mei.chooses(mei.button('Add a photo'), { name: photo, mimeType: 'image/jpeg', buffer: await photograph(mei.page, 800, 600, 5) });
    await mei.writes(mei.field('Caption'), secrets.caption);
    await mei.presses('Send photo');
    await tom.sees(secrets.caption);
    await tom.says('last word of the canary story');
    await mei.hasTick(secrets.caption, 'Read by Tomás');
    await mei.writes(mei.composer, secrets.draft);

    // Somebody with a Chinese name comes by an invitation, with words in a request too.
    const link = await mei.invites();
    const third = await yard.person(browser);
    await third.joins(link, secrets.chineseName);
    await third.leaves();
    await third.goesTo('Friends');
    await third.follows('By name');
    await third.writes(third.field('Their address'), 'tomas');
    await third.writes(third.field('A few words, so that they know you (optional)'), secrets.words);
    await third.presses('Ask to be friends');
    await tom.leaves();
    await tom.goesTo('Friends');
    await tom.reads(secrets.words);
    await tom.presses('Accept');

    // A recovery card, made and kept.
    await third.goesTo('Me');
    await third.follows(/^Recovery card/);
    await third.presses('Make my card');
    const card = await savesCard(third);
    await third.presses('I have kept it');
    await third.reads('Good. Your card is kept.');

    const metrics = join(yard.dir, 'metrics');
    writeFileSync(metrics, await (await fetch(yard.metrics)).text());
    const inviteSecret = link.split('.').at(-1) ?? '';
    const question = {
      needles: { ...secrets, photo, place, card: card.code.replaceAll('-', ''), 'card as shown': card.code },
      bytes: { 'secret of the invitation': inviteSecret },
      paths: [yard.relayData, yard.relay.log, metrics],
      pids: [yard.relay.pid],
    };
    const control = { needles: { username: 'si.tu.jin.si.que.pian.pian'.slice(0, 12) }, paths: [yard.relayData], pids: [yard.relay.pid] };
    expect(ask(question)).toEqual([]);
    // The search finds what is there: the username, on disk and in memory.
    const places = ask(control).map((hit) => hit.place);
    expect(places.some((one) => one.startsWith(yard.relayData))).toBe(true);
    expect(places.some((one) => one.startsWith('memory of'))).toBe(true);
    // And words put into a file beside the database would have been found there.
    const planted = join(yard.relayData, 'planted');
    writeFileSync(planted, `x${Buffer.from(`.${secrets.text}`).toString('base64')}`);
    expect(ask(question).map((hit) => `${hit.needle} at ${hit.place}`)).toContain(`text at ${planted}`);
  });
});

/** Asks scripts/canary; the answer are the places where something was found. */
function ask(question: object): Hit[] {
  const out = execFileSync('go', ['run', './scripts/canary'], { cwd: join(import.meta.dirname, '../..'), input: JSON.stringify(question), maxBuffer: 1 << 26 });
  const answer = JSON.parse(out.toString()) as { read: number; hits: Hit[] };
  expect(answer.read).toBeGreaterThan(100_000);
  return answer.hits;
}
