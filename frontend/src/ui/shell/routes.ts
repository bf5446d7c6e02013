/**
 * Every screen has an address. Screens live behind '#/' because what follows '#' never reaches the courtyard's log;
 * anything else behind '#', and every address under /i/, is a link with a secret in it (protocol sections 9 and 10).
 */

export type FriendsSheet = 'invite' | 'code' | 'scan' | 'name';
export type WallSheet = 'write' | 'follow' | 'following';
export type MePage =
  | 'profile' | 'devices' | 'add' | 'card' | 'home' | 'pair' | 'household' | 'install' | 'notifications' | 'language' | 'theme' | 'space' | 'courtyards' | 'traffic' | 'diagnostics' | 'about' | 'leave';

export type Route =
  | { readonly screen: 'start' }
  | { readonly screen: 'link'; readonly url: string }
  | { readonly screen: 'chats' }
  | { readonly screen: 'new' }
  | { readonly screen: 'talk'; readonly peer: string; readonly photo: string | undefined }
  | { readonly screen: 'wall'; readonly sheet: WallSheet | undefined }
  | { readonly screen: 'author'; readonly uid: string }
  | { readonly screen: 'follow'; readonly handle: string }
  | { readonly screen: 'friends'; readonly sheet: FriendsSheet | undefined }
  | { readonly screen: 'person'; readonly uid: string }
  | { readonly screen: 'me'; readonly page: MePage | undefined }
  | { readonly screen: 'restore' }
  | { readonly screen: 'unknown' };

const friendsSheets: ReadonlySet<string> = new Set<FriendsSheet>(['invite', 'code', 'scan', 'name']);
const wallSheets: ReadonlySet<string> = new Set<WallSheet>(['write', 'follow', 'following']);
const mePages: ReadonlySet<string> = new Set<MePage>([
  'profile', 'devices', 'add', 'card', 'home', 'pair', 'household', 'install', 'notifications', 'language', 'theme', 'space', 'courtyards', 'traffic', 'diagnostics', 'about', 'leave',
]);
const FOLLOW = '#follow.';
const id = /^[A-Za-z0-9_-]{22}$/; // of a message
const person = /^[A-Za-z0-9_-]{43}$/;

/** @param base where the app is served, with both slashes: `/app/` */
export function parse(location: { readonly pathname: string; readonly hash: string; readonly href: string }, base: string): Route {
  if (location.pathname.startsWith('/i/')) return { screen: 'link', url: location.href };
  if (!location.pathname.startsWith(base)) return { screen: 'unknown' };
  const { hash } = location;
  if (hash === '' || hash === '#' || hash === '#/') return { screen: 'start' };
  // From a wall that anybody can read; there is no secret in it.
  if (hash.startsWith(FOLLOW)) return { screen: 'follow', handle: decoded(hash.slice(FOLLOW.length)) };
  if (!hash.startsWith('#/')) return { screen: 'link', url: location.href };

  const [first, second, third, fourth, ...rest] = hash.slice(2).replace(/\/$/u, '').split('/');
  if (rest.length > 0) return { screen: 'unknown' };
  switch (first) {
    case 'chats':
      if (second === undefined) return { screen: 'chats' };
      if (!person.test(second)) return { screen: 'unknown' };
      if (third === undefined) return { screen: 'talk', peer: second, photo: undefined };
      return third === 'photo' && fourth !== undefined && id.test(fourth)
        ? { screen: 'talk', peer: second, photo: fourth }
        : { screen: 'unknown' };
    case 'people':
      return second !== undefined && third === undefined && person.test(second) ? { screen: 'person', uid: second } : { screen: 'unknown' };
    case 'friends':
      if (second === undefined) return { screen: 'friends', sheet: undefined };
      return isFriendsSheet(second) && third === undefined ? { screen: 'friends', sheet: second } : { screen: 'unknown' };
    case 'me':
      if (second === undefined) return { screen: 'me', page: undefined };
      return isMePage(second) && third === undefined ? { screen: 'me', page: second } : { screen: 'unknown' };
    case 'wall':
      if (second === undefined) return { screen: 'wall', sheet: undefined };
      if (second === 'of' && third !== undefined && fourth === undefined && person.test(third)) return { screen: 'author', uid: third };
      return isWallSheet(second) && third === undefined ? { screen: 'wall', sheet: second } : { screen: 'unknown' };
    case 'new':
    case 'restore':
      return second === undefined ? { screen: first } : { screen: 'unknown' };
    default:
      return { screen: 'unknown' };
  }
}

function isFriendsSheet(text: string): text is FriendsSheet {
  return friendsSheets.has(text);
}

function isWallSheet(text: string): text is WallSheet {
  return wallSheets.has(text);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // not encoded, then
  }
}

function isMePage(text: string): text is MePage {
  return mePages.has(text);
}

/** The address of a screen, to be put behind the base; undefined for links, whose address is their own. */
export function path(route: Route): string | undefined {
  switch (route.screen) {
    case 'start':
    case 'unknown':
      return '#/';
    case 'link':
      return undefined;
    case 'talk':
      return route.photo === undefined ? `#/chats/${route.peer}` : `#/chats/${route.peer}/photo/${route.photo}`;
    case 'person':
      return `#/people/${route.uid}`;
    case 'friends':
      return route.sheet === undefined ? '#/friends' : `#/friends/${route.sheet}`;
    case 'me':
      return route.page === undefined ? '#/me' : `#/me/${route.page}`;
    case 'wall':
      return route.sheet === undefined ? '#/wall' : `#/wall/${route.sheet}`;
    case 'author':
      return `#/wall/of/${route.uid}`;
    case 'follow':
      return FOLLOW + route.handle;
    case 'chats':
    case 'new':
    case 'restore':
      return `#/${route.screen}`;
  }
}

export type Room = 'chats' | 'wall' | 'friends' | 'me';

/** Which of the four rooms a screen belongs to. */
export function room(route: Route): Room | undefined {
  switch (route.screen) {
    case 'chats':
    case 'new':
    case 'talk':
      return 'chats';
    case 'friends':
    case 'person':
      return 'friends';
    case 'wall':
    case 'author':
    case 'follow':
      return 'wall';
    case 'me':
      return 'me';
    case 'start':
    case 'link':
    case 'restore':
    case 'unknown':
      return undefined;
  }
}

/** Whether the app may open on this screen again: rooms and conversations, no sheets and nothing with a secret in it. */
export function lasting(route: Route): boolean {
  switch (route.screen) {
    case 'chats':
      return true;
    case 'talk':
      return route.photo === undefined;
    case 'wall':
    case 'friends':
      return route.sheet === undefined;
    case 'me':
      return route.page === undefined;
    default:
      return false;
  }
}

/** Whether the screen is a sheet over another: it has an entry of the history already. */
export function isSheet(route: Route): boolean {
  switch (route.screen) {
    case 'new':
    case 'follow':
      return true;
    case 'wall':
    case 'friends':
      return route.sheet !== undefined;
    case 'talk':
      return route.photo !== undefined;
    default:
      return false;
  }
}
