import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { crc64 } from '@runstead/contract/crc64';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { codeFromFile, codeFromOss, codeFromZipFile, zipFolder } from '../src/code-package.ts';
import { readZip } from './read-zip.ts';

const language = 'nodejs20';
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'runstead-code-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function write(files: Record<string, string>, root = folder): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
}

async function packedPaths(): Promise<string[]> {
  return (await zipFolder(folder)).files.map(({ path }) => path);
}

const refusal = (message: RegExp) =>
  expect.objectContaining({ name: 'ValueError', message: expect.stringMatching(message) });

describe('a folder', () => {
  it('is packed with paths relative to it, sorted, with executable bits', async () => {
    await write({ 'z.js': 'z', 'a/b.js': 'ab', 'a.js': 'a', 'run.sh': '#!/bin/sh', 'ü.txt': 'ü' });
    await chmod(join(folder, 'run.sh'), 0o700);
    await chmod(join(folder, 'z.js'), 0o600);
    await mkdir(join(folder, 'empty'));
    const { zip, files } = await zipFolder(folder);
    expect(readZip(zip).map(({ path, text }) => [path, text])).toEqual([
      ['a.js', 'a'],
      ['a/b.js', 'ab'],
      ['run.sh', '#!/bin/sh'],
      ['z.js', 'z'],
      ['ü.txt', 'ü'],
    ]);
    expect(readZip(zip).map(({ mode }) => mode.toString(8))).toEqual([
      '100644',
      '100644',
      '100755',
      '100644',
      '100644',
    ]);
    expect(files).toContainEqual({ path: 'run.sh', size: 9, executable: true });
  });

  it('gives the same bytes for the same files, whenever they were written', async () => {
    const files = { 'b/c.txt': 'x'.repeat(100_000), 'a.txt': 'a', 'b/a.txt': '' };
    await write(files);
    const first = await zipFolder(folder);
    const again = await zipFolder(folder);
    for (const path of Object.keys(files)) await utimes(join(folder, path), 1, 1_600_000_000);
    const touched = await zipFolder(folder);

    const other = await mkdtemp(join(tmpdir(), 'runstead-code-'));
    onTestFinished(() => rm(other, { recursive: true }));
    await write(Object.fromEntries(Object.entries(files).reverse()), other);
    await chmod(join(other, 'a.txt'), 0o640);
    const elsewhere = await zipFolder(other);

    for (const { zip } of [again, touched, elsewhere]) expect(zip.equals(first.zip)).toBe(true);
    // 1980-01-01 12:00:00, the earliest year of the format.
    for (const { date } of readZip(first.zip)) expect(date).toBe(((1 << 5) | 1) * 65_536 + (12 << 11));
  });

  it('gives the same bytes in every time zone', async () => {
    await write({ 'a.txt': 'a' });
    const script = `import { zipFolder } from '@runstead/client/code';
      process.stdout.write((await zipFolder(${JSON.stringify(folder)})).zip.toString('base64'))`;
    const zips = ['UTC', 'Asia/Shanghai', 'America/St_Johns'].map((TZ) =>
      execFileSync(process.execPath, ['--input-type=module', '-e', script], {
        cwd: import.meta.dirname,
        env: { ...process.env, TZ },
        encoding: 'utf8',
      }),
    );
    expect(zips[0]).not.toBe('');
    expect(new Set(zips).size).toBe(1);
  });

  it('gives the same bytes whatever the umask, the language, the order of writing and the modes of others are', async () => {
    const names = [
      'B.js',
      'a.js',
      'Z/z.js',
      'z/Z.js',
      'ä.js',
      '中.js',
      '\u{1f600}.js',
      'a b.js',
      'a-b.js',
      'A.js',
    ];
    const script = `import { mkdirSync, writeFileSync } from 'node:fs';
      import { dirname, join } from 'node:path';
      import { zipFolder } from '@runstead/client/code';
      const [folder, umask, ...names] = process.argv.slice(1);
      process.umask(Number(umask));
      for (const name of names) {
        mkdirSync(dirname(join(folder, name)), { recursive: true });
        writeFileSync(join(folder, name), name.toLowerCase());
      }
      process.stdout.write((await zipFolder(folder)).zip.toString('base64'))`;
    const zips = [
      ['0', 'C', names],
      ['63', 'tr_TR.UTF-8', names.toReversed()],
      ['18', 'sv_SE.UTF-8', names.toSorted()],
    ].map(([umask, locale, order], index) =>
      execFileSync(
        process.execPath,
        ['--input-type=module', '-e', script, join(folder, String(index)), umask as string, ...order!],
        {
          cwd: import.meta.dirname,
          env: { ...process.env, LC_ALL: locale as string, LANG: locale as string },
          encoding: 'utf8',
        },
      ),
    );
    expect(new Set(zips).size).toBe(1);
    const paths = readZip(Buffer.from(zips[0]!, 'base64')).map(({ path }) => path);
    expect(paths).toEqual(names.toSorted());
    // As files of other systems appear: readable and writable by all, never executable.
    for (const name of names) await chmod(join(folder, '0', name), 0o666);
    expect((await zipFolder(join(folder, '0'))).zip.toString('base64')).toBe(zips[0]);
  });

  it('becomes a code configuration with the checksum of its archive', async () => {
    await write({ 'server.js': '1' });
    const code = await codeFromFile(folder, { language, command: ['node', 'server.js'] });
    const zip = Buffer.from(code.zipFile!, 'base64');
    expect(code).toEqual({
      language,
      command: ['node', 'server.js'],
      zipFile: zip.toString('base64'),
      checksum: crc64(zip),
    });
    expect(readZip(zip).map(({ path }) => path)).toEqual(['server.js']);
    expect(await codeFromFile(folder, { language })).not.toHaveProperty('command');
  });

  it('reports progress', async () => {
    await write({ a: '12345', b: '678' });
    const seen: object[] = [];
    await codeFromFile(folder, { language, onProgress: (progress) => seen.push(progress) });
    expect(seen).toEqual([
      { path: 'a', files: 1, totalFiles: 2, bytes: 5, totalBytes: 8 },
      { path: 'b', files: 2, totalFiles: 2, bytes: 8, totalBytes: 8 },
    ]);
  });

  it('hands on what the progress function throws', async () => {
    await write({ a: '1' });
    const onProgress = () => {
      throw new Error('mine');
    };
    await expect(zipFolder(folder, { onProgress })).rejects.toThrow('mine');
  });

  it('may be a link itself', async () => {
    await write({ 'real/a.js': 'a' });
    await symlink('real', join(folder, 'link'));
    expect((await zipFolder(join(folder, 'link'))).files.map(({ path }) => path)).toEqual(['a.js']);
  });
});

