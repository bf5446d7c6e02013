import { describe, expect, test } from 'vitest';
import { type Bytes, concat, equal, utf8 } from '../bytes';
import { headerHash, parseEnvelope } from '../envelope';
import { describeFile, openFile, sealChunk, sealedSize, chunkCount } from '../file';
import type { ChainDevice } from '../ident';
import { array, bytes, closed, int, oneOf, open } from '../json';
import { deviceKeysFromSecrets, importUek } from '../keys';
import { letterHash, openLetter, sealLetter, type SenderChain } from '../letter';
import { parseBody, parseMeta, readFileRef } from '../message';
import { hash } from '../primitives';
import { flips } from './cast';
import { any, given, vectors, words } from './vectors';

const list = <T>(read: Parameters<typeof array<T>>[0]) => array(read, 10_000);

describe('letter.json', () => {
  const reader = closed({ counter: int(), public: bytes(32), secret: bytes(32) });
  const device = closed({ sign: bytes(32), box: bytes(32), role: oneOf('admin', 'home', 'session'), exp: int() });
  const owner = closed({ uid: bytes(32), keys: closed({ device, id: bytes(32), sign_seed: bytes(32), box_secret: bytes(32) }) });
  const found = vectors('letter', open({
    eph_secret: bytes(32), mk: bytes(32), sender: owner, carol: owner, bob: reader,
    good: list(closed({ name: words, envelope: words, H: bytes(32), hash: bytes(32), kind: oneOf(1, 2), meta: words, body: words, readers: list(reader) })),
    bad: list(closed({ why: words, envelope: words })),
  }));

  /** Sender and carol have one device each, in a chain of their own. */
  const chainOf = (uid: Bytes): Promise<SenderChain> => {
    const who = [found.sender, found.carol].find((each) => equal(each.uid, uid));
    if (!who) throw new Error('nobody');
    const its: ChainDevice = { ...who.keys.device, id: who.keys.id, added: 0, revoked: undefined, revokedAt: undefined };
    return Promise.resolve({ uid: who.uid, author: (id) => (equal(id, its.id) ? its : undefined) });
  };

  test.each(found.good)('$name: sealed and opened', async (good) => {
    const envelope = parseEnvelope(good.envelope);
    expect(headerHash(envelope)).toEqual(good.H);
    const keys = await deviceKeysFromSecrets(found.sender.keys.sign_seed, found.sender.keys.box_secret);
    expect(keys.id).toEqual(found.sender.keys.id);
    const [meta, body] = [parseMeta(utf8(good.meta)), utf8(good.body)];
    const random = given(found.eph_secret, found.mk);
    const letter = await sealLetter(
      { header: envelope, device: keys, ueks: good.readers.map((each) => each.public), meta, body, auth: good.kind }, random,
    );
    expect(equal(letter, envelope.data)).toBe(true);
    expect(random.left()).toBe(0);
    expect(letterHash(envelope, letter)).toEqual(good.hash);
    for (const each of good.readers) {
      const uek = await importUek(each.counter, each.secret);
      expect(uek.key).toEqual(each.public);
      const opened = await openLetter(envelope, envelope.data, [uek], chainOf);
      expect(opened).toMatchObject({ meta, body, auth: good.kind, uek: each.counter });
      if (good.kind === 1) expect(parseBody('chat', meta.kind, opened.body)).toMatchObject({ type: 'chat', kind: meta.kind });
    }
  });

  test.each(found.good)('$name: any changed byte is refused', async (good) => {
    const envelope = parseEnvelope(good.envelope);
    // Of two hundred readers the first and the last try all bytes in turn, of fewer each tries all.
    const readers = await Promise.all(good.readers.map((each) => importUek(each.counter, each.secret)));
    const trying = readers.length > 3 ? [readers.at(0), readers.at(-1)] : readers;
    let at = 0;
    for (const data of flips(envelope.data)) {
      const now = readers.length > 3 ? [trying[at % trying.length]] : trying;
      for (const uek of now) await expect(openLetter(envelope, data, uek ? [uek] : [], chainOf)).rejects.toThrow('letter-bad');
      at++;
    }
    expect(at).toBe(envelope.data.length);
  });

  test.each(found.bad)('refused: $why', async ({ envelope: raw }) => {
    const envelope = parseEnvelope(raw);
    const bob = await importUek(found.bob.counter, found.bob.secret);
    await expect(openLetter(envelope, envelope.data, [bob], chainOf)).rejects.toMatchObject({ code: 'letter-bad', params: {} });
  });
});

describe('file.json', () => {
  const found = vectors('file', open({
    files: list(open({ file: readFileRef, size: int(), sealed_size: int(), sealed_hash: bytes(32) }, { sealed: any })),
  }));

  test.each(found.files)('$size bytes', async (each) => {
    const plain = new Uint8Array(each.size).map((_, i) => (i * 7 + Math.floor(i / 251)) % 256);
    const file = await describeFile(plain, each.file.type, given(each.file.id, each.file.key));
    expect(file).toEqual(each.file);
    const chunks = await Promise.all(Array.from({ length: chunkCount(each.size) }, (_, i) => sealChunk(file, plain, i)));
    const sealed = concat(...chunks);
    expect(sealed.length).toBe(each.sealed_size);
    expect(sealedSize(each.size)).toBe(each.sealed_size);
    expect(hash('test/sealed-file', sealed)).toEqual(each.sealed_hash);
    if (each.sealed) expect(sealed).toEqual(each.sealed);
    expect(equal(await openFile(file, chunks), plain)).toBe(true);
  });
});
