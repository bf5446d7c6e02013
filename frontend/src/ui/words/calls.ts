/** What a call says of itself: while it stands, and in the note it leaves. */
import type { CallView, Message } from '../../domain/types';
import type { Catalogue } from '../../i18n/catalogue';
import type { Formats } from './format';

/** Empty as long as they speak. */
export function standingWords({ phase, why }: CallView, name: string, { call: t }: Catalogue): string {
  switch (phase) {
    case 'asking':
      return t.asking;
    case 'calling':
      return t.calling;
    case 'joining':
      return t.joining;
    case 'over': {
      const over = why === undefined || why === 'hung-up' || why === 'elsewhere' ? t.over.ended : t.over[why];
      return typeof over === 'string' ? over : over(name);
    }
    default:
      return '';
  }
}

export function noteWords({ call, own }: Message, { call: { note } }: Catalogue, format: Formats): string {
  if (call === undefined) return '';
  const video = call.media === 'video';
  switch (call.result) {
    case 'answered':
      return (video ? note.answeredVideo : note.answered)(format.length(call.seconds));
    case 'missed':
      return own ? (video ? note.missedOwnVideo : note.missedOwn) : video ? note.missedVideo : note.missed;
    case 'declined':
      return note.declined;
    case 'busy':
      return note.busy;
    case 'failed':
      return video ? note.failedVideo : note.failed;
  }
}
