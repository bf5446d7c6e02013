import { expect, test } from 'vitest';
import { onlyRelayed } from './relayed';

const host = 'candidate:1 1 udp 2122260223 192.168.1.7 50000 typ host generation 0';
const hidden = 'candidate:2 1 udp 2122260223 3b0c.local 50001 typ host';
const seen = 'candidate:3 1 udp 1686052607 203.0.113.9 50002 typ srflx raddr 192.168.1.7 rport 50000';
const lent = 'candidate:4 1 udp 41885695 198.51.100.1 49152 typ relay raddr 203.0.113.9 rport 50002 generation 0 ufrag abcd';
const shown = 'candidate:4 1 udp 41885695 198.51.100.1 49152 typ relay raddr 0.0.0.0 rport 0 generation 0 ufrag abcd';

test('nothing but addresses that were lent, and nothing behind them', () => {
  const sdp = ['v=0', 'o=- 1 2 IN IP4 127.0.0.1', 'c=IN IP4 203.0.113.9', 'a=rtcp:50003 IN IP4 203.0.113.9', ...[host, hidden, seen, lent].map((line) => `a=${line}`), 'a=ice-ufrag:abcd', ''].join('\r\n');
  const told = onlyRelayed({ sdp: { type: 'offer', sdp }, candidates: [host, hidden, seen, lent, ''].map((candidate) => ({ candidate, sdpMid: '0' })) });
  expect(told.candidates).toEqual([{ candidate: shown, sdpMid: '0' }]);
  expect(told.sdp?.sdp.split('\r\n')).toEqual(['v=0', 'o=- 1 2 IN IP4 127.0.0.1', 'c=IN IP4 0.0.0.0', 'a=rtcp:9 IN IP4 0.0.0.0', `a=${shown}`, 'a=ice-ufrag:abcd', '']);
  expect(JSON.stringify(told)).not.toMatch(/192\.168|203\.0\.113|\.local/u);
});

test('a host that calls itself lent in its name is still a host', () => {
  const sly = ['candidate:5 1 udp 1 192.168.1.7 1 typ host typ relay', 'candidate:typ 1 udp 1 192.168.1.7 9 typ host relay'];
  expect(onlyRelayed({ candidates: sly.map((candidate) => ({ candidate, sdpMid: '0' })) }).candidates).toEqual([]);
});
