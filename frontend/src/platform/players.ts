/** People with browsers, for stories told against the real programs. */

import type { Courtyard, Message, TalkView, Uid } from '../domain/types';
import { createCourtyard } from '../engine';
import { TestBrowser, type TestTab } from './testing';
import type { TestRelay } from './testrelay';

/** Everybody who ever played, to be looked after at the end. */
export const players: Player[] = [];

export class Player {
  readonly relay: TestRelay;
  readonly browser: TestBrowser;
  readonly tab: TestTab;
  readonly app: Courtyard;

  constructor(relay: TestRelay, browser = new TestBrowser(relay.origin)) {
    this.relay = relay;
    this.browser = browser;
    this.tab = browser.tab();
    this.app = createCourtyard(this.tab);
    players.push(this);
  }

  static async invited(by: Player, name: string, username: string): Promise<Player> {
    const player = new Player(by.relay);
    await player.app.join(await by.app.invite(), name, username);
    await player.online();
    return player;
  }

  get uid(): Uid {
    const uid = this.app.state.account?.uid;
    if (uid === undefined) throw new Error('nobody is signed in');
    return uid;
  }

  online(): Promise<void> {
    return until(() => this.app.state.link === 'online');
  }

  /** The conversation with a friend, once they are one. */
  async view(peer: Player): Promise<TalkView> {
    await until(() => this.app.people().some(({ uid, state }) => uid === peer.uid && state === 'friend'));
    return this.app.open(peer.uid);
  }

  /** Another tab of the same browser. */
  beside(): Player {
    return new Player(this.relay, this.browser);
  }

  /** Closes the tab and opens the app again in the same browser. */
  again(): Player {
    this.tab.close();
    return this.beside();
  }
}

/** Waits for the thing itself; `patience` in ms only bounds how long a broken one takes to be called so. */
export async function until(holds: () => boolean, patience = 30_000): Promise<void> {
  const late = new Error(`never came true: ${holds.toString()}`);
  Error.captureStackTrace(late, until);
  for (const end = Date.now() + patience; !holds(); await new Promise((resolve) => setTimeout(resolve, 15))) {
    if (Date.now() > end) throw late;
  }
}

export function texts(view: TalkView): string[] {
  return view.messages.map(({ text }) => text);
}

export function last(view: TalkView): Message {
  const message = view.messages.at(-1);
  if (!message) throw new Error('nothing was said');
  return message;
}

/** At the end of each test: nothing went wrong inside anybody's app. */
export function complaints(): unknown[] {
  const all = players.flatMap(({ browser }) => browser.complaints);
  for (const { browser } of players) browser.complaints.length = 0;
  return all.map((each) => (each instanceof Error ? each.stack : each));
}

/** Everybody leaves. */
export function depart(): void {
  for (const { tab } of players) tab.close();
  players.length = 0;
}
