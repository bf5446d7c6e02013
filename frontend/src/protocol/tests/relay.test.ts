/**
 * The hostile relay: it sees and changes everything that passes through it, swaps keys, splices sessions, and plays either
 * side. Each test first shows the honest run, then counts that none of the relay's attempts succeeds.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { authProof, checkReady, verifyAuth } from '../auth';
import { b64, type Bytes, concat, utf8 } from '../bytes';
import { handoverBox, makeHandover, openHandover, parseHandover, formatHandover, type HandoverLink } from '../handover';
import { Chain } from '../ident';
import {
  checkInviter, type ClaimLink, formatClaim, formatInvite, inviteHash, inviteProof, makeInvite, openInviteCard, parseInvite, sealInviteCard, verifyInviteProof,
} from '../invite';
import { deviceKeysFromSecrets, ephemeral } from '../keys';
import { LinkInitiator, type LinkChannel, linkClosed, type LinkEnds, LinkResponder, parseLink } from '../link';
import { hash, kdf, mac, sealSecretbox } from '../primitives';
import { formatPairing, makePairingCode, PairingApprover, pairingBox, PairingNewcomer, type PairingPlace, parsePairing } from '../pairing';
import { flips, person, type Person, relay, relaySeed, repeatable, withDevice } from './cast';

let alice: Person;
let mallory: Person;
const host = { host: 'relay.example', port: 443 };
const otherHost = { host: 'evil.example', port: 443 };

beforeAll(async () => {
  [alice, mallory] = [await person('alice'), await person('mallory')];
});

/** Every attempt has to throw; the number of those that did not is the relay's score. */
async function successes(attempts: readonly (() => unknown)[]): Promise<number> {
  expect(attempts.length).toBeGreaterThan(0);
  let score = 0;
  for (const attempt of attempts) {
    try {
      await attempt();
      score++;
    } catch (error) {
      expect(error).toHaveProperty('name', 'Problem');
    }
  }
  return score;
}

