/** What this browser remembers about showing things: language, theme, the last screen. Nothing private. */
import { isLanguage, type Language } from '../../i18n/languages';

export type Theme = 'auto' | 'light' | 'dark';

/** The part of Storage that is used; a browser that forbids storage gets one that forgets. */
export interface Drawer {
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
  removeItem(name: string): void;
}

export class Prefs {
  readonly #drawer: Drawer;

  constructor(drawer: Drawer) {
    this.#drawer = drawer;
  }

  get language(): Language | undefined {
    const text = this.#drawer.getItem('courtyard.language');
    return isLanguage(text) ? text : undefined;
  }

  set language(language: Language | undefined) {
    this.#put('courtyard.language', language);
  }

  get theme(): Theme {
    const text = this.#drawer.getItem('courtyard.theme');
    return text === 'light' || text === 'dark' ? text : 'auto';
  }

  set theme(theme: Theme) {
    this.#put('courtyard.theme', theme === 'auto' ? undefined : theme);
  }

  /** what stands behind the base: `#/chats/…` */
  get last(): string | undefined {
    const text = this.#drawer.getItem('courtyard.last');
    return text?.startsWith('#/') === true ? text : undefined;
  }

  set last(path: string | undefined) {
    this.#put('courtyard.last', path);
  }

  forget(): void {
    this.#put('courtyard.last', undefined);
  }

  #put(name: string, value: string | undefined): void {
    if (value === undefined) this.#drawer.removeItem(name);
    else this.#drawer.setItem(name, value);
  }
}

/** The browser's own drawer, or one that forgets when the page is closed. */
export function drawer(window: Window): Drawer {
  try {
    const storage = window.localStorage;
    storage.setItem('courtyard.probe', '1');
    storage.removeItem('courtyard.probe');
    return storage;
  } catch {
    // A private window may forbid storage. Language and theme are then chosen anew each time, which is no loss.
    const kept = new Map<string, string>();
    return {
      getItem: (name) => kept.get(name) ?? null,
      setItem: (name, value) => {
        kept.set(name, value);
      },
      removeItem: (name) => {
        kept.delete(name);
      },
    };
  }
}
