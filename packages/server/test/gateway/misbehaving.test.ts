import { createServer, type Server, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import {
  call,
  closeAtEnd,
  INVOKE,
  instanceOf,
  openCall,
  rawConnection,
  readAll,
  runtime,
  startAgent,
  startTestGateway,
  type TestGateway,
  until,
} from './harness.ts';

/** Clients and agents that are slow, silent, gone, or not what they say they are. */

/** Something that takes connections and does with each what it is told. */
async function startRaw(onRequest: (socket: Socket, text: string, connection: number) => void) {
  const sockets: Socket[] = [];
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    const number = sockets.length;
    let text = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      onRequest(socket, text, number);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeAtEnd(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return { port: (server.address() as { port: number }).port, sockets };
}

const head = (method: string, ...fields: string[]) =>
  `${[`${method} ${INVOKE} HTTP/1.1`, 'Host: localhost', ...fields].join('\r\n')}\r\n\r\n`;

async function echoing(times: Parameters<typeof startTestGateway>[0] = {}) {
  const agent = await startAgent((request, response) => {
    request.resume().on('end', () => response.end('answer'));
  });
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves: [{ instances: [agent], slots: 9 }] })],
    ...times,
  });
  return { agent, gateway };
}

/** What the next call on a connection of its own gets. */
const next = async (gateway: TestGateway) => (await call(gateway.port, INVOKE)).body;

describe('a client', () => {
  const times = { headMs: 60, idleMs: 60, keepAliveMs: 60, discardMs: 60, lingerMs: 60, tickMs: 10 };

  test('that trickles the head of its request is told so and let go', async () => {
    const { gateway } = await echoing({ times });
    const { socket, state } = await rawConnection(gateway.port);
    socket.write('GET / HTTP/1.1\r\nHost: local');
    const trickle = setInterval(() => socket.write('h'), 5);
    closeAtEnd(() => clearInterval(trickle));
    await until(() => state.ended || state.closed, 'the end');
    clearInterval(trickle);
    expect(state.text).toMatch(/^HTTP\/1\.1 408 /);
  });

  test('that leaves its body unfinished is told so and let go; the agent hears nothing', async () => {
    const { agent, gateway } = await echoing({ times });
    const { socket, state } = await rawConnection(gateway.port);
    socket.write(`${head('POST', 'Content-Length: 10')}12345`);
    await until(() => state.ended || state.closed, 'the end');
    expect(state.text).toMatch(/^HTTP\/1\.1 408 /);
    expect(agent.accepted).toHaveLength(0);
  });

  test('that says nothing at all is let go, and so is one that sends no further request', async () => {
    const { gateway } = await echoing({ times });
    const silent = await rawConnection(gateway.port);
    const once = await rawConnection(gateway.port);
    once.socket.write(head('GET'));
    await until(() => once.state.text.includes('answer'), 'the answer');
    for (const { state } of [silent, once]) await until(() => state.ended || state.closed, 'the end');
    expect(silent.state.text).toBe('');
  });

  test('that does not read its answer is let go, and its agent with it', async () => {
    let cut = false;
    const agent = await startAgent((request, response) => {
      response.on('close', () => {
        cut = true;
      });
      const more = () => {
        while (response.write(Buffer.alloc(65_536)));
        response.once('drain', more);
      };
      request.resume();
      more();
    });
    const gateway = await startTestGateway({
      times,
      runtimes: [runtime({ serves: [{ instances: [agent] }] })],
    });
    const { socket } = await rawConnection(gateway.port);
    socket.pause();
    socket.write(head('GET'));
    await until(() => cut, 'the agent to be let go');
  });

  test('that sends a hundred requests ahead and reads nothing until then gets its answers in order', async () => {
    const agent = await startAgent((request, response) => response.end(`<${request.headers['x-number']}>`));
    const gateway = await startTestGateway({
      runtimes: [runtime({ serves: [{ instances: [agent], slots: 9 }] })],
    });
    const { socket, state } = await rawConnection(gateway.port);
    const numbers = Array.from({ length: 100 }, (_, number) => number);
    socket.write(numbers.map((number) => head('GET', `X-Number: ${number}`)).join(''));
    await until(() => state.text.includes('<99>'), 'the last answer');
    expect([...state.text.matchAll(/<(\d+)>/g)].map((match) => Number(match[1]))).toEqual(numbers);
  });

  test('that ends its side while it waits is taken to be gone', async () => {
    let gone = false;
    const agent = await startAgent((request) => {
      request.on('close', () => {
        gone = true;
      });
    });
    const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
    const { socket, state } = await rawConnection(gateway.port);
    socket.end(head('GET'));
    await until(() => gone, 'the agent to hear of it');
    await until(() => state.closed || state.ended, 'the end');
    expect(state.text).toBe('');
  });

  test('that ends its side right behind a request that is answered at once has its answer', async () => {
    const { gateway } = await echoing();
    for (const text of ['GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n', 'nonsense\r\n\r\n']) {
      const { socket, state } = await rawConnection(gateway.port);
      socket.end(text);
      await until(() => state.closed || state.ended, 'the end');
      expect(state.text).toMatch(/^HTTP\/1\.1 \d{3} .*\}$/s);
    }
  });

  test('that resets in the middle of its upload leaves the gateway as it was', async () => {
    const { gateway } = await echoing();
    for (let round = 0; round < 20; round++) {
      const { socket } = await rawConnection(gateway.port);
      socket.write(`${head('POST', 'Content-Length: 1000000')}${'x'.repeat(round * 5000)}`);
      socket.resetAndDestroy();
    }
    expect(await next(gateway)).toBe('answer');
  });

  test('that sends what is no chunk in the middle of a stream is cut off; the agent does not take it for whole', async () => {
    let complete: boolean | undefined;
    let begun = false;
    const agent = await startAgent((request) => {
      request.on('data', () => {
        begun = true;
      });
      request.on('error', () => {});
      request.on('close', () => {
        complete = request.complete;
      });
    });
    const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
    const { socket, state } = await rawConnection(gateway.port);
    socket.write(`${head('POST', 'Transfer-Encoding: chunked')}5\r\nhello\r\n`);
    await until(() => begun, 'the first chunk');
    socket.write('zz\r\nGET /smuggled HTTP/1.1\r\n\r\n');
    await until(() => state.ended || state.closed, 'the end');
    await until(() => complete !== undefined, 'the agent to hear of it');
    expect(complete).toBe(false);
    expect(state.text).toMatch(/^HTTP\/1\.1 400 /);
    expect(state.text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });
});

