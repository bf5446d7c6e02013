/**
 * What letters cost: `npx vitest bench src/protocol`. Prints only; judged by people (a text letter should take less than
 * 5 ms to seal or to open on the CPU of a phone).
 */
import { bench, describe } from 'vitest';
import { describeFile, sealedSize, sealFile } from '../file';
import { Chain } from '../ident';
import { importUek } from '../keys';
import { openLetter, sealLetter } from '../letter';
import { encodeBody } from '../message';
import { headerBetween, metaOf, person, withDevice } from './cast';

const [alice, bob] = [await person('alice'), await person('bob')];
await withDevice(alice, 'home');
const header = headerBetween(alice, bob);
const body = encodeBody({ type: 'chat', kind: 'text', body: { text: 'See you at seven, bring the tea.' } });
const letterTo = (slots: number) => sealLetter({ header, device: alice.keys, ueks: Array.from({ length: slots }, (_, i) => (i % 2 ? alice : bob).uek.key), meta: metaOf(alice), body });
const [two, many] = [await letterTo(2), await letterTo(200)];
const chainOf = () => Promise.resolve(alice.chain);
const month = await Promise.all(Array.from({ length: 30 }, (_, i) => importUek(i + 2, new Uint8Array(32).fill(i + 1))));

describe('letters', () => {
  bench('seal a text for two', async () => {
    await letterTo(2);
  });
  bench('open it with the newest key', async () => {
    await openLetter(header, two, [bob.uek], chainOf);
  });
  bench('open it with the oldest of 31 keys', async () => {
    await openLetter(header, two, [...month, bob.uek], chainOf);
  });
  bench('seal for 200', async () => {
    await letterTo(200);
  });
  bench('open one of 200', async () => {
    await openLetter(header, many, [bob.uek], chainOf);
  });
});

describe('chains', () => {
  bench('verify two records', () => {
    Chain.parse(alice.chain.records, alice.chain.uid);
  });
  bench('the same from the own store', () => {
    Chain.fromOwnStore(alice.chain.records, alice.chain.uid);
  });
});

const photo = new Uint8Array(500_000);
describe('files', () => {
  bench('describe and seal 500 kB', async () => {
    const file = await describeFile(photo, 'image/jpeg');
    let sealed = 0;
    for await (const chunk of sealFile(file, photo)) sealed += chunk.length;
    if (sealed !== sealedSize(photo.length)) throw new Error('not all was sealed');
  });
});
