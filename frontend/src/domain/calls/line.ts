/** What belongs to a call on this side: microphone and camera, the connection, and what comes over it. */

import type { MediaTools, Peer, PeerChannelListener, PeerTrack, Platform, RtcTools } from '../../platform/platform';
import type { Signal } from '../../protocol/message';
import { failureOf, Trouble } from '../failure';
import { Negotiation, type NegotiationSurroundings } from '../peers/negotiation';
import type { CallMedia, CallView, Failure } from '../types';

const LOOK_EVERY = 2_000;
/** ms there and back, and part of the packets lost, above which it is told */
const SLOW = 400;
const LOSSY = 0.04;
/** Nobody is heard for so long: it is over. A change of network takes up to half of it. */
const LOST = 45_000;

export interface LineSurroundings {
  readonly platform: Platform;
  /** something is to be shown otherwise */
  changed(): void;
  /** they hear each other */
  connected(): void;
  /** the page at the other end has gone */
  gone(): void;
  /** no way was found any more */
  lost(): void;
  /** whether they may still speak with each other; asked every now and then */
  stands(): boolean;
}

export class Line {
  readonly #around: LineSurroundings;
  readonly #rtc: RtcTools;
  readonly #media: MediaTools;
  readonly #microphone: MediaStreamTrack;
  /** the tracks of one side belong together, whenever they come */
  readonly #bundle: MediaStream;
  #camera: MediaStreamTrack | undefined;
  #facing: 'user' | 'environment' = 'user';
  #sender: PeerTrack | undefined;
  #cameras = 0;
  #negotiation: Negotiation | undefined;
  #local: MediaStream | undefined;
  #remote: MediaStream | undefined;
  #audio: MediaStreamTrack | undefined;
  #video: MediaStreamTrack | undefined;
  #path: CallView['path'];
  #quality: CallView['quality'];
  #closed = false;
  /** since when no way is open */
  #searching: number | undefined;
  /** what is done about the camera, one after the other: a browser takes its time to open one */
  #turning: Promise<void> = Promise.resolve();
  #cancelLook: () => void = () => undefined;
  /** why there is no picture of oneself */
  readonly problem: Failure | undefined;
  /** letters go in their order */
  telling: Promise<unknown> = Promise.resolve();

  private constructor(around: LineSurroundings, rtc: RtcTools, media: MediaTools, microphone: MediaStreamTrack, problem: Failure | undefined) {
    this.#around = around;
    this.#rtc = rtc;
    this.#media = media;
    this.#microphone = microphone;
    this.#bundle = media.stream([microphone]);
    this.problem = problem;
  }

  /** Asks for what is needed to talk. Without a picture one can still speak; without a voice nobody is called. */
  static async open(around: LineSurroundings, wanted: CallMedia): Promise<Line> {
    const { platform } = around;
    const [rtc, media] = await Promise.all([platform.rtc(), platform.media()]);
    if (!rtc || !media) throw new Trouble('calls-unsupported');
    const microphone = await media.microphone();
    const camera = wanted === 'video' ? await media.camera('user').catch(failureOf) : undefined;
    if (camera === undefined || 'code' in camera) return new Line(around, rtc, media, microphone, camera);
    const line = new Line(around, rtc, media, microphone, undefined);
    await line.#takeCamera(camera);
    return line;
  }

  /** What a screen shows of it. */
  get shown(): Pick<CallView, 'camera' | 'flippable' | 'local' | 'remote' | 'seen' | 'path' | 'quality'> {
    return {
      camera: this.#camera !== undefined, flippable: this.#camera !== undefined && this.#cameras > 1, local: this.#local, remote: this.#remote,
      seen: this.#video !== undefined && !this.#video.muted && this.#video.readyState === 'live', path: this.#path, quality: this.#quality,
    };
  }

  /** The present description, with all that was found by now. */
  get description(): Signal | undefined {
    return this.#negotiation?.description;
  }

