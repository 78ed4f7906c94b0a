// What it costs to have many agents: 1,000 and 10,000 that sleep, put into the store as deploys would have left them, and 100
// that are awake.
import { fork } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '@runstead/server';
import { openControlPlane } from '@runstead/server/control-plane';
import { callUrl, deployHello, instancesOf, withServer } from '../fixture.mjs';
import { memoryMiB, processesOf } from '../processes.mjs';
import { bar, median } from '../report.mjs';

/** In memory where that can be had: tens of thousands of durable writes would measure the disk. */
const ROOT = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const SERVER = fileURLToPath(new URL('scaled-server.mjs', import.meta.url));
const HEAP_MOST_KIB = 3;
const START_MOST = 2;

export const measure = ({ rounds }) => scaleRows({ rounds });

/**
 * The rows of this bench.
 * @param context.rounds how often the start of a server is measured, of few runtimes and of many by turns; 0: this is left out. Default: 15
 * @param context.awake how many agents are awake at once; 0: this is left out. Default: 100
 */
async function scaleRows({ rounds = 15, awake = 100 } = {}) {
  const folder = await mkdtemp(join(ROOT, 'runstead-scale-'));
  try {
    return [
      ...(rounds > 0 ? await asleepRows(folder, rounds) : []),
      ...(awake > 0 ? await awakeRows(awake) : []),
    ];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function asleepRows(folder, rounds) {
  const ten = await seeded(folder, 10);
  const thousand = await seeded(folder, 1000);
  const tenThousand = await seeded(folder, 10_000);

  const starts = { ten: [], thousand: [] };
  for (let round = 0; round < rounds; round++) {
    starts.ten.push(await timeToAnswer(ten));
    starts.thousand.push(await timeToAnswer(thousand));
  }
  let processes = 0;
  const heap = {};
  for (const [name, data] of Object.entries({ thousand, tenThousand })) {
    await withScaledServer(data, async (ask) => {
      heap[name] = await settledHeap(ask);
      processes += processesOf(data).length;
    });
  }
  const growth = (heap.tenThousand - heap.thousand) / 9000 / 1024;
  const [few, many] = [median(starts.ten), median(starts.thousand)];
  return [
    bar('processes of 11,000 runtimes that sleep', processes, 'processes', 0),
    bar('control-process heap, 1,000 runtimes asleep', heap.thousand / 2 ** 20, 'MiB'),
    bar('control-process heap, 10,000 runtimes asleep', heap.tenThousand / 2 ** 20, 'MiB'),
    bar('heap for one more runtime asleep', growth, 'KiB', HEAP_MOST_KIB),
    bar('start of the server with 10 runtimes', few, 'ms'),
    bar('start of the server with 1,000 runtimes', many, 'ms'),
    bar('start with 1,000 runtimes / with 10', many / few, '×', START_MOST),
  ];
}

/** A data folder with so many runtimes that serve and sleep. */
async function seeded(folder, count) {
  const dataDir = join(folder, `of-${count}`);
  const plane = await openControlPlane(loadConfig({ dataDir, logLevel: 'error' }, {}));
  const variables = Array.from({ length: 8 }, (_, i) => [`VARIABLE_${i}`, 'v'.repeat(32)]);
  for (let index = 0; index < count; index++) {
    const at = new Date(Date.UTC(2026, 0, 1) + index * 1000).toISOString();
    const id = randomUUID();
    const spec = {
      artifactType: 'Code',
      codeConfiguration: { language: 'nodejs20', command: ['node', 'server.mjs'] },
      artifact: { digest: createHash('sha256').update(id).digest('hex'), sizeBytes: 1000, crc64: '1' },
      cpu: 1,
      memory: 512,
      port: 9000,
      networkConfiguration: { networkMode: 'PUBLIC' },
      sessionConcurrencyLimitPerInstance: 1,
      sessionIdleTimeoutSeconds: 3600,
      environmentVariables: Object.fromEntries(variables),
    };
    await plane.store.createRuntime({ id, name: `agent-${index}`, spec, at });
    await plane.store.settleRuntime(id, 1, { status: 'READY', newVersion: true, at });
    const endpoint = { id: randomUUID(), runtimeId: id, name: 'prod', spec: { targetVersion: '1' }, at };
    await plane.store.createEndpoint(endpoint);
    await plane.store.settleEndpoint(endpoint.id, 1, { status: 'READY' });
  }
  await plane.close();
  return dataDir;
}

/** From the spawn of a server to its first answer, in ms. */
async function timeToAnswer(dataDir) {
  const begun = performance.now();
  return withScaledServer(dataDir, async (_ask, url) => {
    const response = await fetch(`${url}/health`);
    if (!response.ok) throw new Error(`/health: HTTP ${response.status}`);
    await response.text();
    return performance.now() - begun;
  });
}

async function withScaledServer(dataDir, measure) {
  const child = fork(SERVER, {
    execArgv: ['--expose-gc'],
    env: {
      PATH: process.env.PATH,
      RUNSTEAD_DATA: dataDir,
      RUNSTEAD_PORT: '0',
      RUNSTEAD_LOG_LEVEL: 'error',
    },
  });
  const exited = once(child, 'exit');
  const answer = async (key) => {
    const ended = exited.then(([code]) => {
      throw new Error(`the server ended with code ${code}`);
    });
    for (;;) {
      const [message] = await Promise.race([once(child, 'message'), ended]);
      if (key in message) return message[key];
    }
  };
  try {
    const url = await answer('ready');
    const ask = () => {
      child.send('heap');
      return answer('heapBytes');
    };
    return await measure(ask, url);
  } finally {
    if (child.connected) child.send('stop');
    await exited;
  }
}

/** The heap when it no longer changes: what the start set going is over by then. */
async function settledHeap(ask) {
  for (let before = await ask(), same = 0; ; ) {
    await delay(500);
    const bytes = await ask();
    same = Math.abs(bytes - before) < before / 500 ? same + 1 : 0;
    if (same === 4) return bytes;
    before = bytes;
  }
}

async function awakeRows(count) {
  return withServer(
    async ({ client, server, folder }) => {
      const names = Array.from({ length: count }, (_, index) => `awake-${index}`);
      let next = 0;
      const deployer = async () => {
        while (next < names.length) await deployHello(client, names[next++]);
      };
      await Promise.all([deployer(), deployer(), deployer()]);
      // All at once, and each held open by the others' answers.
      const answers = await Promise.all(names.map((name) => fetch(callUrl(server, name))));
      const answered = answers.filter(({ ok }) => ok).length;
      for (const answer of answers) await answer.text();
      const ready = (await instancesOf(server)).filter(({ state }) => state === 'ready').length;
      const pids = processesOf(join(folder, 'data'));
      const memory = pids.map(memoryMiB).reduce((sum, mib) => sum + (mib ?? 0), 0);
      return [
        bar(`of ${count} agents awake, those that do not answer`, count - answered, 'agents', 0),
        bar(`of ${count} agents, those that are not awake at once`, count - ready, 'agents', 0),
        bar('proportional memory of an agent that is awake, its wrapper included', memory / count, 'MiB'),
      ];
    },
    { RUNSTEAD_IDLE_STOP: '1h', RUNSTEAD_MAX_INSTANCES: String(count + 10) },
  );
}
