/**
 * The line between one person's browser and the world: an HTTP proxy that can be cut, as a train in a tunnel
 * cuts it. Only the browser's own context goes through it, so two people can have different luck.
 */
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

let lines = 0;

export class Line {
  readonly #server: Server;
  /** Everybody calls from an address of their own, as people do: the relay counts by address. */
  readonly #from = `127.20.${String(process.pid % 250)}.${String((lines++ % 250) + 1)}`;
  readonly #ends = new Set<Duplex>();
  #dead = false;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(): Promise<Line> {
    const server = createServer();
    const line = new Line(server);
    server.on('connection', (socket: Socket) => { line.#own(socket); });
    server.on('request', (from: IncomingMessage, to: ServerResponse) => { line.#pass(from, to); });
    server.on('connect', (from: IncomingMessage, socket: Duplex) => { line.#tunnel(from, socket); });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return line;
  }

  /** What Playwright's `proxy` wants; loopback is not left out. */
  get proxy(): { server: string; bypass: string } {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the line is not open');
    return { server: `http://127.0.0.1:${String(address.port)}`, bypass: '<-loopback>' };
  }

  /** Everything under way breaks off, and nothing new gets through until `mend`. */
  cut(): void {
    this.#dead = true;
    for (const end of this.#ends) end.destroy();
  }

  mend(): void {
    this.#dead = false;
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => { resolve(); }));
  }

  #own(end: Duplex): void {
    if (this.#ends.has(end)) return; // a connection that is used again
    if (this.#dead) {
      end.destroy();
      return;
    }
    this.#ends.add(end);
    end.on('close', () => this.#ends.delete(end));
    end.on('error', () => end.destroy());
  }

  #pass(from: IncomingMessage, to: ServerResponse): void {
    const onward = request(from.url ?? '', { method: from.method, headers: from.headers, localAddress: this.#from, family: 4 }, (answer) => {
      to.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(to);
    });
    onward.on('error', () => to.destroy());
    onward.on('socket', (socket) => { this.#own(socket); });
    from.pipe(onward);
  }

  #tunnel(from: IncomingMessage, socket: Duplex): void {
    const [host = '', port = ''] = (from.url ?? '').split(':');
    const onward = connect({ port: Number(port), host, localAddress: this.#from, family: 4 }, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(onward);
      onward.pipe(socket);
    });
    this.#own(onward);
    onward.on('close', () => socket.destroy());
    socket.on('close', () => onward.destroy());
    socket.on('error', () => onward.destroy());
  }
}
