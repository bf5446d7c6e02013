/**
 * Everything the engine needs from outside, injected, so that it runs in a page and in a test alike. What
 * is standard in both (crypto, IndexedDB, TextEncoder, URL) is not repeated here.
 */

import type { Bytes } from '../protocol/bytes';

export interface Socket {
  send(text: string): void;
  /** Nothing is heard of it any more. */
  close(): void;
}

export interface SocketListener {
  message(data: unknown): void;
  /** it broke, or could not be opened */
  closed(): void;
}

export interface Channel {
  post(message: unknown): void;
  close(): void;
}

/** `moved`: by another network than before, where the browser tells */
export type Turn = 'online' | 'offline' | 'shown' | 'hidden' | 'moved';

export interface PhotoTools {
  /**
   * A JPEG without metadata, upright, no side longer than `side`, at most `bytes` long if that is given.
   * Throws `photo-unreadable`.
   */
  shrink(file: Blob, side: number, bytes?: number, quality?: number): Promise<{ jpeg: Uint8Array<ArrayBuffer>; width: number; height: number; thumb: Uint8Array }>;
  /** data URL of a ThumbHash */
  placeholder(thumb: Uint8Array): string;
}

/** A browser's subscription to pushes. */
export interface PushAddress {
  readonly endpoint: string;
  readonly p256dh: Bytes;
  readonly auth: Bytes;
  /** for which it was made, where the browser tells */
  readonly key: Bytes | undefined;
}

export interface PushTools {
  /** what stands in the way whatever the person allows: nothing, the browser, or that it is no icon on an iPhone */
  readonly lack: 'unsupported' | 'icon' | undefined;
  readonly permission: 'default' | 'granted' | 'denied';
  /** Asks the person; only in answer to a tap. */
  ask(): Promise<'default' | 'granted' | 'denied'>;
  current(): Promise<PushAddress | undefined>;
  /** undefined: the browser cannot, mostly because its maker's service is out of reach */
  subscribe(key: Bytes): Promise<PushAddress | undefined>;
  unsubscribe(): Promise<void>;
  /** Shows a notification about somebody, unless a page of the app is looked at. */
  tell(kind: 'chat' | 'friend' | 'call', uid: string): Promise<void>;
  /** Takes away what is shown about these people. */
  clear(uids: Iterable<string>): Promise<void>;
  /** On the app's icon, where there is one; 0 takes it away. */
  badge(n: number): Promise<void>;
  /** What the service worker says to its pages. Returns the way to stop. */
  hear(listener: (word: unknown) => void): () => void;
}

/** Where a path between two devices may be looked for, as the courtyard names it. */
export interface IceServer {
  readonly urls: readonly string[];
  readonly username?: string;
  readonly credential?: string;
}

/** `host`: an address of its own; `srflx`, `prflx`: as others see it; `relay`: lent by the courtyard. */
export type CandidateKind = 'host' | 'srflx' | 'prflx' | 'relay';

/** As it travels to the other side; `sdpMid` undefined: of the first part. */
export interface RemoteCandidate {
  readonly candidate: string;
  readonly sdpMid?: string | undefined;
}

/** One of this side. */
export interface Candidate extends RemoteCandidate {
  readonly kind: CandidateKind;
  readonly protocol: 'udp' | 'tcp';
  /** also a name ending in `.local`, where the browser hides the address */
  readonly address: string;
  readonly port: number;
  /** the server it was learned from, where the browser tells */
  readonly server: string | undefined;
}

export interface Gathered {
  readonly candidates: readonly Candidate[];
  /** Every server has been heard, as far as the browser tells; over IPv4, which all have. */
  readonly answered: boolean;
}

export interface Description {
  readonly type: 'offer' | 'answer';
  readonly sdp: string;
}

/** The path that is used now. */
export interface ChosenPair {
  readonly local: CandidateKind;
  readonly remote: CandidateKind;
  readonly protocol: 'udp' | 'tcp';
  /** how this side reaches the address it was lent */
  readonly relayProtocol: 'udp' | 'tcp' | 'tls' | undefined;
  /** `ip:port` of both ends, where the browser tells */
  readonly from: string;
  readonly to: string;
  /** ms there and back */
  readonly roundTrip: number | undefined;
}

export type PeerState = 'new' | 'connecting' | 'connected' | 'disconnected' | 'failed' | 'closed';

export interface PeerChannel {
  readonly label: string;
  readonly protocol: string;
  readonly open: boolean;
  /** bytes handed over and not sent yet */
  readonly buffered: number;
  /** Throws when it is not open. */
  send(text: string): void;
  /** Nothing is heard of it any more. */
  close(): void;
}

