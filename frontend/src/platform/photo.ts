/**
 * Photos, made small in the browser. Drawing on a canvas keeps nothing but the pixels: no place, no time, no
 * camera. Loaded when the first photo is sent or shown.
 */

import { rgbaToThumbHash, thumbHashToDataURL } from 'thumbhash';
import { Trouble } from '../domain/failure';
import type { PhotoTools } from './platform';

const QUALITY = 0.82;
/** Qualities tried in turn when the result has to fit; then the side is halved. */
const LOWER = [QUALITY, 0.7, 0.55, 0.4];
/** No picture may unfold to more (protocol section 8). */
const PIXELS = 2 ** 24;
/** ThumbHash takes at most 100 pixels a side. */
const THUMB_SIDE = 100;

export const photoTools: PhotoTools = { shrink, placeholder: thumbHashToDataURL };

async function shrink(file: Blob, side: number, bytes?: number, best = QUALITY): ReturnType<PhotoTools['shrink']> {
  const source = await decode(file);
  try {
    for (let longest = side; longest >= 32; longest /= 2) {
      const { canvas } = draw(source, longest);
      for (const quality of bytes === undefined ? [best] : [best, ...LOWER.filter((quality) => quality < best)]) {
        const jpeg = await encode(canvas, quality);
        if (bytes !== undefined && jpeg.length > bytes) continue;
        const { width, height } = canvas;
        return { jpeg, width, height, thumb: thumbOf(source) };
      }
    }
    throw new Trouble('photo-large');
  } finally {
    source.close();
  }
}

async function decode(file: Blob): Promise<ImageBitmap> {
  try {
    // `from-image` turns the picture as its EXIF orientation says.
    return await createImageBitmap(file, { imageOrientation: 'from-image' });
  } catch (error) {
    throw new Trouble('photo-unreadable', { type: file.type }, error);
  }
}

function draw(source: ImageBitmap, longest: number): { canvas: HTMLCanvasElement; context: CanvasRenderingContext2D } {
  const scale = Math.min(1, longest / Math.max(source.width, source.height), Math.sqrt(PIXELS / (source.width * source.height)));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.floor(source.width * scale));
  canvas.height = Math.max(1, Math.floor(source.height * scale));
  const context = canvas.getContext('2d', { alpha: false });
  if (!context) throw new Trouble('photo-unreadable', { reason: 'canvas' });
  // JPEG has no transparency: what was see-through becomes white, not black.
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = 'high';
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return { canvas, context };
}

async function encode(canvas: HTMLCanvasElement, quality: number): Promise<Uint8Array<ArrayBuffer>> {
  const blob = await new Promise<Blob | null>((resolve) => {
    canvas.toBlob(resolve, 'image/jpeg', quality);
  });
  if (!blob) throw new Trouble('photo-unreadable', { reason: 'encode' });
  return new Uint8Array(await blob.arrayBuffer());
}

function thumbOf(source: ImageBitmap): Uint8Array {
  const { canvas, context } = draw(source, THUMB_SIDE);
  const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
  return rgbaToThumbHash(width, height, data);
}
