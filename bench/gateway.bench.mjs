// The gateway's bars: what a call, a stream, a rollout and an overload cost and lose, against nginx and Node's proxies.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Belongings } from './gateway/belongings.mjs';
import { machineCpuMs, ownCpuMs } from './processes.mjs';
import { bar, report } from './report.mjs';

const PARTS = ['cpu', 'latency', 'sse', 'proxies', 'overload', 'table', 'rollouts'];
const PACKAGES = { nginx: 'nginx-light', wrk: 'wrk', taskset: 'util-linux' };

const { only, quick, profiles } = wanted();
if (!existsSync('/proc/self/stat')) refuse('this bench reads /proc, which this machine does not have');
const parts = [];
for (const name of only) parts.push({ name, ...(await import(`./gateway/${name}.mjs`)) });
const missing = Object.keys(PACKAGES).filter(
  (tool) => parts.some(({ needs }) => needs.includes(tool)) && !isInstalled(tool),
);
if (missing.length > 0) {
  const short = parts.filter(({ needs }) => needs.some((tool) => missing.includes(tool)));
  refuse(
    `${missing.join(' and ')} cannot be found, which ${short.map(({ name }) => name).join(', ')} need: ` +
      `apt-get install ${missing.map((tool) => PACKAGES[tool]).join(' ')}, or name other parts with --only`,
  );
}

/** Interrupted, the bench ends what it started before it goes. */
let interruptedWith;
const interruption = new Promise((_, reject) => {
  for (const [signal, code] of Object.entries({ SIGHUP: 129, SIGINT: 130, SIGTERM: 143 })) {
    process.once(signal, () => {
      interruptedWith = code;
      reject(new Error(`interrupted by ${signal}`));
    });
  }
});
interruption.catch(() => {});

console.log(`machine: ${cpus()[0].model}, ${cpus().length} cores, Node ${process.version}`);
if (profiles) console.log(`CPU profiles go to ${profiles}; the figures of a profiled gateway are no measure`);
const bars = [];
const sinceBegin = machineUse();
for (const part of parts) {
  const sincePart = machineUse();
  console.log(`== ${part.name}: ${part.inputs}`);
  bars.push(...(await figuresOf(part)));
  if (interruptedWith !== undefined) process.exit(interruptedWith);
  const { seconds, others } = sincePart();
  console.log(`== ${part.name}: ${seconds.toFixed(0)} s; others used ${others.toFixed(0)} % of the machine`);
}
bars.push(bar("others' share of the machine's processors", sinceBegin().others, '%'));
report('gateway', bars);

/** A part that cannot be measured is a bar that does not hold; the others are measured all the same. */
async function figuresOf({ name, measure }) {
  const belongings = new Belongings();
  interruption.catch(() => belongings.end());
  const say = (line) => console.log(`   ${line}`);
  /** Where a gateway's profile goes, if there is to be one. */
  const profile = (of) => profiles && { folder: profiles, name: of };
  try {
    const figures = await measure({ belongings, interruption, quick, profile, say });
    return figures.map((figure) => ({ ...figure, name: `${name}: ${figure.name}` }));
  } catch (error) {
    console.error(interruptedWith === undefined ? error : 'interrupted');
    return [bar(`${name}: could not be measured`, 1, 'parts', 0)];
  } finally {
    await belongings.end();
  }
}

/** @returns tells how long ago it was called, and what share of the processors others have used since, in % */
function machineUse() {
  const before = { ms: performance.now(), own: ownCpuMs(), all: machineCpuMs() };
  return () => {
    const ms = performance.now() - before.ms;
    const others = machineCpuMs() - before.all - (ownCpuMs() - before.own);
    return { seconds: ms / 1000, others: (Math.max(0, others) / (ms * cpus().length)) * 100 };
  };
}

function wanted() {
  const options = { only: { type: 'string' }, quick: { type: 'boolean' }, profile: { type: 'string' } };
  let values;
  try {
    ({ values } = parseArgs({ args: process.argv.slice(3), options }));
  } catch (error) {
    refuse(`${error.message}; flags: --only ${PARTS.join(',')} --quick --profile FOLDER`);
  }
  const names = values.only?.split(',') ?? PARTS;
  const unknown = names.find((name) => !PARTS.includes(name));
  if (unknown !== undefined) refuse(`--only names parts by commas, of ${PARTS.join(',')}; got "${unknown}"`);
  const folder = values.profile === undefined ? undefined : resolve(values.profile);
  if (folder) mkdirSync(folder, { recursive: true });
  return { only: names, quick: values.quick ?? false, profiles: folder };
}

function isInstalled(tool) {
  return spawnSync(tool, ['-V'], { stdio: 'ignore' }).error === undefined;
}

function refuse(why) {
  console.error(why);
  process.exit(2);
}
