import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLocalObject } from '../../src/artifacts/buckets/local-bucket.ts';
import { PhaseFailure } from '../../src/domain/failure.ts';

let base: string;
let root: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'runstead-bucket-'));
  root = join(base, 'buckets');
  mkdirSync(join(root, 'agents', 'team'), { recursive: true });
  writeFileSync(join(base, 'secret'), 'SECRET');
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const open = (object: string, bucket = 'agents') => openLocalObject(root, { bucket, object });

async function read(object: string, bucket?: string): Promise<string | undefined> {
  const opened = await open(object, bucket);
  if (!opened) return undefined;
  let text = '';
  try {
    for await (const piece of opened.bytes) text += piece.toString('latin1');
    await opened.complete();
  } finally {
    await opened.close();
  }
  return text;
}

async function refused(object: string, bucket?: string): Promise<string> {
  const error = await read(object, bucket).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(PhaseFailure);
  const { message } = error as PhaseFailure;
  expect(message).not.toMatch(/SECRET|\/proc\//);
  expect(message).not.toContain(base);
  return message;
}

/** How many files this process has open, where the system tells. */
const openFiles = () => (existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0);

const IS_ROOT = process.getuid?.() === 0;
if (IS_ROOT) console.warn('skipped: that a file may not be read; root may read every file');

describe('a bucket that is a folder', () => {
  it('gives the bytes of a file, whatever its name and however long it is', async () => {
    const large = 'x'.repeat(300_000);
    for (const name of ['a.zip', 'team/a.zip', 'with space/日本 ü.zip', '%2e%2e', '...', '-', "it's *"]) {
      mkdirSync(join(root, 'agents', name, '..'), { recursive: true });
      writeFileSync(join(root, 'agents', name), name + large);
      expect(await read(name)).toBe(Buffer.from(name + large).toString('latin1'));
    }
    writeFileSync(join(root, 'agents', 'empty'), '');
    expect(await read('empty')).toBe('');
  });

  it('is told from one that is not there', async () => {
    expect(await open('a.zip', 'nowhere')).toBeUndefined();
    rmSync(root, { recursive: true });
    expect(await open('a.zip')).toBeUndefined();
  });

  it('may be reached by a link above it, and hold hard links', async () => {
    writeFileSync(join(root, 'agents', 'a.zip'), 'here');
    linkSync(join(root, 'agents', 'a.zip'), join(root, 'agents', 'b.zip'));
    expect(await read('b.zip')).toBe('here');
    symlinkSync(root, join(base, 'elsewhere'));
    root = join(base, 'elsewhere');
    expect(await read('a.zip')).toBe('here');
  });

  it('is left by no link, wherever it stands and however many there are', async () => {
    const agents = join(root, 'agents');
    symlinkSync(join(base, 'secret'), join(agents, 'link'));
    symlinkSync('link', join(agents, 'link-to-link'));
    symlinkSync('../../../secret', join(agents, 'team', 'relative'));
    symlinkSync('.', join(agents, 'here'));
    symlinkSync(base, join(agents, 'folder'));
    symlinkSync('loop', join(agents, 'loop'));
    symlinkSync('nothing', join(agents, 'dangling'));
    symlinkSync(base, join(root, 'linked-bucket'));
    writeFileSync(join(agents, 'a.zip'), 'here');
    for (const object of [
      'link',
      'link-to-link',
      'team/relative',
      'loop',
      'dangling',
      'here/a.zip',
      'folder/secret',
    ]) {
      expect(await refused(object)).toMatch(/ is a link, and links are not followed$/);
    }
    expect(await refused('secret', 'linked-bucket')).toMatch(/^bucket 'linked-bucket' is a link/);
  });

  it('gives regular files only, and waits for nobody', async () => {
    const agents = join(root, 'agents');
    execFileSync('mkfifo', [join(agents, 'pipe')]);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(agents, 'socket'), resolve));
    try {
      for (const object of ['pipe', 'socket']) expect(await refused(object)).toMatch(/ is no regular file$/);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    expect(await refused('team')).toMatch(/'team' is a folder/);
    writeFileSync(join(root, 'file-bucket'), 'x');
    expect(await refused('a', 'file-bucket')).toMatch(/^bucket 'file-bucket' is no folder/);
    writeFileSync(join(agents, 'file'), 'x');
    expect(await refused('file/deeper')).toMatch(/^folder 'file' of object 'file\/deeper' is no folder/);
  });

  it.each([
    ['nothing', 'nothing.zip'],
    ['nothing below nothing', 'no/such/a.zip'],
    ['another case', 'TEAM/A.zip'],
    ['a name longer than a file can have', 'x'.repeat(300)],
    ['a folder with such a name', `${'x'.repeat(300)}/a`],
    ['very deep nothing', `${'d/'.repeat(400)}a`],
    ['another Unicode form', 'cafe\u0301.zip'],
    ['dots in percent signs', '%2e%2e/%2e%2e/secret'],
  ])('says that there is no such object: %s', async (_what, object) => {
    writeFileSync(join(root, 'agents', 'caf\u00e9.zip'), 'x');
    expect(await refused(object)).toMatch(/ does not exist in bucket 'agents' of the data folder$/);
  });

  it('says that an empty part names no file', async () => {
    writeFileSync(join(root, 'agents', 'team', 'a.zip'), 'x');
    for (const object of ['team//a.zip', 'a.zip/', '/a.zip'])
      expect(await refused(object)).toMatch(/has an empty part/);
  });

  it.skipIf(IS_ROOT)('says that it may not read a file', async () => {
    writeFileSync(join(root, 'agents', 'closed'), 'x');
    chmodSync(join(root, 'agents', 'closed'), 0);
    expect(await refused('closed')).toBe(
      "object 'closed' cannot be read by the server: the system answers EACCES",
    );
  });

  it('does not take for whole what is written to meanwhile', async () => {
    const file = join(root, 'agents', 'a.zip');
    writeFileSync(file, 'x'.repeat(200_000));
    const opened = (await open('a.zip'))!;
    let pieces = 0;
    for await (const _piece of opened.bytes) if (pieces++ === 0) appendFileSync(file, 'more');
    await expect(opened.complete()).rejects.toThrow(
      /was written to while it was read; put it in place by renaming/,
    );
    await opened.close();
  });

  it('reads on in the file that it opened when another takes its name', async () => {
    const file = join(root, 'agents', 'a.zip');
    writeFileSync(file, 'old'.repeat(50_000));
    writeFileSync(`${file}.new`, 'new');
    const opened = (await open('a.zip'))!;
    renameSync(`${file}.new`, file);
    let text = '';
    for await (const piece of opened.bytes) text += piece.toString('latin1');
    await opened.complete();
    await opened.close();
    expect(text).toBe('old'.repeat(50_000));
    expect(await read('a.zip')).toBe('new');
  });

  it('is not left by exchanging a folder or file for a link at the right moment', async () => {
    const agents = join(root, 'agents');
    mkdirSync(join(base, 'outside'));
    for (const folder of [join(agents, 'team'), join(base, 'outside')]) {
      writeFileSync(join(folder, 'a.zip'), folder === join(agents, 'team') ? 'inside' : 'SECRET');
    }
    // Elsewhere, as fast as it can: the folder and a file in it are links half of the time.
    const exchanging = new Worker(
      `const { renameSync, symlinkSync, rmSync } = require('node:fs');
      const { workerData: { agents, base } } = require('node:worker_threads');
      const dwell = () => {
        for (const until = performance.now() + Math.random() / 5; performance.now() < until; );
      };
      for (;;) {
        renameSync(agents + '/team', agents + '/away');
        symlinkSync(base + '/outside', agents + '/team');
        dwell();
        rmSync(agents + '/team');
        renameSync(agents + '/away', agents + '/team');
        dwell();
        renameSync(agents + '/team/a.zip', agents + '/team/b.zip');
        symlinkSync(base + '/secret', agents + '/team/a.zip');
        dwell();
        renameSync(agents + '/team/b.zip', agents + '/team/a.zip');
        dwell();
      }`,
      { eval: true, workerData: { agents, base } },
    );
    const seen = { inside: 0, refused: 0 };
    try {
      const before = openFiles();
      for (let i = 0; i < 3000 || seen.inside === 0 || seen.refused === 0; i++) {
        const text = await read('team/a.zip').catch((error: unknown) => {
          expect(error).toBeInstanceOf(PhaseFailure);
          seen.refused++;
        });
        if (text === undefined) continue;
        expect(text).toBe('inside');
        seen.inside++;
      }
      expect(openFiles()).toBeLessThan(before + 20);
    } finally {
      await exchanging.terminate();
    }
    expect(readFileSync(join(base, 'secret'), 'utf8')).toBe('SECRET');
  });
});
