import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { deploy, example, fixture, ready, untilGone, untilSettled } from './harness/deploy.ts';
import { callContinuously, callEcho } from './harness/load.ts';
import { hasProc, isAlive } from './harness/processes.ts';
import { isRefused } from './harness/raw-http.ts';
import { type Server, startServerForTest } from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

/** Calls belong to the gateway: it outlives the control process, and the next one takes it over. */

/** The next control process may take its time on a busy machine; how long a gateway waits for it is a test of its own. */
const PATIENT = { RUNSTEAD_GATEWAY_WAIT: '10m' };
const ROUNDS = 3;
const STREAMS = 4;

/** One stream of so many words, read to its end. @returns the words, and when the first has come */
function openStream(server: Server, runtimeName: string, words: number) {
  let begun = () => {};
  const first = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const whole = (async () => {
    const stream = await server.client().invokeOpenai(runtimeName, undefined, {
      messages: [{ role: 'user', content: 'on' }],
      stream: true,
      words,
      delay_ms: 100,
    });
    let text = '';
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      begun();
    }
    return text;
  })();
  whole.catch(() => {});
  return { first: Promise.race([first, whole]), whole };
}

describe.skipIf(!hasProc)('the control process is killed and started again', () => {
  test('three times under load: no call fails, no stream is cut, and it is the same gateway', async () => {
    const server = await startServerForTest({ env: PATIENT });
    const client = server.client();
    const chat = await deploy(client, {
      folder: fixture('chat-node'),
      sessionConcurrencyLimitPerInstance: ROUNDS * STREAMS,
    });
    const echo = await deploy(client, {
      folder: example('hello-http'),
      command: ['node', 'server.mjs'],
      sessionConcurrencyLimitPerInstance: 8,
    });
    const gateway = server.gatewayPid()!;
    const before = (await server.instances(echo.agentRuntimeId)).map(({ pid }) => pid);

    let isOver = false;
    const url = server.invocationUrl(echo.agentRuntimeName);
    const load = callContinuously(
      8,
      () => isOver,
      (number) => callEcho(url, number),
      { pauseMs: 10 },
    );
    const streams: ReturnType<typeof openStream>[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      // Those of the rounds before may be over by now.
      const opened = Array.from({ length: STREAMS }, () => openStream(server, chat.agentRuntimeName, 60));
      streams.push(...opened);
      await Promise.all(opened.map(({ first }) => first));
      await server.kill();
      await waitFor('the gateway to notice', async () => {
        const health = await fetch(`${server.url}/health`);
        expect(health.status).toBe(200);
        return ((await health.json()) as { status: string }).status === 'degraded';
      });
      const refused = await fetch(`${server.url}/2025-09-10/agents/runtimes`);
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
      await refused.arrayBuffer();
      await server.start();
      expect(server.gatewayPid()).toBe(gateway);
      // On connections, of clients and of the gateway, that were there before.
      expect(await client.list()).toHaveLength(2);
      expect(await (await fetch(`${server.url}/health`)).json()).toEqual({ status: 'ok' });
    }
    isOver = true;
    const { calls, failures } = await load;
    expect(failures).toEqual([]);
    expect(calls).toBeGreaterThan(100);
    for (const { whole } of streams) expect(await whole).toBe('hello: on '.repeat(60));

    expect((await server.instances(echo.agentRuntimeId)).map(({ pid }) => pid)).toEqual(before);
    await client.update(echo.agentRuntimeId, { environmentVariables: { RELEASE: 'two' } });
    expect(ready(await untilSettled(client, echo.agentRuntimeId)).agentRuntimeVersion).toBe('2');
    await callEcho(url, 1);
    const third = await deploy(client, { folder: fixture('chat-node') });
    expect((await fetch(`${server.invocationUrl(third.agentRuntimeName)}/who`)).status).toBe(200);
    await client.delete(chat.agentRuntimeId);
    await untilGone('the runtime', () => client.get(chat.agentRuntimeId));
    expect((await fetch(server.invocationUrl(chat.agentRuntimeName))).status).toBe(404);
    // One that was taken over is ended as any other.
    expect(await server.stop('SIGINT')).toEqual({ code: 0, signal: null });
    expect(server.processes()).toEqual([]);
  }, 420_000);

  test('a call that needs an instance to be started waits for the next control process', async () => {
    const server = await startServerForTest({
      env: { ...PATIENT, RUNSTEAD_IDLE_STOP: '1s', RUNSTEAD_QUEUE_TIMEOUT: '10m' },
    });
    const runtime = await deploy(server.client(), { folder: fixture('chat-node') });
    await waitFor('the runtime to sleep', async () => {
      return (await server.instances(runtime.agentRuntimeId)).length === 0;
    });
    await server.kill();
    const call = fetch(`${server.invocationUrl(runtime.agentRuntimeName)}/who`);
    await server.start();
    expect((await call).status).toBe(200);
  });

  test('with another setting: another gateway on the same address, and open streams finish on the old one', async () => {
    const server = await startServerForTest({ env: PATIENT });
    const runtime = await deploy(server.client(), { folder: fixture('chat-node') });
    const gateway = server.gatewayPid()!;
    const { url } = server;
    const stream = openStream(server, runtime.agentRuntimeName, 50);
    await stream.first;
    await server.kill();
    await server.start({ env: { RUNSTEAD_BODY_LIMIT: '1KiB' } });
    expect(server.url).toBe(url);
    expect(server.gatewayPid()).not.toBe(gateway);
    const large = { method: 'POST', body: 'x'.repeat(2000) };
    expect((await fetch(server.invocationUrl(runtime.agentRuntimeName), large)).status).toBe(413);
    expect(await stream.whole).toBe('hello: on '.repeat(50));
    await waitFor('the old gateway to be gone', () => !isAlive(gateway));
  });

  test('on another port: the old address is given up', async () => {
    const server = await startServerForTest({ env: PATIENT });
    const { port: before } = server;
    const gateway = server.gatewayPid()!;
    await server.kill();
    const other = await freePort();
    await server.start({ args: ['--port', String(other)] });
    expect(server.port).toBe(other);
    await waitFor('the old gateway to be gone', () => !isAlive(gateway));
    expect(await isRefused(before)).toBe(true);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });
});

describe.skipIf(!hasProc)('the control process is killed and nobody starts it again', () => {
  test('the gateway ends by itself, and nothing is left', async () => {
    const server = await startServerForTest({ env: { RUNSTEAD_GATEWAY_WAIT: '300ms' } });
    const gateway = server.gatewayPid()!;
    await server.kill();
    await waitFor('the gateway to be gone', () => !isAlive(gateway));
    expect(await isRefused(server.port)).toBe(true);
    await server.nothingIsLeft();
    await server.start();
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });
});

describe.skipIf(!hasProc)('both processes are killed', () => {
  test('the next server has a gateway of its own on the same address', async () => {
    const server = await startServerForTest();
    const gateway = server.gatewayPid()!;
    process.kill(gateway, 'SIGKILL');
    await server.kill();
    await waitFor('no gateway to be left', () => server.gatewayPid() === undefined);
    await server.start();
    expect(server.gatewayPid()).not.toBe(gateway);
    expect(await server.client().list()).toEqual([]);
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
