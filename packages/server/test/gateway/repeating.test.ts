import { createServer, type Server } from 'node:net';
import { expect, test } from 'vitest';
import type { InstanceRoute } from '../../src/feed/messages.ts';
import {
  call,
  closeAtEnd,
  INVOKE,
  openCall,
  runtime,
  startAgent,
  startTestGateway,
  until,
} from './harness.ts';

/** A port on which nobody listens. */
async function refusedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const refused = (port: number) => ({ id: 'refused', host: '127.0.0.1', port, state: 'ready' as const });

test.each([
  ['without a body', undefined],
  ['with a small body', Buffer.alloc(100, 'x')],
  ['with a large body', Buffer.alloc(1_000_000, 'x')],
])('a call %s to an instance that refuses goes to another one', async (_, body) => {
  let received = -1;
  const agent = await startAgent((request, response) => {
    received = 0;
    request.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    request.on('end', () => response.end('here'));
  });
  const port = await refusedPort();
  // The point 0 prefers the first of equally loaded instances.
  const gateway = await startTestGateway({
    random: () => 0,
    runtimes: [runtime({ serves: [{ instances: [refused(port), agent], slots: 9 }] })],
  });
  const reply = await call(gateway.port, INVOKE, body ? { body } : {});
  expect(reply.body).toBe('here');
  expect(received).toBe(body?.length ?? 0);
  expect(gateway.of('unreachable')).toMatchObject([{ instanceId: 'refused' }]);
  expect(gateway.of('unreachable')[0]!.reason).toContain('ECONNREFUSED');
  // From now on it is passed over.
  await call(gateway.port, INVOKE);
  expect(gateway.of('unreachable')).toHaveLength(1);
});

test('a call to the only instance, which refuses, waits for the next one', async () => {
  const port = await refusedPort();
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves: [{ instances: [refused(port)] }] })],
  });
  const reply = call(gateway.port, INVOKE, { body: 'hello' });
  await until(() => gateway.of('demand').at(-1)?.queued === 1, 'the call to wait');
  const agent = await startAgent((request, response) => request.pipe(response));
  await gateway.routes(runtime({ serves: [{ instances: [agent] }] }));
  expect((await reply).body).toBe('hello');
});

/**
 * Answers the first request of each connection and cuts the connection when the second comes, as a server does that
 * closes an idle connection at the very moment it is used again.
 */
async function startForgetfulAgent(): Promise<{
  port: number;
  requests: string[];
  connections: () => number;
}> {
  const requests: string[] = [];
  let connections = 0;
  const server: Server = createServer((socket) => {
    connections++;
    let answered = false;
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      requests.push(chunk.toString());
      if (answered) socket.resetAndDestroy();
      else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      answered = true;
    });
    closeAtEnd(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeAtEnd(() => new Promise((resolve) => server.close(resolve)));
  return {
    port: (server.address() as { port: number }).port,
    requests,
    connections: () => connections,
  };
}

test.each([
  ['GET', undefined],
  ['POST', 'small'],
])(
  'a %s that meets a kept connection which was closed is repeated once, over a new one',
  async (method, body) => {
    const agent = await startForgetfulAgent();
    const gateway = await startTestGateway({
      runtimes: [runtime({ serves: [{ instances: [refused(agent.port)], slots: 9 }] })],
    });
    const options = body === undefined ? { method } : { method, body };
    expect((await call(gateway.port, INVOKE, options)).status).toBe(200);
    expect(agent.connections()).toBe(1);
    const second = await call(gateway.port, INVOKE, options);
    expect(second.status).toBe(200);
    expect(agent.connections()).toBe(2);
    expect(agent.requests).toHaveLength(3);
    expect(gateway.of('unreachable')).toEqual([]);
  },
);

test('a large body never rides a kept connection, since it could not be sent again', async () => {
  const agent = await startForgetfulAgent();
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves: [{ instances: [refused(agent.port)], slots: 9 }] })],
  });
  expect((await call(gateway.port, INVOKE)).status).toBe(200);
  const { request, answer } = openCall(gateway.port, INVOKE, { headers: { 'content-length': 100_000 } });
  request.write('the beginning');
  expect((await answer).statusCode).toBe(200);
  expect(agent.connections()).toBe(2);
});

