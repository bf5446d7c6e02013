/**
 * The shape that every catalogue has, taken from the English one: a missing or surplus entry does not compile.
 * What the first screen says is loaded with it (`FirstWords`, one file a language); the words of all other rooms come
 * together with the first view that is loaded later (`RoomWords`, a folder a language).
 */
import type { first } from './en';
import type { rooms } from './en/rooms';

export type Widened<T> = T extends string
  ? string
  : T extends (...args: infer A) => string
    ? (...args: A) => string
    : { readonly [K in keyof T]: Widened<T[K]> };

export type FirstWords = Widened<typeof first>;
export type RoomWords = Widened<typeof rooms>;
export type Catalogue = FirstWords & RoomWords;
