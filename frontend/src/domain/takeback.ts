/**
 * What waits at the own courtyard for another one, and is given up. The courtyard only ends what cannot be there already;
 * a message comes back then like any other, and can be tried again or deleted. Loaded when somebody asks.
 */

import { isProblem } from '../protocol/problem';
import { asRecord, type LogEvent } from './event';
import type { Session } from './session';
import type { Mid, Uid } from './types';

/** Rejects with `perhaps-there` for a message of which any letter may have arrived. */
export async function takeBack(session: Session, peer: Uid, mid: Mid): Promise<void> {
  const { store, self, crossing } = session;
  const event = await store.log.event(peer, self.id, mid);
  // The oldest first: if that may be there, so may the message.
  for (const id of event?.ids ?? []) await stop(session, id, peer);
  if (event) await dropFile(session, event);
  await crossing.reconcile();
}

/** Everything for one person. Resolves to how many letters stay, since they may have arrived. */
export async function takeAllBack(session: Session, peer: Uid): Promise<number> {
  const { store, crossing } = session;
  let stay = 0;
  for (const { id, to } of await crossing.waiting()) {
    if (to !== peer) continue;
    try {
      await stop(session, id, peer);
    } catch (error) {
      if (!isProblem(error, 'perhaps-there')) throw error;
      stay += 1;
      continue;
    }
    const event = await store.log.eventOfEnvelope(id);
    if (event?.peer === peer) await dropFile(session, event);
  }
  await crossing.reconcile();
  return stay;
}

/** Nothing to be done where it has arrived meanwhile, or came back. */
async function stop({ api }: Session, id: string, peer: Uid): Promise<void> {
  await api.takeBack(id, peer).catch((error: unknown) => {
    if (!isProblem(error, 'not-found')) throw error;
  });
}

/** Its letter is not going to say what it is. One that may be there already is of no use to anybody either. */
async function dropFile(session: Session, { peer, body }: LogEvent): Promise<void> {
  const { id } = asRecord(asRecord(body)['file']);
  if (typeof id !== 'string') return;
  await stop(session, id, peer).catch((error: unknown) => {
    if (!isProblem(error, 'perhaps-there')) throw error;
  });
}
