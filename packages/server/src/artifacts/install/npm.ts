import { join } from 'node:path';
import { nodeFolders, npmSettings, unreached } from './environment.ts';
import type { NodeTool } from './node-tool.ts';

export const npm: NodeTool = {
  refersToPackage: (lock) => /"link"\s*:\s*true|"(?:resolved|version)"\s*:\s*"file:/.test(lock),

  async install({ site, program, lock, cacheDir, sharedCacheDir, development, scripts }) {
    const step = { file: program, cwd: site.tree, toolFolders: nodeFolders(program), decisive: whatNpmMeant };
    await site.run({
      ...step,
      args: [
        ...['ci', '--ignore-scripts', '--no-audit', '--no-fund'],
        ...(development ? ['--include=dev'] : ['--omit=dev']),
      ],
      name: 'npm ci',
      explain: (lines) => unreached(lines, 'npm’s'),
      settings: {
        ...npmSettings(),
        npm_config_cache: join(isAllChecked(lock) ? sharedCacheDir : cacheDir, 'npm'),
      },
    });
    if (!scripts) return;
    // In a step of its own, which knows nothing of registries and who may use them.
    await site.run({
      ...step,
      args: ['rebuild', '--foreground-scripts', '--no-audit', '--no-fund'],
      name: 'npm rebuild',
      settings: QUIET,
      runsStrangers: true,
    });
  },

  scriptStep: (program, script) => ({
    file: program,
    args: ['run', script],
    name: `npm run ${script}`,
    settings: QUIET,
    decisive: whatNpmMeant,
  }),
};

const QUIET = { npm_config_update_notifier: 'false' };

/**
 * Whether npm compares every package with a SHA-512 of the lockfile: then it takes nothing from a cache that another
 * has put there. What is bundled comes inside a package that is compared.
 */
function isAllChecked(lock: string): boolean {
  try {
    const { packages } = JSON.parse(lock) as { packages?: Record<string, LockedPackage> };
    return (
      packages !== undefined &&
      Object.entries(packages).every(
        ([path, { link, inBundle, integrity }]) =>
          !/(?:^|\/)node_modules\//.test(path) ||
          link === true ||
          inBundle === true ||
          (typeof integrity === 'string' && /^sha512-[\w+/=]+$/.test(integrity)),
      )
    );
  } catch {
    return false;
  }
}

interface LockedPackage {
  link?: unknown;
  inBundle?: unknown;
  integrity?: unknown;
}

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
