/** How another courtyard stands with this one, in a line of words. */
import type { Neighbour } from '../../domain/courtyards';
import type { Catalogue } from '../../i18n/catalogue';
import type { Formats } from '../words/format';

/** @param only whether those on the list alone are dealt with */
export function standing(one: Neighbour, only: boolean, t: Catalogue, format: Formats): string {
  const w = t.courtyards;
  if (one.list?.state === 'block') return w.refused(format.date(one.list.since));
  if (only && one.list === undefined) return w.unlisted;
  const parts = [
    ...(one.list === undefined ? [] : [w.listed]),
    ...(one.people === 0 ? [] : [w.people(one.people, format.number(one.people))]),
    ...(one.waiting === 0 ? [] : [w.letters(one.waiting, format.number(one.waiting))]),
    ...(one.connected ? [w.connected] : one.code === undefined ? [] : [w.away]),
  ];
  return (parts.length === 0 ? [w.quiet] : parts).join(' · ');
}
