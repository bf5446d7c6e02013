/** What the courtyard offers for finding paths between devices: its STUN ports, and addresses that it lends (TURN). */

import type { Connection } from '../platform/connection';
import type { IceServer } from '../platform/platform';
import { array, int, open, text } from '../protocol/json';
import { isProblem } from '../protocol/problem';

const LISTED = 8;
const readServers = open({}, { stun: array(text(300), LISTED), urls: array(text(300), LISTED), username: text(512), credential: text(512), until: int() });

export interface IceServers {
  /** tell what address one has outside; nothing passes through them */
  readonly stun: readonly IceServer[];
  readonly turn: readonly IceServer[];
}

/** Empty where the courtyard offers nothing of the kind. Rejects with `offline` without a connection, or an answer within `patience`. */
export async function iceServers(connection: Pick<Connection, 'ask'>, patience?: number): Promise<IceServers> {
  const answer = await connection.ask('turn', {}, patience).catch((error: unknown) => {
    if (isProblem(error, 'unavailable')) return { stun: [], urls: [] };
    throw error;
  });
  const { stun = [], urls = [], username, credential } = readServers(answer);
  return {
    stun: stun.length === 0 ? [] : [{ urls: stun }],
    turn: urls.length === 0 || username === undefined || credential === undefined ? [] : [{ urls, username, credential }],
  };
}
