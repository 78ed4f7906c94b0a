import { join } from 'node:path';
import { PhaseFailure } from '../../domain/failure.ts';
import { corepackSettings, nodeFolders, npmSettings } from './environment.ts';
import type { Step } from './kept-install.ts';
import { insteadOf, type NodeTool } from './node-tool.ts';

export const yarn: NodeTool = {
  refersToPackage: (lock) => /\b(?:link|file|portal):|\bpatch:(?!\S*builtin<)|@workspace:(?!\.")/.test(lock),

  async install({ site, program, lock, lockName, cacheDir }) {
    const step: Pick<Step, 'file' | 'toolFolders' | 'settings'> = {
      file: program,
      toolFolders: nodeFolders(program),
      settings: {
        ...npmSettings(),
        ...corepackSettings(cacheDir),
        ...MODERN,
        YARN_IGNORE_PATH: '1',
        YARN_CACHE_FOLDER: join(cacheDir, 'yarn'),
      },
    };
    const lines = await site.run({ ...step, args: ['--version'], name: 'yarn --version', cwd: site.work });
    const version = lines.at(-1)?.trim() ?? '';
    // Since Yarn 2 it is another program: each would quietly take the other's lockfile for none.
    const isModern = !/^[01]\./.test(version);
    if (/^__metadata:/m.test(lock) !== isModern) {
      throw new PhaseFailure(
        'install',
        `${lockName} is of Yarn ${isModern ? '1' : '2 or newer'}, and on this machine is Yarn ${version}; ` +
          `install one that fits, or ${insteadOf('yarn')}`,
      );
    }
    await site.run({
      ...step,
      args: isModern
        ? ['install', '--immutable', '--mode=skip-build']
        : [
            ...['install', '--frozen-lockfile', '--production', '--ignore-scripts', '--non-interactive'],
            ...['--no-progress', '--cache-folder', join(cacheDir, 'yarn-classic')],
          ],
      name: 'yarn install',
      cwd: site.tree,
      decisive: (all) => all.filter((line) => !/^info |^yarn install v|^\[\d\/\d\]/.test(line)),
    });
  },
};

/** What a `.yarnrc.yml` would have said; that of the package is not there. */
const MODERN = {
  YARN_NODE_LINKER: 'node-modules',
  YARN_ENABLE_SCRIPTS: 'false',
  YARN_ENABLE_GLOBAL_CACHE: 'false',
  YARN_ENABLE_TELEMETRY: '0',
  YARN_ENABLE_COLORS: 'false',
  YARN_ENABLE_PROGRESS_BARS: 'false',
};
