/**
 * The vault as this device holds it: sealed in the database, open in memory only. Changes are functions of
 * the newest data; they are stored here first, then put to the relay with compare-and-swap, and put together
 * with what other devices did in between.
 */

import type { Api } from '../platform/api';
import type { Platform } from '../platform/platform';
import { b64 } from '../protocol/bytes';
import type { Chain } from '../protocol/ident';
import { parseJson } from '../protocol/json';
import type { Agreement } from '../protocol/keys';
import { isProblem } from '../protocol/problem';
import { openVault, readSealedVault, sealedVaultJson, sealVault, vaultSlots, type SealedVault } from '../protocol/vault';
import { encodeVault, parseVault, type VaultData } from '../protocol/vaultdata';
import type { VaultRecord } from '../store/schema';
import type { Store } from '../store/store';
import { codeOf, Trouble } from './failure';
import { chainOfWriter } from './past';
import type { Self } from './self';
import { mergeVaults } from './vaultmerge';

const WIRE_LIMIT = 2 * 1024 * 1024;
/** Conflicts in a row before it is called a failure; each means that another device got in between. */
const TRIES = 8;

/** Gives the vault after a change, or undefined when there is nothing to change. */
export type VaultChange = (data: VaultData) => VaultData | undefined;

export interface VaultSurroundings {
  readonly self: Self;
  readonly store: Store;
  readonly api: Api;
  readonly platform: Platform;
  /** the own chain; `fresh`: as the relay has it now */
  chain(fresh: boolean): Promise<Chain>;
  /** the data in memory is another now; `here`: this tab wrote it */
  changed(here: boolean): void;
}

export class VaultKeeper {
  readonly #around: VaultSurroundings;
  #data: VaultData | undefined;
  #version = 0;
  /** what was opened last, so that the same bytes are not opened again */
  #last: Opened | undefined;

  constructor(around: VaultSurroundings) {
    this.#around = around;
  }

