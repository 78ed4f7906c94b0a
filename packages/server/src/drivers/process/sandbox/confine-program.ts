import { existsSync, realpathSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import { installationOf, programConfinement, SYSTEM } from './confinement.ts';
import type { Sandbox } from './sandbox.ts';

/** A program with its arguments, and where and with what it works. */
export interface Work {
  file: string;
  args: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string>>;
  /** Folders that it may read. */
  readOnly: readonly string[];
  /** Folders that it may write to. */
  writable: readonly string[];
}

/**
 * Programs that run code of a package before the agent does, such as its build script, in a sandbox of their own: they
 * see the programs on their PATH, the files their environment names, and the folders of their work.
 * @param dataDir never seen as a whole
 */
export function confinePrograms(
  sandbox: Sandbox,
  dataDir: string,
): (work: Work) => { file: string; args: string[] } {
  return ({ file, args, cwd, env, readOnly, writable }) => {
    const apart = [homedir(), dataDir].map((path) => (existsSync(path) ? realpathSync(path) : path));
    const folders = (env.PATH ?? '').split(delimiter).filter((path) => isAbsolute(path));
    const tools = [file, process.execPath, ...folders.map((folder) => join(folder, 'node'))];
    const named = Object.entries(env).flatMap(([name, value]) => (name === 'HOME' ? [] : [value]));
    const scene = {
      cwd,
      writable: writable.filter((path) => existsSync(path)),
      readOnly: [
        ...tools.filter((path) => existsSync(path)).map((path) => installationOf(path, apart)),
        ...named.filter((path) => isAbsolute(path) && isFile(path)),
        ...readOnly.filter((path) => existsSync(path)),
      ],
    };
    // Under the name it was found by, if that is seen: a virtual environment's Python is another one by its real name.
    const isSeen = [...scene.writable, ...scene.readOnly, ...SYSTEM].some((path) =>
      file.startsWith(`${path}/`),
    );
    const program = isSeen || !existsSync(file) ? file : realpathSync(file);
    return { file: sandbox.program, args: [...programConfinement(scene), program, ...args] };
  };
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
