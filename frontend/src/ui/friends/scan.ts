/**
 * Reads QR codes from the camera and from pictures: with the browser's own detector where there is one, else with
 * zxing, which is loaded only then and comes from our own courtyard. Pictures stay in this browser.
 */

/** What can be looked at for a code. */
export type Look = HTMLVideoElement | ImageBitmap;

export interface Reader {
  /** The text of a code in the picture, or undefined. */
  read(source: Look): Promise<string | undefined>;
}

interface Detector {
  detect(source: Look): Promise<readonly { readonly rawValue: string }[]>;
}

interface DetectorMaker {
  new (options: { formats: readonly string[] }): Detector;
  getSupportedFormats(): Promise<readonly string[]>;
}

function detectorMaker(): DetectorMaker | undefined {
  // Not in the type library yet; the shape is that of the Shape Detection API.
  const scope: { BarcodeDetector?: DetectorMaker } = globalThis as { BarcodeDetector?: DetectorMaker };
  return scope.BarcodeDetector;
}

export async function openReader(): Promise<Reader> {
  const Maker = detectorMaker();
  if (Maker !== undefined && (await Maker.getSupportedFormats()).includes('qr_code')) {
    const detector = new Maker({ formats: ['qr_code'] });
    return {
      async read(source) {
        const found = await detector.detect(source);
        return found[0]?.rawValue;
      },
    };
  }
  return zxingReader();
}

async function zxingReader(): Promise<Reader> {
  const [{ prepareZXingModule, readBarcodes }, wasm] = await Promise.all([
    import('zxing-wasm/reader'),
    import('zxing-wasm/reader/zxing_reader.wasm?url'),
  ]);
  prepareZXingModule({ overrides: { locateFile: () => wasm.default } });
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', { willReadFrequently: true });
  return {
    async read(source) {
      if (context === null) return undefined;
      const [width, height] = source instanceof HTMLVideoElement ? [source.videoWidth, source.videoHeight] : [source.width, source.height];
      if (width === 0 || height === 0) return undefined;
      const scale = Math.min(1, 1_280 / Math.max(width, height));
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      context.drawImage(source, 0, 0, canvas.width, canvas.height);
      const found = await readBarcodes(context.getImageData(0, 0, canvas.width, canvas.height), { formats: ['QRCode'], maxNumberOfSymbols: 1 });
      return found.find((code) => code.isValid)?.text;
    },
  };
}

/** The code in a picture that was chosen; undefined when there is none or it is no picture. */
export async function readImage(file: Blob): Promise<string | undefined> {
  let picture: ImageBitmap;
  try {
    picture = await createImageBitmap(file);
  } catch {
    return undefined;
  }
  try {
    const reader = await openReader();
    return await reader.read(picture);
  } finally {
    picture.close();
  }
}
