import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** Installs what the lockfile names, unless it is there already, and brings the build up to date. */
export function makeReady() {
  const [major] = process.versions.node.split('.').map(Number);
  if (major < 20) {
    console.error(`Runstead needs Node 20 or newer; this is ${process.version}.`);
    process.exit(1);
  }
  const stamp = join(root, 'node_modules', '.runstead-installed');
  const wanted = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .update(process.version)
    .digest('hex');
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
    step('installing packages (npm ci)', 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
    writeFileSync(stamp, wanted);
  }
  for (const words of buildSteps) step('building', process.execPath, words);
}

/** `npm run build`, as words for Node. */
export const buildSteps = [
  [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '--build'],
  [join(root, 'scripts', 'copy-docs-assets.mjs')],
  [join(root, 'scripts', 'bundle-client.mjs')],
];

function step(what, command, args) {
  const begun = performance.now();
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0) {
    console.error(`${what}: failed${error ? ` (${error.message})` : ''}`);
    process.exit(status ?? 1);
  }
  const seconds = (performance.now() - begun) / 1000;
  if (seconds > 2) console.error(`${what}: ${seconds.toFixed(1)} s`);
}
