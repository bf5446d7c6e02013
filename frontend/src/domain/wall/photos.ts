/** Photos of walls: made fit on this device, fetched through the own courtyard, checked, kept, shown. */

import { bareJpeg, wallPhotoSize } from '../../protocol/barejpeg';
import { formatHost } from '../../protocol/address';
import { b64, type Bytes } from '../../protocol/bytes';
import { wallLimits } from '../../protocol/post';
import { sha256 } from '../../protocol/primitives';
import { Problem } from '../../protocol/problem';
import type { PhotoRef } from '../../store/schema';
import type { WallShelf } from '../../store/walls';
import { codeOf, Trouble } from '../failure';
import { placeholderOf } from '../pictures';
import type { Session } from '../session';
import type { Uid } from '../types';
import type { NewPhoto, WallPhoto } from './types';

const SIDE = 2048;
/** Held as object URLs; a released one is read from the shelf again. */
const URLS = 200;
const GREY = 'data:image/gif;base64,R0lGODlhAQABAIAAAMDAwAAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==';

export class WallPhotos {
  readonly #session: Session;
  readonly #shelf: WallShelf;
  readonly #urls = new Map<string, string>();
  readonly #loading = new Map<string, Promise<string>>();

  constructor(session: Session, shelf: WallShelf) {
    this.#session = session;
    this.#shelf = shelf;
  }

  async prepare(picture: Blob): Promise<NewPhoto> {
    const { platform } = this.#session;
    const tools = await platform.photos();
    const { jpeg, thumb } = await tools.shrink(picture, SIDE, wallLimits.photoBytes);
    const bare = bareJpeg(jpeg);
    const sides = bare && wallPhotoSize(bare);
    if (!bare || !sides) throw new Trouble('photo-unreadable', { reason: 'jpeg' });
    const url = platform.objectUrl(new Blob([bare], { type: 'image/jpeg' }));
    return { hash: b64(sha256(bare)), ...sides, url, alt: '', jpeg: bare, thumb, size: bare.length };
  }

  shown(author: Uid, photo: PhotoRef | Omit<PhotoRef, 'thumb'>): WallPhoto {
    return {
      hash: photo.hash, alt: photo.alt, width: photo.width, height: photo.height, uploaded: undefined,
      placeholder: 'thumb' in photo ? placeholderOf(photo.thumb) : GREY,
      load: () => this.load(author, photo.hash),
    };
  }

  /** An object URL. Throws `file-missing`, `file-bad`, and what the network does. */
  load(author: Uid, hash: string): Promise<string> {
    const held = this.#urls.get(hash);
    if (held !== undefined) return Promise.resolve(held);
    const loading = this.#loading.get(hash) ?? this.#load(author, hash).finally(() => this.#loading.delete(hash));
    this.#loading.set(hash, loading);
    return loading;
  }

  async #load(author: Uid, hash: string): Promise<string> {
    const { platform } = this.#session;
    const bytes = await this.bytes(author, hash);
    const url = platform.objectUrl(new Blob([bytes], { type: 'image/jpeg' }));
    this.#urls.set(hash, url);
    for (const [oldest, old] of this.#urls) {
      if (this.#urls.size <= URLS) break;
      this.#urls.delete(oldest);
      platform.releaseUrl(old);
    }
    return url;
  }

  async bytes(author: Uid, hash: string): Promise<Bytes> {
    const { platform } = this.#session;
    const held = await this.#shelf.photo(hash, platform.now());
    if (held) return held;
    const bytes = await this.#fetch(author, hash);
    await this.#shelf.keepPhoto(hash, bytes, platform.now());
    await this.#shelf.trimPhotos(platform.now());
    return bytes;
  }

  async #fetch(author: Uid, hash: string): Promise<Bytes> {
    const abroad = this.#session.chains.abroad(author);
    const query = abroad ? `?${new URLSearchParams({ host: formatHost(abroad) }).toString()}` : '';
    let bytes: Bytes;
    try {
      bytes = await this.#session.api.bytes('GET', `media/${hash}${query}`, wallLimits.photoBytes);
    } catch (error) {
      throw codeOf(error) === 'not-found' ? new Trouble('file-missing', {}, error) : error;
    }
    // Whatever the relays say, it is the photo that its author named, and one that a phone can bear.
    if (b64(sha256(bytes)) !== hash || !wallPhotoSize(bytes)) throw new Problem('file-bad', { reason: 'picture' });
    return bytes;
  }

  stop(): void {
    for (const url of this.#urls.values()) this.#session.platform.releaseUrl(url);
    this.#urls.clear();
  }
}
