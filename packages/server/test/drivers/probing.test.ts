import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { checkHealth, saysBusy } from '../../src/drivers/process/readiness.ts';
import { until } from '../driver-cases.ts';

/** S11: a health check asks the instance and nobody else, reads little, and takes bounded time. */

const LIMIT = 64 * 1024;
const servers: Server[] = [];
const accepted: Socket[] = [];

async function listen(answer: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    accepted.push(socket);
    socket.on('error', () => {});
    answer(socket);
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

afterEach(async () => {
  vi.restoreAllMocks();
  for (const socket of accepted.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
});

/** The connections that health checks make from now on. */
function made(): Socket[] {
  return vi.spyOn(Socket.prototype, 'connect').mock.contexts as unknown as Socket[];
}

const ask = (port: number, httpGetUrl?: string, timeoutMs = 10_000) =>
  checkHealth(['127.0.0.1'], port, httpGetUrl === undefined ? {} : { httpGetUrl }, timeoutMs);

/** Writes as fast as it is read, without end. */
function pour(socket: Socket, piece: string | Buffer): void {
  const more = () => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.on('drain', more);
  more();
}

describe('a redirect', () => {
  it.each([301, 302, 303, 307, 308])('%i is an answer like any other and is not followed', async (status) => {
    let foreign = 0;
    const elsewhere = await listen(() => foreign++);
    const port = await listen((socket) => {
      socket.once('data', () =>
        socket.end(
          `HTTP/1.1 ${status} Elsewhere\r\nLocation: http://127.0.0.1:${elsewhere}/ready\r\nContent-Length: 0\r\n\r\n`,
        ),
      );
    });
    expect(await ask(port, '/ready')).toMatchObject({ ok: false, isOpen: true, detail: `HTTP ${status}` });
    expect(await ask(port)).toMatchObject({ ok: true, detail: `HTTP ${status}` });
    await until('both to be closed', () => accepted.every((it) => it.destroyed));
    expect(foreign).toBe(0);
  });
});

describe('of an answer', () => {
  const ENDLESS = 'HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n';
  it.each([
    { what: 'that never ends', head: ENDLESS, path: '/ready', ok: true, detail: 'HTTP 200' },
    { what: 'that never ends', head: ENDLESS, path: undefined, ok: true, detail: 'HTTP 200' },
    {
      what: 'whose head never ends',
      head: 'HTTP/1.1 200 OK\r\nX: ',
      path: '/ready',
      ok: true,
      detail: 'HTTP 200',
    },
    {
      what: 'whose first line never ends',
      head: 'HTTP/1.1 200 ',
      path: '/ready',
      ok: false,
      detail: 'not an HTTP answer',
    },
    { what: 'that is none', head: '', path: '/ready', ok: false, detail: 'not an HTTP answer' },
    {
      what: 'that is none',
      head: '',
      path: undefined,
      ok: true,
      detail: 'the port accepts connections',
    },
  ])('$what, at most 64 KiB are read (path $path)', async ({ head, path, ok, detail }) => {
    const connections = made();
    const port = await listen((socket) => {
      socket.once('data', () => {
        socket.write(head);
        pour(socket, Buffer.alloc(LIMIT, 'x'));
      });
    });
    expect(await ask(port, path)).toMatchObject({ ok, detail });
    await until('the connection to be closed', () => accepted[0]!.destroyed);
    expect(connections).toHaveLength(1);
    expect(connections[0]!.bytesRead).toBeGreaterThan(0);
    expect(connections[0]!.bytesRead).toBeLessThanOrEqual(LIMIT);
  });

  it('of 10 MiB the rest is left, and the agent is taken for well', async () => {
    const connections = made();
    let isWhole = false;
    const body = Buffer.alloc(10 * 1024 * 1024);
    const port = await listen((socket) => {
      socket.once('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
        socket.end(body, () => {
          isWhole = !socket.destroyed && socket.writableFinished;
        });
      });
    });
    expect(await ask(port, '/ready')).toMatchObject({ ok: true });
    await until('the connection to be closed', () => accepted[0]!.destroyed);
    expect(isWhole).toBe(false);
    expect(connections[0]!.bytesRead).toBeLessThanOrEqual(LIMIT);
  });

  it('whose interim answers never end, at most 64 KiB are read', async () => {
    const connections = made();
    const port = await listen((socket) => {
      socket.once('data', () => pour(socket, 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(1000)));
    });
    expect(await ask(port, '/ready')).toMatchObject({ ok: false, detail: 'not an HTTP answer' });
    expect(connections[0]!.bytesRead).toBeLessThanOrEqual(LIMIT);
  });

  it('that drips, the connection is closed all the same', async () => {
    const timers: NodeJS.Timeout[] = [];
    const port = await listen((socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n');
        timers.push(setInterval(() => socket.writable && socket.write('.'), 50));
      });
    });
    try {
      expect(await ask(port, '/ready')).toMatchObject({ ok: true, detail: 'HTTP 200' });
      await until('the connection to be closed', () => accepted[0]!.destroyed);
    } finally {
      for (const timer of timers) clearInterval(timer);
    }
  });

  it('that does not come, the time given is waited for', async () => {
    const port = await listen((socket) => socket.resume());
    expect(await ask(port, '/ready', 50)).toMatchObject({
      ok: false,
      isOpen: true,
      detail: expect.stringMatching(/^no answer within \d+ ms$/) as string,
    });
    await until('the connection to be closed', () => accepted[0]!.destroyed);
  });
});

describe('of an answer that is to be read whole', () => {
  const read = (port: number) => checkHealth(['127.0.0.1'], port, {}, 10_000, undefined, 'body');
  const answering = (...pieces: string[]) =>
    listen((socket) =>
      socket.once('data', async () => {
        for (const piece of pieces) {
          socket.write(piece);
          await new Promise((resolve) => setImmediate(resolve));
        }
        socket.end();
      }),
    );

  it.each<[string, string[], boolean]>([
    ['of known length', ['HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{"status":', '"HealthyBusy"}'], true],
    [
      'in chunks',
      [
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
        'c\r\n{"status":"H\r\nd;x=1\r\nealthyBusy"} \r\n',
        '0\r\n\r\n',
      ],
      true,
    ],
    [
      'after an interim one',
      ['HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{"status":"HealthyBusy"}'],
      true,
    ],
    ['that says that it is free', ['HTTP/1.1 200 OK\r\n\r\n{"status":"Healthy"}'], false],
    ['that only speaks of it', ['HTTP/1.1 200 OK\r\n\r\n{"note":"HealthyBusy"}'], false],
    ['that is no JSON', ['HTTP/1.1 200 OK\r\n\r\nHealthyBusy'], false],
    ['without a body', ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'], false],
  ])('%s, it is known whether the agent is at work', async (_what, pieces, isBusy) => {
    const attempt = await read(await answering(...pieces));
    expect(attempt).toMatchObject({ ok: true, detail: 'HTTP 200' });
    expect(saysBusy(attempt.body)).toBe(isBusy);
  });

  it('no more is read than of any other', async () => {
    const port = await listen((socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        pour(socket, '{"status":"HealthyBusy"}'.padEnd(4096));
      });
    });
    const attempt = await read(port);
    expect(attempt.ok).toBe(true);
    expect(attempt.body!.length).toBeLessThanOrEqual(LIMIT);
    expect(saysBusy(attempt.body)).toBe(false);
    await until('both ends to be closed', () => accepted.every((it) => it.destroyed));
  });
});
