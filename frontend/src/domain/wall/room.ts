/** The Wall: the feed of those one follows, one's own posts among them, and what is asked of both. Loaded beside the first screen. */

import { formatHandle, formatHost, type Handle, type Host, pageHandle, parseHandle, parseHost, sameHost } from '../../protocol/address';
import { b64, utf8, type Bytes } from '../../protocol/bytes';
import { characters, open, bytes, text } from '../../protocol/json';
import { Altered, type Pin, wallLimits } from '../../protocol/post';
import { randomBytes } from '../../protocol/primitives';
import { isProblem, Problem } from '../../protocol/problem';
import type { BoxRow, PhotoRef, PostRecord, WallRecord } from '../../store/schema';
import { WallShelf, type HeldPhoto } from '../../store/walls';
import { codeOf, failureOf, Trouble } from '../failure';
import type { Session } from '../session';
import type { Courtyard, Failure, Uid } from '../types';
import { AGREED, isPublic } from '../profiles';
import { type Follow, followsOf, type Standing, withFollow, withoutFollow, withStandings } from './follows';
import { WallPhotos } from './photos';
import { Publishing } from './publishing';
import { hostOf, pinOf, readWall, recordOf } from './reading';
import { type Known, Showing } from './showing';
import type { NewPhoto, Post, Wall, WallRoom, WallView } from './types';

const PAGE = 30;
/** Between two rounds while one looks. */
const ROUND = 60_000;
/** Walls asked at a time. */
const AT_ONCE = 4;
/** names of settings of this device */
const SEEN = 'wall-seen';
const DRAFT = 'wall-draft';
/** in the vault's settings: one has agreed to be seen */
const readPerson = open({ uid: bytes(32), username: text(32) }, { host: text(300) });

export class Walls implements WallRoom {
  readonly #session: Session;
  readonly #shelf: WallShelf;
  readonly #photos: WallPhotos;
  readonly #publishing: Publishing;
  readonly #showing: Showing;
  readonly #failures = new Map<Uid, Failure>();
  /** met by a handle, not followed */
  readonly #found = new Map<Uid, Known>();
  /** of the windows that are open: how to read them anew, and whose wall it is */
  readonly #views = new Map<() => Promise<void>, Uid>();
  #walls = new Map<Uid, WallRecord>();
  #box: readonly BoxRow[] = [];
  #feed: readonly Post[] = [];
  #fresh = 0;
  #more = false;
  #wanted = PAGE;
  /** what came to this device after that is new */
  #seen = 0;
  #looking: Promise<void> | undefined;
  #current = false;
  #linked = false;
  #work: Promise<void> = Promise.resolve();
  #visits = 0;
  #cancelRound: () => void = () => undefined;