describe('ignore rules', () => {
  const lock = { 'package.json': '{}', 'package-lock.json': '{}' };
  const cases: [name: string, files: Record<string, string>, kept: string[]][] = [
    ['.git is left out everywhere', { '.git/HEAD': '', 'sub/.git': 'gitdir: x', 'sub/a': '' }, ['sub/a']],
    [
      '.gitignore',
      {
        '.gitignore': '*.log\n/dist/\n!keep.log\n# x\n',
        'a.log': '',
        'keep.log': '',
        'dist/x': '',
        'sub/dist/y': '',
      },
      ['.gitignore', 'keep.log', 'sub/dist/y'],
    ],
    [
      'a deeper .gitignore wins',
      {
        '.gitignore': '*.txt\n',
        'sub/.gitignore': '!a.txt\n',
        'a.txt': '',
        'sub/a.txt': '',
        'sub/b.txt': '',
      },
      ['.gitignore', 'sub/.gitignore', 'sub/a.txt'],
    ],
    [
      'a deeper .gitignore is anchored to its folder',
      { 'sub/.gitignore': '/a.txt\n', 'a.txt': '', 'sub/a.txt': '', 'sub/deep/a.txt': '' },
      ['a.txt', 'sub/.gitignore', 'sub/deep/a.txt'],
    ],
    [
      'nothing is taken in again from an ignored folder',
      { '.gitignore': 'out/\n', 'out/.gitignore': '!*\n', 'out/a': '' },
      ['.gitignore'],
    ],
    [
      '.runsteadignore adds, and takes in again what .gitignore leaves out',
      {
        '.gitignore': 'dist/\n.env\n',
        '.runsteadignore': '!dist/\ntest/\n',
        'dist/a': '',
        'test/b': '',
        '.env': '',
      },
      ['.gitignore', '.runsteadignore', 'dist/a'],
    ],
    [
      'node_modules beside a lockfile',
      { ...lock, 'node_modules/a/index.js': '', 'src/node_modules/own/index.js': '' },
      ['package-lock.json', 'package.json', 'src/node_modules/own/index.js'],
    ],
    [
      'node_modules beside a lockfile, wanted all the same',
      { ...lock, 'node_modules/a/index.js': '', '.runsteadignore': '!node_modules/\n' },
      ['.runsteadignore', 'node_modules/a/index.js', 'package-lock.json', 'package.json'],
    ],
    [
      'node_modules of a package in a subfolder',
      { 'app/yarn.lock': '', 'app/node_modules/a/index.js': '', 'node_modules/b/index.js': '' },
      ['app/yarn.lock', 'node_modules/b/index.js'],
    ],
    [
      'node_modules without a lockfile',
      { 'package.json': '{}', 'node_modules/a/index.js': '' },
      ['node_modules/a/index.js', 'package.json'],
    ],
    [
      'node_modules without a lockfile, in .gitignore',
      { 'package.json': '{}', 'node_modules/a/index.js': '', '.gitignore': 'node_modules\n' },
      ['.gitignore', 'package.json'],
    ],
  ];

  it.each(cases)('%s', async (_, files, kept) => {
    await write(files);
    expect(await packedPaths()).toEqual(kept);
  });

  it.each(['npm-shrinkwrap.json', 'pnpm-lock.yaml', 'bun.lock', 'bun.lockb'])(
    'know the lockfile %s',
    async (name) => {
      await write({ [name]: '', 'node_modules/a': '' });
      expect(await packedPaths()).toEqual([name]);
    },
  );
});

