import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { zipOf } from '../reconcile/harness.ts';

const PRELOAD = new URL('./crash-points.mjs', import.meta.url).href;
const PROCESS = fileURLToPath(new URL('./collect-process.mjs', import.meta.url));
const AT_ONCE = 2;

it('a package whose bytes arrive while they are collected is whole after kill -9, wherever that fell, and so are others', {
  timeout: 120_000,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-collect-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const body = join(folder, 'body.json');
  const zip = await zipOf({ 'index.mjs': '// an agent' });
  writeFileSync(body, JSON.stringify({ codeConfiguration: { zipFile: zip.toString('base64') } }));

  const live = async (data: string, env: Record<string, string> = {}) => {
    const said = `${data}.json`;
    rmSync(said, { force: true });
    const child = spawn(process.execPath, ['--import', PRELOAD, PROCESS, data, body, said], {
      env: { PATH: process.env.PATH, CRASH_DATA: data, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr.on('data', (piece) => {
      stderr += piece;
    });
    const [, signal] = (await once(child, 'close')) as [number | null, string | null];
    const told = existsSync(said) ? (JSON.parse(readFileSync(said, 'utf8')) as object) : undefined;
    return { signal, stderr, told };
  };

  const stepsFile = join(folder, 'steps');
  const whole = await live(join(folder, 'whole'), { CRASH_STEPS: stepsFile });
  expect(whole).toMatchObject({ stderr: '', told: { blobs: [true, true] } });
  const steps = readFileSync(stepsFile, 'utf8').trim().split('\n');
  // The collection did take the package away, and it did come back.
  expect(steps.filter((step) => step.includes('rm blobs/HASH.zip')).length).toBeGreaterThan(0);
  expect(steps.filter((step) => step.includes('after rename blobs/HASH.zip')).length).toBe(2);

  // Where the package comes, goes and comes back.
  const queue = steps.filter((step) => step.includes('blobs/HASH.zip'));
  const faults: string[] = [];
  let killed = 0;
  let next = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < queue.length) {
        const number = next++;
        const step = queue[number]!;
        const data = join(folder, `data-${number}`);
        const first = await live(data, { CRASH_AT: step });
        if (first.signal === 'SIGKILL') killed++;
        const { stderr, told } = await live(data);
        const incoming = readdirSync(join(data, 'blobs', 'incoming'));
        if (JSON.stringify(told) !== JSON.stringify(whole.told) || incoming.length > 0)
          faults.push(`killed ${step}: ${JSON.stringify(told)}, incoming ${incoming.join()}; ${stderr}`);
        rmSync(data, { recursive: true, force: true });
      }
    }),
  );
  console.log(`killed at ${killed} of ${queue.length} steps`);
  expect(faults).toEqual([]);
  expect(killed).toBeGreaterThan(queue.length * 0.8);
});
