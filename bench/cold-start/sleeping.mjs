import { once } from 'node:events';
import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { waitForRuntime } from '../../examples/demo/deploy.mjs';
import { callUrl, instancesOf, withServer } from '../fixture.mjs';

/** How long an instance without calls lives; a round takes a little longer. */
const IDLE_STOP = '1s';
const LOOK_MS = 20;

/**
 * Starts one server for each row and deploys its agents there, for the time of a measurement.
 * @param rows each `{ name, env, codeConfiguration, count }`: settings of its server, and how many runtimes of the agent
 * @param measure called with the rows, each with `agents` beside the rest
 */
export function withSleepers(rows, measure, done = []) {
  const [row, ...rest] = rows;
  if (!row) return measure(done);
  return withServer(
    async ({ client, server, folder }) => {
      const agents = [];
      for (let i = 0; i < (row.count ?? 1); i++)
        agents.push(await deployed(client, server, row, `agent-${i}`));
      await row.prepared?.({ agents, data: `${folder}/data` });
      return withSleepers(rest, measure, [...done, { ...row, agents }]);
    },
    { RUNSTEAD_IDLE_STOP: IDLE_STOP, ...row.env },
  );
}

async function deployed(client, server, { name, codeConfiguration }, agentRuntimeName) {
  const created = await client.create({
    agentRuntimeName,
    codeConfiguration,
    cpu: 1,
    memory: 512,
    port: 9000,
  });
  const { status, statusReason } = await waitForRuntime(client, created.agentRuntimeId);
  if (status !== 'READY') throw new Error(`${name}: ${status}: ${statusReason}`);
  const id = created.agentRuntimeId;
  return {
    id,
    /** Resolves when no instance is left. */
    async asleep() {
      while ((await instancesOf(server, id)).length > 0) await delay(LOOK_MS);
    },
    /** The first call to it while it sleeps. @returns ms until its answer, which must be a 200 */
    async wake() {
      const begun = performance.now();
      const asked = request(`${callUrl(server, agentRuntimeName)}health`, { agent: false }).end();
      const [response] = await once(asked, 'response');
      response.resume();
      await once(response, 'end');
      const ms = performance.now() - begun;
      if (response.statusCode !== 200)
        throw new Error(`${name}: the first call was answered ${response.statusCode}`);
      return ms;
    },
    async pid() {
      return (await instancesOf(server, id))[0]?.pid;
    },
  };
}