  /** @param offer of the other side; without one it is ours to make */
  async connect(offer: Signal | undefined, around: Pick<NegotiationSurroundings, 'servers' | 'relayed' | 'renewed' | 'tell'>): Promise<void> {
    if (this.#closed) return;
    const negotiation = new Negotiation(this.#rtc, {
      ...around,
      platform: this.#around.platform, polite: offer === undefined,
      state: (state) => {
        if (state === 'connected') this.#around.connected();
        this.#around.changed();
      },
      prepare: (peer) => {
        this.#prepare(peer, offer === undefined);
      },
      channel: (channel) => (channel.label === 'call' ? this.#thread() : undefined),
      track: (track) => {
        this.#took(track);
      },
    });
    this.#negotiation = negotiation;
    if (offer) await negotiation.hear(offer);
    else negotiation.offer();
    this.#look();
  }

  async hear(signal: Signal): Promise<void> {
    await this.#negotiation?.hear(signal);
  }

  mute(yes: boolean): void {
    this.#microphone.enabled = !yes;
  }

  camera(on: boolean): Promise<void> {
    return this.#turn(async () => {
      if ((this.#camera !== undefined) === on) return;
      if (on) await this.#takeCamera(await this.#media.camera(this.#facing));
      else this.#dropCamera();
    });
  }

  flip(): Promise<void> {
    return this.#turn(async () => {
      if (!this.#camera) return;
      // A phone has one camera open at a time.
      this.#camera.stop();
      this.#facing = this.#facing === 'user' ? 'environment' : 'user';
      try {
        await this.#takeCamera(await this.#media.camera(this.#facing));
      } catch (error) {
        this.#dropCamera();
        throw error;
      }
    });
  }

  #turn(doing: () => Promise<void>): Promise<void> {
    const done = this.#turning.then(doing);
    this.#turning = done.catch(() => undefined); // who asked for it hears of it
    return done;
  }

  #dropCamera(): void {
    this.#sender?.remove();
    this.#sender = undefined;
    this.#camera?.stop();
    this.#camera = this.#local = undefined;
  }

  /** When what has to be said yet has been said. */
  close(): void {
    this.#closed = true;
    this.#cancelLook();
    this.#microphone.stop();
    this.#camera?.stop();
    this.telling.finally(() => {
      this.hangUp();
    }).catch(this.#around.platform.report);
  }

  hangUp(): void {
    this.#negotiation?.close();
  }

  async #takeCamera(track: MediaStreamTrack): Promise<void> {
    if (this.#closed) {
      track.stop();
      return;
    }
    this.#camera = track;
    this.#local = this.#media.stream([track]);
    if (this.#sender) await this.#sender.replace(track);
    else this.#sender = this.#negotiation?.peer.send(track, this.#bundle);
    this.#cameras = await this.#media.cameras();
  }

  #prepare(peer: Peer, answering: boolean): void {
    peer.send(this.#microphone, this.#bundle);
    if (this.#camera) this.#sender = peer.send(this.#camera, this.#bundle);
    if (answering) peer.channel('call', 'call/1', this.#thread());
  }

  /** Nothing is said in it. It ends when the page at the other end does. */
  #thread(): PeerChannelListener {
    return {
      opened: () => undefined,
      message: () => undefined,
      drained: () => undefined,
      closed: () => {
        if (!this.#closed) this.#around.gone();
      },
    };
  }

  #took(track: MediaStreamTrack): void {
    if (track.kind === 'audio') this.#audio = track;
    else {
      this.#video = track;
      for (const turn of ['mute', 'unmute', 'ended']) {
        track.addEventListener(turn, () => {
          this.#around.changed();
        });
      }
    }
    this.#remote = this.#media.stream([this.#audio, this.#video].filter((each) => each !== undefined));
    this.#around.changed();
  }

  /** Path and quality, every now and then. */
  #look(): void {
    this.#cancelLook();
    if (this.#closed) return;
    this.#cancelLook = this.#around.platform.after(LOOK_EVERY, () => {
      this.#see().catch(this.#around.platform.report);
    });
  }

  async #see(): Promise<void> {
    this.#negotiation?.follow();
    const peer = this.#negotiation?.peer;
    if (!peer) return;
    const pair = await peer.pair();
    const loss = await peer.loss();
    if (pair) {
      this.#path = pair.local === 'relay' || pair.remote === 'relay' ? 'courtyard' : 'direct';
      this.#quality = (pair.roundTrip ?? 0) > SLOW || (loss ?? 0) > LOSSY ? 'weak' : 'clear';
    }
    if (!this.#around.stands()) {
      this.#around.gone();
      return;
    }
    if (peer.state === 'connected') this.#searching = undefined;
    else {
      this.#quality = 'searching';
      this.#searching ??= this.#around.platform.now();
      if (this.#around.platform.now() - this.#searching >= LOST) {
        this.#around.lost();
        return;
      }
    }
    this.#around.changed();
    this.#look();
  }
}
