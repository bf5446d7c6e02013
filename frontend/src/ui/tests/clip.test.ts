import { expect, test } from 'vitest';
import { clip } from '../words/clip';

test.each([['', 3, ''], ['好', 3, '好'], ['abcd', 3, 'abc'], ['ab😀c', 3, 'ab'], ['ab😀c', 4, 'ab😀'], ['a\ud83d', 2, 'a']])('%j cut at %d', (text, most, cut) => {
  expect(clip(text, most)).toBe(cut);
});
