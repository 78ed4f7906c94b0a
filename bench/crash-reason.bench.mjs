// How long until the reason of an agent that throws at import stands in `statusReason`, counted from the create.
import { waitForRuntime } from '../examples/demo/deploy.mjs';
import { example, withServer } from './fixture.mjs';
import { bar, median, report } from './report.mjs';

const RUNS = 9;

const seconds = await withServer(async ({ client }) => {
  const codeConfiguration = await example('broken-agent', ['node', 'agent.mjs']);
  const times = [];
  for (let run = 0; run < RUNS; run++) {
    const begun = performance.now();
    const created = await client.create({
      agentRuntimeName: `broken-${run}`,
      codeConfiguration,
      cpu: 1,
      memory: 256,
    });
    const { status, statusReason } = await waitForRuntime(client, created.agentRuntimeId);
    times.push((performance.now() - begun) / 1000);
    if (status !== 'CREATE_FAILED' || !/code 1.*ORDERS_DATABASE_URL/.test(statusReason)) {
      throw new Error(`${status}: ${statusReason}`);
    }
  }
  return times;
});
report('crash-reason', [
  bar('create → reason, slowest', Math.max(...seconds), 's', 2),
  bar('create → reason, median', median(seconds), 's'),
]);
