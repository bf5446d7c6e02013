/** Microphone and camera as a browser has them; loaded with the first call. */

import { Trouble } from '../domain/failure';
import type { MediaTools } from './platform';

export const mediaTools: MediaTools = {
  microphone: () => track('microphone', { audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true } }),
  camera: (facing) => track('camera', { video: { facingMode: facing, width: { ideal: 1280 }, height: { ideal: 720 } } }),
  cameras: async () => (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === 'videoinput').length,
  stream: (tracks) => new MediaStream([...tracks]),
};

async function track(what: 'microphone' | 'camera', wanted: MediaStreamConstraints): Promise<MediaStreamTrack> {
  try {
    const [found] = (await navigator.mediaDevices.getUserMedia(wanted)).getTracks();
    if (found) return found;
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    if (error.name === 'NotAllowedError' || error.name === 'SecurityError') throw new Trouble(`${what}-denied`, {}, error);
    // Not there, in use by another program, or not as it was asked for.
    throw new Trouble(`${what}-none`, { reason: error.name }, error);
  }
  throw new Trouble(`${what}-none`);
}
