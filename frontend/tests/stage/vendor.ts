/**
 * A push service on this machine, in the place of those of the browsers' makers. It opens what comes with the keys of
 * the browser it is for (RFC 8291), as a real one leaves to the browser.
 */
import { createDecipheriv, createECDH, hkdfSync, randomBytes, type ECDH } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { expect } from '@playwright/test';

/** What the page has of a subscription, in base64url. */
export interface Address {
  readonly endpoint: string;
  readonly p256dh: string;
  readonly auth: string;
}

interface Browser {
  readonly key: ECDH;
  readonly auth: Buffer;
}

export class Vendor {
  /** the texts of all pushes so far, and where each went */
  readonly pushes: string[] = [];
  readonly endpoints: string[] = [];
  /** what it answers */
  status = 201;
  readonly host: string;
  readonly #server: Server;
  readonly #browsers = new Map<string, Browser>();

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.host = `127.0.0.1:${String(port)}`;
    server.on('request', (request, response) => {
      this.#take(request).then(
        (status) => response.writeHead(status).end(),
        (error: unknown) => {
          this.pushes.push(String(error));
          response.writeHead(400).end();
        },
      );
    });
  }

  static async start(): Promise<Vendor> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return new Vendor(server, address.port);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  subscribe(): Address {
    const key = createECDH('prime256v1');
    key.generateKeys();
    const browser = { key, auth: randomBytes(16) };
    const path = `/push/${randomBytes(16).toString('base64url')}`;
    this.#browsers.set(path, browser);
    return { endpoint: `http://${this.host}${path}`, p256dh: key.getPublicKey().toString('base64url'), auth: browser.auth.toString('base64url') };
  }

  /** Waits for the n-th push, counted from 1; resolves to its text. */
  async push(n: number): Promise<string> {
    await expect.poll(() => this.pushes.length, { timeout: 40_000 }).toBeGreaterThanOrEqual(n);
    return this.pushes[n - 1] ?? '';
  }

  async #take(request: IncomingMessage): Promise<number> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const browser = this.#browsers.get(request.url ?? '');
    if (!browser) return 410;
    if (this.status !== 201) return this.status;
    this.pushes.push(opened(Buffer.concat(parts), browser));
    this.endpoints.push(`http://${this.host}${request.url ?? ''}`);
    return 201;
  }
}

function opened(body: Buffer, { key, auth }: Browser): string {
  const salt = body.subarray(0, 16);
  const end = 21 + body.readUInt8(20);
  const sender = body.subarray(21, end);
  const info = Buffer.concat([Buffer.from('WebPush: info\0'), key.getPublicKey(), sender]);
  const ikm = Buffer.from(hkdfSync('sha256', key.computeSecret(sender), auth, info, 32));
  const sealing = Buffer.from(hkdfSync('sha256', ikm, salt, 'Content-Encoding: aes128gcm\0', 16));
  const nonce = Buffer.from(hkdfSync('sha256', ikm, salt, 'Content-Encoding: nonce\0', 12));
  const sealed = body.subarray(end);
  const decipher = createDecipheriv('aes-128-gcm', sealing, nonce);
  decipher.setAuthTag(sealed.subarray(-16));
  const record = Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]).toString('utf8');
  return record.replace(/\u0002\u0000*$/u, '');
}
