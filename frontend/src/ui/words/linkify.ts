/** Finds the links in what a person wrote. Only http, https and mailto become links; everything else stays text. */

export type Piece =
  | { readonly kind: 'text'; readonly text: string }
  /** `parts`: the shown text, cut where a line may break */
  | { readonly kind: 'link'; readonly href: string; readonly parts: readonly string[] };

const candidate = /(?:https?:\/\/|mailto:)[^\s<>"“”「」『』《》（）【】，。；！？、：…\u0000-\u001f\u202a-\u202e\u2066-\u2069]+/giu;
const trailing = /[.,:;!?'’]+$/u;

export function linkify(text: string): readonly Piece[] {
  const pieces: Piece[] = [];
  let from = 0;
  for (const match of text.matchAll(candidate)) {
    const shown = trim(match[0]);
    const href = safe(shown);
    if (href === undefined) continue;
    if (match.index > from) pieces.push({ kind: 'text', text: text.slice(from, match.index) });
    pieces.push({ kind: 'link', href, parts: cut(shown) });
    from = match.index + shown.length;
  }
  if (from < text.length) pieces.push({ kind: 'text', text: text.slice(from) });
  return pieces;
}

/** Takes off the punctuation of the sentence around it, and a bracket that was opened outside. */
function trim(raw: string): string {
  let link = raw;
  for (;;) {
    let shorter = link.replace(trailing, '');
    for (const [open, close] of [['(', ')'], ['[', ']']] as const) {
      if (shorter.endsWith(close) && shorter.split(close).length > shorter.split(open).length) shorter = shorter.slice(0, -1);
    }
    if (shorter === link) return link;
    link = shorter;
  }
}

function safe(link: string): string | undefined {
  if (!URL.canParse(link)) return undefined;
  const url = new URL(link);
  if (url.protocol === 'mailto:') return url.pathname.includes('@') ? url.href : undefined;
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return undefined;
  // A name before the host is how a link pretends to go elsewhere.
  return url.username === '' && url.password === '' && url.hostname !== '' ? url.href : undefined;
}

/** Cuts after / ? & so that a long link breaks there and not inside a word; the scheme's two slashes stay together. */
function cut(link: string): readonly string[] {
  return link.split(/(?<=[/?&])(?!\/)/u).reduce<string[]>((parts, part) => {
    const last = parts[parts.length - 1];
    if (last !== undefined && /^https?:\/\/?$/iu.test(last)) parts[parts.length - 1] = last + part;
    else parts.push(part);
    return parts;
  }, []);
}
