/**
 * What the network lets in, asked of two sides: the courtyard's two STUN ports, and the home, which knocks from a fresh
 * socket at an address that this device has never written to from there (protocol section 17).
 */

import type { Candidate, IceServer, RtcTools } from '../platform/platform';
import { codeOf } from './failure';
import type { HomeLink } from './homelink';
import { addressesSeen, type Measured } from './network';

const GATHERING = 3_000;
const TARGETS = 4;

/** `home` undefined: there is none that answers, so only the courtyard is asked. */
export async function probe(rtc: RtcTools, servers: readonly IceServer[], home: HomeLink | undefined): Promise<Pick<Measured, 'seen' | 'filter'>> {
  const peer = rtc.connect(servers, 'all', { state: () => undefined });
  try {
    // Without a channel there would be nothing to gather for; nobody opens it.
    peer.channel('probe', '', { opened: nothing, message: nothing, closed: nothing, drained: nothing });
    const { sdp } = await peer.describe();
    const gathered = await peer.gathered(GATHERING);
    const seen = addressesSeen(gathered);
    const to = targets(gathered.candidates);
    if (seen !== 1 || to.length === 0 || !home?.linked) return { seen, filter: undefined };
    const [ufrag, pwd] = [credential(sdp, 'ufrag'), credential(sdp, 'pwd')];
    // A browser answers whoever knows its own half once there is another side; this one says nothing of where it is.
    await peer.accept({ type: 'answer', sdp: nobody(sdp) });
    return { seen, filter: await knock(home, ufrag, pwd, to) };
  } finally {
    peer.close();
  }
}

/** Where the courtyard saw this device: the home knocks nowhere else. */
function targets(candidates: readonly Candidate[]): readonly string[] {
  const seen = candidates.filter(({ kind, protocol, address }) => kind === 'srflx' && protocol === 'udp' && !address.includes(':'));
  return [...new Set(seen.map(({ address, port }) => `${address}:${String(port)}`))].slice(0, TARGETS);
}

async function knock(home: HomeLink, ufrag: string, pwd: string, to: readonly string[]): Promise<boolean | undefined> {
  try {
    const { sent, answered } = await home.askLinked('probe', { ufrag, pwd, to });
    if (sent === 0) return undefined; // the home knocks only where the courtyard sees this device
    return typeof answered === 'boolean' ? answered : undefined;
  } catch (error) {
    // An older home, one that has probed enough for now, or one that went away: it is not known then.
    if (codeOf(error) === 'internal') throw error;
    return undefined;
  }
}

function credential(sdp: string, name: 'ufrag' | 'pwd'): string {
  return new RegExp(`^a=ice-${name}:(\\S+)`, 'mu').exec(sdp)?.[1] ?? '';
}

/** The description of nobody, who answers to this offer. */
function nobody(offer: string): string {
  const mid = /^a=mid:(\S+)/mu.exec(offer)?.[1] ?? '0';
  return [
    'v=0', 'o=- 1 1 IN IP4 0.0.0.0', 's=-', 't=0 0', `a=group:BUNDLE ${mid}`, 'm=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'c=IN IP4 0.0.0.0', `a=mid:${mid}`,
    'a=ice-ufrag:probe', `a=ice-pwd:${'probe'.repeat(5)}`, `a=fingerprint:sha-256 ${Array.from({ length: 32 }, () => '00').join(':')}`,
    'a=setup:passive', 'a=sctp-port:5000', '',
  ].join('\r\n');
}

function nothing(): void {
  // Nobody is there.
}
