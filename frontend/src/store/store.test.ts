import 'fake-indexeddb/auto';
import { describe, expect, test } from 'vitest';
import { generateDeviceKeys, deviceKeysToStorable, deviceKeysFromStorable } from '../protocol/keys';
import { allTests } from './contract';
import { Store } from './store';
import { WallShelf } from './walls';

const names = new WeakMap<Store, string>();

async function open(name: string): Promise<Store> {
  const store = await Store.open(name, () => undefined);
  names.set(store, name);
  return store;
}

describe('the store over IndexedDB', () => {
  allTests({
    fresh: () => open(crypto.randomUUID()),
    again: (store) => open(names.get(store) ?? ''),
  });

  test('keys come back as keys that cannot be read out', async () => {
    const store = await open(crypto.randomUUID());
    const keys = await generateDeviceKeys();
    await store.saveAccount({
      stage: 'in', uid: 'u', username: 'mei', host: 'h', relayKey: 'k', keys: deviceKeysToStorable(keys), request: '', invite: undefined,
    });
    const account = await (await open(names.get(store) ?? '')).account();
    expect(account?.keys.signKey.extractable).toBe(false);
    expect(account?.keys.boxKey.extractable).toBe(false);
    const again = account && deviceKeysFromStorable(account.keys);
    expect(again?.id).toEqual(keys.id);
    expect(await again?.signature('x')).toEqual(await keys.signature('x'));
  });

  test('a database from before there were walls is raised and keeps what it has', async () => {
    const name = crypto.randomUUID();
    const old = ['account', 'vault', 'chains', 'ueks', 'events', 'talks', 'outbox', 'receipts', 'drafts', 'people', 'files', 'chunks', 'cursors', 'settings'];
    await new Promise<void>((resolve, reject) => {
      const request = indexedDB.open(name, 1);
      request.onupgradeneeded = () => {
        for (const each of old) request.result.createObjectStore(each);
        request.transaction?.objectStore('settings').put('kept', 'a');
      };
      request.onsuccess = () => {
        request.result.close();
        resolve();
      };
      request.onerror = () => {
        reject(new Error('not made'));
      };
    });
    const store = await open(name);
    expect(await store.setting('a')).toBe('kept');
    expect(await new WallShelf(store.database).walls()).toEqual([]);
    store.close();
  });

  test('another tab that raises the database is let by', async () => {
    const name = crypto.randomUUID();
    let lost = false;
    const store = await Store.open(name, () => {
      lost = true;
    });
    await new Promise<void>((resolve, reject) => {
      const request = indexedDB.open(name, 99);
      request.onsuccess = () => {
        request.result.close();
        resolve();
      };
      request.onerror = () => {
        reject(new Error('blocked'));
      };
    });
    expect(lost).toBe(true);
    store.close();
  });
});
