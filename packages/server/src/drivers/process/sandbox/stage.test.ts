import { describe, expect, it } from 'vitest';
import { fitsOnStage, stageMounts } from './stage.ts';
import type { ViewParts } from './view.ts';

const parts = (changes: Partial<ViewParts>): ViewParts => ({
  sandbox: { program: '/usr/bin/bwrap' },
  early: { links: '/data/run/bin/x', readOnly: ['/data/node/24', '/app/assets'] },
  late: [],
  writable: [],
  ...changes,
});

describe('what is mounted on a stage', () => {
  it('is made read-only first and put in its place from there', () => {
    expect(stageMounts('/data/code/a', ['/data/deps/a'])).toBe(
      [
        '/data/code/a mounts.from/0 none bind,ro,nosuid,nodev,X-mount.mkdir 0 0',
        'mounts.from/0 stage/code none bind,X-mount.mkdir 0 0',
        '/data/deps/a mounts.from/1 none bind,ro,nosuid,nodev,X-mount.mkdir 0 0',
        'mounts.from/1 stage/data/deps/a none bind,X-mount.mkdir 0 0',
        '',
      ].join('\n'),
    );
  });

  it('is each folder once, and none that lies in another', () => {
    const lines = stageMounts('/code-1', ['/d/a', '/d/a', '/d/a/b', '/usr/lib/x']).trim().split('\n');
    expect(lines.map((line) => line.split(' ')[1])).toEqual([
      'mounts.from/0',
      'stage/code',
      'mounts.from/1',
      'stage/d/a',
    ]);
  });

  it('cannot become another line, word or comment by its name', () => {
    const [line] = stageMounts('/my data\t#1\\a\n/ /etc none bind 0 0', []).split('\n');
    expect(line).toBe(
      '/my\\040data\\011\\0431\\134a\\012/\\040/etc\\040none\\040bind\\0400\\0400 ' +
        'mounts.from/0 none bind,ro,nosuid,nodev,X-mount.mkdir 0 0',
    );
  });
});

describe('whether what an agent is to see fits on a stage', () => {
  it.each([
    ['nothing but its code', {}, true],
    ['folders of its own', { late: ['/data/deps/a', '/tmp/data/deps/a'] }, true],
    ['a folder of the machine that it may write to', { writable: ['/mnt/shared'] }, false],
    ['what the sandbox has covered', { late: ['/usr/local/data/deps/a'] }, false],
    ['what lies in its home', { late: ['/home/agent/data/deps/a'] }, false],
    ['what lies in an interpreter', { late: ['/data/node/24/deps'] }, false],
    ['a device', { late: ['/dev/shm/data/deps/a'] }, false],
  ])('is told for %s', (_, changes, fits) => {
    expect(fitsOnStage(parts(changes))).toBe(fits);
  });
});
