/**
 * Letters between two courtyards, as this device knows of them: set out, arrived there, or sent back. Each step is one
 * transaction over the log, and may be done twice.
 */

import { asRecord, type LogEvent } from '../domain/event';
import type { Mid, Uid } from '../domain/types';
import { mark, type LogWriting, type Touched } from './log';
import type { EventRow, NewOutboxRow, OutboxRow } from './schema';

/** Names of cursors: this and the envelope's id. */
export const WAY = 'way/';

/** How a letter reached the other courtyard. */
export interface Arrived {
  /** for somebody without a home; undefined where nobody said so */
  readonly kept: boolean | undefined;
  /** host of the courtyard by way of which it went, or empty */
  readonly by: string;
}

/** What an envelope on its way carries. */
export interface Way {
  readonly peer: Uid;
  readonly mid: Mid;
  readonly kind: string;
  /** it arrived before this device had noted that it was accepted */
  readonly early?: Arrived;
  /** what it says, where nothing else here holds it */
  readonly letter?: NewOutboxRow;
}

/** The same, as the event has it. */
interface Stretch {
  readonly way?: true;
  readonly kept?: boolean;
  readonly by?: string;
}

function stretchOf({ kept, by }: Arrived): Stretch {
  return { ...(kept === undefined ? {} : { kept }), ...(by === '' ? {} : { by }) };
}

/** A letter that came back. */
export interface Back {
  readonly peer: Uid;
  /** of the envelope */
  readonly id: string;
  /** of the message, where the home says it */
  readonly mid?: Mid | undefined;
  readonly code: string;
  readonly at: number;
  /** it has to be sealed anew: by that device, where another would do it as well; and until when it may wait for its date */
  readonly anew?: { readonly by: string | undefined; readonly until: number } | undefined;
}

/** Letters that one message may become by itself. */
export const VERSIONS = 8;

/** Notes that an envelope has set out; what the event says of it then. */
export async function setOut(tx: LogWriting, id: string, way: Way): Promise<Stretch> {
  const cursors = tx.objectStore('cursors');
  const { early } = ((await cursors.get(WAY + id)) ?? {}) as { early?: Way['early'] };
  if (early) {
    await cursors.delete(WAY + id);
    return stretchOf(early);
  }
  await cursors.put(way, WAY + id);
  return { way: true };
}

/** What had come back was sent again by another device, or the home: nothing waits here for the person any more. */
export async function setOutAgain(tx: LogWriting, event: LogEvent): Promise<Stretch> {
  const row = await tx.objectStore('outbox').index('mid').get([event.peer, event.mid]);
  if (row && (row.failure ? !row.retry : row.until !== undefined && !row.sealed)) await tx.objectStore('outbox').delete(row.order);
  const id = event.ids?.at(-1);
  return event.way && id !== undefined ? setOut(tx, id, { peer: event.peer, mid: event.mid, kind: event.kind }) : {};
}

export async function arrivedThere(tx: LogWriting, me: Uid, id: string, arrived: Arrived, touched: Touched): Promise<void> {
  const event = await tx.objectStore('events').index('ids').get(id);
  const waits = event && (await tx.objectStore('outbox').index('mid').get([event.peer, event.mid]));
  if (event?.author === me && waits?.sealed?.id === id) {
    // Another tab has the answer of the own courtyard and is about to write it.
    await tx.objectStore('cursors').put({ peer: event.peer, mid: event.mid, kind: event.kind, early: arrived } satisfies Way, WAY + id);
  } else {
    await tx.objectStore('cursors').delete(WAY + id);
    if (event?.author === me && (event.way || arrived.kept !== undefined) && !event.returned) {
      const { way: _w, kept: _k, ...rest } = event;
      await tx.objectStore('events').put({ ...rest, ...stretchOf(arrived) });
      mark(touched, event);
    }
  }
}

export async function sentBack(tx: LogWriting, me: Uid, back: Back, touched: Touched): Promise<void> {
  const events = tx.objectStore('events');
  const named = back.mid === undefined ? undefined : await events.get([back.peer, me, back.mid]);
  const event = named ?? (await events.index('ids').get(back.id));
  const outbox = tx.objectStore('outbox');
  const { letter } = ((await tx.objectStore('cursors').get(WAY + back.id)) ?? {}) as { letter?: Way['letter'] };
  await tx.objectStore('cursors').delete(WAY + back.id);
  if (letter && back.anew) await outbox.add(letter as OutboxRow);
  else if (event?.peer === back.peer && event.author === me && isLast(event, back.id)) {
    const row = await outbox.index('mid').get([event.peer, event.mid]);
    const anew = (event.ids?.length ?? 0) < VERSIONS ? back.anew : undefined;
    const failure = anew ? undefined : { code: back.code, params: {} };
    const retry = anew !== undefined;
    const again = row ? { ...row, failure, retry, sealed: undefined } : rowAgain(event, failure, back.at);
    if (again && (!anew || (anew.by ?? event.dev) === event.dev)) await outbox.put({ ...again, retry, ...(anew ? { until: anew.until } : {}) } as OutboxRow);
    const { accepted: _a, way: _w, kept: _k, failure: _f, ...rest } = event;
    await events.put({ ...rest, ...(failure ? { failure } : {}), returned: true });
    mark(touched, event);
  }
}

/** Nothing has arrived by another way, and no other letter is known here that says the same. */
function isLast(event: EventRow, id: string): boolean {
  if (event.home !== undefined || event.read !== undefined) return false;
  const newest = event.ids?.at(-1);
  return newest === undefined || newest === id;
}

/** In line for when the person tries again: sealed anew, under the same mid. */
function rowAgain(event: LogEvent, failure: NewOutboxRow['failure'], at: number): NewOutboxRow | undefined {
  // Deleted meanwhile: there is nothing left to say.
  if ((event.type !== 'chat' && event.type !== 'friend') || Object.keys(asRecord(event.body)).length === 0) return undefined;
  const { id } = asRecord(asRecord(event.body)['file']);
  return {
    peer: event.peer, mid: event.mid, type: event.type, kind: event.kind, body: event.body, clock: event.clock, seq: event.seq ?? 1, at,
    copy: event.type === 'chat', files: typeof id === 'string' ? [id] : [], sealed: undefined, failure, retry: false, again: false,
  };
}
