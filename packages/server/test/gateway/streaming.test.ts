import { expect, test } from 'vitest';
import {
  call,
  INVOKE,
  openCall,
  rawConnection,
  readAll,
  runtime,
  startAgent,
  startTestGateway,
  until,
} from './harness.ts';

test('an answer reaches the client byte for byte, with the id of the call', async () => {
  const agent = await startAgent((request, response) => {
    response.setHeader('set-cookie', ['a=1', 'b=2']);
    response.end(`${request.method} ${request.url}`);
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });

  const reply = await call(gateway.port, `${INVOKE}/a%2Fb//c/../d;x?q=%20&r`);

  expect(reply.status).toBe(200);
  expect(reply.body).toBe('GET /a%2Fb//c/../d;x?q=%20&r');
  expect(reply.headers['x-acs-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  expect(reply.headers['set-cookie']).toEqual(['a=1', 'b=2']);
  expect(reply.headers['x-runstead-error-origin']).toBeUndefined();
});

test('the first byte of an answer arrives before the last one is produced', async () => {
  let finish = () => {};
  const agent = await startAgent((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: first\n\n');
    finish = () => response.end('data: last\n\n');
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });

  const { request, answer } = openCall(gateway.port, `${INVOKE}/stream`, { method: 'GET' });
  request.end();
  const stream = await answer;
  let text = '';
  stream.on('data', (chunk) => {
    text += chunk;
  });
  await until(() => text === 'data: first\n\n', 'the first event');
  finish();
  await until(() => text.endsWith('data: last\n\n'), 'the last event');
});

test('the head of an answer arrives before its first byte', async () => {
  let finish = () => {};
  const agent = await startAgent((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    finish = () => response.end('done');
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });

  const { request, answer } = openCall(gateway.port, INVOKE, { method: 'GET' });
  request.end();
  const stream = await answer;
  finish();
  expect(await readAll(stream)).toBe('done');
});

test('an upload reaches the agent before the client has sent all of it, and is answered meanwhile', async () => {
  const seen: string[] = [];
  const agent = await startAgent((request, response) => {
    response.writeHead(200);
    request.on('data', (chunk: Buffer) => {
      seen.push(chunk.toString());
      response.write(`saw ${chunk}`);
    });
    request.on('end', () => response.end());
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });

  const { request, answer } = openCall(gateway.port, INVOKE);
  request.write('one');
  let text = '';
  const stream = await answer;
  stream.on('data', (chunk) => {
    text += chunk;
  });
  await until(() => seen.length === 1 && text === 'saw one', 'the first chunk at both ends');
  request.end('two');
  await until(() => text === 'saw onesaw two', 'the second chunk at both ends');
});

test('a large body passes both ways unchanged', async () => {
  const agent = await startAgent((request, response) => request.pipe(response));
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
  const body = Buffer.alloc(8 * 1024 * 1024, 'abcdefg');

  const reply = await call(gateway.port, INVOKE, { body });

  expect(reply.body.length).toBe(body.length);
  expect(Buffer.from(reply.body).equals(body)).toBe(true);
});

test('a client that does not read holds back the agent, not the gateway memory', async () => {
  let written = 0;
  let blocked = false;
  const chunk = Buffer.alloc(256 * 1024);
  const agent = await startAgent((_, response) => {
    const more = () => {
      while (written < 400 * chunk.length) {
        written += chunk.length;
        if (!response.write(chunk)) {
          blocked = true;
          response.once('drain', () => {
            blocked = false;
            more();
          });
          return;
        }
      }
      response.end();
    };
    more();
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });

  const { request, answer } = openCall(gateway.port, INVOKE, { method: 'GET' });
  request.end();
  const stream = await answer;
  let before = -1;
  let still = 0;
  await until(() => {
    still = blocked && written === before ? still + 1 : 0;
    before = written;
    return still > 50;
  }, 'the agent to be held back');
  expect(written).toBeLessThan(400 * chunk.length);
  stream.resume();
  await until(() => stream.readableEnded, 'the rest');
  expect(written).toBe(400 * chunk.length);
});

test('a client that hangs up ends the request to the agent and frees its slot', async () => {
  let gone = false;
  let begun = 0;
  const agent = await startAgent((_, response) => {
    begun++;
    response.write('first');
    response.on('close', () => {
      gone = true;
    });
    if (begun === 2) response.end();
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });

  const { request, answer } = openCall(gateway.port, INVOKE, { method: 'GET' });
  request.end();
  await answer;
  request.destroy();
  await until(() => gone, 'the agent to notice');
  // One slot only: this would wait if it were still held.
  expect((await call(gateway.port, INVOKE)).status).toBe(200);
});

test('a client that hangs up in the middle of its upload ends the request to the agent', async () => {
  let aborted = false;
  let begun = false;
  const agent = await startAgent((request) => {
    request.on('error', () => {});
    request.on('data', () => {
      begun = true;
    });
    request.on('close', () => {
      aborted = !request.complete;
    });
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });

  const { request } = openCall(gateway.port, INVOKE, { headers: { 'content-length': 1_000_000 } });
  request.write(Buffer.alloc(100_000));
  await until(() => begun, 'the first bytes');
  request.destroy();
  await until(() => aborted, 'the agent to notice');
});

test.each([
  ['chunked', {}],
  ['counted', { 'content-length': '1000' }],
])('an answer that breaks off (%s) is an error for the client', async (_, headers) => {
  const agent = await startAgent((_request, response) => {
    response.writeHead(200, headers);
    response.write('some of it', () => setImmediate(() => response.destroy()));
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });

  const { request, answer } = openCall(gateway.port, INVOKE, { method: 'GET' });
  request.end();
  await expect(answer.then(readAll)).rejects.toThrow(/aborted|terminated|reset/);
});

test('HEAD, 204 and 304 have no body, and the connection stays in step', async () => {
  const agent = await startAgent((request, response) => {
    if (request.method === 'HEAD') response.writeHead(200, { 'content-length': '42' });
    else if (request.url === '/none') response.writeHead(204);
    else if (request.url === '/same') response.writeHead(304, { etag: '"x"' });
    else response.write('body');
    response.end();
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });
  const { socket, state } = await rawConnection(gateway.port);
  const ask = (method: string, rest: string, last = false) =>
    socket.write(
      `${method} ${INVOKE}${rest} HTTP/1.1\r\nHost: localhost\r\n${last ? 'Connection: close\r\n' : ''}\r\n`,
    );
  ask('HEAD', '/');
  ask('GET', '/none');
  ask('GET', '/same');
  ask('GET', '/body', true);
  await until(() => state.ended, 'the end of the connection');

  const heads = state.text.split(/(?=HTTP\/1\.1 \d{3})/);
  expect(heads.map((head) => head.slice(9, 12))).toEqual(['200', '204', '304', '200']);
  expect(heads[0]).toMatch(/content-length: 42/i);
  expect(heads[0]!.endsWith('\r\n\r\n')).toBe(true);
  expect(heads[1]).not.toMatch(/content-length|transfer-encoding/i);
  expect(heads[1]!.endsWith('\r\n\r\n')).toBe(true);
  expect(heads[2]!.endsWith('\r\n\r\n')).toBe(true);
  expect(heads[3]).toContain('body');
});

test('"100 Continue" comes from the agent, and a refusal spares the client its upload', async () => {
  let ready = false;
  const agent = await startAgent(() => {}, {
    setUp: (server) =>
      server.on('checkContinue', (request, response) => {
        if (request.url === '/refuse') {
          response.writeHead(401).end('no');
          return;
        }
        ready = true;
        response.writeContinue();
        request.pipe(response);
      }),
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [agent] }] })] });

  const accepted = openCall(gateway.port, INVOKE, {
    headers: { expect: '100-continue', 'content-length': 4 },
  });
  accepted.request.flushHeaders();
  await new Promise<void>((resolve) => accepted.request.once('continue', resolve));
  expect(ready).toBe(true);
  accepted.request.end('body');
  expect(await readAll(await accepted.answer)).toBe('body');

  const refused = openCall(gateway.port, `${INVOKE}/refuse`, {
    headers: { expect: '100-continue', 'content-length': 4 },
  });
  refused.request.flushHeaders();
  const answer = await refused.answer;
  expect(answer.statusCode).toBe(401);
  expect(answer.headers['x-runstead-error-origin']).toBe('agent');
  expect(answer.headers.connection).toBe('close');
});
