import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deploy, fixture, type Runtime } from './harness/deploy.ts';
import { LogFollower, readLogs } from './harness/logs.ts';
import { hasProc } from './harness/processes.ts';
import { type Server, startServer, startServerForTest } from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

const deployWriter = (server: Server, more = {}): Promise<Runtime> =>
  deploy(server.client(), {
    folder: fixture('writes-logs'),
    command: ['node', 'agent.mjs'],
    sessionConcurrencyLimitPerInstance: 20,
    ...more,
  });

async function write(server: Server, runtime: Runtime, text: string, path = '/'): Promise<void> {
  const url = `${server.invocationUrl(runtime.agentRuntimeName)}${path}`;
  const response = await fetch(url, { method: 'POST', body: text });
  if (!response.ok) throw new Error(`HTTP ${response.status} ${await response.text()}`);
  await response.arrayBuffer();
}

const untilHas = (follower: LogFollower, text: string) =>
  waitFor(`the line ${text} to come`, () => follower.texts.includes(text));

describe.skipIf(!hasProc)('logs', () => {
  let server: Server;
  beforeAll(async () => {
    server = await startServer({ env: { RUNSTEAD_IDLE_STOP: '1s' } });
  });
  afterAll(() => server.dispose());

  test('are there with level, time, version and instance, secrets masked, and outlive scale to zero', async () => {
    const runtime = await deployWriter(server, { environmentVariables: { API_TOKEN: 'sesame-open' } });
    const id = runtime.agentRuntimeId;
    const before = Date.now();
    await write(server, runtime, 'ERROR with sesame-open\n    at main\n{"level":20,"msg":"x"}\nlast\n');
    const [{ instanceId } = { instanceId: '' }] = await server.instances(id);
    const of = { instanceId, agentRuntimeVersion: '1', timeFrom: 'file', time: expect.any(String) };
    const expected = [
      { ...of, level: 'error', text: 'ERROR with ***' },
      { ...of, level: 'error', text: '    at main' },
      { ...of, level: 'debug', text: '{"level":20,"msg":"x"}' },
      { ...of, level: 'info', text: 'last' },
    ];
    const page = await readLogs(server, id, { tail: '4' });
    expect(page).toEqual({ items: expected, lost: [], nextCursor: expect.any(String), hasMore: false });
    for (const { time } of page.items) {
      expect(Date.parse(time)).toBeGreaterThan(before - 1000);
      expect(Date.parse(time)).toBeLessThanOrEqual(Date.now());
    }
    await waitFor('the instance to be put to sleep', async () => (await server.instances(id)).length === 0);
    expect((await readLogs(server, id, { level: 'error' })).items).toEqual(expected.slice(0, 2));
    expect((await readLogs(server, id, { since: '1h', limit: '1' })).hasMore).toBe(true);

    await write(server, runtime, 'awake\n');
    const after = await readLogs(server, id, { cursor: page.nextCursor });
    expect(after.items.map(({ text }) => text)).toEqual(['awake']);
    expect(after.items[0]!.instanceId).not.toBe(instanceId);
    expect((await readLogs(server, id, { instance: instanceId.slice(0, 8), text: 'la' })).items).toHaveLength(
      1,
    );
  });

  test('are followed through the gateway, from instance to instance, without loss or repeat', async () => {
    const runtime = await deployWriter(server);
    const id = runtime.agentRuntimeId;
    await write(server, runtime, 'one\n');
    const first = await LogFollower.open(server, id);
    // What is there comes at once, and what is written comes while the answer is open.
    await untilHas(first, 'one');
    await write(server, runtime, 'two\nthree\n');
    await untilHas(first, 'three');
    await first.leave();
    await write(server, runtime, 'four\n');
    await waitFor('the instance to be put to sleep', async () => (await server.instances(id)).length === 0);
    const second = await LogFollower.open(server, id, {}, first.lastId);
    await untilHas(second, 'four');
    await write(server, runtime, 'five\n');
    await untilHas(second, 'five');
    expect([...first.texts, ...second.texts]).toEqual(['one', 'two', 'three', 'four', 'five']);
    await second.leave();

    // It may have been put to sleep at any moment.
    const instance = await waitFor('an instance to be awake', async () => {
      await write(server, runtime, '');
      return (await server.instances(id)).find(({ state }) => state === 'ready');
    });
    expect(instance).toMatchObject({
      driver: 'process',
      host: '127.0.0.1',
      state: 'ready',
      agentRuntimeVersion: '1',
      sessions: 0,
      memoryMeasure: expect.stringMatching(/^[pr]ss$/),
    });
    // A Node process, of which other Node processes share most.
    expect(instance.memoryBytes).toBeGreaterThan(2 * 1024 * 1024);
    expect(instance.memoryBytes).toBeLessThan(1024 * 1024 * 1024);
    expect(instance.cpuSeconds).toBeGreaterThan(0);

    const errors = await LogFollower.open(server, id, { level: 'error', tail: '0' });
    await write(server, runtime, 'no\nERROR yes\n', '/?code=3');
    await untilHas(errors, 'ERROR yes');
    expect(errors.texts).toEqual(['ERROR yes']);
    const exit = await waitFor('the end of the agent to be recorded', async () =>
      (await server.events(id)).find(({ kind }) => kind === 'exit'),
    );
    expect(exit).toMatchObject({
      instanceId: expect.any(String),
      agentRuntimeVersion: '1',
      exitCode: 3,
      output: expect.arrayContaining(['ERROR yes']),
    });
    const scaled = (await server.events(id)).filter(({ kind }) => kind === 'scale');
    expect(scaled.map(({ phase }) => phase)).toContain('scale');
    expect(scaled.find(({ phase }) => phase === 'stop')!.reason).toMatch(/\w/);
    await server.client().delete(id);
    await errors.over;
    expect(errors.endReason).toBe('The runtime does not exist any more');
  });
});

