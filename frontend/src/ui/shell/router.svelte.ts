/** Holds the screen that is shown and keeps it in step with the address bar and the Back button. */
import { lasting, parse, path, type Route } from './routes';

interface Mark {
  /** how many screens of ours lie behind this one in the history */
  readonly depth: number;
  /** how many things without an address lie over the screen in this entry, one entry each; they share its depth */
  readonly over: number;
}

interface Layer {
  readonly depth: number;
  readonly close: () => void;
}

export class Router {
  readonly #window: Window;
  readonly #base: string;
  readonly #remember: (path: string) => void;
  #route: Route = $state.raw({ screen: 'start' });
  /** where one is, and how often that has changed */
  #href = '';
  #visits = 0;
  /** what lies over screens that are shown, the lowest first; as many as one has opened, which is a few */
  readonly #layers: Layer[] = [];
  /** the history goes back because of us, which takes a moment; what is asked of it meanwhile waits for that */
  #returning = false;
  #waiting: (() => void)[] = [];
  #settling = false;

  /** @param remember is told every screen on which the app may open next time */
  constructor(window: Window, base: string, remember: (path: string) => void) {
    this.#window = window;
    this.#base = base;
    this.#remember = remember;
    this.#read();
  }

  /** where the app is served, with both slashes */
  get base(): string {
    return this.#base;
  }

  get route(): Route {
    return this.#route;
  }

  /** Begins to listen to the address bar and to clicks on our own links. Returns the way to stop. */
  listen(): () => void {
    const window = this.#window;
    const moved = (): void => {
      this.#moved();
    };
    const click = (event: MouseEvent): void => {
      this.#click(event);
    };
    window.addEventListener('popstate', moved);
    window.document.addEventListener('click', click);
    // Loaded again with something open that is not open any more.
    this.#settle();
    return () => {
      window.removeEventListener('popstate', moved);
      window.document.removeEventListener('click', click);
    };
  }

  /** The address of a screen, for a link. */
  href(route: Route): string {
    return this.#base + (path(route) ?? '#/');
  }

  go(route: Route): void {
    if (route.screen === 'link') this.follow(route.url);
    else this.#push(this.href(route));
  }

  /**
   * Shows a link of our own courtyard without loading the page again; its secret stays behind the '#'. `instead`: Back
   * does not lead to the present screen any more.
   */
  follow(url: string, how: 'next' | 'instead' = 'next'): void {
    const target = new URL(url, this.#window.location.href);
    const path = target.pathname + target.search + target.hash;
    if (target.origin !== this.#window.location.origin) this.#window.location.assign(target.href);
    else if (how === 'next') this.#push(path);
    else this.#swap(path);
  }

  replace(route: Route): void {
    this.open(path(route) ?? '#/');
  }

  /** Shows what stands behind the base (`#/chats`) in place of the present screen. */
  open(behind: string): void {
    this.#swap(this.#base + behind);
  }

  /** Whether the screen of this moment is still shown, for whom something is waited for that leads away from it. */
  here(): () => boolean {
    const visit = this.#visits;
    return () => this.#visits === visit;
  }

  /** One screen back; when the app was opened right here, to `parent` instead of out of the app. */
  back(parent: Route): void {
    this.#once(() => {
      const { depth, over } = this.#mark();
      if (depth > 0) this.#window.history.go(-1 - over);
      else this.replace(parent);
    });
  }

  /**
   * Something without an address has come up over the screen (a sheet, an answer begun): it gets one entry of the
   * history, and the first Back calls `close` instead of leaving the screen. Returns what is to be called when it is
   * gone in whatever way, which takes the entry back.
   */
  layer(close: () => void): () => void {
    const layer: Layer = { depth: this.#mark().depth, close };
    this.#layers.push(layer);
    this.#settle();
    return () => {
      const at = this.#layers.indexOf(layer);
      if (at < 0) return;
      this.#layers.splice(at, 1);
      this.#settle();
    };
  }

  /** Puts an address into the bar without showing another screen (an iPhone keeps it in the icon). */
  dress(url: string): void {
    this.#bare(() => {
      this.#window.history.replaceState({ depth: this.#mark().depth, over: 0 } satisfies Mark, '', url);
    });
  }

  #swap(url: string): void {
    this.dress(url);
    this.#once(() => {
      this.#read();
    });
  }

  #push(url: string): void {
    this.#once(() => {
      const { history, location } = this.#window;
      const here = location.pathname + location.search + location.hash;
      if (url === here) history.replaceState(history.state, '', url);
      else history.pushState({ depth: this.#mark().depth + 1, over: 0 } satisfies Mark, '', url);
      this.#read();
    });
  }

  /** The history has moved: by Back or Forward, or because we asked. */
  #moved(): void {
    const asked = this.#returning;
    this.#returning = false;
    this.#read();
    if (!asked) this.#uncover();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const act of waiting) this.#once(act);
    this.#settle();
  }

  /** Closes what lay above the entry that Back has led to. */
  #uncover(): void {
    const { depth, over } = this.#mark();
    for (const layer of this.#at(depth).slice(over).reverse()) {
      this.#layers.splice(this.#layers.indexOf(layer), 1);
      layer.close();
    }
  }

  /** Gives the history as many entries as things are open; what comes up while another goes takes over its entry. */
  #settle(): void {
    if (this.#settling) return;
    this.#settling = true;
    queueMicrotask(() => {
      this.#settling = false;
      if (this.#returning) return;
      const { depth, over } = this.#mark();
      const open = this.#at(depth).length;
      // Fewer are open also where one has come Forward, or Back from a screen for which they were closed.
      if (open < over) this.#return(over - open);
      for (let n = over + 1; n <= open; n += 1) this.#window.history.pushState({ depth, over: n } satisfies Mark, '');
    });
  }

  #at(depth: number): readonly Layer[] {
    return this.#layers.filter((layer) => layer.depth === depth);
  }

  #return(by: number): void {
    this.#returning = true;
    this.#window.history.go(-by);
  }

  /** Now, or as soon as the history stands still. */
  #once(act: () => void): void {
    if (this.#returning) this.#waiting.push(act);
    else act();
  }

  /** In the entry of the screen itself: those over it are given up first. */
  #bare(act: () => void): void {
    this.#once(() => {
      const { over } = this.#mark();
      if (over > 0) this.#return(over);
      this.#once(act);
    });
  }

  #mark(): Mark {
    const mark: unknown = this.#window.history.state;
    if (typeof mark !== 'object' || mark === null) return { depth: 0, over: 0 };
    return { depth: 'depth' in mark ? whole(mark.depth) : 0, over: 'over' in mark ? whole(mark.over) : 0 };
  }

  #read(): void {
    const { href } = this.#window.location;
    if (href !== this.#href) this.#visits += 1;
    this.#href = href;
    const route = parse(this.#window.location, this.#base);
    this.#route = route;
    const own = path(route);
    if (lasting(route) && own !== undefined) this.#remember(own);
  }

  #click(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const anchor = event.target instanceof Element ? event.target.closest('a') : null;
    if (anchor === null || anchor.hasAttribute('download') || anchor.origin !== this.#window.location.origin) return;
    const ours = anchor.pathname.startsWith(this.#base) || anchor.pathname.startsWith('/i/');
    if (!ours || anchor.hash === '') return;
    event.preventDefault();
    this.#push(anchor.pathname + anchor.search + anchor.hash);
  }
}

function whole(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}
