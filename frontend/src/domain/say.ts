/** What a person says in a conversation: checked, stored, on its way. */

import { b64, unb64, utf8 } from '../protocol/bytes';
import { characters } from '../protocol/json';
import { bodyJson, limits, splitText, type BodyOf, type ChatSaid, type FileRef } from '../protocol/message';
import { randomBytes } from '../protocol/primitives';
import type { Draft } from '../store/log';
import { saidOf } from './conversation';
import { asRecord, type LogEvent } from './event';
import { Trouble } from './failure';
import type { Session } from './session';
import type { Mid, Uid } from './types';

/** No side of a photo is longer, in pixels. */
const PHOTO_SIDE = 2048;
/** How well a photo in full size is kept. */
const FULL_QUALITY = 0.92;

export async function send(session: Session, peer: Uid, text: string, reply?: Mid): Promise<Mid> {
  const mid = newMid();
  session.talks.hold({ peer, text, mid });
  try {
    return await sendHeld(session, peer, mid, text, reply);
  } finally {
    session.talks.release(peer);
  }
}

async function sendHeld(session: Session, peer: Uid, mid: Mid, text: string, reply: Mid | undefined): Promise<Mid> {
  const { inline, file } = await spoken(session, peer, text);
  const answers = await target(session, peer, reply);
  const body: BodyOf<'chat', 'text'> = { text: inline, ...(answers ? { reply: answers } : {}), ...(file ? { file } : {}) };
  return put(session, peer, { type: 'chat', kind: 'text', body }, { file, mid, written: text });
}

export async function sendPhoto(session: Session, peer: Uid, picture: Blob, caption: string, reply?: Mid, full = false): Promise<Mid> {
  mustBeFriend(session, peer);
  if (characters(caption) > limits.text) throw new Trouble('text-long', { limit: limits.text });
  const tools = await session.platform.photos();
  const { jpeg, width, height, thumb } = await (full ? tools.shrink(picture, limits.side, limits.file, FULL_QUALITY) : tools.shrink(picture, PHOTO_SIDE));
  const file = await session.transfers.prepare(jpeg, 'image/jpeg', [peer, session.self.id]);
  const answers = await target(session, peer, reply);
  const body: BodyOf<'chat', 'photo'> = {
    file, width, height, thumb: thumb.slice(), ...(caption === '' ? {} : { text: caption }), ...(answers ? { reply: answers } : {}),
  };
  return put(session, peer, { type: 'chat', kind: 'photo', body }, { file });
}

export async function edit(session: Session, peer: Uid, mid: Mid, text: string): Promise<void> {
  await ownMessage(session, peer, mid);
  const { inline, file } = await spoken(session, peer, text);
  await put(session, peer, { type: 'chat', kind: 'edit', body: { target: unb64(mid, 16), text: inline, ...(file ? { file } : {}) } }, { file });
}

/** For everybody; one that never left is simply gone. */
export async function remove(session: Session, peer: Uid, mid: Mid): Promise<void> {
  const { store, self } = session;
  await ownMessage(session, peer, mid);
  const gone = await store.log.discard(self.id, peer, mid);
  if (gone) await session.written(gone);
  else await put(session, peer, { type: 'chat', kind: 'delete', body: { target: unb64(mid, 16) } });
}

export async function react(session: Session, peer: Uid, mid: Mid, emoji: string): Promise<void> {
  const to = await target(session, peer, mid);
  if (!to) throw new Trouble('not-friend');
  await put(session, peer, { type: 'chat', kind: 'react', body: { target: to.mid, author: to.author, emoji } });
}

export async function retry(session: Session, peer: Uid, mid: Mid): Promise<void> {
  const { store, self, platform, outbox, transfers } = session;
  const event = await store.log.event(peer, self.id, mid);
  if (event?.returned) {
    const file = fileIn(event);
    if (file) await transfers.again(file, [peer, self.id]);
  }
  await session.written(await store.log.requeue(self.id, peer, mid, false, platform.now()));
  outbox.renew();
}

function fileIn(event: LogEvent): FileRef | undefined {
  const said = saidOf(event);
  return said.kind === 'text' || said.kind === 'photo' || said.kind === 'edit' ? said.body.file : undefined;
}

/** What travels in the letter, and the file that holds the whole where that is not all. */
async function spoken(session: Session, peer: Uid, text: string): Promise<{ inline: string; file: FileRef | undefined }> {
  mustBeFriend(session, peer);
  if (characters(text) > limits.text) throw new Trouble('text-long', { limit: limits.text });
  // Half a character cannot be sent: it would not be text on the other side.
  const { inline, whole } = splitText(text.replace(/\p{Surrogate}/gu, '\ufffd'));
  if (whole) return { inline, file: undefined };
  return { inline, file: await session.transfers.prepare(utf8(text), 'text/plain', [peer, session.self.id]) };
}

interface Wrapping {
  readonly file?: FileRef | undefined;
  readonly mid?: Mid;
  readonly written?: string;
}

async function put(session: Session, peer: Uid, said: ChatSaid, { file, mid = newMid(), written }: Wrapping = {}): Promise<Mid> {
  mustBeFriend(session, peer);
  const { self } = session;
  const draft: Draft = {
    peer, author: self.id, dev: self.device, mid, type: 'chat', kind: said.kind, body: bodyJson(said), now: self.date, copy: true,
    files: file ? [b64(file.id)] : [], logged: true, ...(written === undefined ? {} : { written }),
  };
  await session.compose([draft]);
  session.presence.said(peer);
  return mid;
}

function newMid(): Mid {
  return b64(randomBytes(16));
}

function mustBeFriend({ friends }: Session, peer: Uid): void {
  if (friends.get(peer)?.state !== 'friend') throw new Trouble('not-friend');
}

/** Whose message it is that is answered or reacted to; undefined when it is not here. */
async function target({ store, self }: Session, peer: Uid, mid: Mid | undefined): Promise<BodyOf<'chat', 'text'>['reply']> {
  if (mid === undefined) return undefined;
  for (const author of [peer, self.id]) {
    if (await store.log.event(peer, author, mid)) return { mid: unb64(mid, 16), author: unb64(author, 32) };
  }
  return undefined;
}

async function ownMessage({ store, self }: Session, peer: Uid, mid: Mid): Promise<void> {
  const event = await store.log.event(peer, self.id, mid);
  if (!event || Object.keys(asRecord(event.body)).length === 0) throw new Trouble('file-missing');
}
