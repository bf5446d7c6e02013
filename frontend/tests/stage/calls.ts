/** Calls between browsers with Chromium's own pretended camera and microphone: what comes out at the other end is counted by the browser. */
import { expect, type Locator, type Page } from '@playwright/test';
import config from '../../playwright.config';
import { escaped, type Person } from './person';

const { launchOptions } = config.use ?? {};

/** For `test.use`: a camera that shows a clock, a microphone that beeps, and nobody who has to allow them. */
export const pretended = {
  // Pictures that move are enough to do for two cores.
  trace: 'off' as const,
  launchOptions: {
    ...launchOptions,
    args: [...(launchOptions?.args ?? []), '--use-fake-device-for-media-stream=device-count=2,fps=3', '--use-fake-ui-for-media-stream', '--autoplay-policy=no-user-gesture-required'],
  },
};

declare global {
  interface Window {
    /** every connection of this page */
    connections: RTCPeerConnection[];
    /** all states that they have been in */
    became: RTCPeerConnectionState[];
    /** what the other side's letters told of its addresses */
    told: string[];
    /** all that has stood on the glass of the newest call, its name first */
    stood: string[];
    /** the newest connection that is for speaking and is not closed; friends who look at their chat have others */
    speaking(): RTCPeerConnection | undefined;
  }
}

/** From now on the page's connections can be asked. */
export async function watched(person: Person): Promise<void> {
  await person.page.addInitScript(() => {
    window.connections = [];
    window.became = [];
    window.told = [];
    window.stood = [];
    window.speaking = () => window.connections.findLast((each) => each.connectionState !== 'closed' && each.getSenders().length > 0);
    let glass: Element | undefined;
    new MutationObserver(() => {
      const shown = document.querySelector('dialog.call');
      if (!shown) return;
      if (shown !== glass) window.stood = [];
      glass = shown;
      const words = `${shown.getAttribute('aria-label') ?? ''}: ${shown.textContent}`;
      if (words !== window.stood.at(-1)) window.stood.push(words);
    }).observe(document, { subtree: true, childList: true, characterData: true });
    const Before = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Before {
      constructor(of?: RTCConfiguration) {
        super(of);
        window.connections.push(this);
        this.addEventListener('connectionstatechange', () => window.became.push(this.connectionState));
      }

      override setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
        window.told.push(...(description.sdp ?? '').split('\r\n').filter((line) => /^(?:a=candidate|c=|a=rtcp:)/u.test(line)));
        return super.setRemoteDescription(description);
      }

      override addIceCandidate(candidate?: RTCIceCandidateInit | null): Promise<void> {
        window.told.push(candidate?.candidate ?? '');
        return super.addIceCandidate(candidate);
      }
    };
  });
  await person.page.reload();
}

export interface Heard {
  readonly frames: number;
  readonly energy: number;
  readonly local: string;
  readonly remote: string;
}

/** What the page's connections with media have received so far. */
export async function heard(page: Page): Promise<Heard> {
  return page.evaluate(async () => {
    const text = (value: unknown): string => (typeof value === 'string' ? value : '');
    let found = { frames: 0, energy: 0, local: '', remote: '' };
    for (const connection of window.connections) {
      if (connection.connectionState === 'closed') continue;
      const report = await connection.getStats();
      const all = new Map<string, RTCStats & Record<string, unknown>>();
      report.forEach((stats: RTCStats & Record<string, unknown>) => all.set(stats.id, stats));
      let media = false;
      for (const stats of all.values()) {
        if (stats.type !== 'inbound-rtp') continue;
        media = true;
        if (stats['kind'] === 'video') found = { ...found, frames: found.frames + Number(stats['framesDecoded'] ?? 0) };
        else found = { ...found, energy: found.energy + Number(stats['totalAudioEnergy'] ?? 0) };
      }
      if (!media) continue;
      for (const stats of all.values()) {
        if (stats.type !== 'transport') continue;
        const pair = all.get(text(stats['selectedCandidatePairId']));
        if (!pair) continue;
        found = { ...found, local: text(all.get(text(pair['localCandidateId']))?.['candidateType']), remote: text(all.get(text(pair['remoteCandidateId']))?.['candidateType']) };
      }
    }
    return found;
  });
}

/** Sound arrives, and goes on arriving. */
export async function hears(...people: readonly Person[]): Promise<void> {
  for (const { page } of people) {
    const before = (await heard(page)).energy;
    await expect.poll(async () => (await heard(page)).energy, { timeout: 30_000 }).toBeGreaterThan(before);
  }
}

/** Pictures arrive, and go on arriving. */
export async function sees(...people: readonly Person[]): Promise<void> {
  for (const { page } of people) {
    const before = (await heard(page)).frames;
    await expect.poll(async () => (await heard(page)).frames, { timeout: 30_000 }).toBeGreaterThan(before + 5);
  }
}

/** Calls by a tap on the button in the conversation. */
export async function calls(person: Person, name: string, video = false): Promise<void> {
  await person.presses(video ? `Call ${name} with video` : `Call ${name}`);
}

export function incoming(person: Person, name: string): Locator {
  return person.page.getByRole('dialog', { name: `${name} calls you` });
}

/** The call on the whole glass. */
export function screen(person: Person, name: string): Locator {
  return person.page.getByRole('dialog', { name: `Call with ${name}` });
}

/** This stands on the glass of the call, or stood there: why it is over is said for a moment only. */
export async function stood(person: Person, name: string, words: string): Promise<void> {
  const all = new RegExp(`^${escaped(`Call with ${name}: `)}.*${escaped(words)}`, 'su');
  await expect.poll(() => person.page.evaluate(() => window.stood), { timeout: 60_000 }).toContainEqual(expect.stringMatching(all));
}

/** Lines that calls left in the conversation. */
export function notes(person: Person, text: string | RegExp): Locator {
  return person.page.locator('li[data-mid]').filter({ hasText: text });
}

export async function hangsUp(person: Person, ...others: readonly Person[]): Promise<void> {
  await person.presses('Hang up');
  for (const each of [person, ...others]) await expect(each.page.getByRole('dialog')).toHaveCount(0);
}
