import { spawnSync } from 'node:child_process';

/** A Python that is new enough for the example and really runs: shims of version managers may not. */
export function findPython() {
  const check = 'import sys; sys.exit(sys.version_info < (3, 10))';
  return ['python3', '/usr/bin/python3'].find(
    (file) => spawnSync(file, ['-c', check], { stdio: 'ignore', timeout: 10_000 }).status === 0,
  );
}
