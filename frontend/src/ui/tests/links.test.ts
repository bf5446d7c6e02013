import { expect, test } from 'vitest';
import { parse } from '../shell/routes';
import { inside, linkIn, pageIn } from '../shell/links';

const host = 'hutong.example';
const own = `https://${host}`;

test.each([
  // in an app that its courtyard serves
  [own, `${own}/i/AAAA#1.x`, `${own}/i/AAAA#1.x`],
  [own, `${own}/app/#handover.x`, `${own}/app/#handover.x`],
  [own, 'https://other.example/i/AAAA#1.x', '/app/#invited.https%3A%2F%2Fother.example%2Fi%2FAAAA%231.x'],
  // one that was cut off is said to be, here
  [own, 'https://other.example/i/AAAA', '/app/#invited.https%3A%2F%2Fother.example%2Fi%2FAAAA'],
  // what is no invitation is opened as the link it is
  [own, 'https://other.example/app/#handover.x', 'https://other.example/app/#handover.x'],
  // in one that is served from elsewhere
  ['https://apps.example', `${own}/i/claim#0.x`, `/app/#invited.${encodeURIComponent(`${own}/i/claim#0.x`)}`],
  ['https://apps.example', `${own}/app/#handover.x`, '/app/#handover.x'],
  ['https://apps.example', 'https://other.example/app/#handover.x', 'https://other.example/app/#handover.x'],
])('in the app at %s, %s is %s', (origin, link, address) => {
  expect(inside(new URL(link), origin, host, '/app/')).toBe(address);
});

test('what was pasted: a link with a secret, a public page, or neither', () => {
  for (const text of ['https://other.example/i/AAAA#1.x', ' other.example/i/AAAA#1.x', `${own}/app/#handover.x`]) expect(linkIn(text)).toBeInstanceOf(URL);
  for (const text of ['', 'wei', 'wei@other.example', 'https://other.example/@wei', 'ftp://other.example/i/AAAA#1.x']) expect(linkIn(text)).toBeUndefined();
  expect(pageIn(' https://other.example:8443/@wei ')).toEqual({ screen: 'follow', handle: 'wei@other.example:8443' });
  for (const text of ['wei', 'wei@other.example', 'https://other.example/i/AAAA#1.x']) expect(pageIn(text)).toBeUndefined();
});

test('an invitation taken along is a link with a secret, in whatever folder the app lives', () => {
  for (const base of ['/app/', '/', '/yard/']) {
    const url = new URL(`${base}#invited.https%3A%2F%2Fother.example%2Fi%2FAAAA%231.x`, own);
    expect(parse(url, base)).toEqual({ screen: 'link', url: url.href });
  }
});
