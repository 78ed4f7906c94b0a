import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dataMark } from '../../src/drivers/process/identity.ts';
import { killAll } from '../../src/drivers/process/processes.ts';
import { zipOf } from '../reconcile/harness.ts';

const PRELOAD = new URL('./crash-points.mjs', import.meta.url).href;
const SERVER = fileURLToPath(new URL('./create-again-process.mjs', import.meta.url));
/** The statements that create and keep are all tried, and of the other steps this many, from anywhere. */
const OTHERS_TRIED = Number(process.env.RUNSTEAD_CRASHES_PER_STEP ?? 1) * 10;
const AT_ONCE = 2;

const AGENT = `
import { createServer } from 'node:http';
createServer((_request, response) => response.end('ok')).listen(Number(process.env.PORT), '127.0.0.1');
`;

let folder: string;
let packageFile: string;
const marks = new Set<string>();
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-create-again-'));
  packageFile = join(folder, 'package.zip');
  writeFileSync(packageFile, await zipOf({ 'index.mjs': AGENT }));
});
afterAll(async () => {
  await killAll((table) => table.filter(({ dataMark: mark }) => mark !== undefined && marks.has(mark)));
  rmSync(folder, { recursive: true, force: true });
});

type Line = { status?: number; message?: string; id?: string; runtimes?: [string, string, string?][] };

/** One life of a server on a data folder. */
async function live(data: string, env: Record<string, string> = {}) {
  marks.add(dataMark(data));
  const said = `${data}.jsonl`;
  rmSync(said, { force: true });
  const child = spawn(process.execPath, ['--import', PRELOAD, SERVER, data, said, packageFile], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, CRASH_DATA: data, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (piece) => {
    stderr += piece;
  });
  const [, signal] = (await once(child, 'close')) as [number | null, string | null];
  const lines = existsSync(said) ? readFileSync(said, 'utf8').trim().split('\n').filter(Boolean) : [];
  const [answer, end] = lines.map((line) => JSON.parse(line) as Line);
  return { signal, stderr, answer, end };
}

it('a create sent again after kill -9, wherever that fell, has made exactly one runtime', {
  timeout: 600_000,
}, async () => {
  const stepsFile = join(folder, 'steps');
  const whole = await live(join(folder, 'whole'), { CRASH_STEPS: stepsFile });
  expect([whole.stderr, whole.answer?.status]).toEqual(['', 200]);
  const steps = readFileSync(stepsFile, 'utf8').trim().split('\n');
  const isOfTheCreate = (step: string) =>
    /sql (?:insert into|delete from) (?:runtimes|kept_answers)/.test(step);
  const others = steps.filter((step) => !isOfTheCreate(step));
  for (let i = others.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [others[i], others[j]] = [others[j]!, others[i]!];
  }
  const queue = [...steps.filter(isOfTheCreate), ...others.slice(0, OTHERS_TRIED)];
  expect(queue.filter((step) => step.includes('kept_answers')).length).toBeGreaterThanOrEqual(4);

  const faults: string[] = [];
  let killed = 0;
  const tryStep = async (step: string, number: number) => {
    const data = join(folder, `data-${number}`);
    const first = await live(data, { CRASH_AT: step });
    if (first.signal === 'SIGKILL') {
      killed++;
      const { stderr, answer, end } = await live(data);
      const runtimes = end?.runtimes ?? [];
      const fault = (what: string) => faults.push(`killed ${step}: ${what}`);
      if (answer?.status !== 200) fault(`the answer was ${JSON.stringify(answer)}; ${stderr}`);
      if (runtimes.length !== 1 || runtimes[0]![1] !== 'READY') fault(`there is ${JSON.stringify(runtimes)}`);
      if (runtimes[0]?.[0] !== answer?.id)
        fault(`the answer names ${answer?.id}, there is ${runtimes[0]?.[0]}`);
      // What the first life had acknowledged is what the second finds.
      if (first.answer?.id !== undefined && first.answer.id !== answer?.id)
        fault('another runtime than acknowledged');
      const incoming = readdirSync(join(data, 'blobs', 'incoming'));
      if (incoming.length > 0) fault(`left over: ${incoming.join(', ')}`);
    }
    rmSync(data, { recursive: true, force: true });
  };
  let next = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < queue.length) {
        const number = next++;
        await tryStep(queue[number]!, number);
      }
    }),
  );
  console.log(`killed at ${killed} of ${queue.length} steps`);
  expect(faults).toEqual([]);
  expect(killed).toBeGreaterThan(queue.length * 0.8);
});
