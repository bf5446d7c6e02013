/** Photos and long texts on their way to the screen. */

import { thumbHashToDataURL } from 'thumbhash';
import type { Platform } from '../platform/platform';
import { b64, fromUtf8 } from '../protocol/bytes';
import { bearable } from '../protocol/jpeg';
import type { FileRef } from '../protocol/message';
import { isProblem, Problem } from '../protocol/problem';
import type { Transfers } from './transfers';
import type { Uid } from './types';

/** Photos held as object URLs; a released one is fetched from the cache again. */
const HELD = 200;
const GREY = 'data:image/gif;base64,R0lGODlhAQABAIAAAMDAwAAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==';

const placeholders = new Map<string, string>();

/** A data URL from a ThumbHash, the same one each time; grey for one that is none. */
export function placeholderOf(thumb: Uint8Array): string {
  const name = b64(thumb);
  let url = placeholders.get(name);
  if (url === undefined) {
    url = drawn(thumb);
    if (placeholders.size > 500) placeholders.clear();
    placeholders.set(name, url);
  }
  return url;
}

/** The shortest hash has 5 bytes and a byte more for each two of its factors; the decoder trusts what it is given. */
function drawn(thumb: Uint8Array): string {
  if (thumb.length < 5) return GREY;
  const padded = new Uint8Array(Math.max(thumb.length, 32));
  padded.set(thumb);
  return thumbHashToDataURL(padded);
}

export class PhotoUrls {
  readonly #platform: Platform;
  readonly #urls = new Map<string, string>();

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  /** Throws what the transfer does, and `file-bad` for what is no JPEG or would unfold to too much. */
  async load(transfers: Transfers, file: FileRef, from?: Uid, progress?: (part: number) => void): Promise<string> {
    const id = b64(file.id);
    const held = this.#urls.get(id);
    if (held !== undefined) return held;
    const bytes = await transfers.load(file, from, progress);
    const again = this.#urls.get(id);
    if (again !== undefined) return again;
    if (!bearable(bytes)) throw new Problem('file-bad', { reason: 'picture' });
    const url = this.#platform.objectUrl(new Blob([bytes], { type: 'image/jpeg' }));
    this.#urls.set(id, url);
    for (const [oldest, old] of this.#urls) {
      if (this.#urls.size <= HELD) break;
      this.#urls.delete(oldest);
      this.#platform.releaseUrl(old);
    }
    return url;
  }

  stop(): void {
    for (const url of this.#urls.values()) this.#platform.releaseUrl(url);
    this.#urls.clear();
  }
}

/** The whole of a long text. */
export async function textOf(transfers: Transfers, file: FileRef, from?: Uid): Promise<string> {
  const bytes = await transfers.load(file, from);
  try {
    return fromUtf8(bytes);
  } catch (error) {
    if (isProblem(error)) return '';
    throw error;
  }
}
