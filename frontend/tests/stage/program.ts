/** One real program of the courtyard, started and ended by a test, its words kept in a file. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';

const bin = process.env['COURTYARD_BIN'] ?? join(dirname(fileURLToPath(import.meta.url)), '../../../bin');

export function binary(name: string): string {
  const path = join(bin, name);
  if (!existsSync(path)) throw new Error(`${path} is not there: run scripts/build here`);
  return path;
}

export class Program {
  readonly #path: string;
  readonly #args: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  readonly log: string;
  /** answers 200 once the program serves */
  readonly #alive: string;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(of: { name: string; args: readonly string[]; env?: Readonly<Record<string, string>>; log: string; alive: string }) {
    this.#path = binary(of.name);
    this.#args = of.args;
    this.#env = of.env ?? {};
    this.log = of.log;
    this.#alive = of.alive;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.#path} does not run`);
    return pid;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  async start(): Promise<void> {
    if (this.#child !== undefined) throw new Error(`${this.#path} runs already`);
    const log = openSync(this.log, 'a');
    const child = spawn(this.#path, this.#args, { stdio: ['ignore', log, log], env: { ...surroundings(), ...this.#env } });
    closeSync(log);
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once('exit', () => {
        this.#child = undefined;
        resolve();
      });
    });
    while (!(await answers(this.#alive))) {
      if (!this.running) throw new Error(`${this.#path} ended at once:\n${this.words()}`);
      await pause(30);
    }
  }

  /** SIGKILL is the power cut, SIGTERM the polite way. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    this.#child?.kill(signal);
    await this.#ended;
  }

  words(): string {
    return existsSync(this.log) ? readFileSync(this.log, 'utf8') : '';
  }
}

/** This process's environment without settings of a courtyard, which would change what is tested. */
export function surroundings(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('COURTYARD_')));
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false; // nobody listens yet
  }
}
