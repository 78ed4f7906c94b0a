import { execFile } from 'node:child_process';
import { accessSync, closeSync, constants, openSync, readdirSync, readSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import type { Language } from '@runstead/contract';

export type Family = 'node' | 'python' | 'java';

export interface Interpreter {
  family: Family;
  /** Major, minor, patch. */
  version: readonly number[];
  /** Where it really is, no link and no version manager's shim. */
  path: string;
}

/** One that does not answer within this time does not count. */
const ANSWER_WITHIN_MS = 5000;

const EXECUTABLE: Record<Family, RegExp> = {
  node: /^node(js)?$/,
  python: /^python(3(\.\d+)?)?$/,
  java: /^java$/,
};

/** Where version managers and distributions put them; `*` stands for one folder. */
const COMMON_PLACES: Record<Family, string[]> = {
  node: [
    '~/.nvm/versions/node/*/bin',
    '~/.volta/tools/image/node/*/bin',
    '~/.local/share/fnm/node-versions/*/installation/bin',
    '~/.asdf/installs/nodejs/*/bin',
    '~/.local/share/mise/installs/node/*/bin',
  ],
  python: [
    '~/.pyenv/versions/*/bin',
    '~/.local/share/uv/python/*/bin',
    '~/.asdf/installs/python/*/bin',
    '~/.local/share/mise/installs/python/*/bin',
    '/Library/Frameworks/Python.framework/Versions/*/bin',
  ],
  java: [
    '/usr/lib/jvm/*/bin',
    '~/.sdkman/candidates/java/*/bin',
    '/Library/Java/JavaVirtualMachines/*/Contents/Home/bin',
  ],
};

const EVERYWHERE = ['/usr/local/bin', '/usr/bin', '/bin', '/opt/homebrew/bin'];

/** The program a language asks for, with its least version; undefined for `custom`. */
export function wantedBy(language: Language): { family: Family; version: number[] } | undefined {
  const match = /^(python|nodejs|java)(\d+(?:\.\d+)?)$/.exec(language);
  if (!match) return undefined;
  const family = match[1] === 'nodejs' ? 'node' : (match[1] as Family);
  return { family, version: match[2]!.split('.').map(Number) };
}

/**
 * The nearest one that will do: Python of the same major version and at least the minor one, Node and Java of at least
 * the major one. Of equally near ones the newest, then the first.
 */
export function chooseInterpreter(
  wanted: { family: Family; version: number[] },
  found: Interpreter[],
): Interpreter | undefined {
  // What "near" is counted in: the minor version for Python 3, the major one for the others.
  const step = wanted.family === 'python' ? 1 : 0;
  return found
    .filter(
      (it) =>
        it.family === wanted.family &&
        it.version.slice(0, step).every((number, i) => number === wanted.version[i]) &&
        it.version[step]! >= (wanted.version[step] ?? 0),
    )
    .sort((a, b) => a.version[step]! - b.version[step]! || -compare(a.version, b.version))[0];
}

/** The message for a person whose language is not there. */
export function missingInterpreter(language: Language, found: Interpreter[]): string {
  const list = found.map((it) => `${it.family} ${it.version.join('.')} (${it.path})`).join(', ');
  return (
    `${language} is needed but not on this machine; found: ${list || 'none'}. ` +
    'Install it or choose another language'
  );
}

const known = new Map<Family, Promise<Interpreter[]>>();
const defaults = new Map<Family, Promise<Interpreter | undefined>>();

/** All interpreters of a family on this machine. Looked for once per process of the server. */
export function findInterpreters(family: Family): Promise<Interpreter[]> {
  let answer = known.get(family);
  if (!answer) {
    answer = discover(family);
    known.set(family, answer);
  }
  return answer;
}

/** What an agent of another language gets under this name: the server's own Node, the first Python on the PATH. */
export function defaultInterpreter(family: Family): Promise<Interpreter | undefined> {
  let answer = defaults.get(family);
  if (!answer) {
    answer = family === 'node' ? Promise.resolve(ownNode()) : firstOf(candidates(family, pathFolders()));
    defaults.set(family, answer);
  }
  return answer;

  async function firstOf(paths: string[]): Promise<Interpreter | undefined> {
    for (const path of paths) {
      const found = await ask(family, path);
      if (found) return found;
    }
    return undefined;
  }
}

async function discover(family: Family): Promise<Interpreter[]> {
  const folders = [...pathFolders(), ...COMMON_PLACES[family].flatMap(expand), ...EVERYWHERE];
  const seen = new Set<string>();
  const paths = candidates(family, folders).filter((path) => {
    const real = realpathSync(path);
    // A version manager has a shim for every version it knows; the versions themselves are among the common places.
    const isRepeated = seen.has(real) || (/\d/.test(basename(path)) && isScript(real));
    seen.add(real);
    return !isRepeated;
  });
  const answers: (Interpreter | undefined)[] = new Array(paths.length);
  let next = 0;
  // Two at a time: the server is starting, and so may be others.
  const work = async () => {
    for (let i = next++; i < paths.length; i = next++) answers[i] = await ask(family, paths[i]!);
  };
  await Promise.all([work(), work()]);
  const found = family === 'node' ? [ownNode()] : [];
  for (const it of answers) if (it && !found.some((other) => other.path === it.path)) found.push(it);
  return found;
}

function ownNode(): Interpreter {
  return {
    family: 'node',
    version: process.versions.node.split('.').map(Number),
    path: realpathSync(process.execPath),
  };
}

/** Runs it: only what answers counts, and only its own word for where it is. */
function ask(family: Family, path: string): Promise<Interpreter | undefined> {
  const question = {
    node: ['-p', 'process.versions.node + "\\n" + process.execPath'],
    python: ['-ISc', 'import sys; print("%d.%d.%d\\n%s" % (sys.version_info[:3] + (sys.executable,)))'],
    java: ['-version'],
  }[family];
  // Nothing of the server's environment but what a shim needs to find its versions.
  const env = { PATH: process.env.PATH ?? '', HOME: homedir() };
  return new Promise((resolve) => {
    execFile(path, question, { env, timeout: ANSWER_WITHIN_MS, cwd: '/' }, (error, stdout, stderr) => {
      const answer = family === 'java' ? `${javaVersion(stderr)}\n${path}` : stdout;
      const match = /^(\d+)\.(\d+)\.(\d+)\S*\n(.+)/.exec(answer);
      if (error || !match) return resolve(undefined);
      try {
        resolve({ family, version: match.slice(1, 4).map(Number), path: realpathSync(match[4]!) });
      } catch {
        resolve(undefined);
      }
    });
  });
}

/** `version "1.8.0_392"` is Java 8, `version "17.0.9"` Java 17. */
function javaVersion(output: string): string {
  const [, text] = /version "([^"]+)"/.exec(output) ?? [];
  const numbers = (text ?? '').split(/[._+-]/).map((part) => Number(part) || 0);
  if (numbers[0] === 1) numbers.shift();
  return [...numbers, 0, 0].slice(0, 3).join('.');
}

function candidates(family: Family, folders: string[]): string[] {
  const paths = [...new Set(folders)].flatMap((folder) =>
    list(folder)
      .filter((name) => EXECUTABLE[family].test(name))
      // The plain names first: they are what somebody made the default here.
      .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))
      .map((name) => join(folder, name)),
  );
  return paths.filter(isExecutable);

  function rank(name: string): number {
    return name === 'python3' || name === 'node' ? 0 : /\d\./.test(name) ? 2 : 1;
  }
}

function pathFolders(): string[] {
  return (process.env.PATH ?? '').split(delimiter).filter((folder) => folder.startsWith('/'));
}

function expand(pattern: string): string[] {
  const [before, after] = pattern.replace(/^~/, homedir()).split('*') as [string, string | undefined];
  if (after === undefined) return [before];
  return list(dirname(`${before}x`)).map((name) => `${before}${name}${after}`);
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    realpathSync(path);
    return true;
  } catch {
    return false;
  }
}

function isScript(path: string): boolean {
  try {
    const file = openSync(path, 'r');
    const start = Buffer.alloc(2);
    readSync(file, start);
    closeSync(file);
    return start.toString('latin1') === '#!';
  } catch {
    return false;
  }
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
