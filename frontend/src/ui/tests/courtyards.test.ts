import { describe, expect, test } from 'vitest';
import type { Neighbour } from '../../domain/courtyards';
import { languages, loadCatalogue } from '../../i18n/languages';
import { standing } from '../me/courtyards';
import { formats } from '../words/format';

const quiet: Neighbour = { host: 'other.example', people: 0, waiting: 0, connected: false, code: undefined, list: undefined };
const since = Date.UTC(2026, 10, 3, 12);

describe.each(languages)('%s', (language) => {
  test('how another courtyard stands', async () => {
    const t = await loadCatalogue(language);
    const w = t.courtyards;
    const says = (one: Partial<Neighbour>, only = false): string => standing({ ...quiet, ...one }, only, t, formats(language));
    expect(says({})).toBe(w.quiet);
    expect(says({ code: 'peer-away' })).toBe(w.away);
    // What went wrong before it was connected is over.
    expect(says({ people: 1200, waiting: 1, connected: true, code: 'peer-away' })).toBe(`${w.people(1200, '1,200')} · ${w.letters(1, '1')} · ${w.connected}`);
    expect(says({ connected: true }, true)).toBe(w.unlisted);
    expect(says({ list: { host: 'other.example', state: 'allow', since } }, true)).toBe(w.listed);
    expect(says({ connected: true, list: { host: 'other.example', state: 'block', since } })).toBe(w.refused(formats(language).date(since)));
  });
});
