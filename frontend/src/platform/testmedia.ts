/** Microphone and camera, pretended, for tests in Node. */

import { Trouble } from '../domain/failure';
import type { MediaTools } from './platform';

export class TestTrack {
  readonly kind: 'audio' | 'video';
  readonly label: string;
  enabled = true;
  muted = false;
  readyState: 'live' | 'ended' = 'live';

  constructor(kind: 'audio' | 'video', label: string) {
    this.kind = kind;
    this.label = label;
  }

  stop(): void {
    this.readyState = 'ended';
  }

  addEventListener(): void {
    // Nobody mutes it.
  }
}

export class TestMedia implements MediaTools {
  /** what the person forbids */
  denied: 'microphone' | 'camera' | undefined;
  readonly tracks: TestTrack[] = [];
  /** until the person has allowed it, or the camera has started */
  slow: Promise<void> | undefined;

  microphone(): Promise<MediaStreamTrack> {
    return this.#track('microphone', 'audio', 'microphone');
  }

  camera(facing: 'user' | 'environment'): Promise<MediaStreamTrack> {
    return this.#track('camera', 'video', facing);
  }

  cameras(): Promise<number> {
    return Promise.resolve(2);
  }

  stream(tracks: readonly MediaStreamTrack[]): MediaStream {
    return { id: crypto.randomUUID(), getTracks: () => [...tracks], getVideoTracks: () => tracks.filter(({ kind }) => kind === 'video') } as unknown as MediaStream;
  }

  /** Those that have not been stopped. */
  get live(): readonly TestTrack[] {
    return this.tracks.filter(({ readyState }) => readyState === 'live');
  }

  async #track(what: 'microphone' | 'camera', kind: 'audio' | 'video', label: string): Promise<MediaStreamTrack> {
    await this.slow;
    if (this.denied === what) throw new Trouble(`${what}-denied`);
    const track = new TestTrack(kind, label);
    this.tracks.push(track);
    return track as unknown as MediaStreamTrack;
  }
}
