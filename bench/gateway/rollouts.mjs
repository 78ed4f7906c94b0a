// A whole server and real agents: a hundred thousand calls across twenty rollouts, with streams open all the time.
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { codeFromFile } from '@runstead/client/code';
import { deployHello, withServer } from '../fixture.mjs';
import { bar, quantile } from '../report.mjs';
import { rollUnderLoad } from '../rolling/roll.mjs';

const CONCURRENCY = 32;
const STREAMS = 8;
const SLOTS = 50;
/** In less time than a stream takes, more versions would drain at once than may. */
const ROLLOUTS = { quick: 2, full: 20 };

export const needs = [];
export const inputs =
  `100,000 calls (with --quick 10,000) at c=${CONCURRENCY}, half at once, half after 10 or 250 ms; ${STREAMS} streams of ` +
  `3 s at all times; ${ROLLOUTS.full} rollouts (${ROLLOUTS.quick}); ${SLOTS} slots per instance; not profiled`;

export async function measure({ belongings, interruption, say, quick }) {
  const wanted = quick ? 10_000 : 100_000;
  const folder = await belongings.folder();
  await copyFile(
    fileURLToPath(new URL('../rolling/streaming-agent.mjs', import.meta.url)),
    join(folder, 'agent.mjs'),
  );
  const code = await codeFromFile(folder, { language: 'nodejs20', command: ['node', 'agent.mjs'] });
  const rolled = await withServer(async ({ client, server }) => {
    const runtime = await deployHello(client, 'hello', {
      codeConfiguration: code,
      sessionConcurrencyLimitPerInstance: SLOTS,
    });
    const rolling = rollUnderLoad({
      client,
      server,
      runtime,
      good: code,
      calls: wanted,
      concurrency: CONCURRENCY,
      streams: STREAMS,
      rollouts: quick ? ROLLOUTS.quick : ROLLOUTS.full,
    });
    // Interrupted, the server is stopped and its folder removed.
    return Promise.race([rolling, interruption]);
  });
  const { calls, times, failures, streams, rolloutMs, undrained } = rolled;
  const faults = [...failures, ...streams.failures];
  const truncated = faults.filter((text) => text.startsWith('cut off')).length;
  for (const text of [...new Set(faults)].slice(0, 10)) say(`failed: ${text.slice(0, 300)}`);
  say(
    `p50 ${quantile(times, 0.5).toFixed(1)} ms, p99 ${quantile(times, 0.99).toFixed(1)} ms of calls of up to 10 ms; ` +
      `update → READY ${quantile(rolloutMs, 0.5).toFixed(0)} ms`,
  );
  return [
    bar(`failed of ${calls} calls and ${streams.calls} streams`, faults.length - truncated, 'calls', 0),
    bar('truncated', truncated, 'calls', 0),
    bar('fewer calls than wanted', Math.max(0, wanted - calls), 'calls', 0),
    bar('instances of replaced versions left at the end', undrained, 'instances', 0),
  ];
}
