// A redeploy with one source file changed and the same dependencies, against the agent's own plain start.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdir } from 'node:fs/promises';
import { createServer, get } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { codeFromFile } from '@runstead/client/code';
import { copyExample } from './agents.mjs';
import { instancesOf, newestAttempt, withServer } from './fixture.mjs';
import { bar, median, report } from './report.mjs';

const ROUNDS = 11;
/** Between two looks, at the agent and at the runtime alike. */
const POLL_MS = 5;
const AGENT = { language: 'nodejs20', command: ['node', 'agent.mjs'] };

console.log(
  `agent: examples/langgraph-agent; ${ROUNDS} rounds after one that does not count; polled every ${POLL_MS} ms`,
);

const result = await withServer(async ({ client, server, folder }) => {
  const plainParent = join(folder, 'plain');
  await mkdir(plainParent);
  const plain = await copyExample('langgraph-agent', plainParent);
  await promisify(execFile)('npm', ['ci', '--omit=dev', '--no-audit', '--no-fund'], { cwd: plain });
  const source = await copyExample('langgraph-agent', folder);
  const size = { cpu: 1, memory: 512, port: 9000 };

  const first = await deployed(client, async () =>
    client.create({
      agentRuntimeName: 'kayaks',
      codeConfiguration: await codeFromFile(source, AGENT),
      ...size,
    }),
  );
  const id = first.runtime.agentRuntimeId;
  const redeploys = [];
  const starts = [];
  const phases = new Map();
  const note = (phase, ms) => phases.set(phase, [...(phases.get(phase) ?? []), ms]);
  for (let round = 0; round <= ROUNDS; round++) {
    const startMs = await plainStart(plain);
    await appendFile(join(source, 'agent.mjs'), `\n// change ${round}\n`);
    const { ms, packMs, uploadMs } = await deployed(client, async (packed) => {
      const codeConfiguration = await codeFromFile(source, AGENT);
      packed();
      return client.update(id, { codeConfiguration });
    });
    if (round > 0) {
      starts.push(startMs);
      redeploys.push(ms);
      note('pack (client)', packMs);
      note('upload (client)', uploadMs);
      for (const { phase, durationMs } of await newestAttempt(server, id)) note(phase, durationMs);
    }
    // The old one is gone before the clock runs again.
    while ((await instancesOf(server, id)).length !== 1) await delay(20);
  }
  const fresh = await deployed(client, async () =>
    client.create({
      agentRuntimeName: 'kayaks-2',
      codeConfiguration: await codeFromFile(source, AGENT),
      ...size,
    }),
  );
  return { redeploys, starts, phases, coldMs: first.ms, freshMs: fresh.ms };
});

const { redeploys, starts, phases, coldMs, freshMs } = result;
report('redeploy', [
  bar('redeploy / plain start, medians', median(redeploys) / median(starts), '×', 1.5),
  bar('redeploy: pack → READY is seen, median', median(redeploys), 'ms'),
  bar('plain start: spawn → first healthy answer, median', median(starts), 'ms'),
  ...[...phases].map(([phase, times]) => bar(`of the redeploy: ${phase}, median`, median(times), 'ms')),
  bar('first create, caches empty', coldMs, 'ms'),
  bar('create of another runtime, caches warm', freshMs, 'ms'),
]);

/**
 * Makes a write and looks until its runtime is READY.
 * @param send given what to call when the package is packed
 */
async function deployed(client, send) {
  const begun = performance.now();
  let packed = begun;
  const { agentRuntimeId } = await send(() => {
    packed = performance.now();
  });
  const uploaded = performance.now();
  for (;;) {
    const runtime = await client.get(agentRuntimeId);
    const ms = performance.now() - begun;
    if (runtime.status === 'READY')
      return { runtime, ms, packMs: packed - begun, uploadMs: uploaded - packed };
    if (!/ING$/.test(runtime.status)) throw new Error(`${runtime.status}: ${runtime.statusReason}`);
    await delay(POLL_MS);
  }
}

/** The agent by itself, as its author starts it: the Node that runs this, the same dependencies. */
async function plainStart(folder) {
  const port = await freePort();
  const begun = performance.now();
  const agent = spawn(process.execPath, ['agent.mjs'], {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, PORT: String(port) },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = once(agent, 'exit');
  while (!(await isHealthy(port))) {
    if (agent.exitCode !== null) throw new Error(`the agent ended with code ${agent.exitCode}`);
    await delay(POLL_MS);
  }
  const ms = performance.now() - begun;
  agent.kill('SIGTERM');
  await ended;
  return ms;
}

function isHealthy(port) {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, path: '/health', agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    }).once('error', () => resolve(false));
  });
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
