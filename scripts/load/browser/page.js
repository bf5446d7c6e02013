// What runs in the browser: one letter sealed for two and opened, again and again, each timed by itself. The code is the
// app's own, the keys are made as the app makes them (WebCrypto keeps the secrets).
import { makeHeader } from '../../../frontend/src/protocol/envelope';
import { Chain } from '../../../frontend/src/protocol/ident';
import { generateDeviceKeys, generateUek, importUek } from '../../../frontend/src/protocol/keys';
import { openLetter, sealLetter } from '../../../frontend/src/protocol/letter';
import { encodeBody } from '../../../frontend/src/protocol/message';
import { randomBytes } from '../../../frontend/src/protocol/primitives';

async function person(username) {
  const keys = await generateDeviceKeys();
  const chain = await Chain.begin(keys, { key: randomBytes(32), host: 'relay.example', port: 443 }, Date.now());
  const uek = await importUek(1, (await generateUek()).secret);
  return { keys, chain, uek, address: { ip: 'relay.example', port: 443, username, id: chain.uid } };
}

/** Times `n` letters after some that warm up; µs each. */
globalThis.measure = async (n) => {
  const [alice, bob] = [await person('alice'), await person('bob')];
  const body = encodeBody({ type: 'chat', kind: 'text', body: { text: 'See you at seven. '.repeat(17).slice(0, 300) } });
  const [seal, open] = [[], []];
  for (let i = -20; i < n; i++) {
    const ts = Date.now();
    const header = makeHeader({ from: alice.address, to: bob.address, type: 'chat', ts });
    const meta = {
      kind: 'text', mid: randomBytes(16), dev: alice.keys.id, seq: 1, clock: ts, head: alice.chain.head, chain: alice.chain.seq, uek: 1,
    };
    const began = performance.now();
    const letter = await sealLetter({ header, device: alice.keys, ueks: [bob.uek.key, alice.uek.key], meta, body });
    const sealed = performance.now();
    const opened = await openLetter(header, letter, [bob.uek], () => Promise.resolve(alice.chain));
    const end = performance.now();
    if (opened.uek !== 1 || opened.body.length !== body.length) throw new Error('opened something else');
    if (i >= 0) {
      seal.push((sealed - began) * 1000);
      open.push((end - sealed) * 1000);
    }
  }
  return { seal, open };
};
