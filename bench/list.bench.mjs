// Lists with 10,000 runtimes against the same with 100, and how fast runtimes are created: the control plane by itself,
// over its socket, without a reconciler.
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@runstead/server';
import { openControlPlane } from '@runstead/server/control-plane';
import { example } from './fixture.mjs';
import { bar, median, report } from './report.mjs';

const FEW = 100;
const MANY = 10_000;
const ROUNDS = 200;
const CREATES = 500;
const RUNTIMES = '/2025-09-10/agents/runtimes';

const folder = await mkdtemp(join(tmpdir(), 'runstead-list-'));
const opened = [];
try {
  const few = await seeded(FEW);
  const many = await seeded(MANY);
  const bars = [];
  for (const { name, ofFew, ofMany, limit } of [
    { name: 'first page', ofFew: 'pageSize=50', ofMany: 'pageSize=50', limit: 3 },
    {
      name: 'exact name',
      ofFew: `searchMode=exact&agentRuntimeName=agent-${FEW / 2}`,
      ofMany: `searchMode=exact&agentRuntimeName=agent-${MANY / 2}`,
      limit: 3,
    },
    {
      // Nobody has walked there: the page is counted to.
      name: 'page 150 against the last of few',
      ofFew: 'pageNumber=2&pageSize=50',
      ofMany: 'pageNumber=150&pageSize=50',
      limit: 3,
    },
    {
      name: 'part of a name',
      ofFew: 'agentRuntimeName=T-5&pageSize=10',
      ofMany: 'agentRuntimeName=T-55&pageSize=10',
    },
    { name: 'one status', ofFew: 'status=READY&pageSize=50', ofMany: 'status=READY&pageSize=50' },
  ]) {
    const times = { few: [], many: [] };
    // In turn, so that whatever else the machine does is shared.
    for (let round = 0; round < ROUNDS; round++) {
      times.few.push(await timed(few, `${RUNTIMES}?${ofFew}`));
      times.many.push(await timed(many, `${RUNTIMES}?${ofMany}`));
    }
    const [a, b] = [median(times.few), median(times.many)];
    bars.push(
      bar(`${name}: ${MANY} runtimes / ${FEW}`, b / a, '×', limit),
      bar(`${name}, of ${FEW}`, a, 'ms'),
      bar(`${name}, of ${MANY}`, b, 'ms'),
    );
  }
  bars.push(bar(`walk through ${MANY} by pages of 50`, await walk(many), 's'));

  const bucket = await creates(many, {
    ossBucketName: 'packages',
    ossObjectName: 'agent.zip',
    command: ['node'],
  });
  const inline = await creates(many, await example('hello-http', ['node', 'server.mjs']));
  bars.push(
    bar('creates with a package in a bucket', bucket, 'per second'),
    bar('creates with a small package', inline, 'per second'),
    bar('durable inserts by SQLite alone', durableInserts(), 'per second'),
  );
  report('list', bars);
} finally {
  for (const plane of opened) {
    plane.agent.destroy();
    await plane.close();
  }
  await rm(folder, { recursive: true, force: true });
}

/** A control plane with so many runtimes, all READY, put into its store as deploys would have left them. */
async function seeded(count) {
  const dataDir = join(folder, `of-${count}`);
  const plane = await openControlPlane(loadConfig({ dataDir, logLevel: 'error' }, {}));
  const opening = { ...plane, agent: new Agent({ keepAlive: true, maxSockets: 1 }) };
  opened.push(opening);
  const begun = performance.now();
  const spec = {
    artifactType: 'Container',
    containerConfiguration: { image: 'registry.example/agents/agent:1' },
    cpu: 1,
    memory: 2048,
    port: 9000,
    networkConfiguration: { networkMode: 'PUBLIC' },
    sessionConcurrencyLimitPerInstance: 1,
    sessionIdleTimeoutSeconds: 3600,
    environmentVariables: Object.fromEntries(
      Array.from({ length: 8 }, (_, i) => [`VARIABLE_${i}`, 'v'.repeat(32)]),
    ),
    systemTags: ['bench'],
  };
  for (let index = 0; index < count; index++) {
    const id = randomUUID();
    const at = new Date(Date.UTC(2026, 0, 1) + index * 1000).toISOString();
    await plane.store.createRuntime({ id, name: `agent-${index}`, spec, at });
    await plane.store.settleRuntime(id, 1, { status: 'READY', newVersion: true, at });
  }
  console.log(`${count} runtimes put into the store in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  return opening;
}

/** Milliseconds until the answer was read whole. */
async function timed(plane, path) {
  const begun = performance.now();
  const { status } = await ask(plane, 'GET', path);
  if (status !== 200) throw new Error(`${path}: HTTP ${status}`);
  return performance.now() - begun;
}

async function walk(plane) {
  const begun = performance.now();
  const seen = new Set();
  for (let pageNumber = 1; ; pageNumber++) {
    const { text } = await ask(plane, 'GET', `${RUNTIMES}?pageSize=50&pageNumber=${pageNumber}`);
    const { items } = JSON.parse(text).data;
    for (const { agentRuntimeId } of items) seen.add(agentRuntimeId);
    if (items.length < 50) break;
  }
  if (seen.size !== MANY) throw new Error(`walked through ${seen.size} runtimes`);
  return (performance.now() - begun) / 1000;
}

/** Creates per second, eight at once, as that many clients would send them. */
async function creates(plane, codeConfiguration) {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const run = randomUUID().slice(0, 8);
  let next = 0;
  const client = async () => {
    while (next < CREATES) {
      const agentRuntimeName = `created-${run}-${next++}`;
      const body = {
        agentRuntimeName,
        artifactType: 'Code',
        codeConfiguration,
        cpu: 1,
        memory: 512,
        port: 9000,
      };
      const { status, text } = await ask({ ...plane, agent }, 'POST', RUNTIMES, body);
      if (status !== 200) throw new Error(`create: HTTP ${status} ${text}`);
    }
  };
  const begun = performance.now();
  await Promise.all(Array.from({ length: 8 }, client));
  const seconds = (performance.now() - begun) / 1000;
  agent.destroy();
  return CREATES / seconds;
}

function ask({ socketPath, apiKey, agent }, method, path, body) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${apiKey}`,
      ...(text !== undefined && {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(text),
      }),
    };
    const sent = request({ socketPath, agent, method, path, headers }, (response) => {
      const pieces = [];
      response.on('data', (piece) => pieces.push(piece));
      response.on('end', () =>
        resolve({ status: response.statusCode, text: Buffer.concat(pieces).toString() }),
      );
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(text);
  });
}

/** What the disk and SQLite give by themselves: rows of the same size, each on the disk before the next. */
function durableInserts() {
  const require = createRequire(import.meta.url);
  const builtin = process.versions.node.split('.').map(Number);
  const { DatabaseSync } = require(
    builtin[0] > 22 || (builtin[0] === 22 && builtin[1] >= 16) ? 'node:sqlite' : '@photostructure/sqlite',
  );
  const database = new DatabaseSync(join(folder, 'alone.sqlite'));
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
  database.exec(
    'CREATE TABLE rows (id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, spec TEXT NOT NULL)',
  );
  const insert = database.prepare('INSERT INTO rows VALUES (?, ?, ?)');
  const begun = performance.now();
  for (let index = 0; index < CREATES; index++) insert.run(randomUUID(), `row-${index}`, 'x'.repeat(500));
  const seconds = (performance.now() - begun) / 1000;
  database.close();
  return CREATES / seconds;
}
