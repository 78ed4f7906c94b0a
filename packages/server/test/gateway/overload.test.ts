import { expect, test } from 'vitest';
import {
  call,
  INVOKE,
  instanceOf,
  keyRoute,
  openCall,
  runtime,
  startAgent,
  startTestGateway,
  until,
} from './harness.ts';

const AN_HOUR = { count: 1, periodMs: 3_600_000, burst: 3 };
const other = (name: string) => `/agent-runtimes/${name}/endpoints/Default/invocations`;

test('calls over the limit of a runtime are answered 429 before anything is woken, and no other runtime is touched', async () => {
  const gateway = await startTestGateway({
    settings: { rateLimitRuntime: AN_HOUR, queueLength: 0 },
    runtimes: [runtime(), runtime({ runtimeId: 'runtime-2', name: 'other' })],
  });
  // Where nothing may wait each of them is answered at once.
  for (let at = 0; at < 3; at++) {
    const reply = await call(gateway.port, INVOKE);
    expect(reply.json().error.message).toMatch(/is full: 0 calls are waiting$/);
  }
  await until(() => gateway.of('demand').at(-1)?.queued === 0, 'the end of demand');
  const demands = gateway.of('demand').length;
  const refused = await call(gateway.port, INVOKE, { body: 'x'.repeat(10_000) });
  expect(refused.status).toBe(429);
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(3500);
  expect(refused.headers['x-runstead-error-origin']).toBe('platform');
  expect(refused.json().error).toMatchObject({ code: 'ERR_TOO_MANY_REQUESTS', type: 'rate_limit_error' });
  expect(refused.json().error.message).toMatch(
    /^Too many calls to runtime 'echo': at most 1 an hour, 3 at once; /,
  );
  expect((await call(gateway.port, other('other'))).json().error.message).toMatch(/is full: 0 calls/);
  expect(
    gateway
      .of('demand')
      .slice(demands)
      .map(({ runtimeId }) => runtimeId),
  ).not.toContain('runtime-1');
});

test('calls over the limit of a key are answered 429; other keys and anonymous callers are not touched', async () => {
  const agent = await startAgent((_, response) => response.end('ok'));
  const keys = ['rsk_one', 'rsk_two'].map((key, at) => ({
    ...keyRoute(key),
    id: `key-${at}`,
    accessKeyId: `ak${at}`,
  }));
  const gateway = await startTestGateway({
    settings: { rateLimitKey: AN_HOUR },
    runtimes: [runtime({ serves: [{ instances: [agent] }] })],
    keys,
  });
  const as = async (key: string | undefined) => {
    const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
    return (await call(gateway.port, INVOKE, { headers })).status;
  };
  expect([await as('rsk_one'), await as('rsk_one'), await as('rsk_one')]).toEqual([200, 200, 200]);
  expect(await as('rsk_one')).toBe(429);
  expect([await as('rsk_two'), await as(undefined), await as(undefined)]).toEqual([200, 200, 200]);
  // A key that is not good is told so, however often it comes.
  for (let at = 0; at < 5; at++) expect(await as('rsk_bad')).toBe(401);
});

test('an upgrade counts as any call does', async () => {
  const gateway = await startTestGateway({
    settings: { rateLimitRuntime: { ...AN_HOUR, burst: 1 }, queueLength: 0 },
    runtimes: [runtime()],
  });
  await call(gateway.port, INVOKE);
  const reply = await call(gateway.port, INVOKE, {
    headers: { connection: 'Upgrade', upgrade: 'websocket' },
  });
  expect(reply.status).toBe(429);
  expect(reply.json().error.message).toMatch(/^Too many calls to runtime/);
});

test('what waiting calls hold is bounded for a version and for all, and another runtime still has room', async () => {
  const gateway = await startTestGateway({
    settings: { queueBytes: 100_000, queueBytesTotal: 150_000 },
    runtimes: ['echo', 'second', 'third'].map((name) => runtime({ runtimeId: `r-${name}`, name })),
  });
  const waits = async (name: string, queued: number, size: number) => {
    openCall(gateway.port, other(name)).request.end(Buffer.alloc(size));
    await until(
      () =>
        gateway
          .of('demand')
          .filter(({ runtimeId }) => runtimeId === `r-${name}`)
          .at(-1)?.queued === queued,
      `call ${queued} of ${name} to wait`,
    );
  };
  await waits('echo', 1, 50_000);
  const beyondVersion = await call(gateway.port, other('echo'), { body: Buffer.alloc(60_000) });
  expect(beyondVersion.status).toBe(429);
  expect(beyondVersion.json().error.message).toMatch(
    /calls are waiting with 50\d+ bytes, this one has 60\d+/,
  );
  await waits('echo', 2, 20_000);
  const beyondAll = await call(gateway.port, other('echo'), { body: Buffer.alloc(25_000) });
  expect(beyondAll.status).toBe(429);
  expect(beyondAll.json().error.message).toMatch(
    /calls that wait for any runtime hold 70\d+ of 150000 bytes/,
  );
  await waits('second', 1, 35_000);
  await waits('third', 1, 25_000);
});

test('a version without room for an instance answers 503 with the limit, and those that wait are told too', async () => {
  const gateway = await startTestGateway({ runtimes: [runtime()] });
  const waiting = call(gateway.port, INVOKE);
  await until(() => gateway.of('demand').length > 0, 'demand');
  const full = runtime();
  full.versions[0]!.noRoom = 'the limit of 3 instances in all is reached';
  await gateway.routes(full);
  for (const reply of [await waiting, await call(gateway.port, INVOKE)]) {
    expect(reply.status).toBe(503);
    expect(reply.headers['retry-after']).toBe('1');
    expect(reply.json().error).toMatchObject({ code: 'ERR_UNAVAILABLE', type: 'platform_error' });
    expect(reply.json().error.message).toMatch(
      /none can be started now: the limit of 3 instances in all is reached$/,
    );
  }
});

test('hundreds that wait for one runtime are told that it cannot start while another is served', async () => {
  const agent = await startAgent((_, response) => response.end('served'));
  const gateway = await startTestGateway({
    settings: { queueLength: 1000 },
    runtimes: [
      runtime(),
      runtime({ runtimeId: 'runtime-2', name: 'other', serves: [{ instances: [agent] }] }),
    ],
  });
  const flood = Array.from({ length: 300 }, () => call(gateway.port, INVOKE));
  await until(() => gateway.of('demand').at(-1)?.queued === 300, '300 waiting calls');
  const failing = gateway.routes(runtime({ serves: [{ failure: 'exited with code 1' }] }));
  expect((await call(gateway.port, other('other'))).body).toBe('served');
  await failing;
  const statuses = new Set((await Promise.all(flood)).map(({ status }) => status));
  expect([...statuses]).toEqual([503]);
});

test('an instance that is to be cut takes no call any more, and is drained when what is open has ended', async () => {
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
  stream.on('error', () => {});
  const { id } = instanceOf(old);
  gateway.control.send({ type: 'cut', instanceId: id, reason: 'The runtime was replaced' });
  gateway.control.send({ type: 'cut', instanceId: 'nobody', reason: 'It is not there' });
  const next = call(gateway.port, INVOKE);
  await until(() => gateway.of('demand').at(-1)?.queued === 1, 'the next call to wait');
  await gateway.routes(
    runtime({ serves: [{ instances: [instanceOf(old, 'draining'), instanceOf(fresh)] }] }),
  );
  expect((await next).body).toBe('fresh');
  finish();
  stream.resume();
  await until(() => gateway.of('drained').some(({ instanceId }) => instanceId === id), 'drained');
});
