// What `@runstead/client` ships, from what `tsc --build` wrote: ESM in dist/esm and CommonJS in dist/cjs, each with its
// own types. Bundled, so that an import reads a few files in place of some forty, and so that the parts of the contract
// which the client runs come along inside.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'packages', 'client', 'dist');

const input = {
  index: join(dist, 'index.js'),
  code: join(dist, 'code-package.js'),
  'local-server': join(dist, 'config', 'local-server.js'),
  'no-local-server': join(dist, 'config', 'no-local-server.js'),
  'sync/index': join(dist, 'sync', 'index.js'),
  'sync/worker': join(dist, 'sync', 'worker.js'),
};

const bundle = await rolldown({
  input,
  platform: 'node',
  // `#local-server` is resolved where the client runs: by condition. So are the two libraries of the code packages.
  external: [/^node:/, '#local-server', 'ignore', 'yazl'],
  onLog(level, log, handler) {
    if (level === 'warn') throw new Error(`bundling the client: ${log.message}`);
    handler(level, log);
  },
});
for (const [format, extension] of [
  ['esm', 'js'],
  ['cjs', 'cjs'],
]) {
  const folder = join(dist, format);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await bundle.write({
    dir: folder,
    format,
    entryFileNames: `[name].${extension}`,
    chunkFileNames: `chunks/[name].${extension}`,
    sourcemap: true,
    minify: false,
  });
}
await bundle.close();

for (const entry of ['index.d.ts', 'code-package.d.ts', 'sync/index.d.ts']) copyTypes(entry, new Set());

/** A declaration file and all it leads to, beside the CommonJS build. */
function copyTypes(file, seen) {
  if (seen.has(file)) return;
  seen.add(file);
  const source = join(dist, file);
  if (!existsSync(source)) throw new Error(`bundling the client: there is no ${source}`);
  const target = join(dist, 'cjs', file.replace(/\.ts$/, '.cts'));
  mkdirSync(dirname(target), { recursive: true });
  const text = readFileSync(source, 'utf8')
    .replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n')
    // The compiler leaves them as they were written. Each build's types lead to its own.
    .replace(/((?:from|import\() ?['"]\.[^'"]+)\.ts(['"])/g, '$1.cjs$2');
  writeFileSync(target, text);
  for (const [, specifier] of text.matchAll(/(?:from|import\() ?['"](\.[^'"]+)\.cjs['"]/g)) {
    copyTypes(join(dirname(file), `${specifier}.d.ts`), seen);
  }
}
