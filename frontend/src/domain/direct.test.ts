/** The way beside the courtyard: when it is made, what goes over it, and that nothing is lost when it breaks. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Candidate } from '../platform/platform';
import { until } from '../platform/players';
import { PretendedHome } from '../platform/testhome';
import { TestBrowser, TestTab } from '../platform/testing';
import { reflexive, type TestRtc } from '../platform/testpeers';
import type { JsonObject } from '../protocol/json';
import { Problem } from '../protocol/problem';
import { Direct, type DirectSurroundings } from './direct';
import type { ChainDevice } from '../protocol/ident';

/** Time goes faster here: nobody waits five seconds for a test. What bounds real work, such as cryptography, keeps its own. */
const FASTER = 25;
const BOUNDS = [10_000, 20_000];

class HurriedTab extends TestTab {
  override after(ms: number, call: () => void): () => void {
    return super.after(BOUNDS.includes(ms) ? ms : ms / FASTER, call);
  }
}

const [one, other] = ['stun:yard.example:3478', 'stun:yard.example:3479'];

class Story implements DirectSurroundings {
  readonly platform: HurriedTab;
  readonly browser: TestBrowser;
  readonly settings = new Map<string, unknown>();
  readonly listeners = new Set<() => void>();
  /** where the courtyard sees this device */
  ip = '203.0.113.9';
  stun: readonly string[] = [one, other];
  linked = true;
  away = false;
  house!: PretendedHome;
  direct!: Direct;

  constructor() {
    this.browser = new TestBrowser('https://yard.example');
    this.platform = new HurriedTab(this.browser);
  }

  static async begin(prepare: (story: Story) => void = () => undefined): Promise<Story> {
    const story = new Story();
    story.house = await PretendedHome.of(story.platform, story.changed);
    prepare(story);
    await story.attend();
    return story;
  }

  /** The app opens, or the page is loaded again. */
  async attend(): Promise<void> {
    this.direct = await Direct.attend(this, this);
    this.house.link.reachable = true;
  }

  get homeLink(): PretendedHome['link'] {
    return this.house.link;
  }

  get home(): ChainDevice | undefined {
    return this.away ? undefined : this.house.device;
  }

  get self(): DirectSurroundings['self'] {
    return this.house.self;
  }

  get rtc(): TestRtc {
    if (!this.browser.rtc) throw new Error('this browser has none');
    return this.browser.rtc;
  }

  /** what the courtyard was asked and had to answer soon */
  readonly hurried: string[] = [];

  readonly connection: DirectSurroundings['connection'] = {
    ask: (op, _params, patience): Promise<JsonObject> => {
      if (patience !== undefined) this.hurried.push(op);
      return Promise.resolve(op === 'where' ? { op, device: '', ip: this.ip } : { op, stun: this.stun, urls: [], username: '', credential: '', until: 0 });
    },
  };

  readonly store: DirectSurroundings['store'] = {
    setting: (name) => Promise.resolve(this.settings.get(name)),
    saveSetting: (name, value) => {
      this.settings.set(name, structuredClone(value));
      return Promise.resolve();
    },
  };

  readonly changed = (): void => {
    for (const listener of this.listeners) listener();
  };

  readonly shrug = (error: unknown): void => {
    if (!(error instanceof Problem)) this.browser.complaints.push(error);
  };

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async direct_(): Promise<void> {
    await until(() => this.homeLink.path === 'direct');
  }
}

let story: Story;

beforeEach(async () => {
  story = await Story.begin();
});

afterEach(() => {
  story.direct.stop();
  story.homeLink.stop();
  story.platform.close();
  expect(story.browser.complaints).toEqual([]);
});

/** Begins anew, with something that is different from the start. */
async function otherwise(prepare: (story: Story) => void): Promise<void> {
  story.direct.stop();
  story.homeLink.stop();
  story = await Story.begin(prepare);
}

