import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { deploy, fixture, type Runtime } from './harness/deploy.ts';
import { callContinuously } from './harness/load.ts';
import { hasProc, isAlive } from './harness/processes.ts';
import {
  AGENTS_KNOW_THEIR_PIDS,
  type InstanceInfo,
  type Server,
  startServerForTest,
} from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

/** S4: a port is a lease. Whoever takes a port after its agent's death gets none of that agent's calls. */

interface Squatter {
  /** Whether it has the port. */
  held(): boolean;
  got(): Promise<{ connections: number; requests: string[] }>;
  end(): Promise<void>;
}

/** A process that is no agent's, and wants this very port. */
function startSquatter(port: number): Squatter {
  const child = fork(fileURLToPath(new URL('./harness/squatter.mjs', import.meta.url)), [String(port)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let held = false;
  child.on('message', (message) => {
    if (message === 'held') held = true;
  });
  return {
    held: () => held,
    got: () => answerOf(child),
    async end() {
      child.kill('SIGKILL');
      if (child.signalCode === null) await once(child, 'exit');
    },
  };
}

function answerOf(child: ChildProcess): Promise<{ connections: number; requests: string[] }> {
  return new Promise((resolve) => {
    const hear = (message: unknown) => {
      if (message === 'held') return;
      child.off('message', hear);
      resolve(message as { connections: number; requests: string[] });
    };
    child.on('message', hear);
    child.send('tell');
  });
}

async function onlyInstance(server: Server, runtime: Runtime): Promise<InstanceInfo> {
  return waitFor('one instance', async () => {
    const ready = (await server.instances(runtime.agentRuntimeId)).filter((it) => it.state === 'ready');
    return ready.length === 1 ? ready[0] : undefined;
  });
}

describe.skipIf(!hasProc)('the port of an agent that was killed under load', () => {
  /** Rounds made in any case, and when to give up waiting for one in which the gateway met the squatter. */
  const ROUNDS = { least: 12, most: 60 };
  /** Versions whose instances end one after the other rest before they are started again, for longer each time. */
  const ENDS_WITHOUT_REST = 2;

  test('belongs to nobody else: whoever takes it gets none of its calls', async () => {
    const server = await startServerForTest({ env: AGENTS_KNOW_THEIR_PIDS });
    const deployed = () =>
      deploy(server.client(), { folder: fixture('chat-node'), sessionConcurrencyLimitPerInstance: 20 });
    let runtime = await deployed();
    const taken: string[] = [];
    let rounds = 0;
    let held = 0;
    let met = 0;
    let answered = 0;
    while (rounds < ROUNDS.least || (met === 0 && rounds < ROUNDS.most)) {
      if (rounds > 0 && rounds % ENDS_WITHOUT_REST === 0) runtime = await deployed();
      rounds++;
      const url = `${server.invocationUrl(runtime.agentRuntimeName)}/who`;
      const { pid, port } = await onlyInstance(server, runtime);
      const squatter = startSquatter(port);
      let revived = false;
      await callContinuously(
        16,
        () => revived,
        async (number) => {
          if (number === 200) process.kill(pid, 'SIGKILL');
          const response = await fetch(url, number % 2 === 0 ? {} : { method: 'POST', body: 'x' });
          const text = await response.text();
          if (text.includes('squatter')) taken.push(`round ${rounds}, call ${number}: ${text}`);
          if (!response.ok) return;
          answered++;
          if (text.startsWith('{') && JSON.parse(text).pid !== pid) revived = true;
        },
      );
      const got = await squatter.got();
      if (squatter.held()) held++;
      if (got.connections > 0) met++;
      taken.push(
        ...got.requests.filter((it) => !it.endsWith(' /health')).map((it) => `round ${rounds}: ${it}`),
      );
      await squatter.end();
    }
    console.info(
      `${rounds} rounds, ${answered} calls answered: the squatter had the port in ${held}, met the gateway in ${met}, ` +
        `was sent ${taken.length} calls`,
    );
    expect(taken).toEqual([]);
    // Otherwise nothing was put to the test.
    expect(held).toBeGreaterThan(0);
    expect(met).toBeGreaterThan(0);
  });
});

describe.skipIf(!hasProc)('the port of an agent that runs on without it', () => {
  /** An agent that closes its port when it is asked to, for good. */
  async function start() {
    const server = await startServerForTest({ env: AGENTS_KNOW_THEIR_PIDS });
    const runtime = await deploy(server.client(), {
      folder: fixture('listeners'),
      command: ['node', 'reopens.mjs'],
      environmentVariables: { GAP_MS: '2147483647' },
    });
    return { server, runtime, agent: await onlyInstance(server, runtime) };
  }

  async function takePort({ port }: InstanceInfo): Promise<Squatter> {
    const squatter = startSquatter(port);
    await (await fetch(`http://127.0.0.1:${port}/reopen`)).text();
    await waitFor('the squatter to have the port', () => squatter.held());
    return squatter;
  }

  async function pidThatAnswers(server: Server, runtime: Runtime): Promise<number> {
    const response = await fetch(server.invocationUrl(runtime.agentRuntimeName));
    const text = await response.text();
    expect(response.status, text).toBe(200);
    return (JSON.parse(text) as { pid: number }).pid;
  }

  test('is not believed by a server that comes back after a crash', async () => {
    const { server, runtime, agent } = await start();
    await server.kill();
    const squatter = await takePort(agent);
    expect(isAlive(agent.pid)).toBe(true);

    await server.start();
    expect(isAlive(agent.pid)).toBe(false);
    expect(await pidThatAnswers(server, runtime)).not.toBe(agent.pid);
    expect(await squatter.got()).toEqual({ connections: 0, requests: [] });
  });

  test('is given up at the next call, which another instance answers', async () => {
    const { server, runtime, agent } = await start();
    const squatter = await takePort(agent);
    expect(await pidThatAnswers(server, runtime)).not.toBe(agent.pid);
    expect(await squatter.got()).toEqual({ connections: 1, requests: [] });
    await waitFor('the old one to end', () => !isAlive(agent.pid));
  });
});
