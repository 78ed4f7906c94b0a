import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataMark } from '../../src/drivers/process/identity.ts';
import { killAll, listProcesses } from '../../src/drivers/process/processes.ts';
import { zipOf } from '../reconcile/harness.ts';

/**
 * The server is killed at every step of a story that changes something on the disk or starts a program: before it and
 * after it. After the next start everything is as before the operation under way or as after it, never between, what
 * was acknowledged is there, and nothing is left over. `RUNSTEAD_CRASH_AT='<step>'` tries one of them.
 */
const PRELOAD = new URL('./crash-points.mjs', import.meta.url).href;
const SERVER = fileURLToPath(new URL('./server-process.mjs', import.meta.url));
/** Of a step that comes again and again, this many are tried, spread over the story; of commits and renames twice. */
const TRIED_PER_STEP = Number(process.env.RUNSTEAD_CRASHES_PER_STEP ?? 1);
/** In one run, so many steps at random: in time all of them are tried. `RUNSTEAD_CRASHES=1000` tries all at once. */
const TRIED_IN_ALL = Number(process.env.RUNSTEAD_CRASHES ?? 100);
const AT_ONCE = 3;

const AGENT = `
import { createServer } from 'node:http';
if (process.env.VALUE === 'bad') throw new Error('bad configuration');
createServer((_request, response) => response.end(process.env.VALUE)).listen(Number(process.env.PORT), '127.0.0.1');
`;
const MANIFEST = JSON.stringify({ name: 'agent', version: '1.0.0' });
const LOCK = JSON.stringify({
  name: 'agent',
  version: '1.0.0',
  lockfileVersion: 3,
  requires: true,
  packages: { '': { name: 'agent', version: '1.0.0' } },
});

interface Line {
  acknowledged?: number;
  status?: number;
  message?: string;
  after?: number;
  there?: unknown;
  strays?: string[];
  logged?: string[];
}

let folder: string;
let packages: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-crash-'));
  packages = join(folder, 'packages');
  await mkdir(packages);
  const locked = { 'package.json': MANIFEST, 'package-lock.json': LOCK, 'index.mjs': AGENT };
  for (const [name, files] of Object.entries({
    locked,
    changed: { ...locked, 'notes.txt': 'only the code is another' },
    plain: { 'index.mjs': AGENT },
  }))
    writeFileSync(join(packages, `${name}.zip`), await zipOf(files));
});
afterAll(async () => {
  // After a fault there may be agents whose server nobody started again.
  await killAll((table) => table.filter(({ dataMark: mark }) => mark !== undefined && marks.has(mark)));
  rmSync(folder, { recursive: true, force: true });
});
const marks = new Set<string>();

/** One server process on a data folder. @returns how it ended, and what it said */
async function run(data: string, mode: 'act' | 'tell', env: Record<string, string> = {}) {
  const said = join(data, '..', `${mode}.jsonl`);
  const child = spawn(process.execPath, ['--import', PRELOAD, SERVER, data, mode, said, packages], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...npmEnvironment(), ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (piece) => {
    stderr += piece;
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  const lines = existsSync(said)
    ? readFileSync(said, 'utf8')
        .trim()
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Line)
    : [];
  return { code, signal, lines, stderr };
}

function npmEnvironment(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => /^npm_config_/i.test(name)) as [string, string][],
  );
}

async function newData(): Promise<string> {
  const data = join(mkdtempSync(join(folder, 'run-')), 'data');
  await mkdir(join(data, 'buckets', 'packages'), { recursive: true });
  writeFileSync(join(data, 'buckets', 'packages', 'plain.zip'), readFileSync(join(packages, 'plain.zip')));
  marks.add(dataMark(data));
  return data;
}

/** Steps by name, at most so many of each; the first, the last and those between. */
function chosen(steps: string[]): string[] {
  const byName = new Map<string, string[]>();
  for (const step of steps) {
    const name = step.replace(/@\d+$/, '');
    byName.set(name, [...(byName.get(name) ?? []), step]);
  }
  return [...byName].flatMap(([name, all]) => {
    const often = /sql (?:commit|update runtimes)|rename/.test(name) ? 2 : 1;
    const count = Math.min(TRIED_PER_STEP * often, all.length);
    // A single one is taken from anywhere, so that in time all of them are.
    const at = (i: number) =>
      count === 1 ? Math.floor(Math.random() * all.length) : Math.round((i * (all.length - 1)) / (count - 1));
    return [...new Set(Array.from({ length: count }, (_, i) => all[at(i)]!))];
  });
}

function sample<T>(items: T[], count: number): T[] {
  const left = [...items];
  while (left.length > count) left.splice(Math.floor(Math.random() * left.length), 1);
  return left;
}

describe('a server that is killed', () => {
  it('at any step has done the operation under way or has not, and leaves nothing over', {
    timeout: 1_200_000,
  }, async () => {
    const data = await newData();
    const stepsFile = join(data, '..', 'steps');
    const whole = await run(data, 'act', { CRASH_DATA: data, CRASH_STEPS: stepsFile });
    expect(whole.stderr).toBe('');
    expect(whole.lines.filter(({ status }) => status !== undefined && status !== 200)).toEqual([]);
    /** What there is after so many operations. */
    const states: unknown[] = [
      [],
      ...whole.lines.filter((it) => it.after !== undefined).map(({ there }) => there),
    ];
    expect(states).toHaveLength(12);

    const one = process.env.RUNSTEAD_CRASH_AT;
    const steps =
      one === undefined
        ? sample(chosen(readFileSync(stepsFile, 'utf8').trim().split('\n')), TRIED_IN_ALL)
        : [one];
    const faults: string[] = [];
    let killed = 0;
    const tryStep = async (step: string) => {
      const own = await newData();
      const first = await run(own, 'act', { CRASH_DATA: own, CRASH_AT: step });
      // Not every run takes the very same steps; what did not happen could not be interrupted.
      if (first.signal !== 'SIGKILL') return rmSync(join(own, '..'), { recursive: true, force: true });
      killed++;
      const done = first.lines.filter(({ acknowledged }) => acknowledged !== undefined).length;
      const second = await run(own, 'tell');
      const fault = (what: string) => faults.push(`killed ${step}, ${done} acknowledged: ${what}`);
      if (second.code !== 0) return fault(`the next server failed: ${second.stderr}`);
      const { there, strays = [], logged = [] } = second.lines[0]!;
      const [before, after] = [states[done], states[done + 1]].map((it) => JSON.stringify(it));
      const seen = JSON.stringify(there);
      if (seen !== before && seen !== after) fault(`neither\n${before}\nnor\n${after}\nbut\n${seen}`);
      if (strays.length > 0) fault(`left over: ${strays.join(', ')}`);
      if (logged.length > 0) fault(`logged: ${logged.join('; ')}`);
      const mark = dataMark(own);
      const left = (await listProcesses()).filter((it) => it.dataMark === mark);
      if (left.length > 0) fault(`${left.length} processes are left`);
      rmSync(join(own, '..'), { recursive: true, force: true });
    };
    const queue = [...steps];
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (let step = queue.shift(); step !== undefined; step = queue.shift()) await tryStep(step);
      }),
    );
    console.log(`killed at ${killed} of ${steps.length} steps`);
    expect(faults).toEqual([]);
    expect(killed).toBeGreaterThan(steps.length * 0.8);
  });
});
