import { describe, expect, test } from 'vitest';
import { encodeVault, parseVault, type VaultData, type VaultFriend } from '../protocol/vaultdata';
import { mergeVaults } from './vaultmerge';

const bytes = (n: number, length = 32): Uint8Array<ArrayBuffer> => new Uint8Array(length).fill(n);

function friend(n: number, more: Partial<VaultFriend> = {}): VaultFriend {
  return {
    uid: bytes(n), username: `f${String(n)}`, host: 'h', port: 443, name: `F${String(n)}`, state: 'friend', confirmed: false, since: 100, seq: 0,
    head: bytes(0), uek: 0, ...more,
  };
}
function vault(more: Partial<VaultData> = {}): VaultData {
  return { v: 1, username: 'mei', name: 'Mei', about: '', friends: [], invites: [], ueks: [], settings: {}, devices: {}, ...more };
}
const base = vault({ friends: [friend(1), friend(2)], settings: { card: 1 }, ueks: [{ counter: 1, secret: bytes(1), ts: 1 }] });
const uids = (data: VaultData): number[] => data.friends.map(({ uid }) => uid[0] ?? -1).sort();

describe('two vaults that came from one', () => {
  test('what only one side changed stands', () => {
    const ours = { ...base, name: '林美', friends: [...base.friends, friend(3)] };
    const theirs = { ...base, about: 'gardener', friends: [...base.friends, friend(4)], settings: { card: 1, findable: false } };
    const merged = mergeVaults(base, ours, theirs);
    expect(merged).toMatchObject({ name: '林美', about: 'gardener', settings: { card: 1, findable: false } });
    expect(uids(merged)).toEqual([1, 2, 3, 4]);
  });

  test('of two decisions about one friend the later stands, and what is known only grows', () => {
    const ours = { ...base, friends: [friend(1, { state: 'removed', since: 300, seq: 1, head: bytes(7) }), friend(2)] };
    const theirs = { ...base, friends: [friend(1, { state: 'friend', since: 200, confirmed: true, seq: 3, head: bytes(9), uek: 5, uekKey: bytes(8) }), friend(2)] };
    for (const merged of [mergeVaults(base, ours, theirs), mergeVaults(base, theirs, ours)]) {
      expect(merged.friends.find(({ uid }) => uid[0] === 1)).toMatchObject({ state: 'removed', since: 300, confirmed: true, seq: 3, head: bytes(9), uek: 5 });
    }
  });

  test('no daily key is lost, though both sides gave out the same number', () => {
    const ours = { ...base, ueks: [...base.ueks, { counter: 2, secret: bytes(2), ts: 2 }] };
    const theirs = { ...base, ueks: [...base.ueks, { counter: 2, secret: bytes(3), ts: 2 }] };
    expect(mergeVaults(base, ours, theirs).ueks.map(({ secret }) => secret[0])).toEqual([1, 3, 2]);
  });

  test('what one side took away is gone, unless the other changed it', () => {
    const ours = { ...base, friends: [friend(2)] };
    expect(uids(mergeVaults(base, ours, base))).toEqual([2]);
    expect(uids(mergeVaults(base, base, ours))).toEqual([2]);
    expect(uids(mergeVaults(base, ours, { ...base, friends: [friend(1, { name: 'new' }), friend(2)] }))).toEqual([1, 2]);
  });

  test('an invite that was used on one side is used', () => {
    const invite = { id: bytes(5, 16), secret: bytes(6, 16), created: 1 };
    const was = { ...base, invites: [invite] };
    const merged = mergeVaults(was, { ...was, invites: [{ ...invite, created: 2 }] }, { ...was, invites: [{ ...invite, by: bytes(9) }] });
    expect(merged.invites).toMatchObject([{ by: bytes(9) }]);
  });

  test('of those one follows: let go on one side is gone, begun on both sides stays, and the one who has read further is believed', () => {
    const follow = (n: number, seq: number, more: object = {}): object => ({ uid: `u${String(n)}`, seq, ...more });
    const following = (...follows: object[]): VaultData => parseVault(new TextEncoder().encode(JSON.stringify({ ...JSON.parse(new TextDecoder().decode(encodeVault(base))), follows })));
    const was = following(follow(1, 5), follow(2, 5, { colour: 'red' }));
    const ours = following(follow(2, 5, { colour: 'red' }), follow(3, 1));
    const theirs = following(follow(1, 9), follow(2, 9, { colour: 'red' }), follow(4, 1), follow(3, 0));
    for (const merged of [mergeVaults(was, ours, theirs), mergeVaults(was, theirs, ours)]) {
      const follows = merged.rest?.['follows'] as readonly { uid: string }[];
      expect(follows.toSorted((a, b) => (a.uid < b.uid ? -1 : 1))).toEqual([follow(2, 9, { colour: 'red' }), follow(3, 1), follow(4, 1)]);
    }
  });

  test('keys that this version does not know survive', () => {
    const theirs = parseVault(new TextEncoder().encode(JSON.stringify({ ...JSON.parse(new TextDecoder().decode(encodeVault(base))), wall: { posts: 3 } })));
    const merged = parseVault(encodeVault(mergeVaults(base, { ...base, name: 'x' }, theirs)));
    expect(merged.rest).toEqual({ wall: { posts: 3 } });
  });
});
