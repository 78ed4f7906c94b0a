import { createHash, randomBytes } from 'node:crypto';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { codeFromFile } from '@runstead/client/code';

const AGENT = fileURLToPath(new URL('agent', import.meta.url));
/** More than passes the gateway in one piece while calls are open, so that a kill can fall within an upload. */
const PADDING_BYTES = 1_500_000;

/**
 * The agent in several packages: two small ones, one large enough to be cut off on its way in, and one with a lockfile,
 * so that a kill can fall within an install.
 * @returns by name: `{ variant, digest, installs, configuration }`; the last is what a request says of it
 */
export async function makePackages(folder) {
  const made = new Map();
  for (const variant of ['plain', 'other', 'padded', 'locked']) {
    const own = join(folder, variant);
    await cp(AGENT, own, { recursive: true });
    await writeFile(join(own, 'variant.txt'), variant);
    if (variant === 'padded') await writeFile(join(own, 'padding.bin'), randomBytes(PADDING_BYTES));
    if (variant === 'locked') await lock(own);
    const options = { language: 'nodejs20', command: ['node', 'server.mjs'] };
    const codeConfiguration = await codeFromFile(own, options);
    const zip = Buffer.from(codeConfiguration.zipFile, 'base64');
    const digest = createHash('sha256').update(zip).digest('hex');
    made.set(variant, {
      variant,
      digest,
      installs: variant === 'locked',
      configuration: { codeConfiguration },
    });
  }
  return made;
}

/** A lockfile of no dependencies: npm is run, and fetches nothing. */
async function lock(folder) {
  const manifest = { name: 'locked', version: '1.0.0', private: true, type: 'module' };
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), JSON.stringify(manifest));
  await writeFile(
    join(folder, 'package-lock.json'),
    JSON.stringify({ ...manifest, lockfileVersion: 3, requires: true, packages: { '': manifest } }),
  );
}