test('a body that was half sent is not sent again', async () => {
  let begun = 0;
  const agent = await startAgent((request) => {
    begun++;
    request.once('data', () => request.socket.destroy());
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
  const reply = await call(gateway.port, INVOKE, { body: Buffer.alloc(3_000_000) });
  expect(reply.status).toBe(502);
  expect(reply.json().error).toMatchObject({ code: 'ERR_AGENT_UNREACHABLE', type: 'agent_error' });
  expect(begun).toBe(1);
});

test('a request that an agent dies over is not repeated', async () => {
  let begun = 0;
  const agent = await startAgent((request) => {
    begun++;
    request.socket.destroy();
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
  const reply = await call(gateway.port, INVOKE, { body: '{}' });
  expect(reply.status).toBe(502);
  expect(reply.json().error.message).toBe('The agent closed the connection before it answered');
  expect(reply.headers['x-runstead-error-origin']).toBe('platform');
  expect(begun).toBe(1);
  // The slot is free again.
  expect((await call(gateway.port, INVOKE)).status).toBe(502);
});

test('an answer that is not HTTP is told as such', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.end('what?\r\n\r\n'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeAtEnd(() => new Promise((resolve) => server.close(resolve)));
  const { port } = server.address() as { port: number };
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves: [{ instances: [refused(port)] }] })],
  });
  const reply = await call(gateway.port, INVOKE);
  expect(reply.status).toBe(502);
  expect(reply.json().error.message).toContain('not valid HTTP');
});

test('kept connections are used again, and closed when their instance leaves the routes', async () => {
  const agent = await startAgent((_, response) => response.end('ok'));
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
  for (let at = 0; at < 5; at++) await call(gateway.port, INVOKE, { body: `${at}` });
  expect(agent.accepted).toHaveLength(1);
  await gateway.routes(runtime());
  await until(() => agent.accepted[0]!.destroyed, 'the kept connection to close');
});

test('a thousand calls pass while their version moves between two instances with drains', async () => {
  const agents = await Promise.all(
    ['a', 'b'].map((name) =>
      startAgent((request, response) => {
        request.resume();
        request.on('end', () => setImmediate(() => response.end(name)));
      }),
    ),
  );
  const route = (index: number, state: InstanceRoute['state']): InstanceRoute => ({
    id: `i-${index}`,
    host: '127.0.0.1',
    port: agents[index]!.port,
    state,
  });
  const serving = (at: number, draining: boolean) =>
    runtime({
      serves: [
        { slots: 20, instances: [route(at, 'ready'), ...(draining ? [route(1 - at, 'draining')] : [])] },
      ],
    });
  const gateway = await startTestGateway({ runtimes: [serving(0, false)] });

  let done = 0;
  let failed = 0;
  const seen = new Set<string>();
  let next = 0;
  const caller = async () => {
    while (next < 1000) {
      const index = next++;
      try {
        const reply = await call(gateway.port, `${INVOKE}/${index}`, { body: `{"n":${index}}` });
        if (reply.status !== 200) failed++;
        seen.add(reply.body);
      } catch {
        failed++;
      }
      done++;
    }
  };
  const switching = (async () => {
    for (let turn = 1; turn <= 50; turn++) {
      await until(() => done >= turn * 19, `${turn * 19} calls`);
      const drainedBefore = gateway.of('drained').length;
      await gateway.routes(serving(turn % 2, true));
      await until(() => gateway.of('drained').length > drainedBefore, `drain ${turn}`);
      await gateway.routes(serving(turn % 2, false));
    }
  })();
  await Promise.all([...Array.from({ length: 32 }, caller), switching]);

  expect(failed).toBe(0);
  expect(done).toBe(1000);
  expect([...seen].sort()).toEqual(['a', 'b']);
  expect(gateway.of('drained')).toHaveLength(50);
}, 60_000);
