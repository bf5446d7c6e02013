/** One line at the foot of the screen: what has just been done, and for ten seconds the way to undo it. */

export interface Notice {
  readonly text: string;
  readonly act: { readonly label: string; readonly press: () => void } | undefined;
}

/** What the notices need of a clock; injected so that tests own time. */
export interface Timer {
  start(ms: number, then: () => void): () => void;
}

const plainTime = 4_000;
const undoTime = 10_000;

export class Notices {
  readonly #timer: Timer;
  #shown: Notice | undefined = $state.raw();
  #stop: (() => void) | undefined;
  /** what happens when the line goes away without having been undone */
  #settle: (() => void) | undefined;

  constructor(timer: Timer) {
    this.#timer = timer;
  }

  get shown(): Notice | undefined {
    return this.#shown;
  }

  say(text: string): void {
    this.#show({ text, act: undefined }, plainTime, undefined);
  }

  /** Does `act` in ten seconds, unless undone; at once when another notice comes or the page is left. */
  undoable(text: string, label: string, act: () => void, undone: () => void): void {
    const press = (): void => {
      this.#settle = undefined;
      this.dismiss();
      undone();
    };
    this.#show({ text, act: { label, press } }, undoTime, act);
  }

  dismiss(): void {
    this.#stop?.();
    this.#stop = undefined;
    this.#shown = undefined;
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.();
  }

  #show(notice: Notice, ms: number, settle: (() => void) | undefined): void {
    this.dismiss();
    this.#shown = notice;
    this.#settle = settle;
    this.#stop = this.#timer.start(ms, () => {
      this.dismiss();
    });
  }
}
