/** The app and a client that shares no code with it (scripts/secondclient, written from the specification) understand each other. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@playwright/test';
import { useCourtyard } from './stage/courtyard';
import { surroundings } from './stage/program';
import { hasHome } from './stage/story';

const run = promisify(execFile);
const client = join(import.meta.dirname, '../../scripts/secondclient/client.py');

test.describe('a second client', () => {
  test.describe.configure({ mode: 'serial' });
  const yard = useCourtyard();

  /** One command of the second client; it answers what it printed, and fails unless it got what it waited for. */
  async function ada(...words: string[]): Promise<string> {
    const { stdout } = await run('/usr/bin/python3', [client, '--state', join(yard.dir, 'ada.json'), ...words], {
      encoding: 'utf8', timeout: 60_000, env: surroundings(),
    });
    return stdout.trim();
  }

  test('joins by invitation and chats both ways with somebody whose log is at home', async ({ browser }) => {
    const home = await yard.home();
    const mei = await yard.person(browser);
    await mei.joins(yard.claim(home), '林美');
    await hasHome(mei);

    expect(await ada('join', await mei.invites(), 'Ada', 'ada')).toBe('joined');
    await ada('say', 'written from the text alone: 你好 👋');
    await mei.opensChatWith('Ada');
    await mei.sees('written from the text alone: 你好 👋');

    const heard = ada('wait-for', 'and understood');
    await mei.says('and understood: 听见了');
    expect(await heard).toBe('and understood: 听见了');
    await mei.hasTick('and understood: 听见了', 'Read by Ada');

    await ada('say', 'is it at home?');
    await mei.sees('is it at home?');
    expect(await ada('friends')).toContain('friend confirmed 林美');
  });

  test('invites somebody into the app', async ({ browser }) => {
    const link = await ada('invite');
    const bo = await yard.person(browser);
    const answered = ada('listen', '--seconds', '8'); // the proof is answered while somebody listens
    await bo.joins(link, 'Bo');
    await answered;
    await bo.says('came by a stranger’s client');
    expect(await ada('wait-for', 'came by')).toBe('came by a stranger’s client');
    await ada('say', 'welcome', '--to', 'bo');
    await bo.sees('welcome');
  });
});
