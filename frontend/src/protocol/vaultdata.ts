/**
 * What the vault holds (protocol/README.md section 5). Keys that this version does not know are kept, wherever they
 * stand, and written back.
 */
import { b64, type Bytes, utf8 } from './bytes';
import {
  array, blob, bool, bytes, int, isObject, type Json, type JsonObject, oneOf, open, parseJson, type Read, refuse, text,
} from './json';

export type FriendState = 'friend' | 'asked' | 'asks' | 'blocked' | 'removed';

/** Unknown keys, to be written back. */
interface Kept {
  readonly rest?: JsonObject | undefined;
}

export interface VaultFriend extends Kept {
  readonly uid: Bytes;
  readonly username: string;
  readonly host: string;
  /** 0: not known */
  readonly port: number;
  readonly name: string;
  readonly state: FriendState;
  /** by an invite's proof or in person */
  readonly confirmed: boolean;
  readonly since: number;
  /** pinned chain; without `head` nothing is pinned yet */
  readonly seq: number;
  readonly head?: Bytes | undefined;
  /** pinned UEK: counter (0 = none seen yet) and key */
  readonly uek: number;
  readonly uekKey?: Bytes | undefined;
  /** of the request, to answer it */
  readonly mid?: Bytes | undefined;
}

export interface VaultInvite extends Kept {
  readonly id: Bytes;
  readonly secret: Bytes;
  readonly created: number;
  /** who used it */
  readonly by?: Bytes | undefined;
}

export interface VaultUek extends Kept {
  readonly counter: number;
  readonly secret: Bytes;
  readonly ts: number;
}

export interface VaultData extends Kept {
  readonly v: 1;
  readonly username: string;
  readonly name: string;
  readonly about: string;
  /** JPEG */
  readonly picture?: Bytes | undefined;
  readonly friends: readonly VaultFriend[];
  /** friends in a state that this version does not know: a vault never becomes unreadable, and they are written back */
  readonly laterFriends?: readonly JsonObject[] | undefined;
  readonly invites: readonly VaultInvite[];
  /** only of someone without a home */
  readonly ueks: readonly VaultUek[];
  readonly settings: JsonObject;
  /** what the person calls them, by device id in base64url */
  readonly devices: Readonly<Record<string, string>>;
}

const readObject: Read<JsonObject> = (value) => (isObject(value) ? value : refuse('object'));
const anyText = text(1024 * 1024); // one's own words: refusing them would lock their owner out
const readNames: Read<Readonly<Record<string, string>>> = (value) =>
  Object.fromEntries(Object.entries(readObject(value)).map(([id, name]) => [id, anyText(name)]));

/** Reads with `read`, puts `absent` where nothing stands, and keeps what `read` left out. */
function keeping<T extends object, D extends object>(read: Read<T>, absent: D): Read<D & T & Kept> {
  return (value) => {
    const known = read(value);
    const rest = Object.entries(readObject(value)).filter(([key]) => !Object.hasOwn(known, key));
    return { ...absent, ...known, ...(rest.length > 0 && { rest: Object.fromEntries(rest) }) };
  };
}

const states = ['friend', 'asked', 'asks', 'blocked', 'removed'] as const satisfies readonly FriendState[];
const readFriend: Read<VaultFriend> = keeping(
  open(
    { uid: bytes(32), state: oneOf(...states) },
    {
      username: anyText, host: anyText, port: int(0, 65_535), name: anyText, confirmed: bool, since: int(), seq: int(),
      head: bytes(32), uek: int(), uekKey: bytes(32), mid: bytes(16),
    },
  ),
  { username: '', host: '', port: 0, name: '', confirmed: false, since: 0, seq: 0, uek: 0 },
);
const readInvite: Read<VaultInvite> = keeping(
  open({ id: bytes(16), secret: bytes(16) }, { created: int(), by: bytes(32) }),
  { created: 0 },
);
/** Also in the home's answer to `keys` (section 11). */
export const readVaultUek: Read<VaultUek> = keeping(open({ counter: int(1), secret: bytes(32) }, { ts: int() }), { ts: 0 });

const most = 20_000; // 1 MiB holds fewer of anything
const readVault = keeping(
  open(
    { v: oneOf(1) },
    {
      username: anyText, name: anyText, about: anyText, picture: blob(1024 * 1024), friends: array(readObject, most),
      invites: array(readInvite, most), ueks: array(readVaultUek, most), settings: readObject, devices: readNames,
    },
  ),
  { username: '', name: '', about: '', friends: [], invites: [], ueks: [], settings: {}, devices: {} },
);

/** Throws `bad-request`. */
export function parseVault(json: Bytes): VaultData {
  const { friends, ...vault } = readVault(parseJson(json, { bytes: 1024 * 1024, depth: 16 }));
  const known = (friend: JsonObject): boolean => states.some((state) => state === friend['state']) || typeof friend['state'] !== 'string';
  const laterFriends = friends.filter((friend) => !known(friend));
  return { ...vault, friends: friends.filter(known).map(readFriend), ...(laterFriends.length > 0 && { laterFriends }) };
}

export function encodeVault(vault: VaultData): Bytes {
  const { rest, friends, laterFriends = [], invites, ueks, settings, devices, ...own } = vault;
  return utf8(
    JSON.stringify({
      ...wire(own), friends: [...friends.map(kept), ...laterFriends], invites: invites.map(kept), ueks: ueks.map(kept),
      settings, devices, ...rest,
    }),
  );
}

function kept({ rest, ...known }: Kept): Record<string, Json> {
  return { ...wire(known), ...rest };
}

function wire(known: object): Record<string, Json> {
  const fields = Object.entries(known).filter(([, field]) => field !== undefined);
  return Object.fromEntries(fields.map(([key, field]) => [key, field instanceof Uint8Array ? b64(field) : (field as Json)]));
}
