/** What every view is given: the engine made reactive, the words, the way round the app. Holds nothing of the domain itself. */
import { createContext } from 'svelte';
import { createSubscriber, MediaQuery } from 'svelte/reactivity';
import type { CallView, Courtyard, Device, Person, State, Talk, Uid } from '../domain/types';
import type { Catalogue, FirstWords } from '../i18n/catalogue';
import { loadCatalogue, loadFirst, locale, preferred, type Language } from '../i18n/languages';
import { Notices } from './shell/notices.svelte';
import type { Prefs, Theme } from './shell/prefs';
import type { Router } from './shell/router.svelte';
import { explain } from './words/failure';
import { formats, type Formats } from './words/format';
import { tongue } from './words/tongue';

export interface InstallPrompt {
  prompt(): Promise<unknown>;
}

interface Words {
  readonly first: FirstWords;
  readonly language: Language;
  readonly format: Formats;
}

export class App {
  readonly courtyard: Courtyard;
  readonly router: Router;
  readonly prefs: Prefs;
  readonly notices: Notices;
  readonly wide = new MediaQuery('(min-width: 900px)');
  /** fingers rather than a mouse: Enter makes a new line, no field takes the keyboard by itself */
  readonly touch = new MediaQuery('(pointer: coarse)');
  readonly #window: Window;
  readonly #watch: () => void;
  #words: Words;
  /** all of them, once a room has been wanted */
  #all: Catalogue | undefined;
  #theme: Theme = $state('auto');
  #minute: number = $state(Date.now());
  /** set while the browser offers to install the app */
  install: InstallPrompt | undefined = $state.raw();

  private constructor(window: Window, courtyard: Courtyard, router: Router, prefs: Prefs, language: Language, first: FirstWords) {
    this.#window = window;
    this.courtyard = courtyard;
    this.router = router;
    this.prefs = prefs;
    this.notices = new Notices({
      start: (ms, then) => {
        const id = window.setTimeout(then, ms);
        return () => {
          window.clearTimeout(id);
        };
      },
    });
    this.#watch = createSubscriber((update) => courtyard.subscribe(oncePerFrame(window, update)));
    this.#words = $state.raw(this.#wordsOf(language, first));
    this.#all = $state.raw();
    window.document.documentElement.lang = language;
    this.#paint(prefs.theme);
  }

  /** Resolves when the first screen's words are here in the reader's language. */
  static async open(window: Window, courtyard: Courtyard, router: Router, prefs: Prefs): Promise<App> {
    const language = prefs.language ?? preferred(window.navigator.languages);
    return new App(window, courtyard, router, prefs, language, await loadFirst(language));
  }

