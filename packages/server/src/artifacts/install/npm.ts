import { join } from 'node:path';
import { nodeFolders, npmSettings } from './environment.ts';
import type { NodeTool } from './node-tool.ts';

export const npm: NodeTool = {
  refersToPackage: (lock) => /"link"\s*:\s*true|"(?:resolved|version)"\s*:\s*"file:/.test(lock),

  install: ({ site, program, cacheDir }) =>
    site.run({
      file: program,
      args: ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund'],
      name: 'npm ci',
      cwd: site.tree,
      toolFolders: nodeFolders(program),
      settings: { ...npmSettings(), npm_config_cache: join(cacheDir, 'npm') },
      decisive: whatNpmMeant,
    }),
};

/**
 * npm's last lines without what says nothing of the fault: of a lockfile that does not fit it tells in two lines, and
 * then goes on for eighty about its own options.
 */
function whatNpmMeant(lines: readonly string[]): string[] {
  const usage = lines.findIndex((line) => /^npm (?:error|ERR!) Usage:$/.test(line));
  const end = lines.findIndex((line, index) => index > usage && line.includes('Run "npm help'));
  // The command's own description stands above its usage, between two empty lines.
  const title = lines.slice(0, Math.max(0, usage - 1)).findLastIndex(isBare);
  const kept =
    usage === -1 || end === -1 ? lines : [...lines.slice(0, Math.max(0, title)), ...lines.slice(end + 1)];
  return kept.filter((line) => !isBare(line) && !/A complete log of this run/.test(line));
}

function isBare(line: string): boolean {
  return /^npm (?:error|ERR!)\s*$/.test(line);
}
