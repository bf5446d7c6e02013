/** The 28 characters of a recovery card as they are typed (protocol section 6). Their meaning is the engine's to judge. */

const size = 28;

/** How many characters are still missing; negative when there are too many. Spaces and dashes do not count. */
export function missing(typed: string): number {
  return size - bare(typed).length;
}

/** In groups of four, capitals, with the look-alikes as readers take them. */
export function grouped(typed: string): string {
  return (bare(typed).match(/.{1,4}/gu) ?? []).join('-');
}

function bare(typed: string): string {
  return typed.toUpperCase().replace(/[^0-9A-Z]/gu, '');
}
