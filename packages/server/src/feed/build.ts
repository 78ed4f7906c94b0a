import { readFileSync } from 'node:fs';

/** What runs here: two processes with the same build are the same program. */
export const BUILD = `${versionOfPackage()} on node ${process.version}`;

function versionOfPackage(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
