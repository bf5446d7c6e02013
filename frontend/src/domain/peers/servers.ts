/** Where a path to a friend's device may be looked for, and whether it has to go through the own courtyard. */

import type { IceServer } from '../../platform/platform';
import { codeOf } from '../failure';
import { iceServers } from '../iceservers';
import type { Session } from '../session';

/** ms from a question to its answer, over a socket that lives */
const SOON = 5_000;

/** From the vault's settings: all of one's devices keep to it. As long as they are not known here no address is told. */
export function isRelayed({ vault, hiding }: Session): boolean {
  return hiding || !vault.opened || vault.data.settings['relayed'] === true;
}

/**
 * Those of now, for who has lost a path: what they lend may have run out, and the socket may have gone with the path, which
 * nobody tells. One that does not answer soon is opened anew. undefined: the courtyard is not reached now.
 */
export async function renewedServers(session: Session): Promise<readonly IceServer[] | undefined> {
  try {
    await session.reached();
    const { stun, turn } = await iceServers(session.connection, SOON);
    return [...stun, ...turn];
  } catch (error) {
    session.shrug(error);
    return undefined;
  }
}

/** None where the courtyard does not answer now, or was asked too often: a path may be found without. */
export async function serversFor({ connection }: Session): Promise<readonly IceServer[]> {
  try {
    const { stun, turn } = await iceServers(connection);
    return [...stun, ...turn];
  } catch (error) {
    if (!['offline', 'rate-limited'].includes(codeOf(error))) throw error;
    return [];
  }
}
