/** What a page's peer connections are for and which way they go, as the browser itself counts it (getStats). */
import type { BrowserContext, Page } from '@playwright/test';

/** One connection that a page has made. Times are since the page was opened, ms. */
export interface Peer {
  /** the channel's protocol, such as `home/1` */
  readonly what: string;
  readonly state: RTCPeerConnectionState;
  readonly connected: number | undefined;
  readonly pair: Pair | undefined;
  readonly heard: Heard | undefined;
}

/** The way that is in use. */
export interface Pair {
  readonly local: string;
  readonly remote: string;
  readonly protocol: string;
  /** how the own relay is reached: udp, tcp or tls */
  readonly relayed: string | undefined;
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** What came of the other's voice and picture. */
export interface Heard {
  readonly frames: number;
  readonly energy: number;
  readonly audioBytes: number;
}

interface Known {
  readonly connection: RTCPeerConnection;
  what: string;
  connected: number | undefined;
}

declare global {
  interface Window {
    labPeers: Known[] | undefined;
  }
}

/** Keeps hold of each connection that a page of this browser makes; changes nothing about them. */
export async function watchPeers(context: BrowserContext): Promise<void> {
  await context.addInitScript(() => {
    if (typeof RTCPeerConnection === 'undefined') return;
    const known: Known[] = [];
    window.labPeers = known;
    const Real = RTCPeerConnection;
    window.RTCPeerConnection = class extends Real {
      constructor(configuration?: RTCConfiguration) {
        super(configuration);
        const mine: Known = { connection: this, what: '', connected: undefined };
        known.push(mine);
        this.addEventListener('datachannel', ({ channel }) => {
          mine.what ||= channel.protocol || channel.label;
        });
        this.addEventListener('connectionstatechange', () => {
          if (this.connectionState === 'connected') mine.connected ??= performance.now();
        });
      }

      override createDataChannel(label: string, init?: RTCDataChannelInit): RTCDataChannel {
        const mine = known.find(({ connection }) => connection === this);
        if (mine !== undefined) mine.what ||= init?.protocol ?? label;
        return super.createDataChannel(label, init);
      }
    };
  });
}

export async function peersOf(page: Page): Promise<readonly Peer[]> {
  return page.evaluate(async () => {
    type Stats = Record<string, unknown> & { readonly id: string; readonly type: string };
    const text = (value: unknown): string => (typeof value === 'string' ? value : '');
    const count = (value: unknown): number => (typeof value === 'number' ? value : 0);
    const end = (one: Stats | undefined): string => (one === undefined ? '' : `${text(one['address'])}:${String(count(one['port']))}`);
    const out: Peer[] = [];
    for (const { connection, what, connected } of window.labPeers ?? []) {
      if (connection.connectionState === 'closed') continue;
      const stats = new Map<string, Stats>();
      (await connection.getStats()).forEach((one: Stats) => stats.set(one.id, one));
      const all = [...stats.values()];
      const transport = all.find((one) => one.type === 'transport');
      const pair = stats.get(text(transport?.['selectedCandidatePairId']));
      const local = stats.get(text(pair?.['localCandidateId']));
      const remote = stats.get(text(pair?.['remoteCandidateId']));
      const inbound = all.filter((one) => one.type === 'inbound-rtp');
      const sum = (kind: string, of: string): number => inbound.filter((one) => one['kind'] === kind).reduce((total, one) => total + count(one[of]), 0);
      out.push({
        what: what !== '' ? what : 'not told yet',
        state: connection.connectionState,
        connected: connected === undefined ? undefined : Math.round(connected),
        pair: pair === undefined ? undefined : {
          local: text(local?.['candidateType']), remote: text(remote?.['candidateType']), protocol: text(local?.['protocol']),
          relayed: local?.['relayProtocol'] === undefined ? undefined : text(local['relayProtocol']),
          localAddress: end(local), remoteAddress: end(remote),
          // Of all pairs that this connection has used.
          bytesSent: count(transport?.['bytesSent']), bytesReceived: count(transport?.['bytesReceived']),
        },
        heard: inbound.length === 0 ? undefined : {
          frames: sum('video', 'framesDecoded'), energy: sum('audio', 'totalAudioEnergy'), audioBytes: sum('audio', 'bytesReceived'),
        },
      });
    }
    return out;
  });
}
