import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { delimiter, dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isSecretName } from '../../observe/secrets.ts';
import { StartFailure } from '../driver.ts';
import type { InstanceSpec } from '../instance-spec.ts';
import type { FindInterpreter } from './find-interpreter.ts';
import { defaultInterpreter, type Interpreter, wantedBy } from './interpreters.ts';
import { DATA_MARK, INSTANCE_MARK, RUNTIME_MARK } from './processes.ts';
import type { View } from './sandbox/view.ts';

const ASSETS = fileURLToPath(new URL('../../../assets/', import.meta.url));

export const WRAPPER = join(ASSETS, 'instance-wrapper.sh');
/** Where all that is loaded into agents first lies; they have to see it. */
export const PRELOADS = join(ASSETS, 'preload');
const NODE_PRELOAD = join(PRELOADS, 'listen.cjs');
export const PYTHON_PRELOAD = join(PRELOADS, 'python');

const SYSTEM_PATH = ['/usr/local/bin', '/usr/bin', '/bin', '/usr/local/sbin', '/usr/sbin', '/sbin'];

export interface AgentSurroundings {
  /** Where things are for the agent. */
  view: View;
  /** The port of its own. */
  port: number;
  accountId: string;
  region: string;
  dataMark: string;
  /** Where to look programs up, in order. */
  path: string[];
  /** Of a recorded start: a further preload, and variables for it. */
  nodeStart?: { preload: string; variables: Record<string, string> } | undefined;
}

/**
 * The agent's whole environment. Nothing of the server's gets in but its time zone; what the platform promises wins
 * over the user's variables, except where both can be had.
 */
export function agentEnvironment(spec: InstanceSpec, around: AgentSurroundings): Record<string, string> {
  const user = spec.environment;
  const port = String(around.port);
  const { codeDir, home, tmp, pathOf } = around.view;
  const pythonPath = [PYTHON_PRELOAD, join(codeDir, 'python'), '/opt/python', codeDir];
  return {
    LANG: 'C.UTF-8',
    ...(process.env.TZ ? { TZ: process.env.TZ } : {}),
    PYTHONUNBUFFERED: '1',
    ...user,
    PATH: around.path.map(pathOf).join(delimiter),
    HOME: home,
    TMPDIR: tmp,
    PYTHONPATH: [...pythonPath, ...(user.PYTHONPATH ? [user.PYTHONPATH] : [])].join(delimiter),
    NODE_OPTIONS: [
      // Before the user's: hooks that come later run around those that are there, and see what they see of Node itself.
      ...(around.nodeStart ? [`--require ${quotedOption(around.nodeStart.preload)}`] : []),
      ...(user.NODE_OPTIONS ? [user.NODE_OPTIONS] : []),
      `--require ${quotedOption(NODE_PRELOAD)}`,
    ].join(' '),
    FC_ACCOUNT_ID: around.accountId,
    FC_REGION: around.region,
    PORT: port,
    FC_SERVER_PORT: port,
    FC_CUSTOM_LISTEN_PORT: port,
    RUNSTEAD_PORT_MAP: `${spec.port}:${port}`,
    ...around.nodeStart?.variables,
    [INSTANCE_MARK]: spec.instanceId,
    [RUNTIME_MARK]: spec.runtimeId,
    [DATA_MARK]: around.dataMark,
  };
}

