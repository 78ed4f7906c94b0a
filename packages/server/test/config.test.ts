import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { ConfigError, loadConfig } from '../src/config.ts';
import { startServer } from '../src/start-server.ts';

const mountsIn = (value: string) => loadConfig({}, { RUNSTEAD_MOUNTS: value }).mounts;

it.each([
  ['', []],
  ['/mnt/models', ['/mnt/models']],
  ['/mnt/models/, /mnt/shared ,', ['/mnt/models', '/mnt/shared']],
  ['/mnt/with space', ['/mnt/with space']],
])('RUNSTEAD_MOUNTS="%s" names %j', (value, expected) => {
  expect(mountsIn(value)).toEqual(expected);
});

it.each([
  'models',
  './models',
  '../models',
  '/',
  '/mnt/../etc',
  '/mnt/./a',
  '/mnt//a',
  '~/models',
  '/mnt/a,b',
])('RUNSTEAD_MOUNTS="%s" is refused by name', (value) => {
  expect(() => mountsIn(value)).toThrow(ConfigError);
  expect(() => mountsIn(value)).toThrow(/^RUNSTEAD_MOUNTS must be absolute paths of directories.*; got "/);
});

it('a mount that is not there keeps the server from starting, and nothing is left of the try', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-mounts-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'file');
  writeFileSync(file, '');
  for (const path of [join(folder, 'missing'), file, join(file, 'below')]) {
    const config = loadConfig(
      { dataDir: join(folder, 'data'), port: 0 },
      { RUNSTEAD_MOUNTS: `${folder},${path}` },
    );
    const failed = startServer(config);
    await expect(failed).rejects.toThrow(ConfigError);
    await expect(failed).rejects.toThrow(
      `RUNSTEAD_MOUNTS names ${path}, which is no directory of this machine`,
    );
  }
});
