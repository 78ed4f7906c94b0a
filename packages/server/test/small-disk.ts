import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/**
 * A file system of its own for a data folder, gone at the end of the test file; undefined, with the reason printed,
 * where none can be had.
 */
export function smallDisk(mebibytes: number): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-disk-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder], {
    encoding: 'utf8',
  });
  if (mounted.status === 0) {
    afterAll(() => {
      execFileSync('umount', [folder]);
      rmSync(folder, { recursive: true });
    });
    return folder;
  }
  rmSync(folder, { recursive: true });
  console.warn(
    `skipped: no small file system can be mounted here (${(mounted.stderr ?? String(mounted.error)).trim()})`,
  );
  return undefined;
}