describe.skipIf(!hasProc)('who follows a server', () => {
  test('has a thousand lines a second without a gap, also when it is killed meanwhile', async () => {
    const server = await startServerForTest();
    const runtime = await deploy(server.client(), {
      folder: fixture('log-writer'),
      command: ['node', 'agent.mjs'],
    });
    const id = runtime.agentRuntimeId;
    const first = await LogFollower.open(server, id, { since: '1h' });
    await waitFor('many lines', () => first.lines.length > 1000);
    await server.kill();
    await first.over;
    await server.start();
    const second = await LogFollower.open(server, id, { since: '1h' }, first.lastId);
    await waitFor('many more', () => second.lines.length > 1000);
    await second.leave();
    const numbers = [...first.texts, ...second.texts].map((text) => Number(/^line (\d+)$/.exec(text)?.[1]));
    const gap = numbers.findIndex((number, index) => number !== index + 1);
    expect(gap, `around ${numbers.slice(Math.max(0, gap - 2), gap + 3)}`).toBe(-1);
  });

  test('that is killed goes on with the next one where it was, and is told when it stops', async () => {
    const server = await startServerForTest();
    const runtime = await deployWriter(server);
    const id = runtime.agentRuntimeId;
    await write(server, runtime, 'before\n');
    const first = await LogFollower.open(server, id);
    await untilHas(first, 'before');
    await server.kill();
    await first.over;
    expect(first.endReason).toBeUndefined();
    // The agent writes on; nobody looks.
    await write(server, runtime, 'between\n');
    await server.start();
    const second = await LogFollower.open(server, id, {}, first.lastId);
    await untilHas(second, 'between');
    await write(server, runtime, 'after\n');
    await untilHas(second, 'after');
    expect([...first.texts, ...second.texts]).toEqual(['before', 'between', 'after']);

    await server.stop();
    await second.over;
    expect(second.endReason).toBe('The server is stopping');
  });
});
