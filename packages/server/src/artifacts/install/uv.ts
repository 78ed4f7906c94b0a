import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ownCache } from './caches.ts';
import { unreached, uvSettings } from './environment.ts';
import { type InstallOptions, keptInstall } from './kept-install.ts';
import { pythonFor, pythonInputs } from './python.ts';

const FILES = ['pyproject.toml', 'uv.lock'];

/** @returns the folder with the virtual environment */
export async function installWithUv(options: InstallOptions, uv: string): Promise<string> {
  const { codeDir, folders, runtimeId, rules } = options;
  const builds = rules.allowScripts === 'all';
  const cacheDir = ownCache(folders, runtimeId);
  const python = await pythonFor(options, 'uv.lock');
  const texts = await Promise.all(FILES.map((name) => readFile(join(codeDir, name), 'utf8')));
  const inputs = ['uv', ...pythonInputs(python), ...texts, ...(builds ? ['with builds'] : [])];
  return keptInstall(options, inputs, async (site) => {
    const project = join(site.work, 'project');
    await mkdir(project);
    for (const name of FILES) await copyFile(join(codeDir, name), join(project, name));
    await site.run({
      file: uv,
      // The package's own folder is imported from as it is; building it, or anything, would run its code.
      args: [
        ...['sync', '--frozen', '--no-dev', '--no-install-workspace', '--no-progress'],
        ...['--color', 'never', '--python', python.path],
        ...(builds ? [] : ['--no-build']),
        // Later it is read-only, and every start would compile anew.
        '--compile-bytecode',
      ],
      name: 'uv sync',
      cwd: project,
      toolFolders: [dirname(uv)],
      settings: {
        ...uvSettings(),
        UV_PROJECT_ENVIRONMENT: join(site.tree, 'venv'),
        UV_CACHE_DIR: join(cacheDir, 'uv'),
        // Linked files would be the cache's own, for every version's agents to change.
        UV_LINK_MODE: 'copy',
        UV_PYTHON_DOWNLOADS: 'never',
      },
      runsStrangers: builds,
      explain: (lines) => unreached(lines, 'uv’s'),
    });
  });
}
