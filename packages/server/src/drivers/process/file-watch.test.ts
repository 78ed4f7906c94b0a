import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { watchFile } from './file-watch.ts';

let folder: string;
let path: string;
const seen: { size: number; pace: number }[] = [];
let leave = () => {};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-watch-'));
  path = join(folder, 'file');
  seen.length = 0;
});

afterEach(() => {
  leave();
  rmSync(folder, { recursive: true });
});

const watch = () => {
  leave = watchFile(path, 5, (size, pace) => void seen.push({ size, pace }));
};
const write = async (text: string) => {
  const before = seen.length;
  appendFileSync(path, text);
  await vi.waitUntil(() => seen.length > before, { timeout: 10_000, interval: 1 });
};

it('a file is looked at soon after it was written, also when it had been quiet', async () => {
  writeFileSync(path, 'abc');
  watch();
  await write('defg');
  expect(seen.at(-1)).toMatchObject({ size: 7 });
  expect(seen.at(-1)!.pace).toBeGreaterThan(0);
  // Long enough for it to be left alone in between.
  const looks = seen.length;
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(seen).toHaveLength(looks);
  await write('h');
  expect(seen.at(-1)).toMatchObject({ size: 8 });
});

it('what is slow to look is not asked again meanwhile, and hears what came then', async () => {
  writeFileSync(path, '');
  let goOn = () => {};
  let asked = 0;
  leave = watchFile(path, 1, (size, pace) => {
    seen.push({ size, pace });
    if (asked++ === 0) return new Promise<void>((resolve) => (goOn = resolve));
  });
  await write('a');
  appendFileSync(path, 'b');
  appendFileSync(path, 'c');
  expect(asked).toBe(1);
  goOn();
  await vi.waitUntil(() => seen.length > 1, { timeout: 10_000 });
  expect(seen.at(-1)).toMatchObject({ size: 3 });
});

it('a file that is not there is no reason to fail', () => {
  expect(watch).not.toThrow();
});
