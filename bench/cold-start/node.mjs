// Node agents: the LangGraph.js example.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { codeFromFile } from '@runstead/client/code';
import { copyExample } from '../agents.mjs';
import { memoryMiB } from '../processes.mjs';
import { bar, median } from '../report.mjs';
import { startByHand } from './by-hand.mjs';
import { withSleepers } from './sleeping.mjs';

const COMMAND = ['node', 'agent.mjs'];
/** Processes of a program share its pages: as many of each run at once when memory is measured. */
const AT_ONCE = 3;
const CALM_MS = 700;
/** What a process has by then that it will not keep, it has given back. */
const SETTLED_MS = 6000;

/** How the agent is run; `limit` is of the start's time over that by hand. Others are only reported. */
const ROWS = [
  {
    name: 'Node 24, record and compile cache',
    language: 'nodejs24',
    env: { RUNSTEAD_POOL: '0', RUNSTEAD_SANDBOX: 'off' },
    limit: 0.45,
    memoryLimit: 1.15,
    prepared: recorded,
  },
  {
    name: 'Node 24, record, compile cache and pool',
    language: 'nodejs24',
    env: { RUNSTEAD_POOL: '2', RUNSTEAD_SANDBOX: 'off' },
    limit: 0.33,
    prepared: recorded,
  },
  ...(existsSync('/usr/bin/bwrap')
    ? [
        {
          name: 'Node 24, record and compile cache, in the sandbox',
          language: 'nodejs24',
          env: { RUNSTEAD_POOL: '0', RUNSTEAD_SANDBOX: 'require' },
          limit: 0.55,
          prepared: recorded,
        },
        {
          name: 'Node 24, record, compile cache and pool, in the sandbox',
          language: 'nodejs24',
          env: { RUNSTEAD_POOL: '2', RUNSTEAD_SANDBOX: 'require' },
          limit: 0.43,
          prepared: recorded,
        },
      ]
    : []),
  {
    name: 'the system’s Node, plain',
    language: 'nodejs20',
    env: { RUNSTEAD_POOL: '0', RUNSTEAD_SANDBOX: 'off' },
  },
];

export async function measure({ rounds, say }) {
  const parent = await mkdtemp(join(tmpdir(), 'runstead-bench-'));
  try {
    const folder = await copyExample('langgraph-agent', parent);
    const packed = (language) => codeFromFile(folder, { language, command: COMMAND });
    const rows = [];
    for (const row of ROWS)
      rows.push({
        ...row,
        codeConfiguration: await packed(row.language),
        count: row.memoryLimit ? AT_ONCE : 1,
      });
    execFileSync('npm', ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: folder,
      stdio: 'ignore',
    });
    return await withSleepers(rows, async (sleepers) => [
      ...(await startTimes(sleepers, folder, rounds, say)),
      ...(await memory(sleepers, folder, say)),
    ]);
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
}

async function startTimes(sleepers, folder, rounds, say) {
  const byHand = [];
  const times = sleepers.map(() => []);
  // Nothing of one start, nor what is made for the one after it, goes on while another is measured.
  const calm = async () => {
    for (const { agents } of sleepers) await agents[0].asleep();
    await delay(CALM_MS);
  };
  for (let round = 0; round <= rounds; round++) {
    await calm();
    const own = await startByHand(COMMAND, folder);
    await own.stop();
    const woken = [];
    for (const { agents } of sleepers) {
      await calm();
      woken.push(await agents[0].wake());
    }
    // The first round warms what the others find warm.
    if (round === 0) continue;
    byHand.push(own.ms);
    for (const [i, ms] of woken.entries()) times[i].push(ms);
  }
  const usual = median(byHand);
  say(`by hand: ${usual.toFixed(0)} ms`);
  return sleepers.map(({ name, limit }, i) => {
    const ms = median(times[i]);
    say(`${name}: ${ms.toFixed(0)} ms`);
    return bar(`first call to one that sleeps, over a start by hand: ${name}`, ms / usual, 'x', limit);
  });
}

async function memory(sleepers, folder, say) {
  const own = [];
  for (let i = 0; i < AT_ONCE; i++) own.push(await startByHand(COMMAND, folder));
  await delay(SETTLED_MS);
  const usual = median(own.map(({ pid }) => memoryMiB(pid)));
  for (const { stop } of own) await stop();
  say(`by hand, idle: ${usual.toFixed(1)} MiB (PSS, ${AT_ONCE} at once)`);
  const bars = [];
  for (const { name, agents, memoryLimit } of sleepers) {
    if (memoryLimit === undefined) continue;
    const calls = setInterval(
      () => void Promise.all(agents.map((agent) => agent.wake())).catch(() => {}),
      500,
    );
    await Promise.all(agents.map((agent) => agent.wake()));
    await delay(SETTLED_MS);
    clearInterval(calls);
    const found = median(await Promise.all(agents.map(async (agent) => memoryMiB(await agent.pid()))));
    say(`${name}, idle: ${found.toFixed(1)} MiB`);
    bars.push(
      bar(`memory of an idle instance, over one started by hand: ${name}`, found / usual, 'x', memoryLimit),
    );
  }
  return bars;
}

/** Until the first start of each has been written down. */
async function recorded({ agents, data }) {
  const isThere = (id) => existsSync(join(data, 'starts', id)) && keptIn(join(data, 'starts', id)).length > 0;
  for (let i = 0; i < 500 && !agents.every(({ id }) => isThere(id)); i++) await delay(20);
  if (!agents.every(({ id }) => isThere(id))) throw new Error('no start was recorded');
}

function keptIn(folder) {
  return readdirSync(folder).filter((name) => !name.endsWith('.tmp'));
}
