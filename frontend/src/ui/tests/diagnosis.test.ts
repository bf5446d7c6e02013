import { describe, expect, test } from 'vitest';
import type { Diagnosis } from '../../domain/diagnosis';
import type { NetworkReport } from '../../domain/direct';
import { judge, type Measured } from '../../domain/network';
import { languages, loadCatalogue } from '../../i18n/languages';
import { asText, told } from '../me/diagnosis';
import { formats } from '../words/format';

const at = Date.UTC(2026, 10, 20, 19, 0);
const calm: Diagnosis = {
  at, device: { name: 'Chrome · Android', online: true },
  courtyard: { host: 'hutong.example', link: 'online', answer: { version: '0.2', took: 18.4, lead: 3 } },
  unsent: [], unopened: [], resting: [], outbound: [], space: { used: 2_000_000, limit: 268_000_000 },
  home: { state: 'none', since: 0, channel: false, version: '', messages: undefined, free: undefined },
};
const busy: Diagnosis = {
  ...calm,
  device: { name: 'Chrome · Android', online: false },
  courtyard: { host: 'hutong.example', link: 'offline', answer: { code: 'offline' } },
  unsent: (['network', 'courtyard', 'key', 'away', 'decision', 'file'] as const).map((why, n) => ({ name: 'Wei', count: n + 1, since: at - 60_000, why, code: undefined })),
  unopened: [{ name: 'Tomás', count: 2, since: at - 60_000 }],
  resting: [{ name: 'Ana', count: 5, since: at - 60_000 }],
  outbound: [
    { name: 'Tomás', host: 'other.example', count: 3, since: at - 60_000, tries: 4, code: 'peer-away' },
    { name: 'Wei', host: 'third.example:8443', count: 1, since: at, tries: 0, code: undefined },
  ],
  home: { state: 'online', since: at, channel: true, version: '0.2', messages: 1234, free: 5_000_000_000 },
};

const unmeasured: Measured = { seen: undefined, filter: undefined, port: undefined, met: undefined };
function report(measured: Measured, rest: Partial<NetworkReport> = {}): NetworkReport {
  return { ...judge(measured), at, measured, lends: true, path: 'courtyard', pair: undefined, why: 'network', ...rest };
}
const quiet = report(unmeasured, { why: 'no-home' });

describe.each(languages)('%s', (language) => {
  test.each([['when nothing waits', calm], ['when everything waits', busy], ['without an answer', { ...calm, outbound: undefined }], ['with a wrong clock', { ...calm, courtyard: { ...calm.courtyard, answer: { version: '0.2', took: 5, lead: -90_000 } } }]] as const)('%s, all is said', async (_when, found) => {
    const t = await loadCatalogue(language);
    const sections = told(found, quiet, '0.1.0', t, formats(language));
    expect(sections).toHaveLength(5);
    const text = asText(sections, 'Diagnostics');
    expect(text).not.toMatch(/undefined|NaN|\[object/u);
    for (const line of text.split('\n')) expect(line.trim()).toBe(line);
    expect(text).toContain('hutong.example');
  });

  test('says whom, where, how many and why', async () => {
    const t = await loadCatalogue(language);
    const text = asText(told(busy, quiet, '0.1.0', t, formats(language)), 'Diagnostics');
    for (const part of ['Tomás', 'Wei', 'other.example', 'third.example:8443', t.error['peer-away'], t.diagnosis.why.away, '1,234', 'Ana']) expect(text).toContain(part);
    // A code that is not known yet is told too.
    const refused = { ...calm, unsent: [{ name: 'Wei', count: 1, since: at, why: 'refused', code: 'brand-new' }] } as const;
    expect(asText(told(refused, undefined, '0.1.0', t, formats(language)), '')).toContain('brand-new');
  });

  test('says what the network lets through, and which way the home is reached', async () => {
    const t = await loadCatalogue(language);
    const w = t.diagnosis;
    const said = (network: NetworkReport | undefined): string => asText(told(calm, network, '0.1.0', t, formats(language)), '');
    const kinds = new Set<string>();
    for (const [seen, filter, port] of [[undefined, undefined, undefined], [0, undefined, undefined], [2, undefined, undefined], [1, true, 'same'], [1, false, 'same'], [1, false, 'different'], [1, false, 'none'], [1, undefined, undefined]] as const) {
      const network = report({ seen, filter, port, met: false });
      kinds.add(network.kind);
      const text = said(network);
      expect(text).toContain(w.kind[network.kind]);
      expect(text).toContain(w.metNot);
      expect(text).not.toMatch(/undefined|NaN|\[object/u);
    }
    expect(kinds.size).toBe(7);
    const symmetric = { seen: 2, filter: undefined, port: undefined, met: false };
    expect(said(report(symmetric, { lends: false }))).toContain(w.lendsNone);
    expect(said(report(symmetric)) + said(report({ ...symmetric, seen: 1 }, { lends: false }))).not.toContain(w.lendsNone);
    expect(said(undefined)).toContain(w.networkAsked);
    expect(said(quiet)).toContain(w.metUntried);
    for (const why of ['unsupported', 'home-away', 'home-none', 'network', 'trying', 'offline'] as const) expect(said(report(unmeasured, { why }))).toContain(w.pathWhy[why]);
    const pair = { local: 'srflx', remote: 'host', protocol: 'udp', relayProtocol: undefined, from: '', to: '', roundTrip: 12.3 } as const;
    const direct = said(report({ seen: 1, filter: true, port: 'same', met: true }, { path: 'direct', pair, why: undefined }));
    for (const part of [w.pathDirect, w.met, 'srflx', 'host', 'UDP', '12']) expect(direct).toContain(part);
    expect(said(report(unmeasured, { path: 'lan', why: undefined }))).toContain(w.pathLan);
  });
});
