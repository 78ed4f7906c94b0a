// What eight creates of 120 MiB at once do to the small calls of others: p99 at concurrency 32 against the quiet server.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { callUrl, deployHello, withServer } from './fixture.mjs';
import { bar, quantile, report } from './report.mjs';

const UPLOADS = 8;
const BODY_MIB = 120;
const CONCURRENCY = 32;
const WARM_UP_MS = 3000;
const QUIET_MS = 8000;

/** A create's body with that much base64: bytes that are no archive, since only taking them in is measured. */
async function writeBody(file) {
  const out = createWriteStream(file);
  out.write('{"agentRuntimeName":"NAME","artifactType":"Code","cpu":1,"memory":256,"port":9000,');
  out.write('"codeConfiguration":{"language":"nodejs20","command":["node","x.js"],"zipFile":"');
  const piece = randomBytes(768 * 1024).toString('base64');
  for (let i = 0; i < BODY_MIB; i++) if (!out.write(piece)) await once(out, 'drain');
  out.end('"}}');
  await once(out, 'close');
}

/** Calls in a row on each of the connections until told to stop. */
function load(url) {
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });
  const result = { times: [], failed: 0 };
  let running = true;
  const call = () =>
    new Promise((resolve) => {
      const begun = performance.now();
      const done = (ok) => {
        result.times.push(performance.now() - begun);
        if (!ok) result.failed++;
        resolve();
      };
      const sent = request(url, { agent }, (response) => {
        response.resume();
        response.once('end', () => done(response.statusCode === 200));
        response.once('error', () => done(false));
      });
      sent.once('error', () => done(false));
      sent.end();
    });
  const worker = async () => {
    while (running) await call();
  };
  const workers = Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return async () => {
    running = false;
    await workers;
    agent.destroy();
    return result;
  };
}

const bars = await withServer(async ({ client, server, folder }) => {
  await deployHello(client, 'hello', { sessionConcurrencyLimitPerInstance: CONCURRENCY });
  const body = join(folder, 'body.json');
  await writeBody(body);
  const url = callUrl(server, 'hello');

  const quietly = async (ms) => {
    const stop = load(url);
    await delay(ms);
    return stop();
  };
  await quietly(WARM_UP_MS);
  const before = await quietly(QUIET_MS);

  const stopBusy = load(url);
  const begun = performance.now();
  // Another process, so that sending does not slow down the clock that the calls are timed with.
  const uploader = spawn(
    process.execPath,
    [fileURLToPath(new URL('upload.mjs', import.meta.url)), server.url, server.apiKey, body, String(UPLOADS)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const [statuses] = await once(uploader.stdout, 'data');
  const seconds = (performance.now() - begun) / 1000;
  const busy = await stopBusy();
  // Before and after: the machine's own speed drifts.
  const after = await quietly(QUIET_MS);
  const quiet = { times: [...before.times, ...after.times], failed: before.failed + after.failed };
  console.log(
    `uploads: ${String(statuses).trim()} in ${seconds.toFixed(1)} s; ${busy.times.length} calls meanwhile, ${quiet.times.length} quiet in ${(2 * QUIET_MS) / 1000} s`,
  );
  const [quietP99, busyP99] = [quantile(quiet.times, 0.99), quantile(busy.times, 0.99)];
  return [
    bar('failed calls', quiet.failed + busy.failed, 'calls', 0),
    bar('p99 of calls during uploads / quiet', busyP99 / quietP99, '×', 1.5),
    bar('p99 quiet', quietP99, 'ms'),
    bar('p99 during uploads', busyP99, 'ms'),
    bar('median during uploads / quiet', quantile(busy.times, 0.5) / quantile(quiet.times, 0.5), '×'),
  ];
});
report('uploads', bars);