describe('links and special files', () => {
  it('stores a linked file as its content', async () => {
    await write({ 'real.sh': 'content' });
    await chmod(join(folder, 'real.sh'), 0o755);
    await symlink('real.sh', join(folder, 'link'));
    const [link] = readZip((await zipFolder(folder)).zip);
    expect(link).toMatchObject({ path: 'link', text: 'content', mode: 0o100755 });
  });

  it('refuses a linked folder, a dangling link and a socket by name', async () => {
    await write({ 'sub/real/a.js': '' });
    await symlink('real', join(folder, 'sub/linked'));
    await expect(zipFolder(folder)).rejects.toEqual(
      refusal(/^sub\/linked is a link to a folder: .*\.runsteadignore/),
    );
    await rm(join(folder, 'sub/linked'));
    await symlink('nowhere', join(folder, 'sub/dangling'));
    await expect(zipFolder(folder)).rejects.toEqual(
      refusal(/^sub\/dangling is a link to something that is not there/),
    );
    await rm(join(folder, 'sub/dangling'));

    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(folder, 'sub/socket'), resolve));
    onTestFinished(() => {
      server.close();
    });
    await expect(zipFolder(folder)).rejects.toEqual(refusal(/^sub\/socket is neither a file nor a folder/));
    await symlink('socket', join(folder, 'sub/also'));
    await write({ '.runsteadignore': 'socket\n' });
    await expect(zipFolder(folder)).rejects.toEqual(refusal(/^sub\/also is a link to what is no file/));
  });

  it('does not mind them where they are ignored', async () => {
    await write({ '.gitignore': '.venv/\nlinked\n', 'a.py': '', '.venv/real/x': '' });
    await symlink('real', join(folder, '.venv/lib64'));
    await symlink('.venv', join(folder, 'linked'));
    expect(await packedPaths()).toEqual(['.gitignore', 'a.py']);
  });

  it('does not end in a loop', async () => {
    await write({ 'a.js': '' });
    await symlink('.', join(folder, 'loop'));
    await symlink('self', join(folder, 'self'));
    await expect(zipFolder(folder)).rejects.toEqual(refusal(/^(loop|self) is a link/));
  });

  it('refuses a name that zip readers would take apart', async () => {
    await write({ 'a\\b': '' });
    await expect(zipFolder(folder)).rejects.toEqual(refusal(/a\\b has a backslash/));
  });
});

