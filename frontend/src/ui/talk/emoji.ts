/** Whether what was typed is one emoji, as one would put under a message. */

const pictograph = /\p{Extended_Pictographic}|\p{Regional_Indicator}|[0-9#*]\uFE0F?\u20E3/u;

/** The first emoji of the text, whole with skin tone, joiners and flags; undefined when there is none. */
export function oneEmoji(text: string): string | undefined {
  const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
  for (const { segment } of graphemes.segment(text.slice(0, 64))) {
    if (pictograph.test(segment) && !/[\p{L}]/u.test(segment)) return segment;
  }
  return undefined;
}
