/** Bringing a home and this account together (protocol section 10). Loaded when somebody pairs. */

import type { Step } from '../platform/api';
import { b64, equal, type Bytes } from '../protocol/bytes';
import { deviceId } from '../protocol/keys';
import { formatPairing, makePairingCode, PairingApprover, pairingBox, type PublicDevice } from '../protocol/pairing';
import { Problem } from '../protocol/problem';
import { Trouble } from './failure';
import { parsePair } from './invites';
import { amend } from './ownchain';
import type { Session } from './session';
import type { Pairing } from './types';
import { revokeDevice } from './upkeep';

/** How long a code lives. */
const LASTS = 10 * 60_000;
/** A home that shows a code answers within this. */
const SHOWN = 60_000;
/** From our consent to the home's being there. */
const ARRIVAL = 90_000;

/** Shows a code for a home to take. */
export function show(session: Session): Pairing {
  mustBeHomeless(session);
  const code = makePairingCode();
  const stop = new AbortController();
  const done = pair(session, code, undefined, LASTS, stop.signal);
  // Whoever shows the code looks at this; nobody else has to.
  done.catch(() => undefined);
  return {
    code: formatPairing(session.self.host, code),
    until: session.platform.now() + LASTS,
    done,
    cancel: () => {
      stop.abort();
    },
  };
}

/** Takes a code that a home shows. */
export async function take(session: Session, typed: string): Promise<void> {
  mustBeHomeless(session);
  const { host, code } = parsePair(typed.trim());
  const { self } = session;
  if (host.host !== self.host.host || host.port !== self.host.port) throw new Trouble('elsewhere', { host: host.host });
  await pair(session, code, undefined, SHOWN, new AbortController().signal);
}

/** The waiting home of a claim link, which names its device. */
export async function takeClaimed(session: Session, home: { readonly id: Bytes; readonly code: Bytes }): Promise<void> {
  await pair(session, home.code, home.id, LASTS, new AbortController().signal);
}

async function pair(session: Session, code: Bytes, expected: Bytes | undefined, patience: number, stop: AbortSignal): Promise<void> {
  const { self, api, vault, platform } = session;
  await session.greeted();
  const approver = await PairingApprover.start({ code, host: self.host, relayKey: self.relayKey }, self.uid, self.keys);
  const box = pairingBox(code);
  await api.putPair(box, 'a1', approver.a1);
  const home = await approver.take(await wait(session, box, 'n1', patience, stop), expected);
  const id = b64(deviceId(home.sign, home.box));
  try {
    await admit(session, home);
    await vault.reseal();
    await api.putPair(box, 'a2', approver.a2({ username: self.username, name: vault.data.name }));
    approver.done(await wait(session, box, 'n2', ARRIVAL, stop));
  } catch (error) {
    // The home may be here although its last word was lost; one that is not must not hold up everybody's letters.
    if (session.doorway.standing.home.state !== 'online') await revokeDevice(session, id);
    throw error;
  }
  await vault.note((data) => ({ ...data, devices: { ...data.devices, [id]: data.devices[id] ?? 'Home' } }));
  platform.after(0, () => {
    session.changed();
  });
}

async function admit(session: Session, home: PublicDevice): Promise<void> {
  const { self } = session;
  await amend(session, async (chain) => {
    const there = chain.home(self.now());
    if (there && equal(there.sign, home.sign)) return undefined;
    if (there) throw new Problem('home-exists');
    return chain.addDevice(self.keys, { sign: home.sign, box: home.box, role: 'home', exp: 0 }, self.now());
  });
}

/** Asks the mailbox again and again. Throws `pair-empty` when the time is over, `cancelled`. */
async function wait({ api, platform }: Session, box: Bytes, step: Step, patience: number, stop: AbortSignal): Promise<Bytes> {
  const until = platform.now() + patience;
  while (platform.now() < until) {
    if (stop.aborted) throw new Trouble('cancelled');
    try {
      const message = await api.getPair(box, step, stop);
      if (message) return message;
    } catch (error) {
      if (!(error instanceof Trouble) || error.code !== 'offline') throw error;
      await pause(platform, 2_000);
    }
  }
  throw new Problem('pair-empty');
}

function pause(platform: Session['platform'], ms: number): Promise<void> {
  return new Promise((resolve) => {
    platform.after(ms, resolve);
  });
}

function mustBeHomeless(session: Session): void {
  if (session.home !== undefined) throw new Problem('home-exists');
}
