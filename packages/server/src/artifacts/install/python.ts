import { join } from 'node:path';
import { PhaseFailure } from '../../domain/failure.ts';
import type { InstallInterpreter, InstallOptions, Site } from './kept-install.ts';

/**
 * The Python that the agent will be run by.
 * @param because the file that needs it
 * @throws PhaseFailure when there is none
 */
export async function pythonFor(
  { findInterpreter, language }: InstallOptions,
  because: string,
): Promise<InstallInterpreter> {
  const found = await findInterpreter('python', language);
  if ('missing' in found) throw new PhaseFailure('install', `${because} needs Python: ${found.missing}`);
  if (found.version[0] !== 3) {
    throw new PhaseFailure('install', `${because} needs Python 3, and the only one here is ${said(found)}`);
  }
  return found;
}

/** What of an interpreter decides about an install. */
export function pythonInputs({ path, version }: InstallInterpreter): string[] {
  return [path, version.join('.')];
}

/** Makes the virtual environment of an install. @throws PhaseFailure */
export async function makeVenv({ tree, work, run }: Site, python: InstallInterpreter): Promise<void> {
  await run({
    file: python.path,
    args: ['-I', '-m', 'venv', join(tree, 'venv')],
    name: 'python -m venv',
    cwd: work,
    settings: {},
    explain: (lines) =>
      lines.some((line) => /ensurepip|No module named '?venv/.test(line))
        ? `Python ${said(python)} cannot make virtual environments; where it came in parts, as on Debian and ` +
          `Ubuntu, install python3-venv (or python${python.version.slice(0, 2).join('.')}-venv)`
        : undefined,
  });
}

function said({ version }: InstallInterpreter): string {
  return version.join('.');
}
