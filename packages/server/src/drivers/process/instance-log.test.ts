import {
  appendFileSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createSecretBox } from '../../auth/secret-box.ts';
import { boundLog, findLog, openLog, readTail } from './instance-log.ts';
import { LogShelf } from './log-shelf.ts';

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'runstead-log-'));
  path = join(folder, 'x.log');
});

afterEach(() => rmSync(folder, { recursive: true }));

const lines = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `line ${from + i} ${'x'.repeat(90)}`);

it('a log that was shortened is small on disk and whole at its end', async () => {
  writeFileSync(path, '');
  const limit = 64 * 1024;
  for (let n = 0; n < 20_000; n += 500) {
    appendFileSync(path, `${lines(n, n + 500).join('\n')}\n`);
    await boundLog(path, limit);
    const { blocks } = statSync(path);
    expect(blocks * 512).toBeLessThan(2 * limit + 64 * 1024);
    expect(readTail({ path, secrets: [] }, 400)).toEqual(lines(n + 100, n + 500));
  }
});

it('where the head cannot be given back, older lines go to a second file', async () => {
  writeFileSync(path, '');
  const limit = 64 * 1024;
  for (let n = 0; n < 5000; n += 500) {
    appendFileSync(path, `${lines(n, n + 500).join('\n')}\n`);
    await boundLog(path, limit, async () => false);
    expect(statSync(path).size).toBeLessThan(2 * limit + 64 * 1024);
    expect(readTail({ path, secrets: [] }, 400)).toEqual(lines(n + 100, n + 500));
  }
});

it('a log within its bounds is left alone', async () => {
  writeFileSync(path, 'a\nb\n');
  await boundLog(path, 1024);
  await boundLog(join(folder, 'never-there.log'), 1024);
  expect(readTail({ path, secrets: [] }, 10)).toEqual(['a', 'b']);
  expect(readTail({ path: join(folder, 'never-there.log'), secrets: [] }, 10)).toEqual([]);
});

it('only the end of a huge file is read, and a secret cut in two does not show', () => {
  const secret = 'sesame-open-yourself';
  // One endless line of nothing but secrets: wherever the reading begins, it may be inside one.
  writeFileSync(path, secret.repeat(200_000));
  const [line, ...others] = readTail({ path, secrets: [secret] }, 20);
  expect(others).toEqual([]);
  expect(line).not.toMatch(/[a-rt-z]{4}-open|open-your/);
  expect(line!.length).toBeLessThanOrEqual(500);
});

it('what is to be masked is kept for the next server, and nobody else can read it', () => {
  const box = createSecretBox(Buffer.alloc(32, 7));
  closeSync(openLog({ path, secrets: ['sesame'] }, box));
  appendFileSync(path, 'open sesame');
  expect(readFileSync(`${path}.secrets`, 'utf8')).not.toContain('sesame');
  expect(readTail(findLog(path, box), 1)).toEqual(['open ***']);
});

it('what a release before left in the plain to be masked is sealed, once', () => {
  const box = createSecretBox(Buffer.alloc(32, 7));
  mkdirSync(join(folder, 'runtime'));
  path = join(folder, 'runtime', 'x.log');
  writeFileSync(path, 'open sesame');
  writeFileSync(`${path}.secrets`, '["sesame"]');
  const shelf = new LogShelf(folder, () => box);
  shelf.sealEarlier();
  const sealed = readFileSync(`${path}.secrets`, 'utf8');
  expect(sealed).not.toContain('sesame');
  expect(readTail(shelf.find('x')!, 1)).toEqual(['open ***']);
  shelf.sealEarlier();
  expect(readFileSync(`${path}.secrets`, 'utf8')).toBe(sealed);
});
