/**
 * The one-use link that carries an account to another browser (protocol/README.md section 10).
 */
import { formatHost, type Host, parseHost, usernameWellFormed } from './address';
import { b64, type Bytes, equal, unb64, utf8 } from './bytes';
import { bytes, open, parseJson, type Read, refuse } from './json';
import { type DeviceKeys, deviceKeysFromSecrets } from './keys';
import { Problem } from './problem';
import { hash, kdf, openSecretbox, type Random, randomBytes, sealSecretbox } from './primitives';

export interface HandoverLink extends Host {
  readonly secret: Bytes;
  readonly uid: Bytes;
}

/** What the signed-in device leaves at the relay. */
export interface Handover {
  readonly link: HandoverLink;
  /** mailbox, 16 bytes */
  readonly box: Bytes;
  /** sealed, for `PUT /api/1/handover/{box}` */
  readonly sealed: Bytes;
  /** public keys of the new device, for `device.add` */
  readonly device: { readonly id: Bytes; readonly sign: Bytes; readonly box: Bytes };
}

const noNonce = new Uint8Array(24); // the key is used once
const readUsername: Read<string> = (value) =>
  typeof value === 'string' && usernameWellFormed(value) ? value : refuse('username');
const readContent = open({ uid: bytes(32), username: readUsername, sign: bytes(32), box: bytes(32) });

/** Makes the keys of the new device; their secrets are only in the sealed part. */
export async function makeHandover(
  host: Host,
  person: { readonly uid: Bytes; readonly username: string },
  random: Random = randomBytes,
): Promise<Handover> {
  const { uid, username } = person;
  const secret = random(16);
  const seed = random(32);
  const boxSecret = random(32);
  const { id, sign, box } = await deviceKeysFromSecrets(seed, boxSecret);
  const content = JSON.stringify({ uid: b64(uid), username, sign: b64(seed), box: b64(boxSecret) });
  return {
    link: { ...host, secret, uid },
    box: handoverBox(secret),
    sealed: sealSecretbox(key(secret, uid), noNonce, utf8(content)),
    device: { id, sign, box },
  };
}

export function handoverBox(secret: Bytes): Bytes {
  return hash('handover/box', secret).slice(0, 16);
}

/** The new browser's side; the keys come out non-extractable. Throws `handover-bad`. */
export async function openHandover(link: HandoverLink, sealed: Bytes): Promise<{ readonly username: string; readonly keys: DeviceKeys }> {
  const json = openSecretbox(key(link.secret, link.uid), noNonce, sealed);
  if (!json) throw new Problem('handover-bad');
  let content: ReturnType<typeof readContent>;
  try {
    content = readContent(parseJson(json, { bytes: 4096, depth: 8 }));
  } catch (error) {
    throw new Problem('handover-bad', {}, error);
  }
  if (!equal(content.uid, link.uid)) throw new Problem('handover-bad');
  return { username: content.username, keys: await deviceKeysFromSecrets(content.sign, content.box) };
}

export function formatHandover(link: HandoverLink, scheme: 'https' | 'http' = 'https'): string {
  return `${scheme}://${formatHost(link)}/app/#handover.${b64(link.secret)}.${b64(link.uid)}`;
}

/** Throws `link-bad`. */
export function parseHandover(text: string): HandoverLink {
  const found = /^https?:\/\/([^/?#]+)\/app\/#handover\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/.exec(text.trim());
  const [, authority = '', secret = '', uid = ''] = found ?? [];
  try {
    return { ...parseHost(authority), secret: unb64(secret, 16), uid: unb64(uid, 32) };
  } catch (error) {
    throw new Problem('link-bad', {}, error);
  }
}

function key(secret: Bytes, uid: Bytes): Bytes {
  return kdf(secret, 'handover/key', uid);
}
