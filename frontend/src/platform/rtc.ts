/** Connections between devices (WebRTC) as a browser has them; loaded when first needed. */

import type { Candidate, CandidateKind, ChosenPair, Description, Gathered, IceServer, Peer, PeerChannel, PeerChannelListener, PeerListener, PeerState, PeerTrack, RemoteCandidate, RtcTools } from './platform';

/** Bytes below which a channel takes more. */
const LOW = 256 * 1024;

export const rtcTools: RtcTools = {
  connect: (servers, policy, listener) => new BrowserPeer(servers, policy, listener),
};

class BrowserPeer implements Peer {
  readonly #connection: RTCPeerConnection;
  readonly #listener: PeerListener;
  readonly #candidates: Candidate[] = [];
  /** of the other side, from before its description */
  #early: RemoteCandidate[] = [];
  #complete = false;
  /** a server that did not answer */
  #unheard = false;
  readonly #awaiting = new Set<() => void>();
  /** of the other side's packets, when it was asked last */
  #counted = { received: 0, lost: 0 };

  constructor(servers: readonly IceServer[], policy: 'all' | 'relay', listener: PeerListener) {
    this.#listener = listener;
    const connection = new RTCPeerConnection({ iceServers: listed(servers), iceTransportPolicy: policy, bundlePolicy: 'max-bundle' });
    this.#connection = connection;
    connection.onconnectionstatechange = () => {
      listener.state(connection.connectionState);
    };
    connection.onicecandidate = (event) => {
      this.#found(event);
    };
    connection.onicegatheringstatechange = () => {
      this.#complete = connection.iceGatheringState === 'complete';
      if (!this.#complete) return;
      for (const go of this.#awaiting) go();
      listener.candidate?.(undefined);
    };
    connection.onicecandidateerror = ({ address }) => {
      // Also where the browser hides the address it says of which kind it is.
      if (!/:.*:/u.test(address ?? '')) this.#unheard = true;
    };
    connection.onnegotiationneeded = () => listener.negotiate?.();
    connection.ondatachannel = ({ channel }) => {
      const ours = channelOf(channel);
      const heard = listener.channel?.(ours);
      if (heard) attend(channel, heard);
      else channel.close();
    };
    connection.ontrack = ({ track, streams }) => listener.track?.(track, streams[0]);
  }

  get state(): PeerState {
    return this.#connection.connectionState;
  }

  get settled(): boolean {
    return this.#connection.signalingState === 'stable';
  }

  get description(): Description | undefined {
    const said = this.#connection.localDescription;
    return said?.type === 'offer' || said?.type === 'answer' ? { type: said.type, sdp: said.sdp } : undefined;
  }

  async describe(): Promise<Description> {
    await this.#connection.setLocalDescription();
    const { description } = this;
    if (!description) throw new TypeError('a connection without a description');
    return description;
  }

  async accept(description: Description): Promise<void> {
    await this.#connection.setRemoteDescription(description);
    const early = this.#early;
    this.#early = [];
    for (const candidate of early) await this.add(candidate);
  }

  async add(candidate: RemoteCandidate): Promise<void> {
    if (!this.#connection.remoteDescription) {
      this.#early.push(candidate);
      return;
    }
    await this.#connection.addIceCandidate({ candidate: candidate.candidate, ...(candidate.sdpMid === undefined ? { sdpMLineIndex: 0 } : { sdpMid: candidate.sdpMid }) });
  }

  gathered(ms: number): Promise<Gathered> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#awaiting.delete(done);
        resolve({ candidates: [...this.#candidates], answered: this.#complete && !this.#unheard });
      };
      const timer = setTimeout(done, ms);
      this.#awaiting.add(done);
      if (this.#complete || this.state === 'closed') done();
    });
  }

  channel(label: string, protocol: string, listener: PeerChannelListener): PeerChannel {
    const channel = this.#connection.createDataChannel(label, { protocol, ordered: true });
    attend(channel, listener);
    return channelOf(channel);
  }

  send(track: MediaStreamTrack, stream: MediaStream): PeerTrack {
    const sender = this.#connection.addTrack(track, stream);
    return {
      replace: (other) => sender.replaceTrack(other ?? null),
      remove: () => {
        // Of a closed connection nothing can be taken away, nor need it be.
        if (this.state !== 'closed') this.#connection.removeTrack(sender);
      },
    };
  }

  use(servers: readonly IceServer[], paths: RTCIceTransportPolicy): void {
    this.#connection.setConfiguration({ ...this.#connection.getConfiguration(), iceServers: listed(servers), iceTransportPolicy: paths });
  }

  restart(): void {
    this.#connection.restartIce();
  }

  async pair(): Promise<ChosenPair | undefined> {
    if (this.state === 'closed') return undefined;
    return chosenOf(await this.#connection.getStats());
  }

  async loss(): Promise<number | undefined> {
    if (this.state === 'closed') return undefined;
    const now = { received: 0, lost: 0 };
    (await this.#connection.getStats()).forEach((stats: RTCStats) => {
      if (stats.type !== 'inbound-rtp') return;
      const { packetsReceived = 0, packetsLost = 0 } = stats as RTCInboundRtpStreamStats;
      now.received += packetsReceived;
      now.lost += packetsLost;
    });
    const before = this.#counted;
    this.#counted = now;
    const [received, lost] = [now.received - before.received, now.lost - before.lost];
    return received + lost <= 0 ? undefined : Math.max(0, lost) / (received + Math.max(0, lost));
  }

  close(): void {
    const connection = this.#connection;
    connection.onconnectionstatechange = connection.onicecandidate = connection.onicegatheringstatechange = connection.onicecandidateerror = null;
    connection.onnegotiationneeded = connection.ondatachannel = connection.ontrack = null;
    connection.close();
    for (const go of this.#awaiting) go();
  }

  #found(event: RTCPeerConnectionIceEvent): void {
    const { candidate } = event;
    if (!candidate || candidate.candidate === '') return;
    const { type, protocol, address, port, sdpMid } = candidate;
    if (type === null || protocol === null || address === null || port === null) return;
    const found: Candidate = {
      candidate: candidate.candidate, sdpMid: sdpMid ?? undefined, kind: type, protocol, address, port, server: serverOf(event),
    };
    this.#candidates.push(found);
    this.#listener.candidate?.(found);
  }
}

function listed(servers: readonly IceServer[]): RTCIceServer[] {
  return servers.map(({ urls, ...rest }) => ({ urls: [...urls], ...rest }));
}

/** Younger browsers say it with the candidate, older ones beside it. */
function serverOf(event: RTCPeerConnectionIceEvent): string | undefined {
  const { candidate, url } = event as { readonly candidate: { readonly url?: string | null } | null; readonly url?: string | null };
  const server = candidate?.url ?? url;
  return server === null || server === '' ? undefined : server;
}

function channelOf(channel: RTCDataChannel): PeerChannel {
  return {
    label: channel.label,
    protocol: channel.protocol,
    get open() {
      return channel.readyState === 'open';
    },
    get buffered() {
      return channel.bufferedAmount;
    },
    send(text) {
      channel.send(text);
    },
    close() {
      channel.onopen = channel.onmessage = channel.onclose = channel.onbufferedamountlow = null;
      channel.close();
    },
  };
}

function attend(channel: RTCDataChannel, listener: PeerChannelListener): void {
  channel.bufferedAmountLowThreshold = LOW;
  channel.onmessage = ({ data }: MessageEvent<unknown>) => {
    if (typeof data === 'string') listener.message(data);
  };
  channel.onclose = () => {
    listener.closed();
  };
  channel.onbufferedamountlow = () => {
    listener.drained();
  };
  // One that the other side opened may be open before anybody looks.
  if (channel.readyState === 'open') queueMicrotask(() => { listener.opened(); });
  else channel.onopen = () => {
    listener.opened();
  };
}

interface CandidateStats {
  readonly type: string;
  readonly candidateType?: CandidateKind;
  readonly protocol?: 'udp' | 'tcp';
  readonly relayProtocol?: 'udp' | 'tcp' | 'tls';
  readonly address?: string | null;
  readonly port?: number;
}

function chosenOf(report: RTCStatsReport): ChosenPair | undefined {
  const all = new Map<string, RTCStats>();
  report.forEach((stats: RTCStats, id: string) => all.set(id, stats));
  const transport = [...all.values()].find((stats): stats is RTCTransportStats => stats.type === 'transport');
  // Not every browser names the pair; there is one nominated then.
  const pair = (transport?.selectedCandidatePairId === undefined ? undefined : all.get(transport.selectedCandidatePairId))
    ?? [...all.values()].find((stats) => stats.type === 'candidate-pair' && (stats as RTCIceCandidatePairStats).nominated === true && (stats as RTCIceCandidatePairStats).state === 'succeeded');
  if (!pair) return undefined;
  const { localCandidateId, remoteCandidateId, currentRoundTripTime } = pair as RTCIceCandidatePairStats;
  const local = all.get(localCandidateId) as CandidateStats | undefined;
  const remote = all.get(remoteCandidateId) as CandidateStats | undefined;
  if (!local?.candidateType || !remote?.candidateType) return undefined;
  return {
    local: local.candidateType, remote: remote.candidateType, protocol: local.protocol ?? 'udp',
    relayProtocol: local.candidateType === 'relay' ? local.relayProtocol : undefined,
    from: addressOf(local), to: addressOf(remote),
    roundTrip: currentRoundTripTime === undefined ? undefined : currentRoundTripTime * 1000,
  };
}

function addressOf({ address, port }: CandidateStats): string {
  return typeof address !== 'string' || address === '' ? '' : `${address.includes(':') ? `[${address}]` : address}:${String(port ?? 0)}`;
}
