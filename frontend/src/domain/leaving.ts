/** Signing out: this browser's keys are worth nothing afterwards, if somebody is left who can still get in. */

import { b64 } from '../protocol/bytes';
import { codeOf } from './failure';
import { amend } from './ownchain';
import type { Session } from './session';
import { keepersInHand } from './upkeep';

export async function leave(session: Session): Promise<void> {
  const { self, vault } = session;
  try {
    await session.greeted();
    await amend(session, async (chain) => {
      const others = keepersInHand(chain, vault.data, self.now()).some((device) => b64(device.id) !== self.device);
      // The last way in is not closed behind oneself.
      if (!chain.active(self.keys.id, self.now()) || !(others || chain.card)) return undefined;
      return chain.revokeDevice(self.keys, self.keys.id, 0, self.now());
    });
  } catch (error) {
    // Offline: another device can still revoke this one; here everything goes all the same.
    if (codeOf(error) === 'internal') session.platform.report(error);
  }
}