/** NODE_OPTIONS is split at spaces outside of double quotes; a backslash escapes. */
function quotedOption(path: string): string {
  return /[\s"\\]/.test(path) ? `"${path.replace(/["\\]/g, '\\$&')}"` : path;
}

/**
 * The folders the agent's programs are looked up in. The first one holds links to the chosen interpreters, made once
 * for each choice below `binDir`.
 */
export function agentPath(spec: InstanceSpec, binDir: string, chosen: Chosen): string[] {
  const venv = join(spec.codeDir, '.venv', 'bin');
  // A link elsewhere to a virtual environment's Python is plain Python: it looks for pyvenv.cfg beside the link.
  const python = existsSync(join(venv, 'python')) ? undefined : chosen.python;
  return [
    linkFolder(binDir, { ...chosen, python }),
    ...(existsSync(venv) ? [venv] : []),
    join(spec.codeDir, 'node_modules', '.bin'),
    ...SYSTEM_PATH,
  ];
}

export type Chosen = Partial<Record<Interpreter['family'], Interpreter | undefined>>;

/**
 * The interpreters that an agent finds under their names.
 * @throws StartFailure when the language's is not to be had
 */
export async function chosenInterpreters(spec: InstanceSpec, find: FindInterpreter): Promise<Chosen> {
  const wanted = wantedBy(spec.language);
  const [node, python] = await Promise.all([defaultInterpreter('node'), defaultInterpreter('python')]);
  if (!wanted) return { node, python };
  const chosen = await find(wanted.family, spec.language);
  if ('missing' in chosen) throw new StartFailure('start', 'cannot-start', chosen.missing);
  return { node, python, [wanted.family]: chosen };
}

/** Makes the folder of links if it is not there; whole or not at all, since several servers may share an interpreter. */
function linkFolder(binDir: string, chosen: Chosen): string {
  const links = new Map<string, string>();
  if (chosen.node) {
    links.set('node', chosen.node.path);
    for (const name of ['npm', 'npx']) {
      // One that was provided comes without; the server's own runs under it as well.
      const path = [chosen.node.path, process.execPath]
        .map((node) => join(dirname(node), name))
        .find((candidate) => existsSync(candidate));
      if (path !== undefined) links.set(name, path);
    }
  }
  if (chosen.python) for (const name of ['python', 'python3']) links.set(name, chosen.python.path);
  if (chosen.java) links.set('java', chosen.java.path);

  const name = createHash('sha256')
    .update(JSON.stringify([...links]))
    .digest('hex')
    .slice(0, 16);
  const folder = join(binDir, name);
  if (existsSync(folder)) return folder;
  const draft = join(binDir, `.${name}.${process.pid}`);
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true, mode: 0o700 });
  for (const [link, path] of links) symlinkSync(path, join(draft, link));
  try {
    renameSync(draft, folder);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

/**
 * The program to run, as an absolute path: looked up on the agent's path, then in the package.
 * @throws StartFailure when it is not there or cannot be run, before anything is started.
 */
export function resolveCommand(spec: InstanceSpec, path: string[]): string[] {
  const [word, ...rest] = spec.command;
  const fail = (message: string) => new StartFailure('start', 'cannot-start', message);
  if (word === undefined || word === '') throw fail('the command is empty');
  if (spec.command.some((it) => it.includes('\0'))) throw fail('the command holds a NUL character');
  if (!existsSync(spec.codeDir)) throw fail(`the package's folder ${spec.codeDir} is not there`);

  const places = word.includes('/') ? [] : path.map((folder) => join(folder, word));
  const inPackage = isAbsolute(word) ? word : resolve(spec.codeDir, word);
  const program = [...places, inPackage].find(isProgram);
  if (program !== undefined) return [program, ...rest];
  if (isFile(inPackage))
    throw fail(`${word} is not executable; run it through its interpreter or chmod +x it`);
  if (spec.command.length === 1 && /\s/.test(word)) {
    const words = JSON.stringify(word.trim().split(/\s+/));
    throw fail(`there is no program called "${word}"; give the command one word per element: ${words}`);
  }
  throw fail(`the program "${word}" is neither in the package nor on the PATH`);
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return isFile(path);
  } catch {
    return false;
  }
}

// Names a shell cannot carry from here to there: it has a meaning of its own for them, or none.
const SHELL_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const SHELLS_OWN = new Set(
  (
    'OPTIND OPTARG LINENO PPID UID EUID GROUPS SHELLOPTS BASHOPTS RANDOM SRANDOM SECONDS EPOCHSECONDS EPOCHREALTIME ' +
    'FUNCNAME DIRSTACK PIPESTATUS HISTCMD SHLVL POSIXLY_CORRECT'
  ).split(' '),
);

/**
 * How the environment reaches the agent without touching the wrapper (a variable such as LD_PRELOAD acts on whatever
 * is started with it) and without showing in a process list: as a script of `export` lines, read by the subshell that
 * becomes the agent. What cannot be said in a shell goes through `/usr/bin/env`, whose arguments can be seen for
 * a moment: never secrets.
 * @param secretVariables those that hold secrets whatever they are called
 * @returns the script, and the words to put before the command
 * @throws StartFailure for a variable that can be passed in neither way.
 */
export function environmentScript(
  environment: Record<string, string>,
  secretVariables: readonly string[] = [],
): { script: string; prefix: string[] } {
  const lines: string[] = [];
  const words: string[] = [];
  for (const [name, value] of Object.entries(environment)) {
    const fail = (why: string) =>
      new StartFailure('start', 'cannot-start', `the environment variable ${JSON.stringify(name)} ${why}`);
    if (name === '' || /[=\0]/.test(name)) throw fail('has a name that no variable can have');
    if (value.includes('\0')) throw fail('holds a NUL character');
    if (SHELL_NAME.test(name) && !SHELLS_OWN.has(name) && !name.startsWith('BASH')) {
      lines.push(`export ${name}='${value.replaceAll("'", "'\\''")}'\n`);
    } else if (isSecretName(name) || secretVariables.includes(name)) {
      throw fail('looks like a secret but cannot be passed in secret: use letters, digits and _ in its name');
    } else {
      words.push(`${name}=${value}`);
    }
  }
  return { script: lines.join(''), prefix: words.length > 0 ? ['/usr/bin/env', '--', ...words] : [] };
}
