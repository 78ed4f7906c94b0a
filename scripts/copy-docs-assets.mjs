// Puts the API page's library beside the server, as plain files. At build time only: installed as a dependency, the
// library would bring a package along that reports installs to others.
import { copyFileSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const server = fileURLToPath(new URL('../packages/server/', import.meta.url));
const source = dirname(createRequire(join(server, 'package.json')).resolve('swagger-ui-dist/package.json'));
const target = join(server, 'assets', 'docs', 'swagger-ui');
mkdirSync(target, { recursive: true });
for (const name of [
  'swagger-ui.css',
  'swagger-ui-bundle.js',
  'swagger-ui-bundle.js.LICENSE.txt',
  'LICENSE',
  'NOTICE',
])
  copyFileSync(join(source, name), join(target, name));
