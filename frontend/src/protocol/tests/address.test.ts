import { describe, expect, test } from 'vitest';
import { formatHandle, formatHost, hostWellFormed, pageHandle, parseHandle, parseHost, usernameAllowed, usernameWellFormed } from '../address';

test('usernames', () => {
  for (const name of ['ab', 'a1', '0x', 'a.b-c_d', 'x'.repeat(32)]) expect(usernameAllowed(name)).toBe(true);
  for (const name of ['', 'a', 'A1', '.a', 'a.', '-a', 'a_', 'a b', 'é1', 'x'.repeat(33), 'ab\n', '熊熊']) expect(usernameWellFormed(name)).toBe(false);
  for (const name of ['admin', 'root', 'courtyard', 'home', 'claim']) {
    expect(usernameWellFormed(name)).toBe(true);
    expect(usernameAllowed(name)).toBe(false);
  }
});

test.each([
  ['https://relay.example/@wei', 'wei@relay.example'], [' http://127.0.0.1:8787/@wei/ ', 'wei@127.0.0.1:8787'], ['HTTPS://[::1]:1/@a.b', 'a.b@[::1]:1'],
  ['wei@relay.example', 'wei@relay.example'], ['https://relay.example/@wei/posts', 'https://relay.example/@wei/posts'], ['https://a@relay.example/@wei', 'https://a@relay.example/@wei'],
])('%j is the page of %s', (typed, handle) => {
  expect(pageHandle(typed)).toBe(handle);
});

describe('hosts', () => {
  test.each([
    ['Relay.Example', 'relay.example'], ['relay.example:443', 'relay.example'], ['relay.example:8443', 'relay.example:8443'], ['203.0.113.5:80', '203.0.113.5:80'],
    ['[2001:DB8:0:0::1]:8443', '[2001:db8::1]:8443'], ['[::1]', '[::1]'], ['localhost:8787', 'localhost:8787'], ['xn--1st.example', 'xn--1st.example'],
  ])('%s is written %s', (typed, written) => {
    expect(formatHost(parseHost(typed))).toBe(written);
  });

  test.each([
    '', ':80', 'a:0', 'a:65536', 'a:080', 'a:', 'a:b', '2001:db8::1', '[relay.example]', '[::1', '[::g]', 'a..b', '-a', 'a-', 'a_b', 'a/b', 'a b', '1.2.3', '1.2.3.256',
    '01.2.3.4', 'x'.repeat(64), 'a.'.repeat(127), '[fe80::1%25eth0]', 'exämple', 'a.',
  ])('%j is none', (typed) => {
    expect(() => parseHost(typed)).toThrow('link-bad');
  });

  test('well-formed without brackets', () => {
    expect(['2001:db8::1', '::ffff:1.2.3.4', '1.2.3.4', 'a.example', 'A'].map(hostWellFormed)).toEqual([true, true, true, true, true]);
    expect(['[::1]', '1.2.3.4.5', 'a:1', '', '999.1.1.1', 'fe80::1%eth0', '::1]/x['].map(hostWellFormed)).toEqual(Array(7).fill(false));
  });
});

test('handles', () => {
  expect(parseHandle(' @Wei@Relay.Example:8443 ')).toEqual({ username: 'wei', host: 'relay.example', port: 8443 });
  expect(formatHandle(parseHandle('wei@[::1]:443'))).toBe('wei@[::1]');
  for (const typed of ['wei', 'wei@', '@relay.example', 'w@relay.example', 'wei@a@b', 'wei@a b']) expect(() => parseHandle(typed)).toThrow('link-bad');
});
