/** Writing to one's own chain: compare-and-swap at the relay, again on what others wrote in between. */

import type { Api } from '../platform/api';
import type { Chain } from '../protocol/ident';
import { isProblem, Problem } from '../protocol/problem';
import type { Signed } from '../protocol/signed';
import type { Chains } from './chains';
import type { Self } from './self';

const TRIES = 6;

export interface OwnChainSurroundings {
  readonly self: Pick<Self, 'id' | 'uid'>;
  readonly api: Api;
  readonly chains: Chains;
}

/**
 * Appends the record that `make` gives for the newest chain; undefined means that what it is for stands there already
 * (an answer that was lost, another device that was first). Resolves to the chain as it is then.
 */
export async function amend({ self, api, chains }: OwnChainSurroundings, make: (chain: Chain) => Promise<Signed | undefined>): Promise<Chain> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const chain = await chains.fetch(self.id);
    const record = await make(chain);
    if (!record) return chain;
    const next = chain.append(record);
    try {
      await api.addRecord(self.uid, record);
    } catch (error) {
      if (isProblem(error, 'chain-conflict')) continue;
      throw error;
    }
    await chains.extend(self.id, next);
    return next;
  }
  throw new Problem('chain-conflict');
}
