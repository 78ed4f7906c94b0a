#!/usr/bin/env node
// Node opens its inspector on SIGUSR1 unless somebody listens; from the very first moment.
process.on('SIGUSR1', () => {});

const { existsSync } = await import('node:fs');
const main = new URL('../dist/main.js', import.meta.url);
if (!existsSync(main)) {
  process.stderr.write('runstead is not built yet. Run "npm run build" in the repository first.\n');
  process.exit(1);
}
// Part after part: all at once would be more open files than some systems allow.
await import('@runstead/server/load-first');
const { main: run } = await import(main.href);
process.exitCode = await run(process.argv.slice(2), process);
