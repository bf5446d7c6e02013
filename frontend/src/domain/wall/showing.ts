/** From what is kept of walls to what is shown of them. What has not changed stays the same object. */

import { formatHandle, formatHost, type Host } from '../../protocol/address';
import { plainName } from '../../protocol/message';
import type { BoxRow, PostRecord, WallRecord } from '../../store/schema';
import type { WallShelf } from '../../store/walls';
import type { Session } from '../session';
import type { Uid } from '../types';
import type { WallPhotos } from './photos';
import type { Author, Post, Wall, WallPhoto, WallView } from './types';

const PAGE = 30;

/** Who has a wall, and where. */
export interface Known {
  readonly uid: Uid;
  readonly username: string;
  readonly host: Host;
  readonly name: string;
}

export class Showing {
  readonly #session: Session;
  readonly #photos: WallPhotos;
  readonly #pictures = new Map<string, WallPhoto>();

  constructor(session: Session, photos: WallPhotos) {
    this.#session = session;
    this.#photos = photos;
  }

  keyOf(uid: Uid, id: string): string {
    return `${uid}.${id}`;
  }

  author({ uid, username, host, name }: Known, record: WallRecord | undefined): Author {
    const { self, vault, people } = this.#session;
    const person = people.get(uid);
    const own = uid === self.id;
    const data = vault.opened ? vault.data : undefined;
    const picture = own ? people.ownPicture(uid, data?.picture) : person?.picture;
    return {
      uid, own, picture,
      name: own ? (data?.name ?? username) : (person?.name ?? '') || plainName(record?.name ?? '') || name || username,
      handle: formatHandle({ username, ...host }),
      face: record?.picture && picture === undefined ? this.#photo(uid, record.picture) : undefined,
      page: `${origin(host)}/@${username}`,
    };
  }

  post(record: PostRecord, author: Author): Post {
    return {
      key: this.keyOf(record.uid, record.id), id: record.id, author, text: record.text, photos: record.photos.map((photo) => this.#photo(record.uid, photo)),
      posted: record.posted, edited: record.edited, link: `${author.page}/p/${record.id}`, waiting: false, failure: undefined,
    };
  }

  /** Posts with what is still on its way: new ones above, changed and deleted ones in their places. */
  withBox(posts: readonly Post[], box: readonly BoxRow[], author: Author): readonly Post[] {
    let shown = posts;
    for (const row of box) {
      const key = this.keyOf(author.uid, row.id);
      const waiting = { waiting: row.failure === undefined, failure: row.failure };
      const said = { text: row.text, photos: row.photos.map((photo) => this.#photo(author.uid, photo)) };
      if (row.op === 'delete' && row.failure === undefined) shown = shown.filter((post) => post.key !== key);
      else if (row.op === 'delete') shown = shown.map((post) => (post.key === key ? { ...post, ...waiting } : post));
      else if (shown.some((post) => post.key === key)) {
        shown = shown.map((post) => (post.key === key ? { ...post, ...said, ...waiting, edited: row.op === 'edit' && !post.waiting ? row.at : post.edited } : post));
      } else if (row.op === 'post') {
        shown = [{ key, id: row.id, author, ...said, ...waiting, posted: row.at, edited: undefined, link: `${author.page}/p/${row.id}` }, ...shown];
      }
    }
    return shown;
  }

  /** `reload` is to be called when the shelf has changed. */
  view(shelf: WallShelf, uid: Uid, wall: () => Wall, box: () => readonly BoxRow[], closed: () => void): WallView & { readonly reload: () => Promise<void> } {
    let wanted = PAGE;
    let records: readonly PostRecord[] = [];
    let posts: readonly Post[] = [];
    const reload = async (): Promise<void> => {
      records = await shelf.of(uid, wanted + 1);
      const { author } = wall();
      posts = this.withBox(records.slice(0, wanted).map((record) => this.post(record, author)), box(), author);
      this.#session.changed();
    };
    return {
      reload,
      get wall() {
        return wall();
      },
      get posts() {
        return posts;
      },
      get more() {
        return records.length > wanted;
      },
      loadMore: async () => {
        wanted += PAGE;
        await reload();
      },
      close: closed,
    };
  }

  #photo(uid: Uid, photo: WallRecord['picture'] & object): WallPhoto {
    const key = `${uid}.${photo.hash}.${photo.alt}`;
    const shown = this.#pictures.get(key) ?? this.#photos.shown(uid, photo);
    if (this.#pictures.size > 2000) this.#pictures.clear();
    this.#pictures.set(key, shown);
    return shown;
  }
}

/** Courtyards without a certificate exist on one's own machine alone. */
function origin(host: Host): string {
  const name = formatHost(host);
  return `${/^(?:localhost|127\.[0-9.]+|\[::1\])(?::|$)/u.test(name) ? 'http' : 'https'}://${name}`;
}