describe('a direct connection', () => {
  test('is made soon after the link, and carries what is asked from then on', async () => {
    await story.homeLink.ask('status');
    await story.direct_();
    await story.homeLink.ask('page', { peer: 'x', limit: 50 });
    expect(story.house.ways('status')).toEqual(['link']);
    expect(story.house.ways('page')).toEqual(['direct']);
    // What makes it is told over the sealed link.
    expect(story.house.ways('direct')).toEqual(['link']);
    expect(story.rtc.peers[0]?.servers).toEqual([{ urls: [one, other] }]);
  });

  test('the link before it is opened once, also when it is asked over while it opens, or lost and found at once', async () => {
    await story.homeLink.ask('status');
    expect(story.house.hellos).toBe(1);
    story.homeLink.pause();
    story.homeLink.reachable = true;
    story.homeLink.pause();
    story.homeLink.reachable = true;
    await story.homeLink.askLinked('status', {});
    expect(story.house.hellos).toBe(2);
  });

  test('is said to be within one’s own network where it is', async () => {
    await otherwise(({ browser }) => {
      if (browser.rtc) browser.rtc.pair = { local: 'host', remote: 'host', to: '192.168.1.7:50000' };
    });
    await until(() => story.homeLink.path === 'lan');
    await otherwise(({ browser, house }) => {
      house.sees = '[2a02:db8:0:7::9]:40001';
      if (browser.rtc) browser.rtc.pair = { local: 'host', remote: 'host', to: '[2a02:db8:0:7::4]:50000' };
    });
    await until(() => story.homeLink.path === 'lan');
    // The browser hides where it was called from; the home knows.
    await otherwise(({ browser, house }) => {
      house.near = true;
      if (browser.rtc) browser.rtc.pair = { local: 'host', remote: 'prflx', to: '' };
    });
    await until(() => story.homeLink.path === 'lan');
  });

  test('that breaks is asked over no more, and made anew', async () => {
    await story.direct_();
    story.house.peer.close();
    await until(() => story.homeLink.path === 'courtyard');
    await story.homeLink.ask('page');
    expect(story.house.ways('page')).toEqual(['link']);
    await story.direct_();
    await story.homeLink.ask('talks');
    expect(story.house.ways('talks')).toEqual(['direct']);
  });

  test('that ICE gives up is given up', async () => {
    await story.direct_();
    story.rtc.peers[0]?.becomes('disconnected');
    expect(story.homeLink.path).toBe('courtyard');
    await story.direct_();
  });

  test('that is silent loses nothing: all that was asked is asked over the link', async () => {
    await story.direct_();
    story.house.answer = (method, { n = null }) => Promise.resolve({ method, n });
    story.house.peer.cut();
    const answers = Promise.all(Array.from({ length: 8 }, (_, n) => story.homeLink.ask('file', { n })));
    await until(() => story.homeLink.path === 'courtyard');
    expect(await answers).toEqual(Array.from({ length: 8 }, (_, n) => ({ method: 'file', n })));
    expect(story.house.ways('file')).toEqual(Array.from({ length: 8 }, () => 'link'));
    // It may be the network that is gone, and the socket with it.
    expect(story.hurried).toEqual(['where']);
  });

  test('that answers slowly but steadily is kept', async () => {
    await story.direct_();
    let turn: Promise<unknown> = Promise.resolve();
    story.house.answer = (method) => {
      // Each takes 3 of the 5 seconds, one after the other.
      turn = turn.then(() => new Promise((resolve) => { story.platform.after(3_000, () => { resolve(undefined); }); }));
      return turn.then(() => ({ method }));
    };
    await Promise.all(Array.from({ length: 4 }, () => story.homeLink.ask('file')));
    expect(story.house.ways('file')).toEqual(['direct', 'direct', 'direct', 'direct']);
    expect(story.homeLink.path).toBe('direct');
  });

  test('survives that the courtyard goes away', async () => {
    await story.direct_();
    story.homeLink.pause();
    expect(story.homeLink.open).toBe(true);
    await story.homeLink.ask('page');
    expect(story.house.ways('page')).toEqual(['direct']);
    story.homeLink.reachable = true;
    await until(() => story.homeLink.linked);
    await story.homeLink.ask('page');
    expect(story.house.ways('page')).toEqual(['direct', 'direct']);
    expect(story.house.ways('direct')).toHaveLength(1);
  });

  test('that says nonsense is ended', async () => {
    await story.direct_();
    story.house.says('{"id":');
    await until(() => story.homeLink.path === 'courtyard');
    await story.direct_();
  });

  test('ends when the home is removed', async () => {
    await story.direct_();
    story.away = true;
    story.changed();
    expect(story.homeLink.path).toBe('courtyard');
    expect((await story.direct.now()).why).toBe('no-home');
  });

  test('is of no use to an app that nobody looks at', async () => {
    await story.direct_();
    story.platform.visible = false;
    story.platform.turn('hidden');
    await until(() => story.homeLink.path === 'courtyard');
    await until(() => story.house.ways('direct-end').length === 1);
    story.platform.visible = true;
    story.platform.turn('shown');
    await story.direct_();
  });

  test('is not asked for where the browser has none', async () => {
    await otherwise(({ browser }) => {
      browser.rtc = undefined;
    });
    await until(() => story.homeLink.linked);
    expect((await story.direct.report(true)).why).toBe('unsupported');
    await story.homeLink.ask('page');
    expect(story.house.ways('page')).toEqual(['link']);
  });

  test('is asked for once of a home that knows nothing of it', async () => {
    await otherwise(({ house }) => {
      house.old = true;
    });
    await until(() => story.house.ways('direct').length === 1);
    await story.homeLink.ask('page');
    story.platform.turn('shown');
    const report = await story.direct.report(true);
    expect(report).toMatchObject({ why: 'home-none', path: 'courtyard', kind: 'unproven', measured: { met: undefined } });
    expect(story.house.ways('direct')).toHaveLength(1);
  });
});

