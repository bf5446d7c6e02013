/**
 * A whole courtyard for one file of tests: a real relay and real homes, on free ports, with data of their own that
 * is thrown away at the end.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test as base, type Browser } from '@playwright/test';
import { Person, type Surroundings } from './person';
import { freePort } from '../../src/platform/testrelay';
import { binary, Program } from './program';

export class Home {
  readonly program: Program;
  readonly data: string;
  /** its own small page */
  readonly page: string;

  constructor(program: Program, data: string, page: string) {
    this.program = program;
    this.data = data;
    this.page = page;
  }
}

export class Courtyard {
  dir = '';
  readonly homes: Home[] = [];
  readonly people: Person[] = [];
  /** `localhost:port`, or the address and a port */
  host = '';
  relay!: Program;
  metrics = '';
  /** Where it listens. The first is known by name, others by their address; on one address they would share what a browser stores. */
  readonly address: string;
  /** further flags of `courtyard-relay serve`, asked for when it begins */
  readonly #flags: () => readonly string[];

  constructor(address = '127.0.0.1', flags: () => readonly string[] = () => []) {
    this.address = address;
    this.#flags = flags;
  }

  get url(): string {
    return `http://${this.host}`;
  }

  get relayData(): string {
    return join(this.dir, 'relay');
  }

  async begin(): Promise<void> {
    this.dir = mkdtempSync(join(tmpdir(), 'courtyard-test-'));
    const port = await freePort();
    const metrics = await freePort();
    this.host = `${this.address === '127.0.0.1' ? 'localhost' : this.address}:${String(port)}`;
    this.metrics = `http://127.0.0.1:${String(metrics)}/metrics`;
    this.relay = new Program({
      name: 'courtyard-relay',
      args: [
        'serve', '--data', this.relayData, '--listen', `${this.address}:${String(port)}`, '--host', this.host,
        '--metrics', `127.0.0.1:${String(metrics)}`, '--turn-listen', `${this.address}:0`, ...this.#flags(),
      ],
      log: join(this.dir, 'relay.log'),
      alive: `${this.url}/api/1/relay`,
    });
    await this.relay.start();
  }

  async end(): Promise<void> {
    for (const person of this.people) await person.goes();
    for (const home of this.homes) await home.program.stop();
    await this.relay.stop();
    rmSync(this.dir, { recursive: true });
  }

  /** Another home agent, with a data directory of its own; `alone`: it has been told of no courtyard. */
  async home(pair?: string, { alone = false } = {}): Promise<Home> {
    const port = await freePort();
    const data = join(this.dir, `home${String(this.homes.length)}`);
    const page = `http://127.0.0.1:${String(port)}/`;
    const program = new Program({
      name: 'courtyard-home',
      args: ['serve', '--data', data, '--listen', `127.0.0.1:${String(port)}`, ...(alone ? [] : ['--relay', this.url])],
      env: pair === undefined ? {} : { COURTYARD_PAIR: pair },
      log: join(this.dir, `home${String(this.homes.length)}.log`),
      alive: page,
    });
    const home = new Home(program, data, page);
    this.homes.push(home);
    await program.start();
    return home;
  }

  /** The owner's first link; with a home that waits, pairing it comes with it. */
  claim(home?: Home): string {
    const claim = execFileSync(binary('courtyard-relay'), ['claim', '--data', this.relayData, '--link', this.url], { encoding: 'utf8' }).trim();
    if (home === undefined) return claim;
    return `${claim}.${execFileSync(binary('courtyard-home'), ['offer', '--data', home.data], { encoding: 'utf8' }).trim()}`;
  }

  async person(browser: Browser, of: Surroundings = {}): Promise<Person> {
    const person = await Person.comes(browser, this.url, of);
    this.people.push(person);
    return person;
  }
}

/** The courtyard of a file of tests; it begins before the first and ends after the last. */
export function useCourtyard(yard = new Courtyard()): Courtyard {
  base.beforeAll(() => yard.begin());
  base.afterAll(() => yard.end());
  watch(yard);
  return yard;
}

/** Two courtyards that can reach each other: one known as localhost, the other as 127.0.0.2. */
export function useCourtyards(): readonly [Courtyard, Courtyard] {
  const reach = (): readonly string[] => ['--reach', '127.0.0.0/8', '--reach', '::1/128'];
  return [useCourtyard(new Courtyard('127.0.0.1', reach)), useCourtyard(new Courtyard('127.0.0.2', reach))];
}

/** After each test: nobody's page has complained; and what there is to see when one went wrong. */
function watch(yard: Courtyard): void {
  base.afterEach(async ({}, info) => {
    const complaints = yard.people.flatMap((person) => person.complaints.splice(0));
    if (complaints.length > 0) await info.attach('what the pages complained about', { body: complaints.join('\n\n') });
    if (info.status === info.expectedStatus) {
      if (complaints.length > 0) throw new Error(`a page complained: ${complaints.join('\n')}`);
      return;
    }
    for (const program of [yard.relay, ...yard.homes.map((home) => home.program)]) {
      await info.attach(program.log, { body: program.words().slice(-20_000) });
    }
    for (const [n, person] of yard.people.entries()) {
      const glass = await person.page.screenshot().catch(() => undefined);
      if (glass !== undefined) await info.attach(`person ${String(n + 1)}`, { body: glass, contentType: 'image/png' });
    }
  });
}
