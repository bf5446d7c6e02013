/** What the note of a call says. */
import type { Message } from '../../domain/types';
import type { Catalogue } from '../../i18n/catalogue';
import type { Formats } from './format';

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
  }
}
