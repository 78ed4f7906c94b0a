import { mkdirSync, mkdtempSync, realpathSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type DataFolders, openDataFolders } from '../../src/artifacts/folders.ts';
import { packageFilesOf } from '../../src/artifacts/package-files.ts';
import { packageOf } from './bench.ts';

let folders: DataFolders;
let dataDir: string;
const digest = 'd'.repeat(64);

beforeEach(() => {
  dataDir = realpathSync(mkdtempSync(join(tmpdir(), 'runstead-files-')));
  folders = openDataFolders(dataDir);
});
afterEach(() => rmSync(dataDir, { recursive: true }));

const now = () => ({ ctimeMs: Date.now() });

it('an unpacked package holds what is in its archive, byte for byte, and nothing else', async () => {
  writeFileSync(join(folders.blobs, `${digest}.zip`), await packageOf({ 'a/b.mjs': 'export default 1;' }));
  const files = await packageFilesOf(folders, join(folders.code, 'rt', digest));
  expect(files?.sealed).toBe(false);
  expect(files?.holds('a/b.mjs', Buffer.from('export default 1;'), now())).toBe(true);
  expect(files?.holds('a/b.mjs', Buffer.from('export default 2;'), now())).toBe(false);
  expect(files?.holds('a/c.mjs', Buffer.from('export default 1;'), now())).toBe(false);
});

it('an install is sealed and a build is not; neither holds what is younger than it', async () => {
  for (const [key, isBuild] of [
    ['install', false],
    ['build', true],
  ] as const) {
    const tree = join(folders.deps, 'rt', key, 'tree');
    mkdirSync(tree, { recursive: true });
    writeFileSync(join(tree, 'old.js'), '');
    if (isBuild) writeFileSync(join(folders.deps, 'rt', key, 'of'), digest);
    expect(await packageFilesOf(folders, tree)).toBeUndefined(); // Half-made.
    writeFileSync(join(folders.deps, 'rt', key, 'complete'), '');
    const files = await packageFilesOf(folders, tree);
    expect(files?.sealed).toBe(!isBuild);
    const stat = statSync(join(tree, 'old.js'));
    expect(files?.holds('old.js', Buffer.alloc(0), stat)).toBe(true);
    expect(files?.holds('old.js', Buffer.alloc(0), { ctimeMs: stat.ctimeMs + 60_000 })).toBe(false);
    utimesSync(join(folders.deps, 'rt', key, 'complete'), 1, 1);
    const earlier = await packageFilesOf(folders, tree);
    expect(earlier?.holds('old.js', Buffer.alloc(0), stat)).toBe(false);
  }
});

it('of other folders, and of a package that is gone, nothing is known', async () => {
  for (const folder of [
    join(folders.code, 'rt', digest),
    join(folders.code, 'rt'),
    join(folders.code, 'rt', digest, 'inner'),
    folders.run,
    '/',
  ])
    expect(await packageFilesOf(folders, folder), folder).toBeUndefined();
});
