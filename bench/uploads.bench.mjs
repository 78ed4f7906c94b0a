// What eight creates of 120 MiB at once do to the small calls of others, and what one of them does to memory.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { codeFromFile } from '@runstead/client/code';
import { waitForRuntime } from '../examples/demo/deploy.mjs';
import { callAgainAndAgain } from './calls.mjs';
import { callUrl, deployHello, withServer } from './fixture.mjs';
import { memoryMiB } from './processes.mjs';
import { bar, quantile, report } from './report.mjs';

const UPLOADS = 8;
const BODY_MIB = 120;
const CONCURRENCY = 32;
const WARM_UP_MS = 3000;
const QUIET_MS = 8000;
/** Creates one after the other whose memory is watched. */
const WATCHED = 4;
const SAMPLE_MS = 20;

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

/** A create's body of that size whose package is a whole one: an agent that starts, and bytes that do not compress. */
async function writeRealBody(file, folder) {
  await mkdir(folder);
  await writeFile(join(folder, 'server.mjs'), HELLO);
  await writeFile(join(folder, 'ballast.bin'), randomBytes((BODY_MIB * 3 * 1024 * 1024) / 4 - 4096));
  const codeConfiguration = await codeFromFile(folder, {
    language: 'nodejs20',
    command: ['node', 'server.mjs'],
  });
  const more = { agentRuntimeName: 'NAME', artifactType: 'Code', cpu: 1, memory: 256, port: 9000 };
  await writeFile(file, JSON.stringify({ ...more, codeConfiguration }));
  await rm(folder, { recursive: true });
}

const HELLO = `import { createServer } from 'node:http';
createServer((_request, response) => response.end('hello')).listen(Number(process.env.PORT));
`;

/**
 * Another process sends a body so many times at once, so that sending does not slow down the clock that calls are timed
 * with, nor count among the memory that is watched.
 * @returns the statuses
 */
async function send(server, body, count, prefix) {
  const file = fileURLToPath(new URL('upload.mjs', import.meta.url));
  const args = [file, server.url, server.apiKey, body, String(count), prefix];
  const uploader = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [statuses] = await once(uploader.stdout, 'data');
  return String(statuses).trim();
}

/** How much more memory the control process takes at most while one create after the other comes in and gets READY. */
async function worstGrowth(client, server, body) {
  const growths = [];
  for (let create = 0; create < WATCHED; create++) {
    const before = memoryMiB(server.pid);
    let most = before;
    let over = false;
    const watch = async () => {
      while (!over) {
        most = Math.max(most, memoryMiB(server.pid));
        await delay(SAMPLE_MS);
      }
    };
    const watching = watch();
    const status = await send(server, body, 1, `big_${create}_`);
    if (status !== '200') throw new Error(`create ${create} was answered ${status}`);
    const [created] = await client.list({ agentRuntimeName: `big_${create}_`, searchMode: 'fuzzy' });
    const runtime = await waitForRuntime(client, created.agentRuntimeId);
    over = true;
    await watching;
    if (runtime.status !== 'READY') throw new Error(`${runtime.status}: ${runtime.statusReason}`);
    growths.push(most - before);
  }
  console.log(`growth of the control process: ${growths.map((mib) => mib.toFixed(1)).join(', ')} MiB (PSS)`);
  return Math.max(...growths);
}

const growth = await withServer(async ({ client, server, folder }) => {
  // What a server loads with its first deploy is not what a large one costs.
  await deployHello(client, 'hello');
  const body = join(folder, 'real.json');
  await writeRealBody(body, join(folder, 'real'));
  return worstGrowth(client, server, body);
});

const bars = await withServer(async ({ client, server, folder }) => {
  await deployHello(client, 'hello', { sessionConcurrencyLimitPerInstance: CONCURRENCY });
  const body = join(folder, 'body.json');
  await writeBody(body);
  const url = callUrl(server, 'hello');

  const quietly = async (ms) => {
    const load = callAgainAndAgain(CONCURRENCY, () => ({ url }));
    await delay(ms);
    return load.stop();
  };
  await quietly(WARM_UP_MS);
  const before = await quietly(QUIET_MS);

  const load = callAgainAndAgain(CONCURRENCY, () => ({ url }));
  const begun = performance.now();
  const statuses = await send(server, body, UPLOADS, 'up_');
  const seconds = (performance.now() - begun) / 1000;
  const busy = await load.stop();
  // Before and after: the machine's own speed drifts.
  const after = await quietly(QUIET_MS);
  const quiet = {
    times: [...before.times, ...after.times],
    failures: [...before.failures, ...after.failures],
  };
  console.log(
    `uploads: ${statuses} in ${seconds.toFixed(1)} s; ${busy.times.length} calls meanwhile, ${quiet.times.length} quiet in ${(2 * QUIET_MS) / 1000} s`,
  );
  const [quietP99, busyP99] = [quantile(quiet.times, 0.99), quantile(busy.times, 0.99)];
  return [
    bar('failed calls', quiet.failures.length + busy.failures.length, 'calls', 0),
    bar('p99 of calls during uploads / quiet', busyP99 / quietP99, '×', 1.5),
    bar('growth of the control process during a create, worst', growth, 'MiB (PSS)', 64),
    bar('p99 quiet', quietP99, 'ms'),
    bar('p99 during uploads', busyP99, 'ms'),
    bar('median during uploads / quiet', quantile(busy.times, 0.5) / quantile(quiet.times, 0.5), '×'),
  ];
});
report('uploads', bars);
