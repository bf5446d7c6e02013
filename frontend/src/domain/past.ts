/**
 * A chain as it was. A vault that a device wrote before it was let go is still the vault: whoever lets it go writes the
 * next version, and until then nobody shall be locked out.
 */

import { equal, type Bytes } from '../protocol/bytes';
import { Chain } from '../protocol/ident';

/** The chain as it was when the device with this signing key was still active. */
export function chainOfWriter(chain: Chain, sign: Bytes): Chain {
  const revoked = chain.devices.find((each) => equal(each.sign, sign))?.revoked;
  // What came before has been verified with the rest.
  return revoked === undefined ? chain : Chain.fromOwnStore(chain.records.slice(0, revoked), chain.uid);
}
