/** What the tabs of one browser tell each other: that something in the shared database changed. Never what it is. */

import type { Channel, Platform } from '../platform/platform';
import type { Change } from '../store/log';
import type { Uid } from './types';

export type Word =
  | { readonly what: 'log'; readonly changes: readonly Change[] }
  | { readonly what: 'vault' | 'outbox' | 'drafts' | 'keys' | 'people' | 'wall' | 'out' }
  | { readonly what: 'chain'; readonly uid: Uid };

export class Tabs {
  readonly #channel: Channel;
  #closed = false;

  constructor(platform: Platform, heard: (word: Word) => Promise<void>) {
    this.#channel = platform.channel('store', (word) => {
      // Same origin, same program: the only writers are the other tabs.
      heard(word as Word).catch(platform.report);
    });
  }

  say(word: Word): void {
    if (!this.#closed) this.#channel.post(word);
  }

  close(): void {
    this.#closed = true;
    this.#channel.close();
  }
}
