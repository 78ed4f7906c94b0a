import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { codeFromFile } from '@runstead/client/code';
import { withServer } from '../fixture.mjs';
import { commandOf } from '../processes.mjs';
import { bar, median } from '../report.mjs';
import { byHand, SLEEPY, sleeper, waitingMiB } from './sleepers.mjs';

const EXAMPLE = fileURLToPath(new URL('../../examples/fastapi-agent', import.meta.url));

export async function measure({ rounds, say }) {
  const rows = await pythonRows({ rounds });
  for (const { name, value, unit } of rows) say(`${name}: ${value} ${unit}`);
  return rows;
}

/** How the agent is run, besides by hand; `limit` is of the start's time over that. Others are only reported. */
const ROWS = [
  { name: 'forked', env: {}, limit: 0.3 },
  { name: 'started', env: { RUNSTEAD_FORK_MEMORY: '0', RUNSTEAD_POOL: '0' }, limit: 1.1 },
  { name: 'begun in the pool', env: { RUNSTEAD_FORK_MEMORY: '0' } },
  ...(existsSync('/usr/bin/bwrap')
    ? [
        { name: 'imported ahead in the sandbox', env: { RUNSTEAD_SANDBOX: 'require' } },
        {
          name: 'begun in the pool, in the sandbox',
          env: { RUNSTEAD_SANDBOX: 'require', RUNSTEAD_FORK_MEMORY: '0' },
        },
        {
          name: 'started in the sandbox',
          env: { RUNSTEAD_SANDBOX: 'require', RUNSTEAD_FORK_MEMORY: '0', RUNSTEAD_POOL: '0' },
        },
      ]
    : []),
];

/**
 * A Python agent from zero, through the gateway, against the same by hand: its own folder and interpreter, started by
 * turns.
 * @param rounds of each
 */
function pythonRows({ rounds }) {
  const code = () => codeFromFile(EXAMPLE, { language: 'python3.10', command: ['python', 'main.py'] });
  return withServers(ROWS, async (rows) => {
    const agents = [];
    for (const row of rows) agents.push({ ...row, agent: await sleeper(row, 'agent', await code()) });
    const { codeDir } = agents.find(({ name }) => name === 'started').agent;
    const python = join(codeDir, '.venv', 'bin', 'python');
    const hand = { times: [], memory: [] };
    const taken = agents.map(() => ({ times: [], memory: [] }));
    const parents = [];
    const take = (into, { ms, memory }) => {
      into.times.push(ms);
      if (memory !== undefined) into.memory.push(memory);
    };
    // What waits comes up beside the first start of a version after its deploy, or beside the second.
    for (const { agent } of [...agents, ...agents]) {
      await agent.wake();
      await agent.asleep();
    }
    for (let round = 0; round < rounds; round++) {
      take(hand, await byHand(python, ['main.py'], codeDir));
      for (const [i, { agent, server, name }] of agents.entries()) {
        take(taken[i], await agent.wake());
        if (name === 'forked')
          parents.push(...waitingMiB(server, (it) => it.includes('python-parent.py'), commandOf));
        await agent.asleep();
      }
    }
    const usual = median(hand.times);
    return [
      bar('python main.py by hand to its first answer', usual, 'ms'),
      bar('memory by hand', median(hand.memory), 'MiB (PSS)'),
      bar('memory of the process that instances are forked from', median(parents), 'MiB (PSS)'),
      ...agents.flatMap(({ name, limit }, i) => [
        bar(`Python from zero, through the gateway, ${name}`, median(taken[i].times), 'ms'),
        bar(`the same over by hand: ${name}`, median(taken[i].times) / usual, 'times', limit),
        bar(`memory of an agent: ${name}`, median(taken[i].memory), 'MiB (PSS)'),
      ]),
    ];
  });
}

/** A server for each row. */
function withServers([row, ...rest], measureThem, done = []) {
  if (!row) return measureThem(done);
  return withServer((server) => withServers(rest, measureThem, [...done, { ...row, ...server }]), {
    ...SLEEPY,
    ...row.env,
  });
}
