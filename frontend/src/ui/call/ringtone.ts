/** What one hears while it rings, made from two tones: no file is loaded. */

/** Hz, and seconds into the round, of each note. */
const ring = [[659, 0], [880, 0.18], [659, 0.36], [880, 0.54]] as const;
const back = [[440, 0]] as const;

/** Sounds until the returned way to stop is called. A browser that allows no sound yet stays silent; the ring is seen all the same. */
export function sound(kind: 'ring' | 'back'): () => void {
  if (!('AudioContext' in globalThis)) return () => undefined;
  const context = new AudioContext();
  const [notes, length, every, loud] = kind === 'ring' ? [ring, 0.16, 2_400, 0.16] as const : [back, 1, 4_000, 0.05] as const;
  const play = (): void => {
    if (context.state !== 'running') return;
    for (const [pitch, at] of notes) tone(context, pitch, context.currentTime + at, length, loud);
  };
  play();
  const round = setInterval(play, every);
  return () => {
    clearInterval(round);
    // Whether it had begun or not, it is over.
    context.close().catch(() => undefined);
  };
}

function tone(context: AudioContext, pitch: number, at: number, length: number, loud: number): void {
  const source = new OscillatorNode(context, { type: 'sine', frequency: pitch });
  const gain = new GainNode(context, { gain: 0 });
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(loud, at + 0.02);
  gain.gain.setValueAtTime(loud, at + length - 0.04);
  gain.gain.linearRampToValueAtTime(0, at + length);
  source.connect(gain).connect(context.destination);
  source.start(at);
  source.stop(at + length);
}
