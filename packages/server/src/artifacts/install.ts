import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, cp, mkdir, readFile, readlink, rename, rm, symlink } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { PhaseFailure } from '../domain/failure.ts';
import { type DataFolders, renameOnce } from './folders.ts';
import { runProgram } from './run-program.ts';

export interface InstallOptions {
  folders: DataFolders;
  runtimeId: string;
  /** The unpacked package; its last part says which. */
  codeDir: string;
  timeoutMs: number;
  /** Added to the installer's environment. */
  marks: Readonly<Record<string, string>>;
  signal: AbortSignal;
}

/**
 * Gives a Node package its dependencies: those of its lockfile, without development ones and without running anything
 * that came with them. A package that brings `node_modules`, or no lockfile, is left as it is.
 *
 * The result is kept per runtime under a key of everything that went in, so a change of code alone installs nothing,
 * and no tenant's install is ever seen by another.
 * @throws PhaseFailure
 */
export async function installDependencies(options: InstallOptions): Promise<void> {
  const { folders, runtimeId, codeDir } = options;
  const link = join(codeDir, 'node_modules');
  const lockName = ['npm-shrinkwrap.json', 'package-lock.json'].find((name) =>
    existsSync(join(codeDir, name)),
  );
  if (lockName === undefined || (existsSync(link) && !(await isLink(link)))) return;
  if (!existsSync(join(codeDir, 'package.json'))) {
    throw new PhaseFailure('install', `${lockName} stands in the package without a package.json`);
  }
  const lock = await readFile(join(codeDir, lockName), 'utf8');
  const manifest = await readFile(join(codeDir, 'package.json'), 'utf8');
  const local = refersToLocalFolders(lock);
  // Folders of the package are among what goes in, and nothing but the package's own name stands for their content.
  const key = installKey(local ? [lock, manifest, basename(codeDir)] : [lock, manifest]);
  const installed = join(folders.deps, runtimeId, key);
  if (!existsSync(installed)) await install(options, lockName, local, installed);
  await pointTo(link, join(installed, 'node_modules'));
}

async function install(
  { folders, codeDir, timeoutMs, marks, signal }: InstallOptions,
  lockName: string,
  local: boolean,
  target: string,
): Promise<void> {
  const work = `${target}.${randomUUID()}.tmp`;
  await mkdir(join(work, '.home'), { recursive: true, mode: 0o700 });
  try {
    if (local) {
      await cp(codeDir, work, {
        recursive: true,
        // Whatever the case: some file systems do not tell it apart.
        filter: (source) =>
          dirname(source) !== codeDir || !['node_modules', '.npmrc'].includes(basename(source).toLowerCase()),
      });
    } else {
      await copyFile(join(codeDir, lockName), join(work, lockName));
      await copyFile(join(codeDir, 'package.json'), join(work, 'package.json'));
    }
    const npm = findNpm();
    const result = await runProgram(
      npm,
      ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund'],
      {
        cwd: work,
        env: { ...installEnvironment(folders, work, npm), ...marks },
        timeoutMs,
        signal,
        linesKept: 300,
      },
    );
    if (result.failure !== undefined) {
      throw new PhaseFailure(
        'install',
        result.failure.replace(npm, 'npm ci'),
        whatNpmMeant(result.lastLines),
      );
    }
    // A package without dependencies has none to point to.
    await mkdir(join(work, 'node_modules'), { recursive: true });
    await rm(join(work, '.home'), { recursive: true, force: true });
    await renameOnce(work, target);
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw error;
  }
}

const LINES_SHOWN = 20;

/**
 * npm's last lines without what says nothing of the fault: of a lockfile that does not fit it tells in two lines, and
 * then goes on for eighty about its own options.
 */
function whatNpmMeant(lines: readonly string[]): string[] {
  const usage = lines.findIndex((line) => /^npm (?:error|ERR!) Usage:$/.test(line));
  const end = lines.findIndex((line, index) => index > usage && line.includes('Run "npm help'));
  // The command's own description stands above its usage, between two empty lines.
  const title = lines.slice(0, Math.max(0, usage - 1)).findLastIndex(isBare);
  const kept =
    usage === -1 || end === -1 ? lines : [...lines.slice(0, Math.max(0, title)), ...lines.slice(end + 1)];
  return kept.filter((line) => !isBare(line) && !/A complete log of this run/.test(line)).slice(-LINES_SHOWN);
}

function isBare(line: string): boolean {
  return /^npm (?:error|ERR!)\s*$/.test(line);
}

/** Everything the result depends on: manifests, what they refer to, interpreter, platform. */
function installKey(inputs: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of [...inputs, process.version, process.platform, process.arch]) {
    hash.update(`${part.length}:`).update(part);
  }
  return hash.digest('hex').slice(0, 32);
}

/** Dependencies on folders of the package itself need those folders beside the manifest. */
function refersToLocalFolders(lock: string): boolean {
  return /"link"\s*:\s*true|"(?:resolved|version)"\s*:\s*"file:/.test(lock);
}

/**
 * What the installer sees: its own home and cache, and from the server only what reaching a registry needs. The
 * operator's own npm settings apply (registry, certificates); the package's do not, as they could read this environment.
 */
function installEnvironment(folders: DataFolders, work: string, npm: string): Record<string, string> {
  const env: Record<string, string> = {
    PATH: [dirname(process.execPath), dirname(npm), process.env.PATH ?? '/usr/bin:/bin'].join(delimiter),
    HOME: join(work, '.home'),
    TMPDIR: join(work, '.home'),
    LANG: 'C.UTF-8',
    npm_config_cache: join(folders.cache, 'npm'),
    npm_config_update_notifier: 'false',
    npm_config_userconfig: process.env.NPM_CONFIG_USERCONFIG ?? join(homedir(), '.npmrc'),
  };
  for (const name of FROM_THE_SERVER) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  return env;
}

const FROM_THE_SERVER = [
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'npm_config_registry',
];

/** npm beside the Node that runs the server, else the first one on the server's PATH. */
function findNpm(): string {
  const folders = [dirname(process.execPath), ...(process.env.PATH ?? '').split(delimiter)];
  const found = folders.map((folder) => join(folder, 'npm')).find((file) => existsSync(file));
  if (found === undefined) {
    throw new PhaseFailure(
      'install',
      'npm is not on this machine; install it, or put node_modules into the package',
    );
  }
  return found;
}

async function isLink(path: string): Promise<boolean> {
  return readlink(path).then(
    () => true,
    () => false,
  );
}

/** Makes or turns a link in one step, so that an instance starting at the same time finds the old or the new one. */
async function pointTo(link: string, target: string): Promise<void> {
  if ((await readlink(link).catch(() => undefined)) === target) return;
  const fresh = `${link}.${randomUUID()}.tmp`;
  await symlink(target, fresh);
  await rename(fresh, link);
}
