/** The one-use link that carries the account to another browser. Loaded when somebody adds a device. */

import { b64 } from '../protocol/bytes';
import { formatHandover, makeHandover } from '../protocol/handover';
import { schemeOf } from './invites';
import { amend } from './ownchain';
import type { Session } from './session';
import { pendingDevices, withPending } from './upkeep';

/** How long such a link can be taken. */
const LASTS = 24 * 60 * 60_000;

export async function addDevice(session: Session): Promise<{ readonly url: string; readonly until: number }> {
  const { self, api, vault, platform } = session;
  await session.greeted();
  const { link, box, sealed, device } = await makeHandover(self.host, { uid: self.uid, username: self.username });
  const until = self.now() + LASTS;
  await amend(session, async (chain) => {
    const added = chain.device(device.id);
    return added ? undefined : chain.addDevice(self.keys, { sign: device.sign, box: device.box, role: 'admin', exp: 0 }, self.now());
  });
  // Sealed anew for the device as well, and noted: should nobody take the link, the device is let go.
  await vault.change((data) => withPending(data, [...pendingDevices(data), { id: b64(device.id), until }]));
  await api.putHandover(box, sealed);
  return { url: formatHandover(link, schemeOf(platform)), until };
}
