// Ten times more calls of one runtime than it can answer: what becomes of those let in, those refused, and of another's.
import { fileURLToPath } from 'node:url';
import { listenerLinks } from '../processes.mjs';
import { bar, median, quantile } from '../report.mjs';
import { message } from './belongings.mjs';
import { startGateway } from './gateway-process.mjs';
import { callPath, runtimeRoute } from './routes.mjs';

const WAIT_MS = 50;
const SLOTS = 5;
/** Calls a second that the one instance can answer. */
const CAPACITY = SLOTS * (1000 / WAIT_MS);
const QUEUE = 50;
/** How long the last in a full queue waits. */
const QUEUE_MS = (QUEUE / CAPACITY) * 1000;
/** Calls a second when nothing is too much. */
const QUIET = 50;
const OTHER = 100;
const SECONDS = 2;

export const needs = [];
export const inputs =
  `agents that wait ${WAIT_MS} ms; one has ${SLOTS} slots, so it can answer ${CAPACITY} calls/s, and gets ${10 * CAPACITY}, ` +
  `whether they are answered or not (quiet: ${QUIET}); its queue takes ${QUEUE} calls, which is ${QUEUE_MS} ms; another ` +
  `has 200 slots and gets ${OTHER} calls/s all the time`;

export async function measure({ belongings, say, quick, profile }) {
  const agents = [await startAgent(belongings), await startAgent(belongings)];
  const runtimes = [runtimeRoute('flooded', [[agents[0]]], SLOTS), runtimeRoute('other', [[agents[1]]])];
  const { port } = await startGateway(
    belongings,
    { runtimes },
    { config: { queueLength: QUEUE }, profile: profile('overload') },
  );
  // Each has its callers in a process of their own, so that a flood of the one's is none of the other's.
  const callers = ['flooded', 'other', 'straight'].map(() => startCallers(belongings));
  const run = async (perSecond) => {
    const [flooded, other, straight] = await Promise.all(
      [
        { port, path: callPath('flooded'), perSecond },
        { port, path: callPath('other'), perSecond: OTHER },
        // Past the gateway: what the machine does to calls, whoever passes them on.
        { port: agents[1].port, path: '/', perSecond: OTHER },
      ].map((asked, number) => callOpenLoop(callers[number], { ...asked, seconds: SECONDS })),
    );
    return { flooded, other, straight };
  };
  await run(QUIET);
  await run(10 * CAPACITY);
  const quiet = [];
  const over = [];
  for (let round = 0; round < (quick ? 3 : 9); round++) {
    quiet.push(await run(QUIET));
    over.push(await run(10 * CAPACITY));
  }

  const admitted = { quiet: p99(quiet, 'flooded'), over: p99(over, 'flooded') };
  const others = { quiet: p99(quiet, 'other'), over: p99(over, 'other') };
  say(
    `p99 of calls let in: quiet ${admitted.quiet.toFixed(1)} ms, under overload ${admitted.over.toFixed(1)} ms`,
  );
  say(`p99 of another's: quiet ${others.quiet.toFixed(1)} ms, under overload ${others.over.toFixed(1)} ms`);
  const past = { quiet: p99(quiet, 'straight'), over: p99(over, 'straight') };
  say(`p99 past the gateway: quiet ${past.quiet.toFixed(1)} ms, meanwhile ${past.over.toFixed(1)} ms`);
  const faults = [...quiet, ...over].flatMap(({ flooded, other }) => [...flooded.failed, ...other.failed]);
  const needless = [...quiet.map(({ flooded }) => flooded), ...[...quiet, ...over].map(({ other }) => other)];
  faults.push(...needless.flatMap(({ refused }) => refused.map(() => 'refused without need')));
  for (const text of [...new Set(faults)].slice(0, 5)) say(`failed: ${text}`);
  const refusals = over.flatMap(({ flooded }) => flooded.refused);
  if (refusals.length === 0) throw new Error('nothing was refused: this was no overload');
  return [
    bar(
      `p99 of calls let in, less the queue's ${QUEUE_MS} ms, times the quiet one`,
      (admitted.over - QUEUE_MS) / admitted.quiet,
      'times',
      2,
    ),
    bar('median of refusals', median(refusals), 'ms', 50),
    bar("p99 of another's calls, times its quiet one", others.over / others.quiet, 'times', 1.5),
    bar('the same of calls past the gateway', past.over / past.quiet, 'times'),
    bar('calls that failed, or were refused without need', faults.length, 'calls', 0),
  ];
}

/** The median of the rounds' 99th percentiles: one round that the machine was busy in says nothing of the gateway. */
function p99(rounds, name) {
  return median(rounds.map((round) => quantile(round[name].admitted, 0.99)));
}

async function startAgent(belongings) {
  const child = belongings.fork(processFile('waiting-agent.mjs'), [String(WAIT_MS)]);
  const { port } = await message(child, (said) => said.port !== undefined);
  return { port, links: listenerLinks(child.pid, port) };
}

function startCallers(belongings) {
  return belongings.fork(processFile('open-loop.mjs'));
}

function callOpenLoop(child, asked) {
  child.send(asked);
  return message(child, (said) => said.admitted !== undefined);
}

function processFile(name) {
  return fileURLToPath(new URL(`processes/${name}`, import.meta.url));
}