describe('invites', () => {
  const card = { name: '爱丽丝', picture: new Uint8Array(50).fill(1) };

  test('honest', () => {
    const link = makeInvite(host, alice.chain, repeatable('invite'));
    const url = formatInvite(link);
    expect(url).toMatch(/^https:\/\/relay\.example\/i\/[\w-]{22}#1\.[\w-]{43}\.[\w-]{43}\.[\w-]{22}$/);
    const read = parseInvite(` ${url}\n`);
    expect(read).toEqual(link);
    expect(openInviteCard(link, sealInviteCard(link, card))).toEqual(card);
    expect(openInviteCard(link, sealInviteCard(link, { name: 'A' }))).toEqual({ name: 'A' });
    checkInviter(link, alice.chain);
    const proof = inviteProof(link, alice.chain.uid, mallory.chain.uid);
    expect(verifyInviteProof(link, alice.chain.uid, mallory.chain.uid, proof)).toBe(true);
    expect(inviteHash(link.id)).not.toEqual(link.id);
  });

  test('the relay swaps the inviter, the card, the joiner', async () => {
    const link = makeInvite(host, alice.chain, repeatable('invite'));
    const sealed = sealInviteCard(link, card);
    const twin = await person('alice twin');
    const before = alice.chain;
    const longer = await person('alice');
    await withDevice(longer, 'home');
    const later = makeInvite(host, longer.chain);
    const attempts: (() => unknown)[] = [
      ...[...flips(sealed)].map((bytes) => () => openInviteCard(link, bytes)),
      ...[mallory, twin].map((who) => () => { checkInviter(link, who.chain); }),
      () => { checkInviter({ ...link, uid: mallory.chain.uid }, alice.chain); },
      () => { checkInviter(later, before); }, // her own chain, cut before the head that the link names
      () => Chain.parse(mallory.chain.records, link.uid),
      () => openInviteCard(link, sealInviteCard({ ...link, secret: new Uint8Array(16) }, { name: 'Mallory' })),
      () => openInviteCard(link, sealInviteCard({ ...link, uid: mallory.chain.uid }, { name: 'Mallory' })),
      () => openInviteCard(link, sealInviteCard({ ...link, id: new Uint8Array(16) }, { name: 'Mallory' })),
      () => openInviteCard(link, new Uint8Array(0)),
    ];
    expect(await successes(attempts)).toBe(0);
    const bob = await person('bob');
    const proof = inviteProof(link, alice.chain.uid, bob.chain.uid);
    const forged = [
      [alice.chain.uid, mallory.chain.uid, proof], [mallory.chain.uid, bob.chain.uid, proof], [bob.chain.uid, alice.chain.uid, proof],
      ...[...flips(proof)].map((other) => [alice.chain.uid, bob.chain.uid, other] as const),
    ] as const;
    expect(forged.filter(([inviter, joiner, other]) => verifyInviteProof(link, inviter, joiner, other))).toEqual([]);
    expect(verifyInviteProof({ ...link, id: new Uint8Array(16) }, alice.chain.uid, bob.chain.uid, proof)).toBe(false);
  });

  test('claims', () => {
    const bare: ClaimLink = { kind: 'claim', host: 'localhost', port: 8787, token: new Uint8Array(16).fill(1), relayKey: relay.key, home: undefined };
    const withHome: ClaimLink = { ...bare, home: { id: alice.keys.id, code: new Uint8Array(10).fill(2) } };
    for (const link of [bare, withHome]) expect(parseInvite(formatClaim(link, 'http'))).toEqual(link);
    expect(formatClaim(withHome, 'http')).toMatch(/^http:\/\/localhost:8787\/i\/claim#0\.[\w-]{22}\.[\w-]{43}\.[\w-]{43}\.(\w{4}-){3}\w{4}$/);
  });

  test('texts that are no link', async () => {
    const invite = formatInvite(makeInvite(host, alice.chain));
    const claim = formatClaim({ kind: 'claim', ...host, token: new Uint8Array(16), relayKey: relay.key, home: { id: alice.keys.id, code: new Uint8Array(10) } });
    const texts = [
      '', 'x', invite.replace('#1', '#2'), invite.replace('#1', '#0'), invite.replace('/i/', '/j/'), `${invite}.AA`, invite.slice(0, -1), invite.split('#')[0] ?? '',
      invite.replace('https:', 'ftp:'), invite.replace('https:', 'javascript:'), invite.replace('#', '?a#'), invite.replace('relay.example', 'user@relay.example'), claim.replace('claim', 'claims'),
      claim.slice(0, -5), claim.replace(/\.[^.]+$/, ''), invite.replace('relay.example', ''),
    ];
    expect(await successes(texts.map((text) => () => parseInvite(text)))).toBe(0);
  });
});

describe('pairing a home', () => {
  const code = makePairingCode(repeatable('code'));
  const place: PairingPlace = { code, host, relayKey: relay.key };
  const bundle = { username: 'alice', name: '爱丽丝' };

  async function sides(seed = 'pair', homePlace = place) {
    const home = await deviceKeysFromSecrets(repeatable('home')(32), repeatable('home box')(32));
    const app = await PairingApprover.start(place, alice.chain.uid, alice.keys, repeatable(`${seed} a`));
    const newcomer = await PairingNewcomer.start(homePlace, home, repeatable(`${seed} n`));
    return { home, app, newcomer };
  }

  test('honest', async () => {
    const { home, app, newcomer } = await sides();
    const n1 = await newcomer.take(app.a1);
    expect(await app.take(n1, home.id)).toEqual({ sign: home.sign, box: home.box });
    expect(newcomer.open(app.a2(bundle))).toEqual({ uid: alice.chain.uid, ...bundle });
    app.done(newcomer.n2);
    expect(app.a1.length).toBe(128);
    expect(pairingBox(code).length).toBe(16);
    const typed = formatPairing({ host: 'relay.example', port: 8443 }, code);
    for (const text of [typed, typed.toLowerCase(), ` https://${typed}`, typed.replaceAll('-', ' '), typed.replaceAll('-', '')]) {
      expect(parsePairing(text)).toEqual({ host: { host: 'relay.example', port: 8443 }, code });
    }
    for (const text of ['', 'relay.example', 'relay.example/', `${typed}0`, typed.slice(0, -1), `x/${typed}`]) expect(() => parsePairing(text)).toThrow('code-bad');
  });

  test('the relay alters any byte of any message', async () => {
    const honest = await sides();
    const n1 = await honest.newcomer.take(honest.app.a1);
    await honest.app.take(n1);
    const a2 = honest.app.a2(bundle);
    const attempts: (() => unknown)[] = [];
    for (const a1 of flips(honest.app.a1)) {
      attempts.push(async () => {
        const { app, newcomer } = await sides();
        await app.take(await newcomer.take(a1));
      });
    }
    for (const other of flips(n1)) attempts.push(async () => (await sides()).app.take(other));
    for (const other of flips(a2)) {
      attempts.push(async () => {
        const { app, newcomer } = await sides();
        await app.take(await newcomer.take(app.a1));
        newcomer.open(other);
      });
    }
    for (const n2 of flips(honest.newcomer.n2)) attempts.push(() => { honest.app.done(n2); });
    for (const cut of [0, 31, 32, 47, 127]) {
      attempts.push(async () => (await sides()).app.take(n1.slice(0, cut)));
      attempts.push(async () => (await sides()).newcomer.take(honest.app.a1.slice(0, cut)));
      attempts.push(async () => {
        const { app, newcomer } = await sides();
        await newcomer.take(app.a1);
        newcomer.open(a2.slice(0, cut));
      });
    }
    expect(await successes(attempts)).toBe(0);
    expect(attempts.length).toBeGreaterThan(128 + 128 + a2.length + 32);
  });

  test('the relay plays either side with keys of its own, not knowing the code', async () => {
    const guess = { ...place, code: new Uint8Array(10) };
    const attempts = [
      async () => (await sides()).app.take(await (await PairingNewcomer.start(guess, mallory.keys)).take((await sides()).app.a1)),
      async () => {
        const { newcomer } = await sides();
        const fake = await PairingApprover.start(guess, mallory.chain.uid, mallory.keys);
        await fake.take(await newcomer.take(fake.a1)); // it learns no proof it can answer
      },
      async () => {
        // stands in the middle: honest messages of two sessions, exchanged
        const [one, two] = [await sides('one'), await sides('two')];
        await one.app.take(await two.newcomer.take(two.app.a1));
      },
      async () => {
        const [one, two] = [await sides('one'), await sides('two')];
        await one.app.take(await one.newcomer.take(one.app.a1));
        await two.app.take(await two.newcomer.take(two.app.a1));
        one.newcomer.open(two.app.a2(bundle));
      },
      async () => {
        const [one, two] = [await sides('one'), await sides('two')];
        await one.app.take(await one.newcomer.take(one.app.a1));
        await two.app.take(await two.newcomer.take(two.app.a1));
        one.app.done(two.newcomer.n2);
      },
      async () => {
        const { app } = await sides();
        await app.take(concat(new Uint8Array(32), mallory.keys.sign, mallory.keys.box, new Uint8Array(32))); // a low-order key
      },
      async () => {
        const { newcomer } = await sides();
        await newcomer.take(concat(new Uint8Array(32), alice.chain.uid, alice.keys.sign, alice.keys.box));
      },
    ];
    expect(await successes(attempts)).toBe(0);
  });

  test('another host, another relay key, another home than the claim insists on, another person in the bundle', async () => {
    const attempts = [
      { ...place, host: otherHost }, { ...place, host: { ...host, port: 8443 } }, { ...place, relayKey: mallory.keys.sign }, { ...place, code: makePairingCode() },
    ].map((homePlace) => async () => {
      const { app, newcomer } = await sides('pair', homePlace);
      await app.take(await newcomer.take(app.a1));
    });
    attempts.push(async () => {
      const { app, newcomer } = await sides();
      await app.take(await newcomer.take(app.a1), mallory.keys.id);
    });
    expect(await successes(attempts)).toBe(0);
  });

  test('an app that vouches for one person and names another is not followed', async () => {
    const home = await deviceKeysFromSecrets(repeatable('home')(32), repeatable('home box')(32));
    const newcomer = await PairingNewcomer.start(place, home, repeatable('named n'));
    const eph = await ephemeral(repeatable('named a'));
    const n1 = await newcomer.take(concat(eph.key, alice.chain.uid, alice.keys.sign, alice.keys.box));
    const t = hash(
      'pair', utf8('home'), alice.chain.uid, alice.keys.sign, alice.keys.box, home.sign, home.box, relay.key, utf8('relay.example'), eph.key, n1.slice(0, 32),
    );
    const k = kdf(concat(await eph.dh(n1.slice(0, 32)), code), 'pair/key', t);
    const a2 = (uid: Bytes) => {
      const json = utf8(JSON.stringify({ uid: b64(uid), username: 'alice', name: 'A' }));
      return concat(mac(k, 'pair/approver', t), sealSecretbox(kdf(k, 'pair/bundle'), new Uint8Array(24), json));
    };
    expect(() => newcomer.open(a2(mallory.chain.uid))).toThrow('pair-bad');
    expect(newcomer.open(a2(alice.chain.uid))).toEqual({ uid: alice.chain.uid, username: 'alice', name: 'A' });
  });

  test('no step before the one it needs, and one answer for one code', async () => {
    const { app, newcomer } = await sides();
    expect(() => app.a2(bundle)).toThrow('pair-bad');
    expect(() => { app.done(new Uint8Array(32)); }).toThrow('pair-bad');
    expect(() => newcomer.open(new Uint8Array(64))).toThrow('pair-bad');
    expect(() => newcomer.n2).toThrow('pair-bad');
    const n1 = await newcomer.take(app.a1);
    await expect(newcomer.take(app.a1)).rejects.toThrow('pair-bad');
    await expect(app.take(n1.with(127, (n1[127] ?? 0) ^ 1))).rejects.toThrow('pair-bad');
    await expect(app.take(n1)).rejects.toThrow('pair-bad');
  });
});

describe('handover to another browser', () => {
  test('honest', async () => {
    const made = await makeHandover({ host: 'relay.example', port: 8443 }, { uid: alice.chain.uid, username: 'alice' }, repeatable('handover'));
    const link = parseHandover(formatHandover(made.link));
    expect(link).toEqual(made.link);
    expect(handoverBox(link.secret)).toEqual(made.box);
    const { username, keys } = await openHandover(link, made.sealed);
    expect(username).toBe('alice');
    expect([keys.id, keys.sign, keys.box]).toEqual([made.device.id, made.device.sign, made.device.box]);
    expect(made.sealed.length).toBeLessThan(4096);
  });

  test('the relay alters or swaps what was left there', async () => {
    const made = await makeHandover(host, { uid: alice.chain.uid, username: 'alice' });
    const other = await makeHandover(host, { uid: mallory.chain.uid, username: 'mallory' });
    const url = formatHandover(made.link);
    const content = JSON.stringify({ uid: b64(mallory.chain.uid), username: 'mallory', sign: b64(relaySeed), box: b64(relaySeed) });
    const misaddressed = sealSecretbox(kdf(made.link.secret, 'handover/key', made.link.uid), new Uint8Array(24), utf8(content));
    const links: HandoverLink[] = [{ ...made.link, uid: mallory.chain.uid }, { ...made.link, secret: other.link.secret }];
    const attempts: (() => unknown)[] = [
      ...[...flips(made.sealed)].map((sealed) => () => openHandover(made.link, sealed)),
      () => openHandover(made.link, other.sealed), () => openHandover(made.link, new Uint8Array(0)),
      () => openHandover(made.link, misaddressed),
      ...links.map((link) => () => openHandover(link, made.sealed)),
      ...['', url.slice(0, -1), url.replace('#', '?'), url.replace('handover', 'handout'), `${url}.x`, url.replace('/app/', '/')].map((text) => () => parseHandover(text)),
    ];
    expect(await successes(attempts)).toBe(0);
  });
});

describe('link between device and home', () => {
  const deviceKeys = () => alice.keys;
  let home: Awaited<ReturnType<typeof withDevice>>;
  let ends: LinkEnds;

  beforeAll(async () => {
    home = await withDevice(alice, 'home');
    ends = { uid: alice.chain.uid, device: alice.keys.id, home: home.id, relayKey: relay.key, host };
  });

  async function opened(seed = 'link', homeEnds = ends): Promise<{ device: LinkChannel; atHome: LinkChannel; parts: Bytes[] }> {
    const initiator = await LinkInitiator.start(ends, deviceKeys(), repeatable(`${seed} i`));
    const responder = await LinkResponder.start(homeEnds, home, parseLink(initiator.hello), repeatable(`${seed} r`));
    const { finish, channel } = await initiator.finish(parseLink(responder.answer), home.sign);
    return { device: channel, atHome: responder.finish(parseLink(finish), alice.keys.sign), parts: [initiator.hello, responder.answer, finish] };
  }

  test('honest, in both directions, interleaved', async () => {
    const { device, atHome } = await opened();
    const say = (from: LinkChannel, to: LinkChannel, text: string) => { expect(to.open(parseLink(from.seal(utf8(text))))).toEqual(utf8(text)); };
    for (let i = 0; i < 5; i++) {
      say(device, atHome, `request ${String(i)}`);
      say(atHome, device, `answer ${String(i)}`);
      say(atHome, device, `news ${String(i)}`);
    }
    const large = new Uint8Array(60 * 1024);
    expect(atHome.open(parseLink(device.seal(large)))).toEqual(large);
    expect(() => device.seal(new Uint8Array(60 * 1024 + 1))).toThrow('too-large');
    expect(parseLink(linkClosed(device.session))).toEqual({ kind: 'closed', session: device.session, payload: new Uint8Array(0) });
    device.close();
    expect(() => device.seal(utf8('{}'))).toThrow('session-bad');
  });

  test('the relay alters any byte of the opening', async () => {
    const { parts } = await opened();
    const [hello, answer, finish] = parts as [Bytes, Bytes, Bytes];
    const attempts: (() => unknown)[] = [];
    const start = () => LinkInitiator.start(ends, deviceKeys(), repeatable('link i'));
    const respond = (message: Bytes) => LinkResponder.start(ends, home, parseLink(message), repeatable('link r'));
    for (const other of flips(hello)) {
      attempts.push(async () => (await start()).finish(parseLink((await respond(other)).answer), home.sign));
    }
    for (const other of flips(answer)) attempts.push(async () => (await start()).finish(parseLink(other), home.sign));
    for (const other of flips(finish)) attempts.push(async () => (await respond(hello)).finish(parseLink(other), alice.keys.sign));
    expect(await successes(attempts)).toBe(0);
    expect(attempts.length).toBe(hello.length + answer.length + finish.length);
  });

  test('the relay plays home or device, splices openings, or stands elsewhere', async () => {
    const start = () => LinkInitiator.start(ends, deviceKeys());
    const one = await opened('one');
    const [hello, answer, finish] = one.parts as [Bytes, Bytes, Bytes];
    const attempts: (() => unknown)[] = [
      async () => {
        const initiator = await start();
        const fake = await LinkResponder.start(ends, mallory.keys, parseLink(initiator.hello));
        await initiator.finish(parseLink(fake.answer), home.sign);
      },
      async () => {
        const fake = await LinkInitiator.start(ends, mallory.keys);
        const responder = await LinkResponder.start(ends, home, parseLink(fake.hello));
        const { finish: forged } = await fake.finish(parseLink(responder.answer), home.sign);
        responder.finish(parseLink(forged), alice.keys.sign);
      },
      async () => (await start()).finish(parseLink(answer), home.sign), // an old answer
      async () => (await LinkResponder.start(ends, home, parseLink(hello))).finish(parseLink(finish), alice.keys.sign), // an old opening, replayed
      async () => {
        const initiator = await start();
        const session = initiator.hello.slice(1, 9);
        await initiator.finish(parseLink(concat(answer.slice(0, 1), session, answer.slice(9))), home.sign);
      },
      async () => {
        // the home's signature turned round into a device's
        const responder = await LinkResponder.start(ends, home, parseLink(hello));
        responder.finish(parseLink(concat(Uint8Array.of(3), answer.slice(1, 9), responder.answer.slice(41))), home.sign);
      },
      async () => {
        const initiator = await start();
        await initiator.finish(parseLink(concat(Uint8Array.of(2), initiator.session, new Uint8Array(96))), home.sign);
      },
      async () => LinkResponder.start(ends, home, parseLink(concat(Uint8Array.of(1), new Uint8Array(8), new Uint8Array(32)))),
      ...[
        { ...ends, host: otherHost }, { ...ends, relayKey: mallory.keys.sign }, { ...ends, uid: mallory.chain.uid }, { ...ends, device: mallory.keys.id }, { ...ends, home: mallory.keys.id },
      ].map((homeEnds) => () => opened('elsewhere', homeEnds)),
    ];
    expect(await successes(attempts)).toBe(0);
  });

  test('the relay alters, drops, repeats, reorders or reflects frames: the session is over', async () => {
    const attempts: (() => unknown)[] = [];
    const { device } = await opened();
    const frame = device.seal(utf8('{"id":1,"m":"status","p":{}}'));
    const second = device.seal(utf8('{}'));
    for (const other of flips(frame)) attempts.push(async () => (await opened()).atHome.open(parseLink(other)));
    attempts.push(async () => (await opened()).atHome.open(parseLink(second))); // the first was dropped
    attempts.push(async () => (await opened('another')).atHome.open(parseLink(frame)));
    attempts.push(async () => (await opened()).device.open(parseLink(frame))); // reflected
    attempts.push(async () => {
      const { atHome } = await opened();
      atHome.open(parseLink(frame));
      atHome.open(parseLink(frame));
    });
    attempts.push(async () => {
      const { atHome } = await opened();
      try {
        atHome.open(parseLink(second));
      } catch {
        atHome.open(parseLink(frame)); // after an error nothing is trusted any more
      }
    });
    attempts.push(async () => (await opened()).atHome.open(parseLink(concat(frame.slice(0, 9), new Uint8Array(8).fill(255), frame.slice(17)))));
    attempts.push(async () => (await opened()).atHome.open(parseLink(linkClosed(device.session))));
    for (const data of [new Uint8Array(0), frame.slice(0, 8), frame.slice(0, 32), Uint8Array.of(6, ...new Uint8Array(8)), new Uint8Array(9), concat(linkClosed(device.session), Uint8Array.of(0))]) {
      attempts.push(() => parseLink(data));
    }
    expect(await successes(attempts)).toBe(0);
  });
});

describe('the socket’s proofs', () => {
  const nonce = new Uint8Array(32).fill(5);

  test('device to relay', async () => {
    const here = { key: relay.key, host };
    const sig = await authProof(alice.keys, alice.chain.uid, here, { nonce, key: relay.key });
    const verified = (change: object = {}, at: object = {}, n = nonce, uid = alice.chain.uid) => verifyAuth({ ...alice.keys, sign: alice.keys.sign, id: alice.keys.id, ...change }, uid, { ...here, ...at }, n, sig);
    expect(verified()).toBe(true);
    expect([
      verified({ sign: mallory.keys.sign }), verified({ id: mallory.keys.id }), verified({}, { key: mallory.keys.sign }), verified({}, { host: otherHost }), verified({}, { host: { ...host, port: 80 } }),
      verified({}, {}, new Uint8Array(32)), verified({}, {}, nonce, mallory.chain.uid),
    ]).toEqual(Array(7).fill(false));
    for (const other of flips(sig)) expect(verifyAuth(alice.keys, alice.chain.uid, here, nonce, other)).toBe(false);
    await expect(authProof(alice.keys, alice.chain.uid, here, { nonce, key: mallory.keys.sign })).rejects.toThrow('auth-bad');
  });

  test('relay to device', async () => {
    const keys = await deviceKeysFromSecrets(relaySeed, new Uint8Array(32).fill(1));
    const proof = await keys.signature('sign/ready', nonce, alice.chain.uid);
    checkReady(relay.key, nonce, alice.chain.uid, proof);
    const attempts = [
      ...[...flips(proof)].map((other) => () => { checkReady(relay.key, nonce, alice.chain.uid, other); }),
      () => { checkReady(mallory.keys.sign, nonce, alice.chain.uid, proof); }, () => { checkReady(relay.key, new Uint8Array(32), alice.chain.uid, proof); },
      () => { checkReady(relay.key, nonce, mallory.chain.uid, proof); }, () => { checkReady(relay.key, nonce, alice.chain.uid, new Uint8Array(0)); },
    ];
    expect(await successes(attempts)).toBe(0);
  });
});
