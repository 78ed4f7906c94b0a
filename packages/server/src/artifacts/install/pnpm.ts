import { join } from 'node:path';
import { corepackSettings, nodeFolders, npmSettings } from './environment.ts';
import type { NodeTool } from './node-tool.ts';

export const pnpm: NodeTool = {
  refersToPackage: (lock) => /\b(?:link|file):|^patchedDependencies:/m.test(lock),

  install: ({ site, program, cacheDir }) =>
    site.run({
      file: program,
      args: [
        ...['install', '--frozen-lockfile', '--prod', '--ignore-scripts', '--ignore-pnpmfile'],
        ...['--reporter=append-only', '--store-dir', join(cacheDir, 'pnpm')],
        // Linked files would be the store's own, for every runtime's agents to change.
        '--package-import-method=copy',
        '--config.manage-package-manager-versions=false',
      ],
      name: 'pnpm install',
      cwd: site.tree,
      toolFolders: nodeFolders(program),
      settings: {
        ...npmSettings(),
        ...corepackSettings(cacheDir),
        CI: 'true',
        npm_config_cache_dir: join(cacheDir, 'pnpm-metadata'),
      },
      decisive: (lines) => lines.filter((line) => !/^Progress:|^[+]+$|^Lockfile is up to date/.test(line)),
    }),
};
