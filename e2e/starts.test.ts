import { createServer, type Server as HttpServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, type TestContext, test } from 'vitest';
import { deploy, fixture } from './harness/deploy.ts';
import { type Server, startServer } from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

/**
 * Starts of real agents, which the order and the number of is decided for in `reconcile`. Each agent tells a gate that it
 * is born, and comes up when the gate lets it: what is under way at a moment is what the gate holds.
 */

const AT_ONCE = 2;
const FLOOD = 10;
const OTHERS = ['a', 'b', 'c', 'd', 'e'];
const CALLERS_OF_EACH = 3;
/** A start that takes longer gives up its place (after 5 s), so that one that hangs keeps nobody waiting. */
const HELD_AT_MOST_MS = 4000;

/** Where agents are held between their birth and their first answer. */
class Gate {
  /** Whose agents have come, in order. */
  born: string[] = [];
  /** The most that were held at once. */
  peak = 0;
  isOpen = true;
  readonly #held: ServerResponse[] = [];
  readonly #server: HttpServer;

  constructor() {
    this.#server = createServer((request, response) => {
      this.born.push(request.url!.slice(1));
      if (this.isOpen) return void response.end();
      this.#held.push(response);
      this.peak = Math.max(this.peak, this.#held.length);
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The one that came first may go on. */
  letOneThrough(): void {
    this.#held.shift()?.end();
  }

  open(): void {
    this.isOpen = true;
    for (const response of this.#held.splice(0)) response.end();
  }

  /** From now on agents are held, and what came before is forgotten. */
  shut(): void {
    this.isOpen = false;
    this.born = [];
    this.peak = 0;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

const gate = new Gate();
const names = new Map<string, string>();
let server: Server;

beforeAll(async () => {
  const GATE = await gate.listen();
  server = await startServer({
    env: {
      RUNSTEAD_PARALLEL_STARTS: String(AT_ONCE),
      RUNSTEAD_MAX_INSTANCES_PER_RUNTIME: String(FLOOD),
      RUNSTEAD_MEMORY_BUDGET: 'none',
    },
  });
  const folder = fixture('born-at-a-gate');
  const slotsOf = (name: string) => (name === 'flood' ? 1 : CALLERS_OF_EACH);
  const deployed = ['flood', ...OTHERS].map(async (name) => {
    const runtime = await deploy(server.client(), {
      folder,
      environmentVariables: { GATE, NAME: name },
      sessionConcurrencyLimitPerInstance: slotsOf(name),
    });
    names.set(name, runtime.agentRuntimeName);
  });
  await Promise.all(deployed);
});

afterAll(async () => {
  gate.open();
  await server?.dispose();
  gate.close();
});

/** Nothing runs, as after the machine was started. */
beforeEach(async () => {
  gate.open();
  await server.stop();
  await server.start();
  expect(await server.everyInstance()).toEqual([]);
  gate.shut();
});

/** Whether what is held at the gate has kept its place all the time. If not, the test is over. */
function keptItsPlace(context: TestContext, sinceMs: number): void {
  if (performance.now() - sinceMs < HELD_AT_MOST_MS) return;
  const reason = `the machine is too busy: starts were held for more than ${HELD_AT_MOST_MS} ms`;
  console.warn(`skipped: ${context.task.name}: ${reason}`);
  gate.open();
  context.skip(reason);
}

const call = (name: string, path = '/', signal?: AbortSignal) =>
  fetch(`${server.invocationUrl(names.get(name)!)}${path}`, { signal: signal ?? null });

test('a flood of one sleeping runtime leaves others their share of starts; they stay within the limit, one for each slot', async (context) => {
  const begunMs = performance.now();
  const hangUp = new AbortController();
  const flood = Array.from({ length: FLOOD }, () => call('flood', '/hang', hangUp.signal));
  for (const answer of flood) answer.catch(() => {});
  await waitFor('the flood to fill the limit', () => gate.born.length === AT_ONCE);
  const others = OTHERS.flatMap((name) =>
    Array.from({ length: CALLERS_OF_EACH }, async () => {
      const answer = await call(name);
      return `${answer.status} ${await answer.text()}`;
    }),
  );
  for (const answer of others) answer.catch(() => {});
  await waitFor('all to be asked for', async () => {
    const there = await server.everyInstance();
    return there.length === FLOOD + OTHERS.length;
  });
  keptItsPlace(context, begunMs);
  // Nobody was let through yet, and so nobody else has come.
  expect(gate.born).toEqual(['flood', 'flood']);

  let isOver = false;
  const all = Promise.all([...flood, ...others]).finally(() => {
    isOver = true;
  });
  await waitFor('all calls to be answered', () => {
    gate.letOneThrough();
    return isOver;
  });
  await all;
  expect((await Promise.all(flood)).map(({ status }) => status)).toEqual(flood.map(() => 200));
  expect(await Promise.all(others)).toEqual(
    OTHERS.flatMap((name) => Array.from({ length: CALLERS_OF_EACH }, () => `200 ${name}`)),
  );
  // One for each slot that was wanted.
  expect(gate.born.filter((name) => name === 'flood')).toHaveLength(FLOOD);
  expect(gate.born.filter((name) => name !== 'flood').sort()).toEqual(OTHERS);
  expect(gate.peak).toBe(AT_ONCE);
  // Their share of the starts is half, so that twice as many as they need have begun when the last of them has.
  const last = gate.born.findLastIndex((name) => name !== 'flood');
  expect(last).toBeLessThan(AT_ONCE + 2 * OTHERS.length);
  hangUp.abort();
});

test('a start that waits for its turn is not begun once all who wanted it have left', async (context) => {
  const begunMs = performance.now();
  const first = [call('a'), call('b')];
  await waitFor('both to be begun', () => gate.born.length === AT_ONCE);
  const hangUp = new AbortController();
  const left = [1, 2, 3].map(() => call('flood', '/', hangUp.signal).catch(() => 'gone'));
  const stays = call('c');
  for (const answer of [...first, stays]) answer.catch(() => {});
  await waitFor('all to be asked for', async () => (await server.everyInstance()).length === 2 + 3 + 1);
  hangUp.abort();
  expect(await Promise.all(left)).toEqual(['gone', 'gone', 'gone']);
  await waitFor('those starts to be called off', async () => (await server.everyInstance()).length === 3);
  keptItsPlace(context, begunMs);
  gate.open();
  for (const answer of [...first, stays]) expect((await answer).status).toBe(200);
  expect(gate.born.sort()).toEqual(['a', 'b', 'c']);
});
