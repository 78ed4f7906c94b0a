import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { uvSettings } from './environment.ts';
import { type InstallOptions, keptInstall } from './kept-install.ts';
import { pythonFor, pythonInputs } from './python.ts';

const FILES = ['pyproject.toml', 'uv.lock'];

/** @returns the folder with the virtual environment */
export async function installWithUv(options: InstallOptions, uv: string): Promise<string> {
  const { codeDir, folders } = options;
  const python = await pythonFor(options, 'uv.lock');
  const texts = await Promise.all(FILES.map((name) => readFile(join(codeDir, name), 'utf8')));
  return keptInstall(options, ['uv', ...pythonInputs(python), ...texts], async (site) => {
    const project = join(site.work, 'project');
    await mkdir(project);
    for (const name of FILES) await copyFile(join(codeDir, name), join(project, name));
    await site.run({
      file: uv,
      // The package's own folder is imported from as it is; building it, or anything, would run its code.
      args: [
        ...['sync', '--frozen', '--no-dev', '--no-build', '--no-install-workspace', '--no-progress'],
        ...['--color', 'never', '--python', python.path],
      ],
      name: 'uv sync',
      cwd: project,
      toolFolders: [dirname(uv)],
      settings: {
        ...uvSettings(),
        UV_PROJECT_ENVIRONMENT: join(site.tree, 'venv'),
        UV_CACHE_DIR: join(folders.cache, 'uv'),
        // Linked files would be the cache's own, for every runtime's agents to change.
        UV_LINK_MODE: 'copy',
        UV_PYTHON_DOWNLOADS: 'never',
      },
    });
  });
}
