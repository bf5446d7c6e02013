/** Where a path to a friend's device may be looked for, and whether it has to go through the own courtyard. */

import type { IceServer } from '../../platform/platform';
import { codeOf } from '../failure';
import { iceServers } from '../iceservers';
import type { Session } from '../session';

/** From the vault's settings: all of one's devices keep to it. */
export function isRelayed({ vault }: Session): boolean {
  return vault.opened && vault.data.settings['relayed'] === true;
}

/** None where the courtyard does not answer now: a path may be found without. */
export async function serversFor({ connection }: Session): Promise<readonly IceServer[]> {
  try {
    const { stun, turn } = await iceServers(connection);
    return [...stun, ...turn];
  } catch (error) {
    if (codeOf(error) !== 'offline') throw error;
    return [];
  }
}
