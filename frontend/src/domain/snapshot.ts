/** The state that the views see, worked out from what the session knows. */

import { b64 } from '../protocol/bytes';
import type { VaultData } from '../protocol/vaultdata';
import { isPublic } from './profiles';
import type { Session } from './session';
import type { Account, Device, HomeState, State } from './types';
import { keepersInHand, pendingDevices } from './upkeep';

/** After `later`, the card is spoken of again. */
const CARD_PAUSE = 3 * 24 * 60 * 60_000;

export const STARTING: State = {
  phase: 'starting', account: undefined, link: 'offline', home: { state: 'none' }, space: undefined, card: { state: 'none', at: 0 }, homeAsks: [],
  homeTwice: false, findable: true, wall: false, relayed: false, unread: 0, requests: 0,
};

export const OUT: State = { ...STARTING, phase: 'out' };

export function snapshot(session: Session): State {
  const { doorway, household, talks, people, vault } = session;
  const { link, space, homeTwice } = doorway.standing;
  if (!vault.opened) return { ...STARTING, link };
  return {
    phase: 'in',
    account: accountOf(session, vault.data),
    link,
    home: homeOf(session),
    space,
    card: cardOf(session, vault.data),
    homeAsks: household.asks,
    homeTwice,
    findable: vault.data.settings['findable'] !== false,
    wall: isPublic(vault.data),
    relayed: vault.data.settings['relayed'] === true,
    unread: talks.unread,
    requests: people.all.filter(({ state }) => state === 'asks').length,
  };
}

function accountOf({ self, doorway, people }: Session, { name, about, picture }: VaultData): Account {
  return {
    uid: self.id, name, username: self.username, handle: self.handle, about, picture: people.ownPicture(self.id, picture),
    owner: doorway.standing.owner,
  };
}

function homeOf({ home, doorway, household, homeLink }: Session): HomeState {
  const { state, since } = doorway.standing.home;
  if (household.coming && state !== 'online') return { state: 'coming' };
  if (!home) return { state: 'none' };
  // Without a connection nobody knows: then it is as it was when there was one.
  if (state !== 'online' && homeLink.path === 'courtyard') return { state: 'away', since: state === 'none' ? home.added : since };
  const figure = (name: string): number | undefined => household.figure(name);
  return { state: 'online', messages: figure('messages'), bytes: figure('bytes'), free: figure('free'), people: figure('people'), path: homeLink.path };
}

/** Due once something has been said, until there is a card or a second device. A home keeps everything, but brings nobody back to it. */
function cardOf(session: Session, data: VaultData): State['card'] {
  const chain = session.chains.held(session.self.id);
  const saved = data.settings['card'];
  if (chain?.card) return { state: 'saved', at: typeof saved === 'number' ? saved : chain.ts };
  const later = data.settings['cardLater'];
  const at = typeof later === 'number' ? later + CARD_PAUSE : 0;
  const others = chain !== undefined && keepersInHand(chain, data, session.self.now()).length > 1;
  return { state: !others && session.talks.begun && at <= session.self.now() ? 'due' : 'none', at };
}

export function devicesOf({ chains, self, vault }: Session): readonly Device[] {
  const now = self.now();
  const names = vault.opened ? vault.data.devices : {};
  const unused = new Map(vault.opened ? pendingDevices(vault.data).map(({ id, until }) => [id, until]) : []);
  return (chains.held(self.id)?.devices ?? [])
    .filter((device) => device.revoked === undefined && (device.exp === 0 || device.exp > now))
    .map((device) => {
      const id = b64(device.id);
      return { id, name: names[id] ?? '', role: device.role, added: device.added, self: id === self.device, unused: unused.get(id) };
    });
}

