/** A derived message made ready for a screen: ticks, words about waiting, what it answers, how its photo is had. */

import { b64 } from '../protocol/bytes';
import type { FileRef } from '../protocol/message';
import { failureShown, tickOf, type Marks, type Shown } from './conversation';
import type { Lack } from './outbox';
import type { Message, Mid, Photo, State, Tick, Uid } from './types';
import { waitingFor } from './waiting';

/** Characters of an answered message shown above the answer. */
const EXCERPT = 120;

export interface Excerpt {
  readonly text: string;
  readonly photo: boolean;
}

export interface MessageSurroundings {
  readonly me: Uid;
  readonly now: number;
  readonly link: State['link'];
  /** the friend's name, for words about waiting */
  readonly name: string;
  readonly fork: boolean;
  readonly marks: Marks;
  /** why messages to the friend wait on this device, if they do */
  readonly lack: Lack | undefined;
  /** what an answered message says; undefined when it is not here */
  excerpt(author: Uid, mid: Mid): Excerpt | undefined;
  uploaded(file: string): number | undefined;
  placeholder(thumb: Uint8Array): string;
  loadText(file: FileRef, from: Uid | undefined): Promise<string>;
  /** @param from the friend who sent it: their device may be asked */
  loadPhoto(file: FileRef, from: Uid | undefined, progress?: (part: number) => void): Promise<string>;
}

export function messageOf(shown: Shown, around: MessageSurroundings): Message {
  const { event, file, reply } = shown;
  const own = event.author === around.me;
  const from = own ? undefined : event.author;
  const tick: Tick | undefined = own ? tickOf(event, around.marks) : undefined;
  const answered = reply && around.excerpt(reply.author, reply.mid);
  return {
    mid: event.mid,
    peer: event.peer,
    author: event.author,
    own,
    clock: event.clock,
    sent: event.ts,
    kind: shown.kind,
    text: shown.text,
    call: shown.call,
    more: file && (() => around.loadText(file, from)),
    photo: shown.photo && photoOf(shown.photo, from, around),
    reply: reply && { ...reply, excerpt: answered?.text ?? '', photo: answered?.photo ?? false },
    edited: shown.edited,
    reactions: shown.reactions,
    tick,
    waiting: tick && waitingFor({
      tick, since: sinceOf(shown), now: around.now, link: around.link, name: around.name, fork: around.fork,
      lack: around.lack, way: event.way === true,
    }),
    failure: tick && failureShown(event, tick),
    by: own ? event.by : undefined,
  };
}

/** When a message reached the tick that it waits with. */
export function sinceOf({ event }: Shown): number {
  return event.accepted ?? event.received;
}

export function excerptOf(shown: Shown): Excerpt {
  const line = shown.text.replace(/\s+/g, ' ').trim();
  const text = Array.from(line).slice(0, EXCERPT).join('');
  return { text: text.length < line.length ? `${text}…` : text, photo: shown.kind === 'photo' };
}

function photoOf(photo: NonNullable<Shown['photo']>, from: Uid | undefined, around: MessageSurroundings): Photo {
  const { file, width, height, thumb } = photo;
  return {
    width,
    height,
    placeholder: around.placeholder(thumb),
    load: (progress) => around.loadPhoto(file, from, progress),
    uploaded: around.uploaded(b64(file.id)),
  };
}
