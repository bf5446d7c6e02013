/** What the engine found out about itself, in sentences: the same for the screen and for the clipboard. */
import type { Diagnosis, Outbound, Unsent } from '../../domain/diagnosis';
import type { NetworkReport } from '../../domain/direct';
import type { Catalogue } from '../../i18n/catalogue';
import { explain } from '../words/failure';
import type { Formats } from '../words/format';

export interface Section {
  readonly title: string;
  readonly lines: readonly string[];
}

/** A clock may differ by this, in ms, before anybody needs to know. */
const LEAD = 5_000;

/** `network` undefined: it is being looked at. */
export function told(found: Diagnosis, network: NetworkReport | undefined, version: string, t: Catalogue, format: Formats): readonly Section[] {
  const { device, courtyard, unsent, unopened, resting, outbound, space } = found;
  const w = t.diagnosis;
  const since = (at: number): string => format.moment(at, found.at);
  const count = (n: number): string => w.letters(n, format.number(n));
  const reason = (one: Unsent): string => (one.why === 'refused' ? explain({ code: one.code }, t) : w.why[one.why]);
  const carried = (one: Outbound): string =>
    `${w.outbound(count(one.count), one.name, one.host, since(one.since))} ${one.code === undefined ? w.outboundFresh : w.outboundTried(format.number(one.tries), explain({ code: one.code }, t))}`;
  return [
    {
      title: w.device,
      lines: [
        w.app(version, device.name),
        device.online ? w.online : w.offline,
        ...(unsent.length === 0 ? [w.unsentNone] : unsent.map((one) => `${w.unsent(count(one.count), one.name, since(one.since))} ${reason(one)}`)),
        ...unopened.map((one) => w.unopened(count(one.count), one.name, since(one.since))),
      ],
    },
    {
      title: w.courtyard,
      lines: [
        courtyard.host,
        w.link[courtyard.link],
        ...answer(found, t, format),
        ...resting.map((one) => w.resting(count(one.count), one.name, since(one.since))),
        ...(space === undefined ? [] : [w.space(t.me.spaceOf(format.bytes(space.used), format.bytes(space.limit)))]),
      ],
    },
    { title: w.others, lines: outbound === undefined ? [w.outboundUnknown] : outbound.length === 0 ? [w.outboundNone] : outbound.map(carried) },
    { title: w.home, lines: home(found, t, format) },
    { title: w.network, lines: network === undefined ? [w.networkAsked] : reach(network, t, format) },
  ];
}

/** For the clipboard: plain lines, with the time on top. */
export function asText(sections: readonly Section[], title: string): string {
  return [title, ...sections.flatMap(({ title: part, lines }) => ['', part, ...lines.map((line) => `- ${line}`)])].join('\n');
}

function answer({ courtyard }: Diagnosis, t: Catalogue, format: Formats): readonly string[] {
  const w = t.diagnosis;
  if ('code' in courtyard.answer) return [explain(courtyard.answer, t)];
  const { version, took, lead } = courtyard.answer;
  const clock = Math.abs(lead) < LEAD ? [] : [w.clock(format.number(Math.round(Math.abs(lead) / 1000)))];
  return [w.answers(version, format.number(Math.round(took))), ...clock];
}

/** What the network lets through, what that was concluded from, and which way the home is reached now. */
function reach({ kind, measured, lends, path, pair, why }: NetworkReport, t: Catalogue, format: Formats): readonly string[] {
  const w = t.diagnosis;
  const { seen, filter, port, met } = measured;
  const tried = filter === undefined ? 'untried' : filter ? 'pass' : 'fail';
  const noHome = why === 'no-home' || why === 'home-away' || why === 'offline';
  const protocol = (pair?.protocol ?? '').toUpperCase();
  return [
    w.kind[kind],
    ...(lends === false && (kind === 'symmetric' || kind === 'blocked') ? [w.lendsNone] : []),
    met === undefined ? (noHome ? w.metUntried : w.metOld) : met ? w.met : w.metNot,
    ...(seen === undefined ? [] : [w.nat(w.natSeen(seen, format.number(seen)), w.natFilter[tried], w.natPort[port ?? 'untried'])]),
    ...(why === 'no-home' ? [] : [path === 'direct' ? w.pathDirect : path === 'lan' ? w.pathLan : w.pathCourtyard]),
    ...(why === undefined || why === 'no-home' ? [] : [w.pathWhy[why]]),
    ...(pair === undefined ? [] : [w.pathPair(pair.local, pair.remote, protocol, pair.roundTrip === undefined ? '' : format.number(Math.round(pair.roundTrip)))]),
  ];
}

function home({ home: own, at }: Diagnosis, t: Catalogue, format: Formats): readonly string[] {
  const w = t.diagnosis;
  if (own.state === 'none') return [w.homeNone];
  return [
    own.state === 'away' ? w.homeAway(format.moment(own.since, at)) : own.channel ? w.homeOnline : w.homeClosed,
    ...(own.version === '' ? [] : [w.homeVersion(own.version)]),
    ...(own.messages === undefined ? [] : [w.homeHolds(t.home.fineMessages(own.messages, format.number(own.messages)))]),
    ...(own.free === undefined ? [] : [w.homeFree(format.bytes(own.free))]),
  ];
}
