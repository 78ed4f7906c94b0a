import { join } from 'node:path';
import { PhaseFailure } from '../../domain/failure.ts';
import { corepackSettings, findNodeTool, nodeFolders, npmSettings, unreached } from './environment.ts';
import type { Step } from './kept-install.ts';
import { insteadOf, type NodeTool } from './node-tool.ts';
import { npm } from './npm.ts';

export const yarn: NodeTool = {
  refersToPackage: (lock) => /\b(?:link|file|portal):|\bpatch:(?!\S*builtin<)|@workspace:(?!\.")/.test(lock),

  async install({ site, program, lock, lockName, cacheDir, development, scripts }) {
    const step: Pick<Step, 'file' | 'toolFolders' | 'settings'> = {
      file: program,
      toolFolders: nodeFolders(program),
      settings: {
        ...npmSettings(),
        ...corepackSettings(cacheDir),
        ...MODERN,
        YARN_IGNORE_PATH: '1',
        YARN_CACHE_FOLDER: join(cacheDir, 'yarn'),
        YARN_ENABLE_SCRIPTS: String(scripts),
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
        ? ['install', '--immutable', ...(scripts ? [] : ['--mode=skip-build'])]
        : [
            ...['install', '--frozen-lockfile', '--non-interactive', '--no-progress'],
            ...['--cache-folder', join(cacheDir, 'yarn-classic')],
            ...(development ? [] : ['--production']),
            ...(scripts ? [] : ['--ignore-scripts']),
          ],
      name: 'yarn install',
      cwd: site.tree,
      runsStrangers: scripts,
      explain: (lines) => unreached(lines, 'Yarn’s'),
      decisive: (all) => all.filter((line) => !/^info |^yarn install v|^\[\d\/\d\]/.test(line)),
    });
  },

  // Yarn 2 and newer runs scripts only where it has installed itself, and the result lies elsewhere.
  scriptStep: (_program, script) => npm.scriptStep(findNodeTool('npm') ?? 'npm', script),
};

/** What a `.yarnrc.yml` would have said; that of the package is not there. */
const MODERN = {
  YARN_NODE_LINKER: 'node-modules',
  YARN_ENABLE_GLOBAL_CACHE: 'false',
  YARN_ENABLE_TELEMETRY: '0',
  YARN_ENABLE_COLORS: 'false',
  YARN_ENABLE_PROGRESS_BARS: 'false',
};
