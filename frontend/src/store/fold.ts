/** How an event becomes a row, how two copies of one become one, and what is left of a deleted one. */

import { asRecord, roleOf, type LogEvent } from '../domain/event';
import type { Uid } from '../domain/types';
import type { EventRow } from './schema';

/** Index keys follow from the event, and exist only where it belongs in the index. */
export function rowOf(me: Uid, event: LogEvent): EventRow {
  const { shown: _s, incoming: _i, touch: _t, ...plain } = event as EventRow;
  const role = roleOf(event);
  if (role.as === 'shown') {
    const shown: [string, number, string] = [event.peer, event.clock, event.mid];
    // Of the friend's notes of calls, the one that was missed waits to be read.
    const heard = event.author === me || (event.kind === 'call' && asRecord(event.body)['result'] !== 'missed');
    return heard ? { ...plain, shown } : { ...plain, shown, incoming: [event.peer, event.clock] };
  }
  return role.as === 'touch' ? { ...plain, touch: [event.peer, role.target] } : plain;
}

/**
 * A second copy of an event that is held: from the relay after it came from here, from the home after it
 * came from the relay. The first one's content stays; what only the second knows is added. Returns `held`
 * itself when nothing is new.
 */
export function mergeEvent(held: EventRow, copy: LogEvent): EventRow {
  const home = held.home ?? copy.home;
  const read = held.read ?? copy.read;
  // Tried again, here or on another device: what came back before is history.
  const renewed = held.returned === true && (copy.ids?.some((id) => !(held.ids?.includes(id) ?? false)) ?? false);
  const accepted = held.accepted ?? (held.returned && !renewed ? undefined : copy.accepted);
  const hash = held.hash || copy.hash;
  const other = copy.hash !== '' && copy.hash !== hash && !(held.hashes?.includes(copy.hash) ?? false);
  const ids = [...new Set([...(held.ids ?? []), ...(copy.ids ?? [])])];
  const more = ids.length > (held.ids?.length ?? 0);
  if (home === held.home && read === held.read && accepted === held.accepted && hash === held.hash && !other && !more) return held;
  const { failure, returned, ...rest } = held;
  return {
    ...rest,
    hash,
    ...(returned && !renewed ? { returned } : {}),
    ...(more ? { ids } : {}),
    ...(home === undefined ? {} : { home }),
    ...(read === undefined ? {} : { read }),
    ...(accepted === undefined ? {} : { accepted }),
    ...(other ? { hashes: [...(held.hashes ?? []), copy.hash] } : {}),
    // Once it is known to have arrived, an earlier refusal is history.
    ...(failure && accepted === undefined && home === undefined ? { failure } : {}),
  };
}

/** A deleted message: that it was there stays, what it said and its files go. */
export function forget(row: EventRow): { row: EventRow; files: string[] } {
  const { target, file } = asRecord(row.body);
  const { id } = asRecord(file);
  return {
    row: { ...row, body: target === undefined ? {} : { target } },
    files: typeof id === 'string' ? [id] : [],
  };
}
