// `npm run bench -- NAME`: one bench; without a name, the list. Each prints its bars as JSON on its last line.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeReady, root } from './ready.mjs';

const names = readdirSync(join(root, 'bench'))
  .filter((file) => file.endsWith('.bench.mjs'))
  .map((file) => file.replace('.bench.mjs', ''));
const name = process.argv[2];
if (!names.includes(name)) {
  console.error(`${name ? `There is no bench "${name}". ` : ''}Benches: ${names.join(', ')}`);
  process.exit(2);
}
makeReady();
await import(new URL(`../bench/${name}.bench.mjs`, import.meta.url));
