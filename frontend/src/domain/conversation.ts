/**
 * What a conversation shows, worked out from its events alone: the same function for what came from the
 * relay's queue, from its keep and from pages of the home, so that every screen shows the same. No markup,
 * no browser, no database.
 */

import { b64 } from '../protocol/bytes';
import type { Json } from '../protocol/json';
import { readBody, type BodyOf, type FileRef, type Said } from '../protocol/message';
import { isProblem } from '../protocol/problem';
import { compareEvents, type LogEvent } from './event';
import type { Failure, Message, Mid, Tick, Uid } from './types';

/** A message as derived; the view adds what only a screen has (URLs, names, words about waiting). */
export interface Shown {
  readonly event: LogEvent;
  readonly kind: 'text' | 'photo' | 'call' | 'deleted' | 'unknown';
  readonly call?: Message['call'];
  readonly text: string;
  /** the whole of a long text */
  readonly file: FileRef | undefined;
  readonly photo: { readonly file: FileRef; readonly width: number; readonly height: number; readonly thumb: Uint8Array } | undefined;
  readonly reply: { readonly mid: Mid; readonly author: Uid } | undefined;
  readonly edited: boolean;
  readonly reactions: readonly { readonly emoji: string; readonly by: readonly Uid[] }[];
}

export interface Marks {
  /** the friend has read up to this clock */
  readonly theirs: number;
  /** the friend has a home; without one the courtyard keeps letters for good */
  readonly friendHome: boolean;
}

/** A body that cannot be what its kind says counts as one this version does not know. */
export function saidOf(event: LogEvent): Said {
  try {
    return readBody(event.type === 'friend' ? 'friend' : 'chat', event.kind, event.body as Json);
  } catch (error) {
    if (isProblem(error)) return { type: 'chat', kind: 'unknown' };
    throw error;
  }
}

/**
 * One message from its event and the events that touch it, in any order. Edits and deletions count only from
 * the author; of edits the newest, of reactions the newest of each person.
 */
export function derive(event: LogEvent, touches: readonly LogEvent[]): Shown {
  const inOrder = [...touches].sort(compareEvents);
  const deleted = inOrder.some((touch) => touch.kind === 'delete' && touch.author === event.author);
  if (deleted) {
    return { event, kind: 'deleted', text: '', file: undefined, photo: undefined, reply: undefined, edited: false, reactions: [] };
  }
  const edit = newestEdit(event, inOrder);
  const reactions = gather(event, inOrder);
  const said = saidOf(event);
  if (said.type === 'chat' && said.kind === 'text') {
    const { text, file, reply } = said.body;
    return {
      event, kind: 'text', text: edit?.text ?? text, file: edit ? edit.file : file, photo: undefined,
      reply: replyOf(reply), edited: edit !== undefined, reactions,
    };
  }
  if (said.type === 'chat' && said.kind === 'photo') {
    const { file, width, height, thumb, text = '', reply } = said.body;
    return {
      event, kind: 'photo', text: edit?.text ?? text, file: undefined, photo: { file, width, height, thumb },
      reply: replyOf(reply), edited: edit !== undefined, reactions,
    };
  }
  if (said.type === 'chat' && said.kind === 'call') {
    const { media, result, seconds } = said.body;
    return { event, kind: 'call', call: { media, result, seconds }, text: '', file: undefined, photo: undefined, reply: undefined, edited: false, reactions };
  }
  return { event, kind: 'unknown', text: '', file: undefined, photo: undefined, reply: undefined, edited: false, reactions };
}

function replyOf(reply: BodyOf<'chat', 'text'>['reply']): Shown['reply'] {
  return reply && { mid: b64(reply.mid), author: b64(reply.author) };
}

function newestEdit(event: LogEvent, touches: readonly LogEvent[]): BodyOf<'chat', 'edit'> | undefined {
  for (const touch of touches.toReversed()) {
    if (touch.kind !== 'edit' || touch.author !== event.author) continue;
    const said = saidOf(touch);
    if (said.kind === 'edit') return said.body;
  }
  return undefined;
}

function gather(event: LogEvent, touches: readonly LogEvent[]): Shown['reactions'] {
  const byPerson = new Map<Uid, string>();
  for (const touch of touches) {
    const said = saidOf(touch);
    if (said.kind !== 'react' || b64(said.body.author) !== event.author) continue;
    // Deleted first, so that a changed mind comes last in the order of the map.
    byPerson.delete(touch.author);
    if (said.body.emoji !== '') byPerson.set(touch.author, said.body.emoji);
  }
  const byEmoji = new Map<string, Uid[]>();
  for (const [person, emoji] of byPerson) byEmoji.set(emoji, [...(byEmoji.get(emoji) ?? []), person]);
  return [...byEmoji].map(([emoji, by]) => ({ emoji, by }));
}

/** How far one's own message has come. */
export function tickOf(event: LogEvent, marks: Marks): Tick {
  if (event.read !== undefined || (marks.theirs >= event.clock && arrived(event))) return 'read';
  if (event.home !== undefined) return 'home';
  // Who accepted it here knows whether the courtyard keeps it; the friend's chain, as it is known here, may be of before.
  if (arrived(event) && event.way) return 'accepted';
  if (arrived(event)) return (event.kept ?? !marks.friendHome) ? 'kept' : 'accepted';
  return event.failure === undefined ? 'waiting' : 'failed';
}

/** Without a hash it has not even been sealed; a copy from one's home or another device proves acceptance. */
function arrived(event: LogEvent): boolean {
  return event.accepted !== undefined;
}

export function failureShown(event: LogEvent, tick: Tick): Failure | undefined {
  return tick === 'failed' ? event.failure : undefined;
}
