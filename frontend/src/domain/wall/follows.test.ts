import { expect, test } from 'vitest';
import { b64 } from '../../protocol/bytes';
import { encodeVault, parseVault, type VaultData } from '../../protocol/vaultdata';
import { followsOf, withFollow, withoutFollow, withStandings } from './follows';

const uid = (n: number): string => b64(new Uint8Array(32).fill(n));
const hash = new Uint8Array(32).fill(9);
const host = { host: 'relay.example', port: 8443 };
const later = { uid: uid(7), username: 'later', host: 'relay.example', port: 'eight' };
const start: VaultData = parseVault(new TextEncoder().encode(JSON.stringify({ v: 1, future: true, follows: [{ uid: uid(1), username: 'wei', host: 'relay.example', colour: 'red' }, later] })));
const stored = (data: VaultData | undefined): Record<string, unknown> => JSON.parse(new TextDecoder().decode(encodeVault(data ?? start))) as Record<string, unknown>;

test('what this version cannot read is not shown, and stays', () => {
  expect(followsOf(start)).toEqual([{ uid: uid(1), username: 'wei', host: { host: 'relay.example', port: 443 }, name: '', since: 0, pin: undefined }]);
  const more = withFollow(start, { uid: uid(2), username: 'mei', host, name: '林美', pin: undefined, since: 5 });
  expect(stored(more)).toMatchObject({ future: true, follows: [{ colour: 'red' }, later, { uid: uid(2), username: 'mei', host: 'relay.example', port: 8443, name: '林美', since: 5 }] });
  expect(stored(withoutFollow(more, uid(2)))).toEqual(stored(start));
  expect(withoutFollow(start, uid(2))).toBeUndefined();
});

test('a pin goes forward, and back only when the reader says so', () => {
  const standing = (seq: number) => new Map([[uid(1), { pin: { seq, hash, ts: 50 }, name: 'Wei', username: 'wei', host }]]);
  const read = withStandings(start, standing(5));
  expect(followsOf(read ?? start)[0]).toMatchObject({ pin: { seq: 5, hash, ts: 50 }, name: 'Wei', host });
  expect(stored(read)).toMatchObject({ follows: [{ colour: 'red' }, later] });
  expect(withStandings(read ?? start, standing(5))).toBeUndefined();
  expect(withStandings(read ?? start, standing(4))).toBeUndefined();
  expect(followsOf(withStandings(read ?? start, standing(4), true) ?? start)[0]?.pin?.seq).toBe(4);
});
