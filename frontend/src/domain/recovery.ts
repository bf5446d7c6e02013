/** The recovery card: made, and put in force once it is safe with its owner. Loaded when somebody makes one. */

import { cardKeys, cardText, makeCard, type Card } from '../protocol/card';
import { Trouble } from './failure';
import { amend } from './ownchain';
import type { Session } from './session';
import type { RecoveryCard } from './types';

/** Exists in memory only, until it is in force. */
export class CardInHand {
  readonly #session: Session;
  readonly #card: Card;

  private constructor(session: Session, card: Card) {
    this.#session = session;
    this.#card = card;
  }

  /** Throws `card-exists`: then only that card could set another. */
  static async make(session: Session): Promise<CardInHand> {
    if ((await session.chain()).card) throw new Trouble('card-exists');
    return new CardInHand(session, makeCard());
  }

  get shown(): RecoveryCard {
    const { self } = this.#session;
    const { code } = this.#card;
    return { handle: self.handle, code, text: cardText({ username: self.username, ...self.host }, code) };
  }

  /** From now on it opens the account, and only it can set another. */
  async enforce(): Promise<void> {
    const session = this.#session;
    const { self, vault } = session;
    await session.greeted();
    const keys = await cardKeys(this.#card.bits);
    await amend(session, async (chain) => {
      if (chain.card) throw new Trouble('card-exists');
      return chain.setCard(self.keys, keys, self.now());
    });
    await vault.change((data) => ({ ...data, settings: { ...data.settings, card: self.now() } }));
  }
}
