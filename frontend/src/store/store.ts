/** Everything this browser keeps, in one place. Small records by name; the log and the files have rooms of their own. */

import type { Uid } from '../domain/types';
import { Files } from './files';
import { Log } from './log';
import {
  deleteDatabase, openDatabase,
  type AccountRecord, type ChainRecord, type Database, type ProfileRecord, type UekRecord, type VaultRecord,
} from './schema';

export class Store {
  readonly log: Log;
  readonly files: Files;
  readonly #db: Database;
  readonly #name: string;

  private constructor(db: Database, name: string) {
    this.#db = db;
    this.#name = name;
    this.log = new Log(db);
    this.files = new Files(db);
  }

  /** `lost`: the database was closed under us (another tab raised it); nothing works until a reload. */
  static async open(name: string, lost: () => void): Promise<Store> {
    return new Store(await openDatabase(name, lost), name);
  }

  /** For rooms that are loaded later and keep something of their own. */
  get database(): Database {
    return this.#db;
  }

  account(): Promise<AccountRecord | undefined> {
    return this.#db.get('account', 'me');
  }

  async saveAccount(account: AccountRecord): Promise<void> {
    const tx = this.#db.transaction('account', 'readwrite', { durability: 'strict' });
    await tx.store.put(account, 'me');
    await tx.done;
  }

  async dropAccount(): Promise<void> {
    await this.#db.delete('account', 'me');
  }

  vault(): Promise<VaultRecord | undefined> {
    return this.#db.get('vault', 'me');
  }

  async saveVault(vault: VaultRecord): Promise<void> {
    await this.#db.put('vault', vault, 'me');
  }

  chain(uid: Uid): Promise<ChainRecord | undefined> {
    return this.#db.get('chains', uid);
  }

  chains(): Promise<ChainRecord[]> {
    return this.#db.getAll('chains');
  }

  async saveChain(chain: ChainRecord): Promise<void> {
    await this.#db.put('chains', chain);
  }

  ueks(): Promise<UekRecord[]> {
    return this.#db.getAll('ueks');
  }

  /** Adds what is new and drops every counter that is not in `counters`, when that is given. */
  async saveUeks(ueks: readonly UekRecord[], counters?: ReadonlySet<number>): Promise<void> {
    const tx = this.#db.transaction('ueks', 'readwrite', { durability: 'strict' });
    for (const uek of ueks) await tx.store.put(uek);
    if (counters) {
      for (const held of await tx.store.getAllKeys()) if (!counters.has(held)) await tx.store.delete(held);
    }
    await tx.done;
  }

  people(): Promise<ProfileRecord[]> {
    return this.#db.getAll('people');
  }

  /** Only a newer version replaces one. Returns whether it did. */
  async savePerson(person: ProfileRecord): Promise<boolean> {
    const tx = this.#db.transaction('people', 'readwrite');
    const held = await tx.store.get(person.uid);
    const newer = !held || person.version > held.version;
    if (newer) await tx.store.put(person);
    await tx.done;
    return newer;
  }

  drafts(): Promise<{ peer: Uid; text: string; at: number }[]> {
    return this.#db.getAll('drafts');
  }

  /** Committed without waiting for an answer: the page may be on its way out. */
  async saveDraft(peer: Uid, text: string, at: number): Promise<void> {
    const tx = this.#db.transaction('drafts', 'readwrite');
    const written = text === '' ? tx.store.delete(peer) : tx.store.put({ peer, text, at });
    tx.commit();
    await Promise.all([written, tx.done]);
  }

  cursor(name: string): Promise<unknown> {
    return this.#db.get('cursors', name);
  }

  setting(name: string): Promise<unknown> {
    return this.#db.get('settings', name);
  }

  async saveSetting(name: string, value: unknown): Promise<void> {
    if (value === undefined) await this.#db.delete('settings', name);
    else await this.#db.put('settings', value, name);
  }

  close(): void {
    this.#db.close();
  }

  /** Leaves nothing behind in this browser. */
  async wipe(): Promise<void> {
    this.#db.close();
    await deleteDatabase(this.#name);
  }
}
