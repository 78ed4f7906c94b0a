// 10,000 calls at concurrency 16 across 20 rollouts and 5 updates that fail: how many fail, and what stays of old versions.
import { deployHello, example, withServer } from './fixture.mjs';
import { bar, quantile, report } from './report.mjs';
import { rollUnderLoad } from './rolling/roll.mjs';

const CALLS = 10_000;
const CONCURRENCY = 16;
const SLOTS = 8;
const ROLLOUTS = 20;
const FAILING = 5;
/** The server's own limit of instances per runtime. */
const INSTANCES_MAX = 10;

const good = await example('hello-http', ['node', 'server.mjs']);
const broken = await example('broken-agent', ['node', 'agent.mjs']);
console.log(
  `calls: at least ${CALLS} at c=${CONCURRENCY}, slots ${SLOTS}; ${ROLLOUTS} rollouts, ${FAILING} failing`,
);

const bars = await withServer(async ({ client, server }) => {
  const runtime = await deployHello(client, 'hello', { sessionConcurrencyLimitPerInstance: SLOTS });
  const { calls, times, failures, rolloutMs, most, undrained } = await rollUnderLoad({
    client,
    server,
    runtime,
    good,
    broken,
    calls: CALLS,
    concurrency: CONCURRENCY,
    rollouts: ROLLOUTS,
    failing: FAILING,
  });
  for (const text of [...new Set(failures)].slice(0, 10)) console.log(`failed: ${text}`);
  return [
    bar(`failed of ${calls} calls`, failures.length, 'calls', 0),
    bar('fewer calls than wanted', Math.max(0, CALLS - calls), 'calls', 0),
    bar('p50 of those of up to 10 ms', quantile(times, 0.5), 'ms'),
    bar('p99 of those', quantile(times, 0.99), 'ms'),
    bar('most instances at once', most, 'instances', INSTANCES_MAX),
    bar('instances of replaced versions left at the end', undrained, 'instances', 0),
    bar('update → READY under this load, median', quantile(rolloutMs, 0.5), 'ms'),
  ];
});
report('rollouts', bars);
