/**
 * Connections between devices, pretended, for tests in Node: two that were told each other's description are connected, if
 * the air lets them. Real ones are tested in a browser (tests/direct.spec.ts).
 */

import type { Candidate, ChosenPair, Description, Gathered, IceServer, Peer, PeerChannel, PeerChannelListener, PeerListener, PeerState, PeerTrack, RemoteCandidate, RtcTools } from './platform';

/** everybody's, by the present name in their description: another one after each restart, as ICE has it */
const air = new Map<string, TestPeer>();

export class TestRtc implements RtcTools {
  /** whether its connections come about */
  reaches = true;
  /** what its connections gather */
  candidates: readonly Candidate[] = [reflexive('stun:yard.example:3478', 40_001)];
  /** whether the servers do */
  answered = true;
  /** what a connection says of the path it uses */
  pair: Partial<ChosenPair> = {};
  readonly peers: TestPeer[] = [];

  connect(servers: readonly IceServer[], policy: 'all' | 'relay', listener: PeerListener): TestPeer {
    const peer = new TestPeer(this, servers, policy, listener);
    this.peers.push(peer);
    return peer;
  }

  get last(): TestPeer {
    const peer = this.peers.at(-1);
    if (!peer) throw new Error('nobody connected');
    return peer;
  }
}

/** An address as a STUN server sees it. */
export function reflexive(server: string, port: number, address = '203.0.113.9'): Candidate {
  return { candidate: `candidate:1 1 udp 1677729535 ${address} ${String(port)} typ srflx raddr 0.0.0.0 rport 0`, sdpMid: '0', kind: 'srflx', protocol: 'udp', address, port, server };
}

function newName(): string {
  return crypto.randomUUID().slice(0, 8);
}

export class TestPeer implements Peer {
  servers: readonly IceServer[];
  readonly policy: 'all' | 'relay';
  /** what the other side told */
  readonly added: RemoteCandidate[] = [];
  readonly tracks: MediaStreamTrack[] = [];
  restarts = 0;
  readonly #rtc: TestRtc;
  readonly #listener: PeerListener;
  #name = newName();
  /** the next offer has another name; the next answer, as its offer has */
  #begins = false;
  #follows = false;
  readonly #channels: TestChannel[] = [];
  #state: PeerState = 'new';
  #local: Description | undefined;
  #remote: Description | undefined;
  #other: TestPeer | undefined;
  /** by which name of the other's */
  #heard: string | undefined;
  #met: string | undefined;
  #offering = false;
  #offered = false;

