import { describe, expect, test } from 'vitest';
import type { Candidate } from '../platform/platform';
import { reflexive } from '../platform/testpeers';
import { addressesSeen, counts, isPrivate, judge, portSeen, readFinding, staysNear, type Measured } from './network';

describe('the table', () => {
  test.each([
    // seen, filter, port: kind, prospect
    [undefined, undefined, undefined, 'unknown', 'unknown'],
    [0, undefined, undefined, 'blocked', 'tcp'],
    [0, true, 'same', 'blocked', 'tcp'],
    [2, undefined, undefined, 'symmetric', 'open'],
    [3, true, 'same', 'symmetric', 'open'],
    [1, true, undefined, 'open', 'direct'],
    [1, true, 'same', 'open', 'direct'],
    [1, true, 'different', 'open', 'direct'],
    [1, true, 'none', 'open', 'direct'],
    [1, false, 'same', 'restricted', 'direct-unless-symmetric'],
    [1, false, 'different', 'symmetric', 'open'],
    [1, false, 'none', 'unsure', 'unknown'],
    // no home, or one that says nothing of it
    [1, false, undefined, 'unproven', 'direct-unless-symmetric'],
    [1, undefined, undefined, 'unproven', 'direct-unless-symmetric'],
    [1, undefined, 'same', 'unproven', 'direct-unless-symmetric'],
  ] as const)('seen %s, filter %s, port %s: %s', (seen, filter, port, kind, prospect) => {
    for (const met of [undefined, true, false]) expect(judge({ seen, filter, port, met })).toEqual({ kind, prospect });
  });
});

describe('the addresses that are seen', () => {
  const [one, other] = ['stun:yard.example:3478', 'stun:yard.example:3479'];
  const distinct = (candidates: readonly Candidate[], answered = false): number => addressesSeen({ candidates, answered });
  const host: Candidate = { ...reflexive('', 0), kind: 'host', server: undefined };

  test('none: nothing came back', () => {
    expect(distinct([])).toBe(0);
    expect(distinct([host])).toBe(0);
  });

  test('none, and yet an answer: it is the same outside', () => {
    expect(distinct([host], true)).toBe(1);
    expect(distinct([reflexive(one, 4001), reflexive(other, 4002)], true)).toBe(2);
  });

  test('one, told once or twice: the address stays the same', () => {
    expect(distinct([host, reflexive(one, 4001)])).toBe(1);
    expect(distinct([reflexive(one, 4001), reflexive(other, 4001)])).toBe(1);
  });

  test('two: it changes with whom one writes to', () => {
    expect(distinct([reflexive(one, 4001), reflexive(other, 4002)])).toBe(2);
    expect(distinct([reflexive(one, 4001), reflexive(other, 4001, '203.0.113.10')])).toBe(2);
  });

  test('two interfaces are two sockets', () => {
    const from = (inside: string, port: number): Candidate => {
      const candidate = reflexive(one, port);
      return { ...candidate, candidate: candidate.candidate.replace('raddr 0.0.0.0 rport 0', `raddr ${inside} rport 5000`) };
    };
    expect(distinct([from('192.168.1.2', 4001), from('192.168.1.3', 4002)])).toBe(1);
    expect(distinct([from('192.168.1.2', 4001), from('192.168.1.2', 4002), from('192.168.1.3', 4003)])).toBe(2);
  });

  test('IPv6 and TCP are other matters', () => {
    expect(distinct([reflexive(one, 4001), reflexive(one, 4002, '2001:db8::1'), { ...reflexive(one, 4003), protocol: 'tcp' }])).toBe(1);
  });
});

test('the port that the home saw', () => {
  const mine = [reflexive('stun:yard.example:3478', 4001)];
  expect(portSeen('203.0.113.9:4001', mine)).toBe('same');
  expect(portSeen('203.0.113.9:4002', mine)).toBe('different');
  expect(portSeen(undefined, mine)).toBe('none');
  expect(portSeen('', mine)).toBe('none');
  expect(portSeen('192.168.1.4:4001', mine)).toBeUndefined();
  expect(portSeen('203.0.113.9:4001', [])).toBeUndefined();
  expect(portSeen(undefined, [])).toBe('none');
  expect(portSeen('[2001:db8::1]:4001', [reflexive('', 4001, '2001:db8::1')])).toBe('same');
});

