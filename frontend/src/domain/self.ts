/** Who is signed in on this device: what hardly anything can be done without. Never the secrets themselves. */

import type { Platform } from '../platform/platform';
import { formatHandle, parseHost, type Host } from '../protocol/address';
import { b64, unb64, type Bytes } from '../protocol/bytes';
import type { Address } from '../protocol/envelope';
import { deviceKeysFromStorable, type DeviceKeys } from '../protocol/keys';
import type { AccountRecord } from '../store/schema';
import type { Uid } from './types';

/** ms that two clocks may differ before one of them is doubted; if it is more than a day, ours is the wrong one */
export const SKEW = 5 * 60_000;
const DAY = 24 * 60 * 60_000;

export class Self {
  readonly uid: Bytes;
  /** the same as text */
  readonly id: Uid;
  readonly keys: DeviceKeys;
  /** id of this device, as text */
  readonly device: string;
  readonly username: string;
  readonly host: Host;
  readonly relayKey: Bytes;
  readonly #platform: Platform;
  /** what the relay's clock is ahead of ours */
  #lead = 0;
  /** another courtyard has found it to be ahead */
  #doubted = false;

  constructor(platform: Platform, account: AccountRecord) {
    this.#platform = platform;
    this.uid = unb64(account.uid, 32);
    this.id = account.uid;
    this.keys = deviceKeysFromStorable(account.keys);
    this.device = b64(this.keys.id);
    this.username = account.username;
    this.host = parseHost(account.host);
    this.relayKey = unb64(account.relayKey, 32);
  }

  get handle(): string {
    return formatHandle({ username: this.username, ...this.host });
  }

  get address(): Address {
    return { ip: this.host.host, port: this.host.port, username: this.username, id: this.uid };
  }

  /** The time as the relay tells it: a phone with a wrong clock still writes acceptable envelopes. */
  now(): number {
    return this.#platform.now() + this.#lead;
  }

  /** What letters are dated with: the relay's time, until another courtyard says, as our own clock does, that this is ahead. */
  get date(): number {
    return this.#doubted && this.#disputed ? this.#platform.now() : this.now();
  }

  /** Our own clock says that letters are dated ahead, and nobody else has yet. */
  get unsure(): boolean {
    return this.#disputed && !this.#doubted;
  }

  get #disputed(): boolean {
    return this.#lead > SKEW && this.#lead <= DAY;
  }

  /** A letter came back because it was dated ahead. */
  doubt(): void {
    this.#doubted = true;
  }

  /** The relay's time, from `ready`. */
  set relayTime(time: number) {
    const lead = time - this.#platform.now();
    // Within two seconds it is the journey, not the clock.
    this.#lead = Math.abs(lead) < 2_000 ? 0 : lead;
    this.#doubted &&= this.#disputed;
  }
}