  constructor(rtc: TestRtc, servers: readonly IceServer[], policy: 'all' | 'relay', listener: PeerListener) {
    this.#rtc = rtc;
    this.servers = servers;
    this.policy = policy;
    this.#listener = listener;
    air.set(this.#name, this);
  }

  get state(): PeerState {
    return this.#state;
  }

  /** Whether a channel of this label is open. */
  carries(label: string): boolean {
    return this.#channels.some((channel) => channel.label === label && channel.open);
  }

  get settled(): boolean {
    return !this.#offering && !this.#offered;
  }

  get description(): Description | undefined {
    return this.#local;
  }

  describe(): Promise<Description> {
    const type = this.#offered ? 'answer' : 'offer';
    this.#offering = type === 'offer';
    this.#offered = false;
    if (type === 'offer' ? this.#begins : this.#follows) this.#rename();
    if (type === 'answer' && this.#begins) queueMicrotask(() => this.#listener.negotiate?.());
    this.#local = { type, sdp: `v=0\r\na=ice-ufrag:${this.#name}\r\na=ice-pwd:${'p'.repeat(24)}\r\n` };
    for (const candidate of this.#rtc.candidates) queueMicrotask(() => this.#listener.candidate?.(candidate));
    queueMicrotask(() => this.#listener.candidate?.(undefined));
    this.#meet();
    return Promise.resolve(this.#local);
  }

  accept(description: Description): Promise<void> {
    const name = /^a=ice-ufrag:(.+)$/mu.exec(description.sdp)?.[1]?.trim();
    if (name === undefined) return Promise.reject(new TypeError('no description'));
    this.#remote = description;
    // Nobody may be behind it.
    this.#other = air.get(name);
    this.#follows = description.type === 'offer' && this.#heard !== undefined && this.#heard !== name;
    this.#heard = name;
    this.#offered = description.type === 'offer';
    this.#offering = false;
    this.#meet();
    return Promise.resolve();
  }

  add(candidate: RemoteCandidate): Promise<void> {
    this.added.push(candidate);
    return Promise.resolve();
  }

  gathered(): Promise<Gathered> {
    return Promise.resolve({ candidates: this.#rtc.candidates, answered: this.#rtc.answered });
  }

  channel(label: string, protocol: string, listener: PeerChannelListener): PeerChannel {
    const channel = new TestChannel(label, protocol);
    channel.listener = listener;
    this.#channels.push(channel);
    if (this.#state === 'connected') this.#bring(channel);
    return channel;
  }

  send(track: MediaStreamTrack, stream: MediaStream): PeerTrack {
    this.tracks.push(track);
    const other = this.#other;
    if (other && this.#state === 'connected') queueMicrotask(() => other.#listener.track?.(track, stream));
    queueMicrotask(() => this.#listener.negotiate?.());
    return {
      replace: () => Promise.resolve(),
      remove: () => {
        this.tracks.splice(this.tracks.indexOf(track), 1);
      },
    };
  }

  use(servers: readonly IceServer[]): void {
    this.servers = servers;
  }

  restart(): void {
    this.restarts++;
    this.#begins = true;
    queueMicrotask(() => this.#listener.negotiate?.());
  }

  pair(): Promise<ChosenPair | undefined> {
    if (this.#state !== 'connected') return Promise.resolve(undefined);
    return Promise.resolve({ local: 'srflx', remote: 'host', protocol: 'udp', relayProtocol: undefined, from: '203.0.113.9:40001', to: '198.51.100.7:50000', roundTrip: 12, ...this.#rtc.pair });
  }

  loss(): Promise<number | undefined> {
    return Promise.resolve(this.#state === 'connected' ? 0 : undefined);
  }

  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    for (const channel of this.#channels) channel.close();
    air.delete(this.#name);
  }

  /** Nothing gets through any more, and nobody has noticed yet. */
  cut(): void {
    for (const channel of this.#channels) channel.deaf = true;
  }

  /** The browser says so. */
  becomes(state: PeerState): void {
    if (this.#state === 'closed' || this.#state === state) return;
    this.#state = state;
    this.#listener.state(state);
  }

  #meet(): void {
    const other = this.#other;
    if (!other || this.#heard !== other.#name || other.#heard !== this.#name || !this.#local || !this.#remote || !other.#local || !other.#remote) return;
    // Who has found a path says other things over it, or a word comes late: that finds no other one.
    if (this.#met === other.#name && other.#met === this.#name) return;
    this.#met = other.#name;
    other.#met = this.#name;
    for (const each of [this, other]) queueMicrotask(() => { each.becomes('connecting'); });
    if (!this.#rtc.reaches || !other.#rtc.reaches) return;
    queueMicrotask(() => {
      for (const each of [this, other]) each.becomes('connected');
      for (const each of [this, other]) for (const channel of each.#channels) each.#bring(channel);
    });
  }

  #rename(): void {
    this.#begins = this.#follows = false;
    air.delete(this.#name);
    this.#name = newName();
    air.set(this.#name, this);
  }

  #bring(channel: TestChannel): void {
    const other = this.#other;
    if (!other || channel.open || channel.brought) return;
    const end = new TestChannel(channel.label, channel.protocol);
    end.brought = true;
    const listener = other.#listener.channel?.(end);
    if (!listener) return;
    end.listener = listener;
    other.#channels.push(end);
    channel.join(end);
  }
}

export class TestChannel implements PeerChannel {
  readonly label: string;
  readonly protocol: string;
  listener: PeerChannelListener | undefined;
  /** opened by the other side */
  brought = false;
  /** what is sent into it or comes out of it is lost */
  deaf = false;
  readonly buffered = 0;
  #other: TestChannel | undefined;

  constructor(label: string, protocol: string) {
    this.label = label;
    this.protocol = protocol;
  }

  get open(): boolean {
    return this.#other !== undefined;
  }

  join(other: TestChannel): void {
    this.#other = other;
    other.#other = this;
    for (const each of [this, other]) queueMicrotask(() => { each.listener?.opened(); });
  }

  send(text: string): void {
    const other = this.#other;
    if (!other) throw new TypeError('the channel is not open');
    queueMicrotask(() => {
      if (!this.deaf && !other.deaf && other.#other) other.listener?.message(text);
    });
  }

  close(): void {
    this.listener = undefined;
    const other = this.#other;
    this.#other = undefined;
    if (!other) return;
    other.#other = undefined;
    if (!other.deaf && !this.deaf) queueMicrotask(() => other.listener?.closed());
  }
}
