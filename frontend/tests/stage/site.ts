/** A web server somewhere else, which hands out the files of a folder and knows nothing of courtyards. */
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { extname, join, normalize } from 'node:path';

const kinds: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.png': 'image/png',
  '.wasm': 'application/wasm', '.webmanifest': 'application/manifest+json',
};

export class Site {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Serves `folder` below `/below/`. */
  static async open(folder: string, below: string): Promise<Site> {
    const server = createServer((request, response) => {
      const { pathname } = new URL(request.url ?? '/', 'http://site');
      const inside = pathname.startsWith(`/${below}/`) ? normalize(pathname.slice(below.length + 2)) : undefined;
      const path = inside === undefined || inside.startsWith('..') ? undefined : join(folder, inside === '.' || inside === '' ? 'index.html' : inside);
      if (path === undefined || !existsSync(path) || !statSync(path).isFile()) {
        response.writeHead(404).end();
        return;
      }
      response.writeHead(200, { 'Content-Type': kinds[extname(path)] ?? 'application/octet-stream' });
      createReadStream(path).pipe(response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Site(server);
  }

  get origin(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the site is not open');
    return `http://127.0.0.1:${String(address.port)}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => { resolve(); }));
  }
}
