/** The line to scripts/nat: a request a line, an answer a line, both JSON. */
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

export interface Request {
  readonly id: number;
  readonly do: string;
  /** whose browser */
  readonly who: string;
  readonly with: Readonly<Record<string, string>>;
}

export type Doing = (request: Request) => Promise<unknown>;

/** Does what it is told, several things at once if it is told so, until the other end closes. */
export async function serve(path: string, doing: Doing): Promise<void> {
  const socket = await open(path);
  const lines = createInterface({ input: socket });
  for await (const line of lines) {
    const request = JSON.parse(line) as Request;
    void answer(socket, request, doing);
  }
}

async function answer(socket: Socket, request: Request, doing: Doing): Promise<void> {
  let said: object;
  try {
    said = { id: request.id, result: (await doing(request)) ?? null };
  } catch (error) {
    said = { id: request.id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  socket.write(`${JSON.stringify(said)}\n`);
}

async function open(path: string): Promise<Socket> {
  const socket = connect(path);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return socket;
}
