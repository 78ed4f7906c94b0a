import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { waitForRuntime } from '../../examples/demo/deploy.mjs';
import { callUrl, instancesOf } from '../fixture.mjs';
import { childrenOf, memoryMiB } from '../processes.mjs';

/** Agents sleep as soon as they may, so that each call finds none. The sandbox has rows of its own. */
export const SLEEPY = { RUNSTEAD_IDLE_STOP: '300ms', RUNSTEAD_SANDBOX: 'off' };

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

/** What each of a server's processes takes that wait for a start, in MiB. Wrappers, which are shells, do not count. */
export function waitingMiB(server, isWaiting, commandOf) {
  return childrenOf(server.pid)
    .flatMap((pid) => [pid, ...childrenOf(pid)])
    .filter((pid) => isWaiting(commandOf(pid)) && !commandOf(pid).startsWith('/bin/sh'))
    .map((pid) => memoryMiB(pid));
}
