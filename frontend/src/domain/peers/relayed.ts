/**
 * "Always through my courtyard": of what is told to the other side, only addresses that the courtyard lent. The browser is
 * asked to use no other (iceTransportPolicy `relay`); this looks that none leaves whatever it does.
 */

import type { Signal } from '../../protocol/message';

const CANDIDATE = /^(?:a=)?candidate:\S+ \d+ \S+ \d+ \S+ \d+ typ relay\b/i;
/** the address behind a lent one: one's own as the courtyard sees it */
const BEHIND = / raddr \S+ rport \d+/i;
const NOWHERE = ' raddr 0.0.0.0 rport 0';

export function onlyRelayed({ sdp, candidates }: Signal): Signal {
  return {
    ...(sdp ? { sdp: { ...sdp, sdp: lines(sdp.sdp) } } : {}),
    ...(candidates
      ? { candidates: candidates.filter(({ candidate }) => CANDIDATE.test(candidate)).map(({ candidate, sdpMid }) => ({ candidate: candidate.replace(BEHIND, NOWHERE), sdpMid })) }
      : {}),
  };
}

function lines(sdp: string): string {
  const told: string[] = [];
  for (const line of sdp.split('\r\n')) {
    if (/^a=candidate:/i.test(line)) {
      if (CANDIDATE.test(line)) told.push(line.replace(BEHIND, NOWHERE));
    } else if (/^c=IN /i.test(line)) told.push('c=IN IP4 0.0.0.0');
    else if (/^a=rtcp:\d+ /i.test(line)) told.push('a=rtcp:9 IN IP4 0.0.0.0');
    else told.push(line);
  }
  return told.join('\r\n');
}
