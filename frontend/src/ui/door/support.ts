/** Whether this window can keep an account at all; asked before anything is made. */

export type Lack = 'insecure' | 'unsupported' | 'storage';

/** The parts of a window that are looked at. */
export interface Ground {
  readonly isSecureContext: boolean;
  readonly crypto: { readonly subtle?: SubtleCrypto };
  readonly indexedDB?: unknown;
  readonly WebSocket?: unknown;
  readonly navigator: { readonly locks?: unknown };
}

/** What is lacking; undefined when everything is there. */
export async function lack(ground: Ground): Promise<Lack | undefined> {
  const { subtle } = ground.crypto;
  if (!ground.isSecureContext || subtle === undefined) return 'insecure';
  if (ground.indexedDB === undefined || ground.indexedDB === null) return 'storage';
  if (ground.WebSocket === undefined || ground.navigator.locks === undefined) return 'unsupported';
  try {
    await subtle.generateKey({ name: 'X25519' }, false, ['deriveBits']);
    await subtle.generateKey({ name: 'Ed25519' }, false, ['sign', 'verify']);
    return undefined;
  } catch {
    return 'unsupported';
  }
}
