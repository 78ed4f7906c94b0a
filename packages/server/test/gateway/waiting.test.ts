import { expect, test } from 'vitest';
import {
  call,
  INVOKE,
  instanceOf,
  openCall,
  runtime,
  startAgent,
  startTestGateway,
  until,
} from './harness.ts';

test('a call to a sleeping version wakes it and is answered when it is there', async () => {
  const agent = await startAgent((_, response) => response.end('awake'));
  const gateway = await startTestGateway({ runtimes: [runtime()] });
  const reply = call(gateway.port, INVOKE);
  const [demand] = await until(
    () => (gateway.of('demand').length > 0 ? gateway.of('demand') : null),
    'demand',
  );
  expect(demand).toEqual({ type: 'demand', runtimeId: 'runtime-1', version: 1, queued: 1, inFlight: 0 });
  await gateway.routes(runtime({ serves: [{ instances: [agent] }] }));
  expect((await reply).body).toBe('awake');
  await until(() => gateway.of('demand').at(-1)?.queued === 0, 'the end of demand');
});

test('calls are answered in the order they came', async () => {
  const answered: string[] = [];
  const agent = await startAgent((request, response) => {
    answered.push(request.url!);
    setImmediate(() => response.end());
  });
  const gateway = await startTestGateway({ runtimes: [runtime()] });
  const replies = [];
  for (let at = 0; at < 8; at++) {
    replies.push(call(gateway.port, `${INVOKE}/${at}`));
    await until(() => (gateway.of('demand').at(-1)?.queued ?? 0) >= at + 1, `call ${at} to wait`);
  }
  await gateway.routes(runtime({ serves: [{ instances: [agent] }] }));
  await Promise.all(replies);
  expect(answered).toEqual(['/0', '/1', '/2', '/3', '/4', '/5', '/6', '/7']);
});

test('a full queue answers 429 and when to come again', async () => {
  const gateway = await startTestGateway({ runtimes: [runtime()], settings: { queueLength: 2 } });
  openCall(gateway.port, INVOKE).request.end();
  openCall(gateway.port, INVOKE).request.end();
  await until(() => gateway.of('demand').at(-1)?.queued === 2, 'two waiting calls');
  const reply = await call(gateway.port, INVOKE, { body: '{}' });
  expect(reply.status).toBe(429);
  expect(reply.headers['retry-after']).toBe('1');
  expect(reply.headers['x-runstead-error-origin']).toBe('platform');
  expect(reply.json().error).toMatchObject({
    code: 'ERR_TOO_MANY_REQUESTS',
    type: 'rate_limit_error',
    param: null,
  });
});

test('a call that waits too long answers 503, saying that nothing has started', async () => {
  const gateway = await startTestGateway({ runtimes: [runtime()], settings: { queueTimeoutMs: 30 } });
  const reply = await call(gateway.port, INVOKE);
  expect(reply.status).toBe(503);
  expect(reply.json().error.message).toMatch(/^Waited \d+ ms for an instance .*: none has started yet$/);
});

test('a client that hangs up leaves the queue', async () => {
  const gateway = await startTestGateway({ runtimes: [runtime()] });
  const { request } = openCall(gateway.port, INVOKE);
  request.end('{}');
  await until(() => gateway.of('demand').at(-1)?.queued === 1, 'the call to wait');
  request.destroy();
  await until(() => gateway.of('demand').at(-1)?.queued === 0, 'the call to leave');
});

test('a version that cannot start answers 503 with the reason, and asks to be tried again', async () => {
  const gateway = await startTestGateway({ runtimes: [runtime()] });
  const waiting = call(gateway.port, INVOKE);
  await until(() => gateway.of('demand').length > 0, 'demand');
  const failure = 'exited with code 1: Error: OPENAI_BASE_URL is not set';
  await gateway.routes(runtime({ serves: [{ failure }] }));
  const told = [await waiting, await call(gateway.port, INVOKE)];
  for (const reply of told) {
    expect(reply.status).toBe(503);
    expect(reply.json().error).toMatchObject({ code: 'ERR_VERSION_FAILED', type: 'agent_error' });
    expect(reply.json().error.message).toContain(failure);
    expect(reply.headers['x-runstead-error-origin']).toBe('platform');
  }
  expect(gateway.of('demand').at(-1)?.queued).toBe(1);
});