export interface PeerChannelListener {
  opened(): void;
  /** texts only; what is none is dropped */
  message(text: string): void;
  closed(): void;
  /** not much is buffered any more */
  drained(): void;
}

export interface PeerListener {
  state(state: PeerState): void;
  /** one more of this side; undefined: that was all */
  candidate?(candidate: Candidate | undefined): void;
  /** Something was added that the other side has to be told by a new offer. */
  negotiate?(): void;
  /** The other side has opened a channel: who listens to it; undefined refuses it. */
  channel?(channel: PeerChannel): PeerChannelListener | undefined;
  track?(track: MediaStreamTrack, stream: MediaStream | undefined): void;
}

/** A track on its way to the other side. */
export interface PeerTrack {
  /** Another in its place, or silence; nothing is negotiated. */
  replace(track: MediaStreamTrack | undefined): Promise<void>;
  remove(): void;
}

/** One connection to another device. */
export interface Peer {
  readonly state: PeerState;
  /** No offer is on its way in either direction. */
  readonly settled: boolean;
  /** Makes and takes on the offer or answer that is due; it holds the candidates known by then. */
  describe(): Promise<Description>;
  /** What the other side said. An offer against one of our own takes that back. Rejects for what is none. */
  accept(description: Description): Promise<void>;
  /** One of the other side, also before its description. Rejects for what is none. */
  add(candidate: RemoteCandidate): Promise<void>;
  /** All candidates of this side once no more come, or those known after `ms`. */
  gathered(ms: number): Promise<Gathered>;
  /** The present description with all candidates known now. */
  readonly description: Description | undefined;
  channel(label: string, protocol: string, listener: PeerChannelListener): PeerChannel;
  send(track: MediaStreamTrack, stream: MediaStream): PeerTrack;
  /** What is looked for from now on is looked for with the help of these. */
  use(servers: readonly IceServer[], paths: RTCIceTransportPolicy): void;
  /** Looks for a path anew with the next offer. */
  restart(): void;
  pair(): Promise<ChosenPair | undefined>;
  /** Of the packets that the other side sent since it was asked last: the part that was lost, 0..1. */
  loss(): Promise<number | undefined>;
  /** Nothing is heard of it any more. */
  close(): void;
}

export interface RtcTools {
  /** `policy` `relay`: no address but those lent by the courtyard is used or told. */
  connect(servers: readonly IceServer[], policy: 'all' | 'relay', listener: PeerListener): Peer;
}

/** Reject with `microphone-denied`, `microphone-none`, `camera-denied`, `camera-none`. */
export interface MediaTools {
  microphone(): Promise<MediaStreamTrack>;
  camera(facing: 'user' | 'environment'): Promise<MediaStreamTrack>;
  /** how many there are to choose from */
  cameras(): Promise<number>;
  stream(tracks: readonly MediaStreamTrack[]): MediaStream;
}

export interface Platform {
  /** of the courtyard that served the app: `https://host[:port]` */
  readonly origin: string;
  /** name of the database */
  readonly database: string;
  /** what this device calls itself among the others, such as `Chrome · Android` */
  readonly deviceName: string;
  readonly online: boolean;
  readonly visible: boolean;
  now(): number;
  fetch(url: string, init: RequestInit): Promise<Response>;
  socket(url: string, listener: SocketListener): Socket;
  /** Calls once, later. Returns the way not to. */
  after(ms: number, call: () => void): () => void;
  /** One at a time over all tabs of this browser. */
  lock<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** Whether some tab of this browser is at work under that lock. */
  locked(name: string): Promise<boolean>;
  /** To and from the other tabs. */
  channel(name: string, receive: (message: unknown) => void): Channel;
  watch(listener: (turn: Turn) => void): () => void;
  /** A note that is there again even if the page ends in this very moment. Short, and for a moment: it stands in the way of nothing else. */
  note(text: string | undefined): void;
  noted(): string | undefined;
  /** Asks the browser not to clear our storage; whether it agreed. */
  persist(): Promise<boolean>;
  objectUrl(blob: Blob): string;
  releaseUrl(url: string): void;
  /** Loaded when first needed. */
  photos(): Promise<PhotoTools>;
  /** Likewise. */
  push(): Promise<PushTools>;
  /** Likewise; undefined where the browser has none. */
  rtc(): Promise<RtcTools | undefined>;
  /** Likewise. */
  media(): Promise<MediaTools | undefined>;
  /** A defect of this program, for whoever looks at the console. Never with what somebody wrote. */
  readonly report: (error: unknown) => void;
  /** The app stands: time for what it needs only the next time (the service worker). */
  settle(): void;
  /** Loads the page again, from a clean state. */
  reload(): void;
}
