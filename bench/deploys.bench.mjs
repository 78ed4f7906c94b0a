// Twenty deploys at once of the five examples, four of each, against the same twenty one after the other.
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitForRuntime } from '../examples/demo/deploy.mjs';
import { packAgents } from './agents.mjs';
import { withServer } from './fixture.mjs';
import { bar, report } from './report.mjs';

const OF_EACH = 4;

const folder = await mkdtemp(join(tmpdir(), 'runstead-deploys-'));
try {
  const agents = await packAgents(folder);
  const wanted = Array.from({ length: OF_EACH }, (_, index) =>
    agents.map(({ name, codeConfiguration }) => ({ name: `${name}-${index}`, codeConfiguration })),
  ).flat();
  console.log(`deploys: ${wanted.length}, ${OF_EACH} each of ${agents.map(({ name }) => name).join(', ')}`);

  // Package caches lie in the data folder; a first server fills them, and the two that are measured get a copy.
  const caches = join(folder, 'cache');
  await withServer(async ({ client, server }) => {
    for (const agent of agents) await deployed(client, agent);
    await mkdir(caches);
    await cp(join(server.data, 'cache'), caches, { recursive: true });
  });
  const warm = (data) => cp(caches, join(data, 'cache'), { recursive: true });

  const atOnce = await timed(warm, (client) => Promise.all(wanted.map((agent) => deployed(client, agent))));
  const inTurn = await timed(warm, async (client) => {
    const statuses = [];
    for (const agent of wanted) statuses.push(await deployed(client, agent));
    return statuses;
  });
  const failed = [...atOnce.outcomes, ...inTurn.outcomes].filter(({ status }) => status !== 'READY');
  for (const { name, status, statusReason } of failed) console.log(`${name} is ${status}: ${statusReason}`);
  report('deploys', [
    bar(`not READY, of twice ${wanted.length}`, failed.length, 'deploys', 0),
    bar('at once / one after the other', atOnce.seconds / inTurn.seconds, '×', 1),
    bar(`${wanted.length} at once`, atOnce.seconds, 's'),
    bar(`${wanted.length} one after the other`, inTurn.seconds, 's'),
    bar('slowest of those at once', Math.max(...atOnce.outcomes.map(({ seconds }) => seconds)), 's'),
  ]);
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function timed(prepare, deployAll) {
  return withServer(
    async ({ client }) => {
      const begun = performance.now();
      const outcomes = await deployAll(client);
      return { outcomes, seconds: (performance.now() - begun) / 1000 };
    },
    {},
    prepare,
  );
}

async function deployed(client, { name, codeConfiguration }) {
  const begun = performance.now();
  const { agentRuntimeId } = await client.create({
    agentRuntimeName: name,
    codeConfiguration,
    cpu: 1,
    memory: 512,
    port: 9000,
  });
  const { status, statusReason } = await waitForRuntime(client, agentRuntimeId);
  return { name, status, statusReason, seconds: (performance.now() - begun) / 1000 };
}
