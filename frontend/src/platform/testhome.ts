/** A pretended home, for tests in Node: it answers over the sealed link, and over direct connections where the air lets it. */

import { TestRtc, type TestPeer } from './testpeers';
import type { PeerChannel } from './platform';
import { b64, equal, fromUtf8, utf8, type Bytes } from '../protocol/bytes';
import { encodeEnvelope, makeHeader, parseEnvelope, type Envelope } from '../protocol/envelope';
import { isObject, parseJson, type JsonObject } from '../protocol/json';
import { deviceKeysToStorable, generateDeviceKeys, type DeviceKeys } from '../protocol/keys';
import { LinkResponder, parseLink, type LinkChannel } from '../protocol/link';
import { Problem } from '../protocol/problem';
import { randomBytes } from '../protocol/primitives';
import type { ChainDevice } from '../protocol/ident';
import type { Platform } from './platform';
import { HomeLink } from '../domain/homelink';
import { Self } from '../domain/self';

export class PretendedHome {
  readonly self: Self;
  readonly link: HomeLink;
  readonly rtc = new TestRtc();
  /** what was asked, and which way it came */
  readonly asked: [way: 'link' | 'direct', method: string][] = [];
  /** answers to what is no matter of connections */
  answer: (method: string, params: JsonObject) => Promise<JsonObject> = () => Promise.resolve({});
  /** what it answers to a knock */
  lets = true;
  /** where it sees the device of a connection */
  sees: string | undefined = '203.0.113.9:40001';
  /** that is in a network of its own */
  near = false;
  /** it knows nothing of connections */
  old = false;
  /** what the link says gets lost */
  mute = false;
  /** how often somebody began to open the link */
  hellos = 0;
  readonly #keys: DeviceKeys;
  readonly #device: ChainDevice;
  readonly #peers = new Map<string, TestPeer>();
  #newest: PeerChannel | undefined;
  #responder: LinkResponder | undefined;
  #channel: LinkChannel | undefined;

  private constructor(platform: Platform, self: Self, keys: DeviceKeys, opened: () => void) {
    this.self = self;
    this.#keys = keys;
    this.#device = { role: 'home', sign: keys.sign, box: keys.box, exp: 0, id: keys.id, added: 0, revoked: undefined, revokedAt: undefined };
    this.link = new HomeLink({
      self, platform,
      home: () => this.#device,
      cast: (env) => {
        const envelope = parseEnvelope(env);
        queueMicrotask(() => { this.#take(envelope).catch(platform.report); });
      },
      opened,
      said: () => undefined,
    });
  }

  static async of(platform: Platform, opened: () => void): Promise<PretendedHome> {
    const self = new Self(platform, {
      stage: 'in', uid: b64(randomBytes(32)), username: 'mei', host: 'yard.example', relayKey: b64(randomBytes(32)),
      keys: deviceKeysToStorable(await generateDeviceKeys()), request: '', invite: undefined,
    });
    return new PretendedHome(platform, self, await generateDeviceKeys(), opened);
  }

  get device(): ChainDevice {
    return this.#device;
  }

  /** Its end of the newest connection. */
  get peer(): TestPeer {
    return this.rtc.last;
  }

  ways(method: string): string[] {
    return this.asked.filter(([, asked]) => asked === method).map(([way]) => way);
  }

  /** Over the newest direct connection, unasked. */
  says(text: string): void {
    this.#newest?.send(text);
  }

  async #take(envelope: Envelope): Promise<void> {
    const message = parseLink(envelope.data);
    if (message.kind === 'hello') {
      this.hellos++;
      const { self } = this;
      const ends = { uid: self.uid, device: self.keys.id, home: this.#keys.id, relayKey: self.relayKey, host: self.host };
      this.#responder = await LinkResponder.start(ends, this.#keys, message);
      this.#say(this.#responder.answer);
    } else if (message.kind === 'finish') this.#channel = this.#responder?.finish(message, this.self.keys.sign);
    else if (this.#channel && equal(message.session, this.#channel.session)) {
      const text = await this.#reply('link', fromUtf8(this.#channel.open(message)));
      if (!this.mute) this.#say(this.#channel.seal(utf8(text)));
    }
  }

  #say(data: Bytes): void {
    const { self } = this;
    const ts = self.now();
    const header = makeHeader({ from: { ...self.address, id: this.#keys.id }, to: { ...self.address, id: self.keys.id }, type: 'link', ts, exp: ts + 30_000 });
    const env = encodeEnvelope({ ...header, data });
    queueMicrotask(() => {
      this.link.receive(parseEnvelope(env));
    });
  }

  async #reply(way: 'link' | 'direct', text: string): Promise<string> {
    const asked = parseJson(text, { bytes: 64 * 1024, depth: 12 });
    const { id = null, m, p } = isObject(asked) ? asked : {};
    const method = typeof m === 'string' ? m : '';
    this.asked.push([way, method]);
    try {
      return JSON.stringify({ id, r: await this.#method(method, p !== undefined && isObject(p) ? p : {}) });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return JSON.stringify({ id, e: { code: error.code } });
    }
  }

  async #method(method: string, params: JsonObject): Promise<JsonObject> {
    const id = textIn(params, 'id');
    if (this.old && (method === 'probe' || method.startsWith('direct'))) throw new Problem('bad-request');
    switch (method) {
      case 'probe':
        return { sent: 1, answered: this.lets };
      case 'direct':
        return { sdp: await this.#meet(id, textIn(params, 'sdp')) };
      case 'direct-more':
        for (const candidate of (params['candidates'] ?? []) as readonly string[]) await this.#peers.get(id)?.add({ candidate });
        return {};
      case 'direct-end':
        this.#peers.get(id)?.close();
        return {};
      case 'direct-path':
        return { state: 'open', local: 'host', remote: 'srflx', protocol: 'udp', ...(this.sees === undefined ? {} : { address: this.sees }), ...(this.near ? { near: true } : {}) };
      default:
        return this.answer(method, params);
    }
  }

  async #meet(id: string, sdp: string): Promise<string> {
    const peer = this.rtc.connect([], 'all', {
      state: () => undefined,
      channel: (channel: PeerChannel) => ({
        opened: () => {
          this.#newest = channel;
        },
        message: (text) => {
          this.#reply('direct', text).then((answer) => { channel.send(answer); }, () => undefined); // it may be closed by now
        },
        closed: () => undefined,
        drained: () => undefined,
      }),
    });
    this.#peers.set(id, peer);
    await peer.accept({ type: 'offer', sdp });
    return (await peer.describe()).sdp;
  }
}

function textIn(params: JsonObject, name: string): string {
  const value = params[name];
  return typeof value === 'string' ? value : '';
}
