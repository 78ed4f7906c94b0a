import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { onTestFinished, type TestContext } from 'vitest';
import { fixture } from './deploy.ts';
import { newEnoughPython } from './requirements.ts';

const SCRIPTS = fileURLToPath(new URL('../official-clients', import.meta.url));
const REQUIREMENTS = join(SCRIPTS, 'requirements.txt');
const INSTALL_WITHIN_MS = 240_000;
/** Less than a test has: one that hangs fails with what it said, and leaves nothing behind. */
const RUN_WITHIN_MS = 150_000;

/** What one of the scripts reported, by name. */
export type Report = Record<string, unknown>;

export interface Answer {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The official AgentRun clients for Python, unmodified, in a virtual environment of their own. */
export class OfficialClients {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Runs a script of `e2e/official-clients`.
   * @param variables all that it has of the environment, beside the shell's most basic ones
   * @throws when it fails, with all that it said
   */
  async script(name: string, args: string[], variables: Record<string, string>): Promise<Report> {
    const words = [join(this.#folder, 'bin', 'python'), join(SCRIPTS, `${name}.py`), ...args];
    const { code, stdout, stderr } = await this.run(words, variables);
    if (code !== 0) throw new Error(`${name}.py ended with ${code}:\n${stdout}${stderr}`);
    const lines = stdout.split('\n').filter((line) => line !== '');
    return Object.assign({}, ...lines.map((line) => JSON.parse(line) as Report)) as Report;
  }

  /** Runs a program, those of the clients (`ar`) first. */
  async run(words: string[], variables: Record<string, string>): Promise<Answer> {
    const [program, ...args] = words;
    const child = spawn(program!, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: this.#folder,
      timeout: RUN_WITHIN_MS,
      killSignal: 'SIGKILL',
      env: {
        PATH: `${join(this.#folder, 'bin')}:${process.env.PATH}`,
        // No profile of whoever runs the tests.
        HOME: this.#folder,
        LANG: 'C.UTF-8',
        DISABLE_BREAKING_CHANGES_WARNING: '1',
        PYTHONDONTWRITEBYTECODE: '1',
        ...variables,
      },
    });
    const [code, stdout, stderr] = await Promise.all([
      new Promise<number | null>((resolve, reject) => {
        child.once('error', reject);
        child.once('exit', resolve);
      }),
      text(child.stdout),
      text(child.stderr),
    ]);
    return { code, stdout, stderr };
  }

  dispose(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/**
 * Makes the virtual environment.
 * @returns why that cannot be on this machine, as words, where it cannot
 * @throws when the packages are within reach and cannot be installed
 */
export async function installOfficialClients(): Promise<OfficialClients | string> {
  const python = newEnoughPython();
  if (python === undefined) return 'no Python 3.10 or newer runs on this machine';
  const folder = mkdtempSync(join(tmpdir(), 'runstead-clients-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  if (spawnSync(python, ['-m', 'venv', folder], { stdio: 'ignore', timeout: 60_000 }).status !== 0) {
    remove();
    return `${python} makes no virtual environments with pip (python3-venv)`;
  }
  const pip = (...args: string[]) =>
    spawnSync(join(folder, 'bin', 'pip'), ['--disable-pip-version-check', ...args], {
      encoding: 'utf8',
      timeout: INSTALL_WITHIN_MS,
    });
  const probe = ['download', '--quiet', '--no-deps', '--retries=1', '--timeout=10', '--dest', folder];
  if (pip(...probe, 'agentrun-sdk').status !== 0) {
    remove();
    return 'the pip registry does not answer';
  }
  const install = pip('install', '--quiet', '--no-deps', '--requirement', REQUIREMENTS);
  if (install.status !== 0) {
    remove();
    throw new Error(`the official clients cannot be installed:\n${install.stdout}${install.stderr}`);
  }
  return new OfficialClients(folder);
}

/** A folder with a fixture's files, gone at the test's end: the SDK writes the archive it makes beside the folder. */
export function copyOfFixture(name: string): string {
  const parent = mkdtempSync(join(tmpdir(), 'runstead-agent-'));
  onTestFinished(() => rmSync(parent, { recursive: true, force: true }));
  const folder = join(parent, name);
  cpSync(fixture(name), folder, { recursive: true });
  return folder;
}

/** Skips the test where there are none, and says why. */
export function clientsOrSkip(context: TestContext, clients: OfficialClients | string): OfficialClients {
  if (typeof clients !== 'string') return clients;
  console.warn(`skipped: ${context.task.name}: ${clients}`);
  return context.skip(clients);
}