describe('what cannot be a package', () => {
  it('a folder that is missing, empty, or empty but for ignored files', async () => {
    await expect(codeFromFile(join(folder, 'nope'), { language })).rejects.toEqual(
      refusal(/nope does not exist$/),
    );
    await expect(codeFromFile(folder, { language })).rejects.toEqual(refusal(/holds no files to pack/));
    await write({ '.git/HEAD': 'x', 'sub/.git/HEAD': 'x' });
    await expect(codeFromFile(folder, { language })).rejects.toEqual(refusal(/holds no files to pack/));
  });

  it('a file that vanishes or changes while it is packed', async () => {
    // The second file is opened after the first is through, which is when the progress function is called.
    await write({ a: '1', b: '22' });
    const vanish = () => rmSync(join(folder, 'b'), { force: true });
    await expect(zipFolder(folder, { onProgress: vanish })).rejects.toEqual(
      refusal(/b cannot be packed: ENOENT/),
    );
    await write({ b: '22' });
    const grow = () => writeFileSync(join(folder, 'b'), '4444');
    await expect(zipFolder(folder, { onProgress: grow })).rejects.toEqual(refusal(/b cannot be packed: /));
  });
});

describe('a single file', () => {
  it('is packed under its own name', async () => {
    await write({ 'sub/server.js': 'content', 'sub/other.js': '' });
    const code = await codeFromFile(join(folder, 'sub/server.js'), { language });
    expect(readZip(Buffer.from(code.zipFile!, 'base64'))).toMatchObject([
      { path: 'server.js', text: 'content' },
    ]);
  });

  it('that is an archive already belongs elsewhere', async () => {
    await write({ 'agent.zip': 'PK' });
    await expect(codeFromFile(join(folder, 'agent.zip'), { language })).rejects.toEqual(
      refusal(/codeFromZipFile/),
    );
  });
});

describe('codeFromZipFile', () => {
  it('sends the archive as it is', async () => {
    await write({ 'agent/a.js': 'a' });
    const { zip } = await zipFolder(join(folder, 'agent'));
    await writeFile(join(folder, 'agent.zip'), zip);
    expect(await codeFromZipFile(join(folder, 'agent.zip'), { language: 'python3.12' })).toEqual({
      language: 'python3.12',
      zipFile: zip.toString('base64'),
      checksum: crc64(zip),
    });
  });

  it('refuses what is missing or no archive', async () => {
    await write({ 'a.zip': 'not a zip', 'empty.zip': `PK\x05\x06${'\0'.repeat(18)}`, 'nothing.zip': '' });
    const from = (name: string) => codeFromZipFile(join(folder, name), { language });
    await expect(from('nope.zip')).rejects.toEqual(refusal(/nope\.zip does not exist/));
    await expect(from('a.zip')).rejects.toEqual(refusal(/is not a ZIP archive/));
    await expect(from('nothing.zip')).rejects.toEqual(refusal(/is not a ZIP archive/));
    await expect(from('empty.zip')).rejects.toEqual(refusal(/holds no files/));
    await expect(codeFromZipFile(folder, { language })).rejects.toEqual(refusal(/cannot be read/));
  });
});

describe('codeFromOss', () => {
  it('names bucket and object', () => {
    expect(codeFromOss('b', 'o.zip', { language, command: ['x'] })).toEqual({
      language,
      command: ['x'],
      ossBucketName: 'b',
      ossObjectName: 'o.zip',
    });
    expect(() => codeFromOss('', 'o.zip', { language })).toThrow(refusal(/bucket/));
  });
});