test.each([
  ['192.168.1.4:4001', true], ['10.0.0.1:1', true], ['172.16.0.1:1', true], ['172.31.255.255:1', true], ['169.254.3.4:1', true], ['127.0.0.1:1', true],
  ['[fe80::1]:1', true], ['[fd00::1]:1', true], ['[::1]:1', true], ['0ad8e5b5-1c3f-4c0e-9b3c-6d0f0c1b2a3d.local:4001', true],
  ['172.32.0.1:1', false], ['100.64.0.1:1', false], ['203.0.113.9:4001', false], ['[2001:db8::1]:1', false], ['', false], ['no address', false],
] as const)('%s is in one’s own network: %s', (address, own) => {
  expect(isPrivate(address)).toBe(own);
});

test.each([
  // what the browser says of the home, where the home sees the device
  ['host', '192.168.1.4:4001', undefined, true],
  ['prflx', '192.168.1.4:4001', undefined, true],
  ['host', '', undefined, true],
  ['prflx', '', '192.168.1.9:4001', false],
  ['host', '[2a02:db8:0:7::4]:4001', '[2a02:db8::7:1c:2:3:4]:4002', true],
  ['host', '[2a02:db8::4]:4001', '[2a02:db8:0:0:9:8:7:6]:4002', true],
  ['host', '[2a02:db8:0:7::4]:4001', '[2a02:db8:0:8::4]:4002', false],
  ['host', '[2a02:db8:0:7::4]:4001', '192.168.1.9:4002', true],
  ['host', '203.0.113.9:4001', '203.0.113.9:4002', true],
  ['host', '203.0.113.9:4001', '203.0.113.8:4002', false],
  ['host', '203.0.113.9:4001', undefined, false],
  // Behind one address there may be a whole town.
  ['srflx', '203.0.113.9:4001', '203.0.113.9:4002', false],
  ['srflx', '203.0.113.9:4001', '10.0.2.100:4002', false],
] as const)('a home (%s) at %s that sees this device at %s is in one’s own network: %s', (remote, to, seen, near) => {
  expect(staysNear({ remote, to }, seen)).toBe(near);
});

describe('what was found', () => {
  const measured: Measured = { seen: 1, filter: false, port: 'same', met: true };
  const hour = 60 * 60_000;

  test('counts in the same network, for a day, and for a quarter of an hour if nothing came about', () => {
    const finding = { address: '203.0.113.9', at: 1_000, measured };
    expect(counts(finding, '203.0.113.9', 1_000 + 23 * hour)).toBe(true);
    expect(counts(finding, '203.0.113.9', 1_000 + 24 * hour)).toBe(false);
    expect(counts(finding, '203.0.113.10', 2_000)).toBe(false);
    expect(counts(finding, undefined, 2_000)).toBe(false);
    // The clock went back.
    expect(counts(finding, '203.0.113.9', 999)).toBe(false);
    for (const met of [false, undefined]) {
      const failed = { ...finding, measured: { ...measured, met } };
      expect(counts(failed, '203.0.113.9', 1_000 + hour / 4 - 1)).toBe(true);
      expect(counts(failed, '203.0.113.9', 1_000 + hour / 4)).toBe(false);
    }
  });

  test('is read back as it was stored, and nothing else', () => {
    const finding = { address: '203.0.113.9', at: 1_000, measured };
    expect(readFinding(structuredClone(finding))).toEqual(finding);
    expect(readFinding({ ...finding, measured: { seen: 'x', filter: 1, port: 'odd', met: null } })?.measured).toEqual({ seen: undefined, filter: undefined, port: undefined, met: undefined });
    for (const bad of [undefined, null, 5, {}, { address: 5, at: 1, measured }, { address: 'x', at: 1 }]) expect(readFinding(bad)).toBeUndefined();
  });
});
