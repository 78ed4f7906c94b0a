// Calls at concurrency 8 while an update rolls out, at least 200: how many fail, and what the slowest wait.
import { waitForRuntime } from '../examples/demo/deploy.mjs';
import { callUrl, deployHello, withServer } from './fixture.mjs';
import { bar, quantile, report } from './report.mjs';

const CALLS = 200;
const CONCURRENCY = 8;

const bars = [];
for (const slots of [1, 8]) {
  const { failed, times } = await withServer(async ({ client, server }) => {
    const runtime = await deployHello(client, 'hello', { sessionConcurrencyLimitPerInstance: slots });
    const url = `${callUrl(server, 'hello')}slow?ms=20`;
    const result = { failed: 0, times: [] };
    let left = CALLS;
    let rolling = true;
    const worker = async () => {
      while (left-- > 0 || rolling) {
        const begun = performance.now();
        const response = await fetch(url).catch(() => undefined);
        const text = await response?.text().catch(() => undefined);
        result.times.push(performance.now() - begun);
        if (response?.status !== 200 || text === undefined) result.failed++;
      }
    };
    const calls = Promise.all(Array.from({ length: CONCURRENCY }, worker));
    await client.update(runtime.agentRuntimeId, { environmentVariables: { ROLLED: 'out' } });
    const updated = await waitForRuntime(client, runtime.agentRuntimeId);
    rolling = false;
    await calls;
    if (updated.agentRuntimeVersion !== '2') throw new Error(`the update ended in ${updated.status}`);
    return result;
  });
  bars.push(
    bar(`failed of ${times.length} calls at c=${CONCURRENCY}, slots ${slots}`, failed, 'calls', 0),
    bar(`p99 of those calls, slots ${slots}`, quantile(times, 0.99), 'ms'),
  );
}
report('rollout', bars);
