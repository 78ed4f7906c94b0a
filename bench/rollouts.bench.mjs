// 10,000 calls at concurrency 16 across 20 rollouts and 5 updates that fail: how many fail, and what stays of old versions.
import { setTimeout as delay } from 'node:timers/promises';
import { waitForRuntime } from '../examples/demo/deploy.mjs';
import { callAgainAndAgain } from './calls.mjs';
import { callUrl, deployHello, example, instancesOf, withServer } from './fixture.mjs';
import { bar, quantile, report } from './report.mjs';

const CALLS = 10_000;
const CONCURRENCY = 16;
const SLOTS = 8;
const ROLLOUTS = 20;
const FAILING = 5;
/** The server's own limit of instances per runtime. */
const INSTANCES_MAX = 10;
const DRAINED_WITHIN_MS = 20_000;

const good = await example('hello-http', ['node', 'server.mjs']);
const broken = await example('broken-agent', ['node', 'agent.mjs']);
const updates = ROLLOUTS + FAILING;
console.log(
  `calls: at least ${CALLS} at c=${CONCURRENCY}, slots ${SLOTS}; ${ROLLOUTS} rollouts, ${FAILING} failing`,
);

const bars = await withServer(async ({ client, server }) => {
  const { agentRuntimeId: id } = await deployHello(client, 'hello', {
    sessionConcurrencyLimitPerInstance: SLOTS,
  });
  const url = callUrl(server, 'hello');
  let rolling = true;
  let made = 0;
  const load = callAgainAndAgain(CONCURRENCY, (number) => {
    made = number;
    return number < CALLS || rolling ? callOf(url, number) : undefined;
  });
  let most = 0;
  const watch = async () => {
    while (rolling) {
      most = Math.max(most, (await instancesOf(server, id)).length);
      await delay(50);
    }
  };
  const watching = watch();

  const rolloutTimes = [];
  try {
    for (let number = 1; number <= updates; number++) {
      const fails = number % (updates / FAILING) === 0;
      // Spread over all of the calls; at once where those are ahead.
      while (made < ((number - 1) / updates) * CALLS) await delay(5);
      const begun = performance.now();
      await client.update(id, {
        codeConfiguration: fails ? broken : good,
        environmentVariables: { UPDATE: String(number) },
      });
      const { status, statusReason } = await waitForRuntime(client, id);
      if (status !== (fails ? 'UPDATE_FAILED' : 'READY'))
        throw new Error(`update ${number}: ${status}: ${statusReason}`);
      if (!fails) rolloutTimes.push(performance.now() - begun);
    }
  } finally {
    rolling = false;
  }
  const { calls, times, failures } = await load.done;
  await watching;
  const newest = (await client.get(id)).agentRuntimeVersion;
  if (newest !== String(ROLLOUTS + 1))
    throw new Error(`after ${ROLLOUTS} rollouts the newest version is ${newest}`);
  for (const text of [...new Set(failures)].slice(0, 10)) console.log(`failed: ${text}`);
  return [
    bar(`failed of ${calls} calls`, failures.length, 'calls', 0),
    bar('fewer calls than wanted', Math.max(0, CALLS - calls), 'calls', 0),
    bar('p50 of those of up to 10 ms', quantile(times, 0.5), 'ms'),
    bar('p99 of those', quantile(times, 0.99), 'ms'),
    bar('most instances at once', most, 'instances', INSTANCES_MAX),
    bar(
      'instances of replaced versions left at the end',
      await undrained(server, id, newest),
      'instances',
      0,
    ),
    bar('update → READY under this load, median', quantile(rolloutTimes, 0.5), 'ms'),
  ];
});
report('rollouts', bars);

/** Half of them come back at once, others are on their way while versions change. */
function callOf(url, number) {
  if (number % 2 === 1) {
    const ms = number % 100 === 1 ? 250 : 10;
    return {
      timed: ms === 10,
      url: `${url}slow?ms=${ms}`,
      expect: (text) => text === JSON.stringify({ delayedMs: ms }),
    };
  }
  const body = `call-${number}`;
  const answer = JSON.stringify({ method: 'POST', path: `/echo/${number}`, body });
  return { url: `${url}echo/${number}`, method: 'POST', body, expect: (text) => text === answer };
}

/** How many instances of other versions are left once they had the time to drain. */
async function undrained(server, id, newest) {
  const deadline = performance.now() + DRAINED_WITHIN_MS;
  for (;;) {
    const old = (await instancesOf(server, id)).filter((it) => it.agentRuntimeVersion !== newest);
    if (old.length === 0 || performance.now() > deadline) return old.length;
    await delay(20);
  }
}
