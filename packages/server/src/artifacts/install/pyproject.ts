import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Language } from '@runstead/contract';
import { PhaseFailure } from '../../domain/failure.ts';
import type { InstallInterpreter, Site } from './kept-install.ts';

const ANSWER = 'pyproject.json';

/** Python reads TOML itself from 3.11 on; before, its pip brings what does. */
const READ = `
import json
try:
    import tomllib
except ImportError:
    from pip._vendor import tomli as tomllib
with open('pyproject.toml', 'rb') as file:
    whole = tomllib.load(file)
project = whole.get('project', {})
poetry = whole.get('tool', {}).get('poetry', {}).get('dependencies', {})
with open('${ANSWER}', 'w') as file:
    json.dump({
        'dependencies': project.get('dependencies', []),
        'dynamic': 'dependencies' in project.get('dynamic', []),
        'poetry': [name for name in poetry if name != 'python'],
    }, file)
`;

/**
 * The dependencies that a project's table names, read by the Python that will run it.
 * @throws PhaseFailure when they cannot be told
 */
export async function readPyproject(
  { run }: Site,
  python: InstallInterpreter,
  folder: string,
  language: Language,
): Promise<string[]> {
  await run({
    file: python.path,
    args: ['-I', '-c', READ],
    name: 'python',
    cwd: folder,
    settings: {},
    decisive: (lines) => lines.slice(-1),
    explain: (lines) =>
      lines.some((line) => /No module named/.test(line))
        ? `pyproject.toml is read by Python 3.11 or newer, and this is ${python.version.join('.')}; ` +
          'add a requirements.txt'
        : 'pyproject.toml cannot be read',
  });
  const answer = JSON.parse(await readFile(join(folder, ANSWER), 'utf8')) as {
    dependencies: unknown;
    dynamic: boolean;
    poetry: string[];
  };
  const { dependencies } = answer;
  if (!Array.isArray(dependencies) || !dependencies.every((item) => typeof item === 'string')) {
    throw new PhaseFailure('install', 'pyproject.toml: project.dependencies must be a list of texts');
  }
  // Whoever runs something else may have a project file for its tools alone.
  if (dependencies.length === 0 && /^python/.test(language)) {
    if (answer.dynamic) {
      throw new PhaseFailure(
        'install',
        'pyproject.toml leaves its dependencies to a build, which would run code; list them in project.dependencies or requirements.txt',
      );
    }
    if (answer.poetry.length > 0) {
      throw new PhaseFailure(
        'install',
        'pyproject.toml names its dependencies for Poetry alone; list them in project.dependencies, or export a requirements.txt',
      );
    }
  }
  return dependencies;
}
