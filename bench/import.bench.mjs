import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bar, median, report } from './report.mjs';

/** What it costs a script to import the client, in whole processes: each against an empty script of the same run. */

const RUNS = 15;
const LIMIT_MS = 25;

const client = packageFolder();
const folder = mkdtempSync(join(tmpdir(), 'runstead-bench-'));
try {
  // As npm installs it: no link out of the tree.
  const installed = join(folder, 'node_modules', '@runstead', 'client');
  mkdirSync(installed, { recursive: true });
  for (const part of ['package.json', 'dist']) {
    cpSync(join(client, part), join(installed, part), { recursive: true });
  }
  const scripts = {
    empty: ['empty.mjs', ''],
    import: ['import.mjs', `import '@runstead/client';`],
    require: ['require.cjs', `require('@runstead/client');`],
    sync: ['sync.mjs', `import '@runstead/client/sync';`],
  };
  const times = {};
  for (const [name, [file, text]] of Object.entries(scripts)) {
    writeFileSync(join(folder, file), text);
    times[name] = [];
  }
  for (let run = 0; run <= RUNS; run++) {
    for (const [name, [file]] of Object.entries(scripts)) {
      const begun = performance.now();
      const { status } = spawnSync(process.execPath, [join(folder, file)], { stdio: 'inherit' });
      if (status !== 0) throw new Error(`${file} ended with ${status}`);
      // The first run only brings the files into memory.
      if (run > 0) times[name].push(performance.now() - begun);
    }
  }
  const empty = median(times.empty);
  const over = (name) => median(times[name]) - empty;
  const { dependencies = {} } = JSON.parse(readFileSync(join(client, 'package.json'), 'utf8'));
  console.log(`dependencies at run time, for code packages only: ${Object.keys(dependencies).join(', ')}`);
  console.log(`an empty script: ${empty.toFixed(1)} ms (median of ${RUNS})`);
  report('import', [
    bar('import @runstead/client, over an empty script', over('import'), 'ms', LIMIT_MS),
    bar('require @runstead/client, over an empty script', over('require'), 'ms', LIMIT_MS),
    bar('import @runstead/client/sync, over an empty script', over('sync'), 'ms'),
    bar('dependencies at run time', Object.keys(dependencies).length, 'packages'),
  ]);
} finally {
  rmSync(folder, { recursive: true });
}

function packageFolder() {
  return dirname(fileURLToPath(import.meta.resolve('@runstead/client/package.json')));
}