  /** Keeps the clock of the words going and settles what waits when the page is left. Returns the way to stop. */
  listen(): () => void {
    const clock = this.#window.setInterval(() => {
      this.#minute = Date.now();
    }, 30_000);
    const leave = (): void => {
      this.notices.dismiss();
    };
    this.#window.addEventListener('pagehide', leave);
    return () => {
      this.#window.clearInterval(clock);
      this.#window.removeEventListener('pagehide', leave);
    };
  }

  get state(): State {
    this.#watch();
    return this.courtyard.state;
  }

  get talks(): readonly Talk[] {
    this.#watch();
    return this.courtyard.talks();
  }

  get people(): readonly Person[] {
    this.#watch();
    return this.courtyard.people();
  }

  get devices(): readonly Device[] {
    this.#watch();
    return this.courtyard.devices();
  }

  get call(): CallView | undefined {
    this.#watch();
    return this.courtyard.call;
  }

  person(uid: Uid): Person | undefined {
    return this.people.find((person) => person.uid === uid);
  }

  /** For what the engine keeps current by itself, such as an open conversation: read it after this. */
  watch(): void {
    this.#watch();
  }

  /** What the first screen says: the only words for what main.ts imports without waiting. */
  get first(): FirstWords {
    return this.#words.first;
  }

  /** All words, for every view that `Lazy` brings: it shows none before they are here. */
  get t(): Catalogue {
    if (this.#all === undefined) throw new Error('the words of the rooms are not loaded yet');
    return this.#all;
  }

  /** Resolves to all words when those of the rooms are here too; fails when they cannot be fetched, and may be asked again. */
  async words(): Promise<Catalogue> {
    for (;;) {
      if (this.#all !== undefined) return this.#all;
      const { language } = this.#words;
      const all = await loadCatalogue(language);
      // Unless another language was chosen meanwhile.
      if (this.#words.language === language) this.#all = all;
    }
  }

  get language(): Language {
    return this.#words.language;
  }

  get format(): Formats {
    return this.#words.format;
  }

  /** The time, to half a minute: what dates are told from. */
  get now(): number {
    return this.#minute;
  }

  get theme(): Theme {
    return this.#theme;
  }

  /** `lang` for a text that a person wrote; undefined where the page's own fits. */
  tongue(text: string): string | undefined {
    return tongue(text, this.language);
  }

  async setLanguage(language: Language | undefined): Promise<void> {
    const chosen = language ?? preferred(this.#window.navigator.languages);
    const all = await loadCatalogue(chosen);
    this.prefs.language = language;
    this.#words = this.#wordsOf(chosen, all);
    this.#all = all;
    this.#window.document.documentElement.lang = chosen;
  }

  setTheme(theme: Theme): void {
    this.prefs.theme = theme;
    this.#paint(theme);
  }

  explain(thrown: unknown): string {
    return explain(thrown, this.t);
  }

  /** Does something that may fail and says so in words at the foot of the screen. Resolves to whether it went well. */
  async attempt(doing: Promise<unknown>): Promise<boolean> {
    try {
      await doing;
      return true;
    } catch (thrown) {
      this.notices.say(await this.#said(thrown));
      return false;
    }
  }

  async copy(text: string): Promise<boolean> {
    try {
      await this.#window.navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Refused by the browser or by its owner: the text stands on the screen and can be copied by hand.
      this.notices.say(this.first.act.notCopied);
      return false;
    }
  }

  /** The sentence for a failure; where even its words cannot be fetched, the one that says so. */
  async #said(thrown: unknown): Promise<string> {
    try {
      return explain(thrown, await this.words());
    } catch {
      return this.first.app.tooSlow;
    }
  }

  #wordsOf(language: Language, first: FirstWords): Words {
    return { first, language, format: formats(locale(language, this.#window.navigator.languages)) };
  }

  #paint(theme: Theme): void {
    this.#theme = theme;
    const root = this.#window.document.documentElement;
    if (theme === 'auto') delete root.dataset['theme'];
    else root.dataset['theme'] = theme;
    // The glass round the page (status bar, address bar) takes the colour of the paper.
    const paper = this.#window.getComputedStyle(this.#window.document.body).backgroundColor;
    for (const meta of this.#window.document.querySelectorAll<HTMLMetaElement>('meta[name="theme-color"]')) {
      if (theme === 'auto') meta.content = meta.dataset['auto'] ?? meta.content;
      else {
        meta.dataset['auto'] ??= meta.content;
        meta.content = paper;
      }
    }
  }
}

/** The engine may speak many times in a row; the views need to look once before the next picture is drawn. */
function oncePerFrame(window: Window, update: () => void): () => void {
  let frame: number | undefined;
  let timer: number | undefined;
  const run = (): void => {
    if (frame !== undefined) window.cancelAnimationFrame(frame);
    if (timer !== undefined) window.clearTimeout(timer);
    frame = undefined;
    timer = undefined;
    update();
  };
  return () => {
    if (timer !== undefined) return;
    frame = window.requestAnimationFrame(run);
    // Nothing is drawn for a page in the background, yet its title counts the new messages.
    timer = window.setTimeout(run, 100);
  };
}

export const [useApp, provideApp] = createContext<App>();
