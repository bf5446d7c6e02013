/** Where a path to a friend's device may be looked for, and whether it has to go through the own courtyard. */

import type { IceServer } from '../../platform/platform';
import type { Session } from '../session';

/** From the vault's settings: all of one's devices keep to it. */
export function isRelayed({ vault }: Session): boolean {
  return vault.opened && vault.data.settings['relayed'] === true;
}

export function serversFor(_session: Session): Promise<readonly IceServer[]> {
  return Promise.resolve([]);
}
