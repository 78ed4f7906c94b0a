// `npm run dev`: the server from this tree, built again and started again when a source file changes.
import { spawn, spawnSync } from 'node:child_process';
import { watch } from 'node:fs';
import { join } from 'node:path';
import { buildSteps, makeReady, root } from './ready.mjs';

const DATA = join(root, '.dev-data');
let server;
/** The restart that is due or under way. */
let pending;

function start() {
  const bin = join(root, 'packages', 'cli', 'bin', 'runstead.js');
  const args = [bin, 'serve', '--data', DATA, '--on-exit', 'keep', ...process.argv.slice(2)];
  server = spawn(process.execPath, args, { stdio: 'inherit' });
}

/** Ends the server and waits for it: the next one needs the data folder's lock. Agents run on. */
function stop() {
  if (!server || server.exitCode !== null) return Promise.resolve();
  const ended = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGTERM');
  return ended;
}

async function restart(file) {
  const begun = performance.now();
  try {
    const built = buildSteps.every(
      (words) => spawnSync(process.execPath, words, { cwd: root, stdio: 'inherit' }).status === 0,
    );
    if (!built) return console.error('build failed; the last good server goes on');
    await stop();
    start();
    console.error(`restarted in ${Math.round(performance.now() - begun)} ms (${file})`);
  } finally {
    pending = undefined;
  }
}

makeReady();
start();
for (const name of ['contract', 'client', 'server', 'cli']) {
  watch(join(root, 'packages', name, 'src'), { recursive: true }, (_event, file) => {
    if (!file?.endsWith('.ts') || file.endsWith('.test.ts')) return;
    // Editors write a file in several steps; the first starts the clock.
    if (pending) return;
    pending = setTimeout(() => void restart(file), 50);
  });
}
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    await stop();
    process.exit(0);
  });
}
