/** What a tick says to the ear, and in a sentence. */
import type { Tick, Waiting } from '../../domain/types';
import type { Catalogue, FirstWords } from '../../i18n/catalogue';

export function tickLabel(tick: Tick, name: string, t: FirstWords): string {
  switch (tick) {
    case 'waiting':
    case 'accepted':
    case 'failed':
      return t.tick[tick];
    case 'kept':
    case 'home':
    case 'read':
      return t.tick[tick](name);
  }
}

/** What the tick means; a failed message has its own sentence (`explain`). */
export function tickWords(tick: Exclude<Tick, 'failed'>, name: string, t: Catalogue): string {
  switch (tick) {
    case 'waiting':
      return t.tick.waitingWords;
    case 'accepted':
      return t.tick.acceptedWords;
    case 'kept':
      return t.tick.keptWords(name);
    case 'home':
      return t.tick.homeWords(name);
    case 'read':
      return t.tick.readWords(name);
  }
}

/** What a message has been waiting for, in a sentence. */
export function waitingWords(waiting: Waiting, t: Catalogue): string {
  switch (waiting.for) {
    case 'nothing':
    case 'network':
    case 'courtyard':
      return t.waiting[waiting.for];
    case 'home':
    case 'carry':
    case 'key':
    case 'away':
    case 'decision':
      return t.waiting[waiting.for](waiting.name);
  }
}
