import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { waitForRuntime } from '../../examples/demo/deploy.mjs';
import { callUrl, instancesOf } from '../fixture.mjs';
import { childrenOf, memoryMiB } from '../processes.mjs';

/** Agents sleep as soon as they may, so that each call finds none. The sandbox has rows of its own. */
export const SLEEPY = { RUNSTEAD_IDLE_STOP: '300ms', RUNSTEAD_SANDBOX: 'off' };
const LOOK_MS = 4;

/** Deploys an agent; gives what wakes it. */
export async function sleeper({ server, client, folder }, name, codeConfiguration) {
  const created = await client.create({
    agentRuntimeName: name,
    codeConfiguration,
    cpu: 1,
    memory: 512,
    port: 9000,
    healthCheckConfiguration: { httpGetUrl: '/health' },
  });
  const id = created.agentRuntimeId;
  const runtime = await waitForRuntime(client, id);
  if (runtime.status !== 'READY') throw new Error(`${name} is ${runtime.status}: ${runtime.statusReason}`);
  const code = join(folder, 'data', 'code', id);
  const isAsleep = async () => (await instancesOf(server, id)).length === 0;
  return {
    id,
    /** Where it was unpacked. */
    codeDir: join(code, readdirSync(code)[0]),
    /** Resolves when nothing of it runs. */
    async asleep() {
      while (!(await isAsleep())) await delay(20);
      // Whoever was ended for it has had its time, and what waits for the next start is there.
      await delay(400);
    },
    /** The time from a call to its answer, in ms, and what the instance then takes, in MiB. */
    async wake() {
      const begun = performance.now();
      const response = await fetch(`${callUrl(server, name)}health`);
      const ms = performance.now() - begun;
      const text = await response.text();
      if (response.status !== 200) throw new Error(`${name} answered ${response.status}: ${text}`);
      const [instance] = await instancesOf(server, id);
      return {
        ms,
        memory: instance?.pid === undefined ? undefined : memoryMiB(instance.pid),
        pid: instance?.pid,
      };
    },
  };
}

/** Starts a program as its author would and gives the time to its first healthy answer, in ms. */
export async function byHand(program, args, cwd) {
  const port = await freePort();
  const begun = performance.now();
  const child = spawn(program, args, {
    cwd,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, PORT: String(port) },
    stdio: 'ignore',
  });
  try {
    for (;;) {
      // A bare connection costs the program that is measured less than a client's whole machinery.
      const response = (await accepts(port)) ? await fetch(`http://127.0.0.1:${port}/health`) : undefined;
      if (response) await response.arrayBuffer();
      if (response?.status === 200) break;
      if (child.exitCode !== null)
        throw new Error(`${program} ${args.join(' ')} ended with ${child.exitCode}`);
      await delay(LOOK_MS);
    }
    return { ms: performance.now() - begun, memory: memoryMiB(child.pid) };
  } finally {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
}

/** What each of a server's processes takes that wait for a start, in MiB. Wrappers, which are shells, do not count. */
export function waitingMiB(server, isWaiting, commandOf) {
  return childrenOf(server.pid)
    .flatMap((pid) => [pid, ...childrenOf(pid)])
    .filter((pid) => isWaiting(commandOf(pid)) && !commandOf(pid).startsWith('/bin/sh'))
    .map((pid) => memoryMiB(pid));
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
    socket.on('close', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