describe('an agent', () => {
  const serve = async (
    onRequest: Parameters<typeof startRaw>[0],
    options: Parameters<typeof startTestGateway>[0] = {},
  ) => {
    const agent = await startRaw(onRequest);
    const gateway = await startTestGateway({
      runtimes: [runtime({ serves: [{ instances: [instanceOf(agent)], slots: 9 }] })],
      ...options,
    });
    return { agent, gateway };
  };
  const whole = (text: string) => text.includes('\r\n\r\n');
  const good = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood';

  test('that sends more than it said is not asked again on that connection', async () => {
    const { agent, gateway } = await serve((socket, text, connection) => {
      if (whole(text))
        socket.write(connection === 1 ? `${good}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil` : good);
    });
    expect(await next(gateway)).toBe('good');
    expect(await next(gateway)).toBe('good');
    expect(agent.sockets).toHaveLength(2);
  });

  test('that speaks unasked on a kept connection is not asked again on that one', async () => {
    const { agent, gateway } = await serve((socket, text, connection) => {
      if (!whole(text)) return;
      socket.write(good);
      if (connection === 1)
        setImmediate(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'));
    });
    expect(await next(gateway)).toBe('good');
    await until(
      () => agent.sockets[0]!.readableEnded || agent.sockets[0]!.destroyed,
      'the connection to end',
    );
    expect(await next(gateway)).toBe('good');
  });

  test('that sends less than it said, and closes, has its answer cut short', async () => {
    const { gateway } = await serve((socket, text) => {
      if (whole(text)) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort');
    });
    await expect(call(gateway.port, INVOKE)).rejects.toThrow();
  });

  test('that breaks off a chunked answer has it cut short', async () => {
    const { gateway } = await serve((socket, text) => {
      if (whole(text)) socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
    });
    await expect(call(gateway.port, INVOKE)).rejects.toThrow();
  });

  test('that ends its answer by closing has it passed on whole', async () => {
    const { gateway } = await serve((socket, text) => {
      if (whole(text)) socket.end('HTTP/1.0 200 OK\r\n\r\nto the end');
    });
    expect(await next(gateway)).toBe('to the end');
  });

  test('that resets instead of ending has its answer cut short, however it was framed', async () => {
    const { agent, gateway } = await serve((socket, text) => {
      if (whole(text)) socket.write('HTTP/1.1 200 OK\r\n\r\nto the');
    });
    const { request, answer } = openCall(gateway.port, INVOKE, { method: 'GET' });
    request.end();
    const reply = await answer;
    agent.sockets[0]!.resetAndDestroy();
    await expect(readAll(reply)).rejects.toThrow();
  });

  test.each([
    ['garbage', 'hello there\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx'],
    ['both framings', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a folded field', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
    ['an unasked switch', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
    ['nothing', ''],
  ])('that answers with %s is told of as such', async (_, answer) => {
    const { gateway } = await serve((socket, text) => {
      if (whole(text)) socket.end(answer);
    });
    const reply = await call(gateway.port, INVOKE, { body: 'x' });
    expect(reply.status).toBe(502);
    expect(reply.headers['x-runstead-error-origin']).toBe('platform');
    expect(reply.json().error).toMatchObject({ code: 'ERR_AGENT_UNREACHABLE', type: 'agent_error' });
  });

  test('that says nothing is not waited for without end', async () => {
    const { gateway } = await serve(() => {}, { times: { agentSilenceMs: 50, tickMs: 10 } });
    const reply = await call(gateway.port, INVOKE, { body: 'x' });
    expect(reply.status).toBe(502);
    expect(reply.json().error.message).toContain('said nothing');
  });

  test('that answers before it has read the request is passed on, and the client may send another', async () => {
    const { gateway } = await serve((socket, text) => {
      if (whole(text)) socket.end('HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno');
    });
    const { request, answer } = openCall(gateway.port, INVOKE, { headers: { 'content-length': 1_000_000 } });
    request.write(Buffer.alloc(100_000));
    const reply = await answer;
    expect(reply.statusCode).toBe(413);
    expect(await readAll(reply)).toBe('no');
  });

  test('that dies over a request which may be repeated is passed over for another', async () => {
    const { gateway } = await serve((socket, text, connection) => {
      if (!whole(text)) return;
      if (connection === 1) socket.destroy();
      else socket.write(good);
    });
    expect((await call(gateway.port, INVOKE)).body).toBe('good');
    const keyed = await serve((socket, text, connection) => {
      if (!whole(text)) return;
      if (connection === 1) socket.destroy();
      else socket.write(good);
    });
    const options = { body: '{}', headers: { 'idempotency-key': 'k1' } };
    expect((await call(keyed.gateway.port, INVOKE, options)).body).toBe('good');
  });

  test('whose connection was held back by a slow client serves the next call on it', async () => {
    const size = 8 * 1024 * 1024;
    const { agent, gateway } = await serve((socket, text) => {
      const asked = text.split('\r\n\r\n').length - 1;
      if (!text.endsWith('\r\n\r\n')) return;
      if (asked === 1) {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        socket.write(Buffer.alloc(size));
      } else socket.write(good);
    });
    const { request, answer } = openCall(gateway.port, INVOKE, { method: 'GET' });
    request.end();
    const slow = await answer;
    slow.pause();
    await until(() => agent.sockets[0]!.writableLength > 0, 'the agent to be held back');
    let read = 0;
    for await (const chunk of slow) read += (chunk as Buffer).length;
    expect(read).toBe(size);
    expect(await next(gateway)).toBe('good');
    expect(agent.sockets).toHaveLength(1);
  });
});