describe('a network that lets nothing through', () => {
  beforeEach(() => otherwise(({ house, browser }) => {
    house.rtc.reaches = false;
    house.lets = false;
    house.sees = undefined;
    if (browser.rtc) browser.rtc.candidates = [reflexive(one, 40_001), reflexive(other, 40_002)];
  }));

  test('is tried from both sides, and then the link does', async () => {
    await until(() => story.house.ways('direct-end').length === 2);
    const report = await story.direct.report(false);
    expect(report).toMatchObject({ kind: 'symmetric', prospect: 'open', path: 'courtyard', why: 'network', measured: { seen: 2, met: false, port: 'none' } });
    await story.homeLink.ask('page');
    expect(story.house.ways('page')).toEqual(['link']);
    // The second time this side went first: what the home needs for its turn came later.
    expect(story.house.rtc.peers.map(({ added }) => added.length)).toEqual([0, 2]);
  });

  test('is not tried again and again, but anew in another', async () => {
    await until(() => story.house.ways('direct-end').length === 2);
    await story.direct.report(false);
    story.platform.turn('shown');
    await story.direct.report(false);
    expect(story.house.ways('direct')).toHaveLength(2);
    // Out of the door: the phone's own network.
    story.house.rtc.reaches = true;
    story.ip = '198.51.100.20';
    story.platform.turn('moved');
    await story.direct_();
  });
});

describe('what is known of the network', () => {
  test('is measured once, told, and still there after the page was loaded again', async () => {
    await story.direct_();
    await until(() => story.house.ways('probe').length === 1);
    const report = await story.direct.report(false);
    expect(report).toMatchObject({ kind: 'open', prospect: 'direct', path: 'direct', why: undefined, measured: { seen: 1, filter: true, port: 'same', met: true } });
    story.direct.stop();
    await story.attend();
    await story.direct_();
    expect(await story.direct.report(false)).toMatchObject({ kind: 'open' });
  });

  test.each([
    ['restricted', false, '203.0.113.9:40001', 'direct-unless-symmetric'],
    ['symmetric', false, '203.0.113.9:41234', 'open'],
    ['unproven', false, '192.168.1.4:40001', 'direct-unless-symmetric'],
  ] as const)('%s', async (kind, lets, sees, prospect) => {
    await otherwise(({ house }) => {
      house.lets = lets;
      house.sees = sees;
    });
    await until(() => story.house.ways('probe').length === 1);
    expect(await story.direct.report(false)).toMatchObject({ kind, prospect, measured: { met: true } });
  });

  test('without UDP nothing is knocked at', async () => {
    const host: Candidate = { ...reflexive('', 5), kind: 'host', server: undefined };
    await otherwise(({ house, browser }) => {
      house.rtc.reaches = false;
      house.sees = undefined;
      if (!browser.rtc) return;
      browser.rtc.candidates = [host];
      browser.rtc.answered = false;
    });
    await until(() => story.house.ways('direct-end').length === 2);
    expect(await story.direct.report(false)).toMatchObject({ kind: 'blocked', prospect: 'tcp', measured: { seen: 0, port: 'none', met: false } });
    expect(story.house.ways('probe')).toEqual([]);
  });

  test('is another one where the courtyard sees another address', async () => {
    await story.direct_();
    await story.direct.report(false);
    expect(story.settings.get('network')).toMatchObject({ address: '203.0.113.9' });
    story.ip = '198.51.100.20';
    story.platform.turn('shown');
    await until(() => (story.settings.get('network') as { address?: string } | null)?.address === '198.51.100.20');
    await story.direct_();
    expect(story.house.ways('direct')).toHaveLength(2);
  });

  test('while no home is there, what the courtyard sees alone', async () => {
    await otherwise((begun) => {
      begun.away = true;
      begun.attend = async () => {
        begun.direct = await Direct.attend(begun, begun);
      };
    });
    expect(await story.direct.report(false)).toMatchObject({ kind: 'unproven', why: 'no-home', path: 'courtyard', measured: { seen: 1, filter: undefined, met: undefined } });
    expect(story.house.asked).toEqual([]);
    story.rtc.candidates = [reflexive(one, 40_001), reflexive(other, 40_002)];
    expect(await story.direct.report(true)).toMatchObject({ kind: 'symmetric' });
  });

  test('is asked for before the link is open, and then told with what the home saw', async () => {
    await otherwise((begun) => {
      begun.attend = async () => {
        begun.direct = await Direct.attend(begun, begun);
      };
    });
    const report = story.direct.report(false);
    story.homeLink.reachable = true;
    expect(await report).toMatchObject({ kind: 'open', path: 'direct', measured: { met: true } });
  });

  test('where the courtyard offers nothing to measure with, a connection is tried all the same', async () => {
    await otherwise((begun) => {
      begun.stun = [];
    });
    await story.direct_();
    expect(await story.direct.report(false)).toMatchObject({ kind: 'unknown', path: 'direct', measured: { seen: undefined, met: true } });
  });
});