  private constructor(session: Session) {
    this.#session = session;
    this.#shelf = new WallShelf(session.store.database);
    this.#photos = new WallPhotos(session, this.#shelf);
    this.#showing = new Showing(session, this.#photos);
    this.#publishing = new Publishing(session, this.#shelf, {
      changed: () => this.#reload(true),
      alarm: (uid) => this.#alarm(uid),
    });
  }

  /** Begins to look after them, until the page ends. */
  static async attend(courtyard: Courtyard, session: Session): Promise<Walls> {
    const walls = new Walls(session);
    const seen = await session.store.setting(SEEN);
    walls.#seen = typeof seen === 'number' ? seen : 0;
    await walls.#reload(false);
    await walls.#clear();
    session.wallNews = (from) => {
      (from === 'tab' ? walls.#reload(false) : walls.#tend(true)).catch(session.shrug);
    };
    const look = (): void => {
      const linked = courtyard.state.link === 'online';
      if (linked && !walls.#linked) walls.#tend(false).catch(session.shrug);
      if (!linked && walls.#linked) walls.#current = false;
      walls.#linked = linked;
    };
    courtyard.subscribe(look);
    look();
    return walls;
  }

  /** What was looked at without being followed, and the page ended. */
  async #clear(): Promise<void> {
    if (!this.#session.vault.opened) return;
    const { self } = this.#session;
    const follows = new Set(this.#follows.map(({ uid }) => uid)).add(self.id);
    for (const uid of this.#walls.keys()) if (!follows.has(uid)) await this.#shelf.forget(uid);
    await this.#reload(false);
  }

  // ---- what is shown -----------------------------------------------------------------------------------------------------

  get feed(): readonly Post[] {
    return this.#feed;
  }

  get fresh(): number {
    return this.#fresh;
  }

  get more(): boolean {
    return this.#more;
  }

  get looking(): boolean {
    return this.#looking !== undefined;
  }

  get current(): boolean {
    return this.#current;
  }

  get own(): Wall {
    return this.#wallOf(this.#session.self.id);
  }

  get public(): boolean {
    const { self, vault } = this.#session;
    return (this.#walls.get(self.id)?.seq ?? 0) > 0 || (vault.opened && isPublic(vault.data));
  }

  get follows(): readonly Wall[] {
    return this.#follows.map(({ uid }) => this.#wallOf(uid)).sort((a, b) => a.author.name.localeCompare(b.author.name));
  }

  get #follows(): readonly Follow[] {
    const { vault, self } = this.#session;
    return vault.opened ? followsOf(vault.data).filter(({ uid }) => uid !== self.id) : [];
  }

  #known(uid: Uid): Known | undefined {
    const { self } = this.#session;
    if (uid === self.id) return { uid, username: self.username, host: self.host, name: '' };
    const person = this.#session.people.get(uid);
    return this.#follows.find((follow) => follow.uid === uid) ?? this.#found.get(uid)
      ?? (person && { uid, username: person.username, host: this.#session.chains.whereIs(uid), name: person.name });
  }

  #wallOf(uid: Uid, record = this.#walls.get(uid)): Wall {
    const known = this.#known(uid) ?? { uid, username: record?.username ?? '', host: record ? hostOf(record) : this.#session.self.host, name: '' };
    return {
      author: this.#showing.author(known, record), about: record?.about ?? '', followed: this.#follows.some((follow) => follow.uid === uid), at: record?.ts ?? 0,
      altered: record?.altered && (record.altered.kept ? 'kept' : 'asks'), failure: this.#failures.get(uid),
    };
  }

  async loadMore(): Promise<void> {
    this.#wanted += PAGE;
    await this.#reload(false);
  }

  /** From the shelf to the glass, one at a time; `tell`: the other tabs do the same. */
  #reload(tell: boolean): Promise<void> {
    const turn = this.#work.then(() => this.#show());
    this.#work = turn.catch(this.#session.shrug);
    return turn.then(() => {
      if (tell) this.#session.tabs.say({ what: 'wall' });
    });
  }

  async #show(): Promise<void> {
    const [walls, box, posts] = await Promise.all([this.#shelf.walls(), this.#shelf.box(), this.#shelf.newest(this.#wanted + 1)]);
    this.#walls = new Map(walls.map((wall) => [wall.uid, wall]));
    this.#box = box;
    this.#more = posts.length > this.#wanted;
    const { self } = this.#session;
    const shown = posts.slice(0, this.#wanted).filter(({ uid }) => uid === self.id || this.#follows.some((follow) => follow.uid === uid));
    const feed = shown.map((post) => this.#showing.post(post, this.#wallOf(post.uid).author));
    const own = this.#showing.withBox(feed, box, this.own.author);
    const last = own.findLastIndex(({ key }) => shown.some((post) => this.#showing.keyOf(post.uid, post.id) === key && post.received > this.#seen));
    this.#feed = own;
    this.#fresh = last + 1;
    await Promise.all([...this.#views.keys()].map((reload) => reload()));
    this.#session.changed();
  }

  // ---- asking the walls --------------------------------------------------------------------------------------------------

  visit(): () => void {
    this.#visits += 1;
    this.refresh().catch(this.#session.shrug);
    return () => {
      this.#visits -= 1;
      if (this.#visits > 0) return;
      this.#cancelRound();
      this.#leave().catch(this.#session.shrug);
    };
  }

  /** What has been shown is old the next time. */
  async #leave(): Promise<void> {
    this.#seen = this.#session.platform.now();
    await this.#session.store.saveSetting(SEEN, this.#seen);
    await this.#reload(false);
  }

  #schedule(): void {
    this.#cancelRound();
    if (this.#visits === 0) return;
    this.#cancelRound = this.#session.platform.after(ROUND, () => {
      if (this.#linked && this.#session.platform.visible) this.refresh().catch(this.#session.shrug);
      else this.#schedule();
    });
  }

  refresh(): Promise<void> {
    this.#looking ??= this.#refresh().finally(() => {
      this.#looking = undefined;
      this.#schedule();
      this.#session.changed();
    });
    this.#session.changed();
    return this.#looking;
  }

  async #refresh(): Promise<void> {
    await this.#session.greeted();
    const queue = this.#follows.filter(({ uid }) => this.#walls.get(uid)?.altered === undefined);
    const standings = new Map<Uid, Standing>();
    let answered = true;
    const ask = async (): Promise<void> => {
      for (let follow = queue.shift(); follow; follow = queue.shift()) {
        const standing = await this.#ask(follow);
        if (standing) standings.set(follow.uid, standing);
        else answered = false;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, ask));
    this.#current = answered;
    await this.#session.vault.note((data) => withStandings(data, standings));
    await this.#reload(standings.size > 0);
  }

  /** Undefined when the wall could not be read; why is kept with it. */
  async #ask(follow: Follow): Promise<Standing | undefined> {
    const { uid } = follow;
    try {
      const standing = await this.#read(follow, follow.pin);
      this.#failures.delete(uid);
      return standing;
    } catch (error) {
      if (error instanceof Altered || codeOf(error) === 'fork') await this.#alarm(uid);
      else {
        if (codeOf(error) === 'internal') this.#session.platform.report(error);
        this.#failures.set(uid, failureOf(error));
      }
      return undefined;
    }
  }

  /** From where the shelf has it, or from the beginning if all is to be read `anew`. */
  async #read(who: Known, known: Pin | undefined, anew = false): Promise<Standing> {
    const before = anew ? undefined : await this.#shelf.wall(who.uid);
    const pin = pinOf(before);
    const read = await readWall(this.#session, who, pin, known);
    const now = this.#session.platform.now();
    const record = recordOf(before, who.uid, read, now);
    // With the first look at a wall all of it is old.
    const taken = await this.#shelf.take(record, read.changes, pin ? now : 0, { anew, after: pin?.seq ?? 0 });
    // Another tab had a hand in it: once more, from what it has left.
    if (!taken) return this.#read(who, known);
    return { pin: read.end, name: record.name, username: record.username, host: read.host };
  }

  async #alarm(uid: Uid): Promise<void> {
    const known = this.#known(uid);
    const host = known?.host ?? this.#session.self.host;
    const record = (await this.#shelf.wall(uid)) ?? {
      uid, username: known?.username ?? '', host: formatHost(host), name: known?.name ?? '', about: '', picture: undefined, steps: [], seq: 0, hash: '', ts: 0, checked: 0,
    };
    if ('altered' in record && record.altered) return;
    await this.#shelf.save({ ...record, altered: { at: this.#session.platform.now(), kept: false } });
    await this.#reload(true);
  }

  async decide(uid: Uid, trust: boolean): Promise<void> {
    const record = await this.#shelf.wall(uid);
    if (!record?.altered) return;
    if (!trust) {
      await this.#shelf.save({ ...record, altered: { ...record.altered, kept: true } });
      await this.#reload(true);
      return;
    }
    await this.#session.greeted();
    const known = this.#known(uid);
    if (!known) throw new Problem('not-found');
    if (this.#session.chains.isForked(uid)) await this.#session.chains.decide(uid, true);
    const own = uid === this.#session.self.id;
    const lost = own ? await this.#shelf.of(uid, Infinity) : [];
    try {
      const standing = await this.#read(known, undefined, true);
      await this.#session.vault.note((data) => withStandings(data, new Map([[uid, standing]]), true));
    } catch (error) {
      // Nobody of theirs has written what is there: that cannot be trusted, whoever wants to.
      if (error instanceof Altered) throw new Trouble('wall-altered', { reason: error.message }, error);
      if (!own || codeOf(error) !== 'not-found') throw error;
      await this.#shelf.forget(uid);
    }
    if (own) await this.#putAside(lost);
    await this.#reload(true);
    if (own) await this.#publishing.send();
  }

  /** What one had posted and is not on the wall any more is still here: it can be posted again, or let go. */
  async #putAside(posts: readonly PostRecord[]): Promise<void> {
    const { self } = this.#session;
    const waiting = new Set(this.#box.map(({ id }) => id));
    for (const { id, text: words, photos, posted } of posts.toReversed()) {
      if (waiting.has(id) || (await this.#shelf.post(self.id, id))) continue;
      await this.#shelf.compose({ op: 'post', id, text: words, photos, at: posted, failure: { code: 'wall-lost', params: {} } }, []);
    }
  }

  /** With each connection, and when the own wall `grew`: another of one's devices has written. */
  async #tend(grew: boolean): Promise<void> {
    await this.#session.greeted();
    await this.#publishing.send();
    if (grew || this.public) await this.#publishing.renew();
    if (this.#visits > 0) await this.refresh();
  }

  // ---- one's own ---------------------------------------------------------------------------------------------------------

  prepare(picture: Blob): Promise<NewPhoto> {
    return this.#photos.prepare(picture);
  }

  async draft(): Promise<string> {
    const draft = await this.#session.store.setting(DRAFT);
    return typeof draft === 'string' ? draft : '';
  }

  async saveDraft(words: string): Promise<void> {
    await this.#session.store.saveSetting(DRAFT, words === '' ? undefined : words);
  }

  async agree(): Promise<void> {
    await this.#session.vault.note((data) => ({ ...data, settings: { ...data.settings, [AGREED]: true } }));
  }

  async post(words: string, photos: readonly NewPhoto[]): Promise<void> {
    await this.#compose('post', b64(randomBytes(16)), words, photos);
  }

  async edit(id: string, words: string, photos: readonly NewPhoto[]): Promise<void> {
    const first = this.#box.find((row) => row.id === id && row.op === 'post');
    await this.#compose('edit', id, words, photos);
    // One that was refused is tried again as it is now.
    if (first?.failure) await this.retry(id);
  }

  async remove(id: string): Promise<void> {
    for (const row of this.#box.filter((each) => each.id === id)) {
      // Whether it has left is not known while it is on its way: then it is taken back behind itself.
      if (row.failure) await this.#shelf.settle(row.order);
    }
    await this.#compose('delete', id, '', []);
  }

  async retry(id: string): Promise<void> {
    for (const row of this.#box) if (row.id === id) await this.#shelf.mark(row.order, undefined);
    await this.#reload(true);
    this.#publish();
  }

  async photosOf(post: Post): Promise<readonly NewPhoto[]> {
    const refs = await this.#refs(post.id);
    return Promise.all(post.photos.map(async (photo) => {
      const { hash, alt, width, height } = photo;
      const ref = refs.find((each) => each.hash === hash);
      if (!ref) throw new Trouble('file-missing');
      return { hash, alt, width, height, url: await photo.load(), jpeg: undefined, thumb: ref.thumb, size: ref.size };
    }));
  }

  async #refs(id: string): Promise<readonly PhotoRef[]> {
    const held = await this.#shelf.post(this.#session.self.id, id);
    return [...this.#box.filter((row) => row.id === id).flatMap(({ photos }) => photos), ...(held?.photos ?? [])];
  }

  async #compose(op: BoxRow['op'], id: string, words: string, photos: readonly NewPhoto[]): Promise<void> {
    const written = words.trim();
    if (op !== 'delete' && (characters(written) > wallLimits.text || utf8(written).length > wallLimits.textBytes)) throw new Trouble('text-long', { limit: wallLimits.text });
    const held: HeldPhoto[] = photos.flatMap(({ hash, jpeg }) => (jpeg ? [{ hash, data: jpeg }] : []));
    // The same photo twice is one.
    const refs = [...new Map(photos.map((photo) => [photo.hash, refOf(photo)])).values()].slice(0, wallLimits.photos);
    await this.#shelf.compose({ op, id, text: written, photos: refs, at: this.#session.self.now(), failure: undefined }, held);
    await this.#reload(true);
    this.#publish();
  }

  #publish(): void {
    if (this.#session.linked) this.#publishing.send().catch(this.#session.shrug);
  }

  // ---- others ------------------------------------------------------------------------------------------------------------

  async find(words: string): Promise<Wall> {
    const { self, api, chains } = this.#session;
    const handle = readHandle(words, self.host);
    const here = sameHost(handle, self.host);
    if (here && handle.username === self.username) throw new Trouble('self');
    await this.#session.greeted();
    const query = here ? '' : `?${new URLSearchParams({ host: formatHost(handle) }).toString()}`;
    const person = readPerson(await api.call('GET', `people/${encodeURIComponent(handle.username)}${query}`));
    const uid = b64(person.uid satisfies Bytes);
    if (uid === self.id) throw new Trouble('self');
    if (!here) chains.hint(uid, hostIn(person.host) ?? handle);
    await chains.of(uid);
    const where: Host = chains.whereIs(uid);
    const known = { uid, username: handle.username, host: where, name: '' };
    this.#found.set(uid, known);
    // Somebody who has posted nothing yet can be followed too.
    await this.#glance(known).catch((error: unknown) => {
      if (codeOf(error) !== 'not-found') throw error;
    });
    await this.#reload(true);
    return this.#wallOf(uid);
  }

  async follow(uid: Uid): Promise<void> {
    const known = this.#known(uid);
    if (!known || uid === this.#session.self.id) throw new Problem('not-found');
    const { username, host, name } = known;
    await this.#session.vault.note((data) => withFollow(data, { uid, username, host, name, since: this.#session.self.now(), pin: undefined }));
    await this.#reload(true);
    this.#again().catch(this.#session.shrug);
  }

  /** A round that takes in what the one under way does not know of. */
  async #again(): Promise<void> {
    await this.#looking?.catch(this.#session.shrug);
    await this.refresh();
  }

  async unfollow(uid: Uid): Promise<void> {
    await this.#session.vault.note((data) => withoutFollow(data, uid));
    // What is being looked at goes when one looks away.
    if (![...this.#views.values()].includes(uid)) await this.#shelf.forget(uid);
    this.#failures.delete(uid);
    await this.#reload(true);
  }

  async open(uid: Uid): Promise<WallView> {
    const known = this.#known(uid);
    if (!known) throw new Problem('not-found');
    const mine = uid === this.#session.self.id;
    const held = mine || this.#follows.some((follow) => follow.uid === uid);
    const view = this.#showing.view(this.#shelf, uid, () => this.#wallOf(uid), () => (mine ? this.#box : []), () => {
      this.#views.delete(view.reload);
      // Read for this one look.
      if (mine || this.#follows.some((follow) => follow.uid === uid)) return;
      this.#shelf.forget(uid).then(() => this.#reload(true)).catch(this.#session.shrug);
    });
    this.#views.set(view.reload, uid);
    await view.reload();
    const asks = mine ? this.#publishing.send().then(() => this.#publishing.renew()) : held ? this.refresh() : this.#glance(known);
    asks.then(() => view.reload()).catch((error: unknown) => {
      if (!held) this.#failures.set(uid, failureOf(error));
      this.#session.shrug(error);
      this.#session.changed();
    });
    return view;
  }

  /** At the wall of somebody one does not follow. */
  async #glance(known: Known): Promise<void> {
    await this.#session.greeted();
    if (this.#walls.get(known.uid)?.altered) return; // waits for a decision
    try {
      await this.#read(known, undefined);
      this.#failures.delete(known.uid);
    } catch (error) {
      if (error instanceof Altered) throw new Trouble('wall-altered', { reason: error.message }, error);
      throw error;
    }
  }
}

function refOf({ hash, size, width, height, thumb, alt }: NewPhoto): PhotoRef {
  return { hash, size, width, height, thumb, alt: alt.trim() };
}

/** A name alone is one of this courtyard. */
function readHandle(words: string, here: Host): Handle {
  const name = pageHandle(words).trim().replace(/^@/u, '');
  try {
    return parseHandle(name.includes('@') ? name : formatHandle({ username: name.toLowerCase(), ...here }));
  } catch (error) {
    if (isProblem(error, 'link-bad')) throw new Trouble('handle-bad', {}, error);
    throw error;
  }
}

function hostIn(host: string | undefined): Host | undefined {
  if (host === undefined) return undefined;
  try {
    return parseHost(host);
  } catch (error) {
    if (isProblem(error, 'link-bad')) return undefined;
    throw error;
  }
}