  /** Throws `account-none` before the vault has been opened for the first time. */
  get data(): VaultData {
    if (!this.#data) throw new Trouble('account-none');
    return this.#data;
  }

  get opened(): boolean {
    return this.#data !== undefined;
  }

  get version(): number {
    return this.#version;
  }

  /** Opens what the database holds, again after another tab wrote it. */
  async load(): Promise<boolean> {
    const record = await this.#around.store.vault();
    if (!record) return false;
    await this.#show(record);
    return true;
  }

  /** Takes over the relay's version if it is newer, and puts up what waits here. `key`: the card's, while restoring. */
  async refresh(newest: number, key?: Agreement): Promise<void> {
    await this.#around.platform.lock('vault', async () => {
      const held = await this.#around.store.vault();
      if (held?.pending === undefined && held?.version === newest) return;
      if (held?.pending !== undefined) await this.#push(held, undefined);
      else await this.#take(await this.#fetch(held?.version ?? 1, key), key);
    });
  }

  /** Changes the vault at the relay; when this resolves it is there. Returns whether there was anything to change. */
  async change(change: VaultChange): Promise<boolean> {
    return this.#around.platform.lock('vault', async () => {
      const { held, changed, alone } = await this.#stage(change);
      if (!changed) return false;
      return this.#push(held, alone ? change : undefined);
    });
  }

  /** The same, but when the relay cannot be reached now the change waits here and goes up later. */
  async note(change: VaultChange): Promise<boolean> {
    try {
      return await this.change(change);
    } catch (error) {
      if (['offline', 'unauthorized', 'unavailable', 'rate-limited'].includes(codeOf(error))) return true;
      throw error;
    }
  }

  /** Seals it anew for the present devices and card. */
  async reseal(): Promise<void> {
    await this.change((data) => ({ ...data }));
  }

  /** Stores the changed vault as pending, on top of what waits already. Runs under the lock. */
  async #stage(change: VaultChange): Promise<{ held: VaultRecord; changed: boolean; alone: boolean }> {
    const held = await this.#around.store.vault();
    if (!held) throw new Trouble('account-none');
    const current = await this.#open(held.pending ?? held.wire);
    const next = change(current.data);
    const alone = held.pending === undefined;
    if (!next) {
      await this.#show(held);
      return { held, changed: false, alone };
    }
    const staged = { ...held, pending: await this.#seal(next, held.version + 1) };
    await this.#save(staged, next);
    return { held: staged, changed: true, alone };
  }

  /**
   * Puts up what is pending. After a conflict `change` is asked again with what the relay has; without it (what
   * waited from earlier) both versions are merged. Returns whether anything was changed in the end.
   */
  async #push(start: VaultRecord, change: VaultChange | undefined): Promise<boolean> {
    let held = start;
    for (let attempt = 0; attempt < TRIES && held.pending !== undefined; attempt++) {
      try {
        await this.#around.api.putVault(held.pending);
        await this.#save({ version: held.version + 1, wire: held.pending, pending: undefined }, undefined);
        return true;
      } catch (error) {
        if (!isProblem(error, 'vault-conflict')) throw error;
      }
      const theirs = await this.#fetch(held.version);
      if (theirs.blob === (await this.#open(held.pending)).blob) {
        // Our own, whose answer was lost.
        await this.#save({ version: theirs.version, wire: theirs.wire, pending: undefined }, undefined);
        return true;
      }
      const merged = change
        ? change(theirs.data)
        : mergeVaults((await this.#open(held.wire)).data, (await this.#open(held.pending)).data, theirs.data);
      const pending = merged && (await this.#seal(merged, theirs.version + 1));
      held = { version: theirs.version, wire: theirs.wire, pending };
      await this.#save(held, merged ?? theirs.data);
    }
    if (held.pending !== undefined) throw new Trouble('offline', { reason: 'vault-conflict' });
    return false;
  }

  async #take(fetched: Opened, key: Agreement | undefined): Promise<void> {
    if (key) {
      // Restoring: this device has no slot yet.
      const record = { version: fetched.version, wire: fetched.wire, pending: await this.#seal(fetched.data, fetched.version + 1) };
      await this.#save(record, fetched.data);
      await this.#push(record, undefined);
      return;
    }
    await this.#save({ version: fetched.version, wire: fetched.wire, pending: undefined }, fetched.data);
  }

  async #fetch(atLeast: number, key?: Agreement): Promise<Opened> {
    return this.#open(await this.#around.api.vault(), { atLeast, fresh: true, key });
  }

  /** What is our own, or was checked when it came, is opened as it lies there. */
  async #open(wire: string, from?: { atLeast: number; fresh: boolean; key: Agreement | undefined }): Promise<Opened> {
    if (!from && this.#last?.wire === wire) return this.#last;
    const { self } = this.#around;
    const sealed = readSealedVault(parseJson(wire, { bytes: WIRE_LIMIT, depth: 2 }));
    // The last writer may have been revoked since, a home that is no more; what it wrote before still counts.
    const then = chainOfWriter(await this.#around.chain(from?.fresh ?? false), sealed.by);
    const json = await openVault(then, sealed, from?.key ?? self.keys, self.now(), from?.atLeast);
    this.#last = { data: parseVault(json), version: sealed.version, wire, blob: b64(sealed.blob) };
    return this.#last;
  }

  async #seal(data: VaultData, version: number): Promise<string> {
    const { self } = this.#around;
    const chain = await this.#around.chain(false);
    const sealed = await sealVault(self.keys, {
      uid: self.uid, version, json: encodeVault(data), slots: vaultSlots(chain, self.now()),
    });
    return wireOf(sealed);
  }

  async #save(record: VaultRecord, data: VaultData | undefined): Promise<void> {
    await this.#around.store.saveVault(record);
    this.#version = record.version;
    if (data) this.#data = data;
    this.#around.changed(true);
  }

  async #show(record: VaultRecord): Promise<void> {
    this.#data = (await this.#open(record.pending ?? record.wire)).data;
    this.#version = record.version;
    this.#around.changed(false);
  }
}

interface Opened {
  readonly data: VaultData;
  readonly version: number;
  readonly wire: string;
  readonly blob: string;
}

export function wireOf(sealed: SealedVault): string {
  return JSON.stringify(sealedVaultJson(sealed));
}
