import { join } from 'node:path';
import { corepackSettings, nodeFolders, npmSettings, unreached } from './environment.ts';
import type { NodeTool } from './node-tool.ts';

export const pnpm: NodeTool = {
  refersToPackage: (lock) => /\b(?:link|file):|^patchedDependencies:/m.test(lock),

  async install({ site, program, cacheDir, development, scripts }) {
    const step = {
      file: program,
      cwd: site.tree,
      toolFolders: nodeFolders(program),
      decisive: (lines: readonly string[]) =>
        lines.filter((line) => !/^Progress:|^[+]+$|^Lockfile is up to date/.test(line)),
    };
    await site.run({
      ...step,
      args: [
        ...['install', '--frozen-lockfile', '--ignore-scripts', '--ignore-pnpmfile'],
        ...(development ? [] : ['--prod']),
        ...['--reporter=append-only', '--store-dir', join(cacheDir, 'pnpm')],
        // Linked files would be the store's own, for every version's agents to change.
        '--package-import-method=copy',
        ITSELF,
      ],
      name: 'pnpm install',
      explain: (lines) => unreached(lines, 'npm’s'),
      settings: {
        ...npmSettings(),
        ...corepackSettings(cacheDir),
        CI: 'true',
        npm_config_cache_dir: join(cacheDir, 'pnpm-metadata'),
      },
    });
    if (!scripts) return;
    await site.run({
      ...step,
      args: [
        ...['rebuild', '--reporter=append-only', '--store-dir', join(cacheDir, 'pnpm')],
        ...['--config.dangerously-allow-all-builds=true', ITSELF],
      ],
      name: 'pnpm rebuild',
      settings: { ...corepackSettings(cacheDir), CI: 'true' },
      runsStrangers: true,
    });
  },

  scriptStep: (program, script) => ({
    file: program,
    args: [ITSELF, 'run', script],
    name: `pnpm run ${script}`,
    settings: { COREPACK_ENABLE_PROJECT_SPEC: '0', CI: 'true' },
  }),
};

const ITSELF = '--config.manage-package-manager-versions=false';
