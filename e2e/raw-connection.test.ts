import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { deploy, example } from './harness/deploy.ts';
import { RawConnection, type RawResponse } from './harness/raw-http.ts';
import { type Server, startServer } from './harness/server.ts';

/** S1: control and data plane behind one listener; every request gets its own answer, whatever it shares a line with. */

let server: Server;
let data: string;

beforeAll(async () => {
  // Ten pipelines at once are more calls than the queue has room for by default.
  server = await startServer({ env: { RUNSTEAD_QUEUE_LENGTH: '1000' } });
  const runtime = await deploy(server.client(), {
    folder: example('hello-http'),
    command: ['node', 'server.mjs'],
    sessionConcurrencyLimitPerInstance: 20,
  });
  data = new URL(server.invocationUrl(runtime.agentRuntimeName)).pathname;
});
afterAll(() => server.dispose());

interface Exchange {
  request: string;
  check: (answer: RawResponse) => void;
}

const PAIRS = 30;

/** Alternately a call to the agent, which gives path and body back, and a question about a runtime nobody has. */
function exchanges(): Exchange[] {
  return Array.from({ length: PAIRS }, (_, i) => [
    dataCall(i),
    i % 3 === 0 ? controlPost() : controlGet(),
  ]).flat();
}

const head = (method: string, path: string, fields: string[] = []) =>
  [`${method} ${path} HTTP/1.1`, `Host: 127.0.0.1:${server.port}`, ...fields, '', ''].join('\r\n');
const key = () => `Authorization: Bearer ${server.apiKey}`;

function dataCall(i: number): Exchange {
  const path = `/echo/${randomUUID()}`;
  const body = randomUUID();
  // Both ways of saying how long a body is.
  const framed =
    i % 2 === 0
      ? head('POST', `${data}${path}`, [`Content-Length: ${body.length}`]) + body
      : `${head('POST', `${data}${path}`, ['Transfer-Encoding: chunked'])}24\r\n${body}\r\n0\r\n\r\n`;
  return {
    request: framed,
    check: ({ status, body: text }) => {
      expect(status, text).toBe(200);
      expect(JSON.parse(text)).toEqual({ method: 'POST', path, body });
    },
  };
}

function controlGet(): Exchange {
  const id = randomUUID();
  return {
    request: head('GET', `/2025-09-10/agents/runtimes/${id}`, [key()]),
    check: ({ status, body }) => {
      expect(status, body).toBe(404);
      expect(body).toContain(id);
    },
  };
}

function controlPost(): Exchange {
  const id = randomUUID();
  const body = JSON.stringify({ agentRuntimeEndpointName: 'x' });
  const fields = [key(), 'Content-Type: application/json', `Content-Length: ${body.length}`];
  return {
    request: head('POST', `/2025-09-10/agents/runtimes/${id}/endpoints`, fields) + body,
    check: ({ status, body: text }) => {
      expect(status, text).toBe(404);
      expect(text).toContain(id);
    },
  };
}

async function connection(): Promise<RawConnection> {
  const opened = await RawConnection.open(server.port);
  onTestFinished(() => opened.close());
  return opened;
}

describe('one TCP connection for both planes', () => {
  test('requests one after the other each get their own answer', async () => {
    const line = await connection();
    for (const { request, check } of exchanges()) {
      line.send(request);
      check(await line.read());
    }
  });

  test('requests pipelined in one write are answered each its own, in their order', async () => {
    const line = await connection();
    const all = exchanges();
    line.send(all.map(({ request }) => request).join(''));
    for (const { check } of all) check(await line.read());
  });

  test('ten such connections at a time do not get into each other’s way', async () => {
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        const line = await connection();
        const all = exchanges();
        line.send(all.map(({ request }) => request).join(''));
        for (const { check } of all) check(await line.read());
      }),
    );
  });

  test('a request that is refused in between does not shift the answers of the others', async () => {
    const line = await connection();
    const [first, second] = [dataCall(0), dataCall(1)];
    const body = 'x'.repeat(1000);
    const refused = head('POST', '/2025-09-10/agents/runtimes', [`Content-Length: ${body.length}`]) + body;
    line.send(first.request);
    first.check(await line.read());
    line.send(refused);
    const answer = await line.read();
    expect(answer.status).toBe(401);
    // The server may close after a body it did not want to read, but must not take it for a request.
    const next = answer.headers.connection === 'close' ? await connection() : line;
    next.send(second.request);
    second.check(await next.read());
  });
});
