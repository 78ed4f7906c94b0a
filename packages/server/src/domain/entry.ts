import { hasBuildScript } from './build.ts';
import type { Entry } from './runtime.ts';
import { type Manifest, mainOf } from './started-file.ts';

/** The little of a package that tells how it is started. */
export interface PackageListing {
  /** Paths of files, relative, with `/`. */
  files: ReadonlySet<string>;
  /** `package.json` at the root, parsed; undefined when absent or unreadable. */
  manifest?: Manifest | undefined;
}

const NODE_ENTRIES = ['index', 'server'].flatMap((name) => ['.js', '.mjs', '.cjs'].map((end) => name + end));
const PYTHON_ENTRIES = ['main.py', 'app.py'];

/** What is looked for, in order; shown when nothing is found. */
export const ENTRY_SEARCH = [
  'package.json scripts.start',
  'package.json main',
  ...NODE_ENTRIES,
  ...PYTHON_ENTRIES,
] as const;

/** For a package without a command that nothing in it says how to start. */
export const COMMAND_REQUIRED = `codeConfiguration.command is required: the package has none of ${ENTRY_SEARCH.join(', ')}`;

/** How to start a package whose deployer gave no command; undefined when nothing in it says so. */
export function findEntry({ files, manifest }: PackageListing): Entry | undefined {
  const start = manifest?.scripts?.start;
  if (typeof start === 'string' && start.trim() !== '') {
    return { command: scriptCommand(start.trim()), source: 'package.json scripts.start' };
  }
  const main = mainOf(manifest);
  // What is not there yet, the build script makes.
  if (main !== undefined && (files.has(main) || (isInPackage(main) && hasBuildScript(manifest))))
    return { command: ['node', main], source: 'package.json main' };
  for (const file of NODE_ENTRIES) if (files.has(file)) return { command: ['node', file], source: file };
  for (const file of PYTHON_ENTRIES) if (files.has(file)) return { command: ['python3', file], source: file };
  return undefined;
}

function isInPackage(path: string): boolean {
  return path !== '' && !/^\/|(?:^|\/)\.\.(?:\/|$)/.test(path);
}

/** A script of plain words needs no shell, and without one the agent's own exit code and signal come through. */
function scriptCommand(script: string): string[] {
  if (/^[\w@%+=:,./ -]+$/.test(script) && !/^\w+=/.test(script)) return script.split(/ +/);
  return ['sh', '-c', script];
}
