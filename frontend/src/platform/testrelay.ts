/** The real programs, built once and run in folders of their own, for tests in Node. */

import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** of a relay whose clock can be set: by how many seconds it is ahead */
const CLOCK = 'clock';
const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');

/** Go compiles what has changed only; `COURTYARD_BIN` names a folder that has the programs already. */
async function program(name: string, folder: string, bin: string): Promise<string> {
  const built = process.env['COURTYARD_BIN'];
  if (built !== undefined && existsSync(join(built, name))) return join(built, name);
  return build(name, `./${folder}/cmd/${name}`, bin);
}

async function build(name: string, source: string, bin: string): Promise<string> {
  const path = join(bin, name);
  if (!existsSync(path)) await run('go', ['build', '-o', path, source], { cwd: root });
  return path;
}

/**
 * Below 32768, where Linux begins to give ports to outgoing connections: a program that is stopped and started again
 * there would find somebody's connection in its place.
 */
export async function freePort(): Promise<number> {
  const server = createServer();
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 17_000);
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => { resolve(false); });
      server.listen(port, '127.0.0.1', () => { resolve(true); });
    });
    server.removeAllListeners('error');
    if (!free) continue;
    await new Promise<void>((resolve) => server.close(() => { resolve(); }));
    return port;
  }
}

export class TestRelay {
  readonly origin: string;
  readonly #folder: string;
  readonly #path: string;
  /** what is run, and how it is told to serve */
  readonly #serve: readonly string[];
  /** address and port */
  readonly #listen: string;
  #child: ChildProcess | undefined;
  #words = '';

  readonly #settings: readonly string[];

  private constructor(folder: string, path: string, serve: readonly string[], listen: string, settings: readonly string[]) {
    this.#settings = settings;
    this.#serve = serve;
    this.#folder = folder;
    this.#path = path;
    this.#listen = listen;
    this.origin = `http://${listen}`;
  }

  /** @param settings further flags of `courtyard-relay serve` */
  static start(...settings: readonly string[]): Promise<TestRelay> {
    return TestRelay.#at('127.0.0.1', settings);
  }

  /** A courtyard that may speak with others of this machine. @param address in 127.0.0.0/8 */
  static neighbour(address: string): Promise<TestRelay> {
    return TestRelay.#at(address, ['--reach=127.0.0.0/8']);
  }

  /** Likewise one whose clock can be set. */
  static async drifting(address: string): Promise<TestRelay> {
    const folder = mkdtempSync(join(tmpdir(), 'courtyard-engine-'));
    const clock = join(folder, CLOCK);
    writeFileSync(clock, new Uint8Array(8));
    return TestRelay.#at(address, ['--reach=127.0.0.0/8', `--clock=${clock}`], folder, [await build('drifting-relay', './scripts/faults/relay', folder)]);
  }

  static async #at(address: string, settings: readonly string[], folder = mkdtempSync(join(tmpdir(), 'courtyard-engine-')), serve?: readonly string[]): Promise<TestRelay> {
    const listen = `${address}:${String(await freePort())}`;
    const path = await program('courtyard-relay', 'relay', folder);
    const relay = new TestRelay(folder, path, serve ?? [path, 'serve'], listen, settings);
    await relay.up();
    return relay;
  }

  /** @param ahead seconds */
  setClock(ahead: number): void {
    // Written in place: the program has the file in its memory.
    const file = openSync(join(this.#folder, CLOCK), 'r+');
    writeSync(file, new Uint8Array(new BigInt64Array([BigInt(ahead)]).buffer));
    closeSync(file);
  }

  /** `address:port`, as in handles */
  get host(): string {
    return this.#listen;
  }

  async up(): Promise<void> {
    const [program = '', ...how] = this.#serve;
    const child = spawn(program, [...how, `--listen=${this.#listen}`, `--data=${join(this.#folder, 'relay')}`, '--trust-proxy=127.0.0.1/32', ...this.#settings]);
    this.#child = child;
    child.stderr.on('data', (data: Buffer) => (this.#words += data.toString()));
    child.stdout.on('data', (data: Buffer) => (this.#words += data.toString()));
    for (;;) {
      if (child.exitCode !== null) throw new Error(`the relay ended:\n${this.#words}`);
      if (await fetch(`${this.origin}/api/1/relay`).then((answer) => answer.ok, () => false)) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async down(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  async claim(): Promise<string> {
    const { stdout } = await run(this.#path, ['claim', `--data=${join(this.#folder, 'relay')}`, `--link=${this.origin}`]);
    return stdout.trim();
  }

  get words(): string {
    return this.#words;
  }

  /** A home agent with a folder of its own. */
  async home(): Promise<TestHome> {
    return new TestHome(await program('courtyard-home', 'homedb', this.#folder), mkdtempSync(join(this.#folder, 'home-')), this.origin);
  }

  async end(): Promise<void> {
    await this.down();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export class TestHome {
  readonly #path: string;
  readonly #folder: string;
  readonly #origin: string;
  #child: ChildProcess | undefined;
  #words = '';

  constructor(path: string, folder: string, origin: string) {
    this.#path = path;
    this.#folder = folder;
    this.#origin = origin;
  }

  async up(): Promise<void> {
    this.#words = '';
    const child = spawn(this.#path, ['serve', `--data=${this.#folder}`, `--relay=${this.#origin}`, '--listen=127.0.0.1:0']);
    this.#child = child;
    child.stderr.on('data', (data: Buffer) => (this.#words += data.toString()));
    child.stdout.on('data', (data: Buffer) => (this.#words += data.toString()));
    while (!this.#words.includes('is ready')) {
      if (child.exitCode !== null) throw new Error(`the home ended:\n${this.#words}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Takes a code that the app shows, as somebody at the home's keyboard would. */
  async pair(code: string): Promise<void> {
    await run(this.#path, ['pair', `--data=${this.#folder}`, `--relay=${this.#origin}`, code]);
  }

  /** The end of a claim link: device and code of the home that waits. */
  async offer(): Promise<string> {
    for (;;) {
      const offered = await run(this.#path, ['offer', `--data=${this.#folder}`]).then(({ stdout }) => stdout.trim(), () => '');
      if (offered !== '') return offered;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async down(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  get words(): string {
    return this.#words;
  }
}
