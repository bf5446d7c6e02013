/**
 * What went by way of the own courtyard because it could not go straight (protocol section 17), this calendar month.
 * Looked up when somebody asks; nothing of it is kept on the device. Loaded with the page that shows it.
 */

import { array, bool, int, open, text } from '../protocol/json';
import type { Session } from './session';

/** Of one person. */
export interface Used {
  readonly bytes: number;
  /** connections that go by way of the courtyard now */
  readonly open: number;
}

export interface Traffic {
  /** when it was asked, ms */
  readonly at: number;
  /** the courtyard itself passes on; otherwise nobody does, or another service, which counts by itself */
  readonly on: boolean;
  /** 2026-11 */
  readonly month: string;
  /** bytes a month for each; 0: no limit */
  readonly limit: number;
  /** bytes a second for each; 0: no limit */
  readonly second: number;
  readonly mine: Used;
  /** of the owner alone, most bytes first, by username */
  readonly everybody: ReadonlyMap<string, Used> | undefined;
}

const used = { allocations: int(), bytes: int() };
const readTraffic = open(
  { on: bool, month: text(7, 7), limit: int(), second: int(), mine: open(used) },
  { all: array(open({ username: text(32), ...used }), 500) },
);

export async function traffic(session: Session): Promise<Traffic> {
  await session.greeted();
  const { on, month, limit, second, mine, all } = readTraffic(await session.api.call('GET', 'traffic'));
  return {
    at: session.platform.now(), on, month, limit, second, mine: { bytes: mine.bytes, open: mine.allocations },
    everybody: all === undefined ? undefined : new Map(all.map((one) => [one.username, { bytes: one.bytes, open: one.allocations }])),
  };
}