test('a drained instance is reported when its stream ends, and takes no new call before', async () => {
  let finish = () => {};
  const old = await startAgent((_, response) => {
    response.write('old');
    finish = () => response.end();
  });
  const fresh = await startAgent((_, response) => response.end('fresh'));
  const gateway = await startTestGateway({
    runtimes: [runtime({ serves: [{ instances: [old], slots: 5 }] })],
  });
  const { request, answer } = openCall(gateway.port, INVOKE, { method: 'GET' });
  request.end();
  const stream = await answer;
  await gateway.routes(
    runtime({ serves: [{ instances: [instanceOf(old, 'draining'), instanceOf(fresh)], slots: 5 }] }),
  );
  for (let at = 0; at < 5; at++) expect((await call(gateway.port, INVOKE)).body).toBe('fresh');
  expect(gateway.of('drained')).toEqual([]);
  finish();
  stream.resume();
  await until(() => gateway.of('drained').length === 1, 'drained');
  expect(gateway.of('drained')).toEqual([{ type: 'drained', instanceId: `instance-${old.port}` }]);
  // A control process that has just come back asks for everything by a snapshot.
  await gateway.snapshot([runtime({ serves: [{ instances: [instanceOf(old, 'draining')] }] })]);
  await until(() => gateway.of('drained').length === 2, 'drained again');
});

test('points of chance split calls exactly by the weights', async () => {
  const agents = await Promise.all(
    ['one', 'two'].map((name) => startAgent((_, response) => response.end(name))),
  );
  let point = 0;
  const gateway = await startTestGateway({
    random: () => point,
    runtimes: [
      runtime({
        serves: [
          { version: 1, instances: [agents[0]!] },
          { version: 2, instances: [agents[1]!] },
        ],
        shares: { 1: 0.75, 2: 0.25 },
      }),
    ],
  });
  const counts: Record<string, number> = {};
  for (let at = 0; at < 40; at++) {
    point = at / 40;
    const { body } = await call(gateway.port, INVOKE);
    counts[body] = (counts[body] ?? 0) + 1;
  }
  expect(counts).toEqual({ one: 30, two: 10 });
});

test('usage is told every second, with what each instance does', async () => {
  let finish = () => {};
  const busy = await startAgent((_, response) => {
    response.write('x');
    finish = () => response.end();
  });
  const gateway = await startTestGateway({ runtimes: [runtime({ serves: [{ instances: [busy] }] })] });
  const { request, answer } = openCall(gateway.port, INVOKE, { method: 'GET' });
  request.end();
  const stream = await answer;
  const id = `instance-${busy.port}`;
  await until(
    () =>
      gateway
        .of('usage')
        .at(-1)
        ?.instances.some((one) => one.id === id && one.inFlight === 1),
    'usage of a busy instance',
  );
  finish();
  stream.resume();
  await until(
    () =>
      gateway
        .of('usage')
        .at(-1)
        ?.instances.some((one) => one.inFlight === 0 && one.idleMs >= 0),
    'usage of an idle instance',
  );
});

test.each([
  [
    'unknown runtime',
    '/agent-runtimes/nope/endpoints/Default/invocations/x',
    404,
    "Runtime 'nope' does not exist",
  ],
  [
    'unknown endpoint',
    '/agent-runtimes/echo/endpoints/nope/invocations',
    404,
    "Endpoint 'nope' of runtime 'echo' does not exist",
  ],
  [
    'closed endpoint',
    '/agent-runtimes/echo/endpoints/inner/invocations',
    403,
    'closed to public network access',
  ],
  ['no version', '/agent-runtimes/empty/endpoints/Default/invocations', 503, 'still unpacking'],
  ['deleting', '/agent-runtimes/going/endpoints/Default/invocations', 404, "Runtime 'going' does not exist"],
])('%s is answered from memory', async (_, path, status, message) => {
  const echo = runtime();
  echo.endpoints.push({ name: 'inner', weights: [], disablePublicNetworkAccess: true });
  const gateway = await startTestGateway({
    // Else a call from this machine is private, and open to it.
    settings: { privateHosts: [] },
    runtimes: [
      echo,
      runtime({ runtimeId: 'r2', name: 'empty', serves: [], unavailableReason: 'still unpacking' }),
      runtime({ runtimeId: 'r3', name: 'going', state: 'deleting' }),
    ],
  });
  const reply = await call(gateway.port, path);
  expect(reply.status).toBe(status);
  expect(reply.json().error.message).toContain(message);
  expect(reply.headers['x-acs-request-id']).toBeTruthy();
});
