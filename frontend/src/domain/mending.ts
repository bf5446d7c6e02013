/** Letters that could not be opened, here or at a friend's: more keys are looked for, or the letter is sealed again. */

import { b64 } from '../protocol/bytes';
import type { Json } from '../protocol/json';
import { randomBytes } from '../protocol/primitives';
import { isProblem } from '../protocol/problem';
import { signedJson, type Signed } from '../protocol/signed';
import { readVaultUek } from '../protocol/vaultdata';
import { VERSIONS } from '../store/ways';
import type { Session } from './session';
import type { Uid } from './types';

/** Envelopes answered `stale` between two connections; who sends more junk than that is not answered. */
const ANSWERS = 50;

export class Mending {
  readonly #session: Session;
  readonly #answered = new Set<string>();

  constructor(session: Session) {
    this.#session = session;
  }

  renew(): void {
    this.#answered.clear();
  }

  /** Keys that the home or another device has issued meanwhile; true if there are new ones. */
  async moreKeys(): Promise<boolean> {
    const { home, homeLink, vault, keyring } = this.#session;
    if (home !== undefined) return homeLink.open && (await this.homeKeys());
    await vault.refresh(vault.version + 1).catch((error: unknown) => {
      if (!isProblem(error)) throw error;
    });
    return keyring.take(vault.data.ueks, false);
  }

  /** The home's daily keys; those it has deleted are deleted here as well. */
  async homeKeys(): Promise<boolean> {
    const { homeLink, keyring, vault, tabs } = this.#session;
    const { ueks } = await homeLink.ask('keys');
    const given = Array.isArray(ueks) ? (ueks as readonly Json[]).map(readVaultUek) : [];
    if (given.length === 0) return false;
    // Until the home has taken over what the vault holds, those are needed still.
    const fresh = await keyring.take([...given, ...vault.data.ueks], true);
    if (fresh) tabs.say({ what: 'keys' });
    return fresh;
  }

  /** Asks a friend to seal a letter again. Without a home this device answers for all; once for each envelope. */
  async unopened(peer: Uid, envelope: string): Promise<void> {
    const { home, friends, keyring, chains, self } = this.#session;
    if (home !== undefined || this.#answered.has(envelope) || this.#answered.size >= ANSWERS) return;
    if (friends.get(peer)?.state !== 'friend') return;
    this.#answered.add(envelope);
    await keyring.ensureIssued(await chains.of(self.id));
    const { signed } = await chains.uek(self.id);
    await this.#session.compose([{
      peer, author: self.id, dev: self.device, mid: b64(randomBytes(16)), type: 'receipt', kind: 'stale',
      body: { id: envelope, uek: signedJson(signed) }, now: self.now(), copy: false, files: [], logged: false,
    }]);
  }

  /** A friend could not open one of ours, and says what to seal to. */
  async stale(peer: Uid, envelope: string, uek: Signed): Promise<void> {
    const { store, chains, self, platform, outbox } = this.#session;
    const event = await store.log.eventOfEnvelope(envelope);
    if (event?.peer !== peer || (event.ids?.length ?? 0) >= VERSIONS) return;
    await chains.takeUek(peer, uek).catch((error: unknown) => {
      if (!isProblem(error)) throw error;
      return chains.doubt(peer);
    });
    await this.#session.written(await store.log.requeue(self.id, peer, event.mid, true, platform.now()));
    outbox.kick();
  }
}
