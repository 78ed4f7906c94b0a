import { isAscii } from 'node:buffer';
import { createHash, randomUUID } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Dependence, dependencesOf, type Place } from './lookup-rule.ts';
import { type PackageRoot, placeOf, rootUrl } from './package-roots.ts';
import { type ClaimedResolve, readClaim, type StartClaim } from './start-claim.ts';

/** Which files of a folder are certainly the package's; see `packageFilesOf`. */
export interface KnownFiles {
  sealed: boolean;
  holds(path: string, bytes: Uint8Array, stat: { ctimeMs: number }): boolean;
}

/** What is remembered beside a record, for the server alone: what it hangs on, as it was. */
export interface StartGuard {
  roots: readonly string[];
  states: readonly (Dependence & { state: string })[];
  /** Of the folder with V8's cache, so that what somebody put there is noticed. Undefined: there is none. */
  cache: string | undefined;
}

export interface KeepRequest {
  /** Where the agent wrote its claim. Others may still write there. */
  claimFolder: string;
  /** Does not exist, or is replaced. */
  target: string;
  roots: readonly PackageRoot[];
  files: readonly KnownFiles[];
  /** Of the Node that ran, such as `v24.21.0`. */
  node: string;
  signal: AbortSignal;
}

const CLAIM_MAX_BYTES = 64 * 1024 * 1024;
const SOURCES_MAX_BYTES = 256 * 1024 * 1024;
const CACHE_MAX_BYTES = 256 * 1024 * 1024;
const CACHE_MAX_FILES = 50_000;
/** The server has other things to do between so many files. */
const FILES_A_TURN = 50;

/**
 * Makes a record of what an agent claims: of every module, the server's own copy of the file in the package, if it is
 * the one that was loaded; of every lookup, what would be found again. V8's cache cannot be checked, and is taken as it is.
 * The result appears whole or not at all, and is read-only.
 * @returns how many modules it holds
 * @throws Error with the reason when nothing is to be kept
 */
export async function keepStart(request: KeepRequest): Promise<number> {
  const { claimFolder, target, roots, node, signal } = request;
  const claim = readClaim(readForeign(join(claimFolder, 'record.json'), CLAIM_MAX_BYTES).toString('utf8'));
  if (claim.unfit !== undefined) throw new Error(claim.unfit);
  if (claim.node !== node) throw new Error(`it is of Node ${claim.node}, not ${node}`);
  const modules = await modulesOf(claim, request);
  const { index, guards } = indexOf(claim, modules, request);
  const work = `${target}.${randomUUID()}.tmp`;
  mkdirSync(work, { recursive: true, mode: 0o700 });
  try {
    const hasCache = await copyCache(join(claimFolder, 'cache'), join(work, 'cache'), signal);
    writeDurably(join(work, 'sources'), Buffer.concat([...modules.values()].map(({ bytes }) => bytes)));
    writeDurably(join(work, 'start.json'), JSON.stringify({ ...index, hasCache }));
    const guard: StartGuard = {
      roots: roots.map(({ host }) => host),
      states: guards.map((it) => ({
        ...it,
        state: stateOf(
          it,
          roots.map(({ host }) => host),
        ),
      })),
      cache: hasCache ? cacheState(work) : undefined,
    };
    writeDurably(join(work, 'guard.json'), JSON.stringify(guard));
    signal.throwIfAborted();
    chmodSync(work, 0o500);
    replace(work, target);
  } catch (error) {
    removeKept(work);
    throw error;
  }
  return modules.size;
}

/** Whether everything that a record hangs on is as it was. */
export function guardHolds(folder: string): boolean {
  try {
    const guard = JSON.parse(readFileSync(join(folder, 'guard.json'), 'utf8')) as StartGuard;
    return (
      guard.states.every((it) => stateOf(it, guard.roots) === it.state) &&
      (guard.cache === undefined || cacheState(folder) === guard.cache)
    );
  } catch {
    return false;
  }
}

/** Whether the package and the install that a record was made of are still there. */
export function isOfSomething(folder: string): boolean {
  try {
    const { roots } = JSON.parse(readFileSync(join(folder, 'guard.json'), 'utf8')) as StartGuard;
    return roots.every((root) => existsSync(root));
  } catch {
    return false;
  }
}

/** Removes a record, sealed as it is. */
export function removeKept(folder: string): void {
  try {
    for (const path of [folder, join(folder, 'cache')]) chmodSync(path, 0o700);
    for (const name of readdirSync(join(folder, 'cache'))) chmodSync(join(folder, 'cache', name), 0o700);
  } catch {
    // Half-made, or without a cache.
  }
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}

interface KeptModule extends Place {
  bytes: Buffer;
  offset: number;
  required: string | null;
  imported: string | null;
}

/** The modules by URL, in the order in which their sources are kept. */
async function modulesOf(
  claim: StartClaim,
  { roots, files, signal }: KeepRequest,
): Promise<Map<string, KeptModule>> {
  const modules = new Map<string, KeptModule>();
  let offset = 0;
  let seen = 0;
  for (const { url, kind, format, hash } of claim.loads) {
    if (++seen % FILES_A_TURN === 0) await turn();
    signal.throwIfAborted();
    const place = placeOf(url, roots);
    if (!place || !isKeptFormat(format, kind)) continue;
    let module = modules.get(url);
    if (!module) {
      const bytes = readOwn(join(roots[place.root]!.host, place.path), files[place.root]!, place.path);
      if (!bytes || bytes[0] === 0xef || offset + bytes.length > SOURCES_MAX_BYTES) continue;
      module = { ...place, bytes, offset, required: null, imported: null };
    }
    if (createHash('sha256').update(module.bytes).digest('hex') !== hash) continue;
    if (kind === 'require') module.required = format;
    else module.imported = format;
    if (modules.has(url)) continue;
    modules.set(url, module);
    offset += module.bytes.length;
  }
  return modules;
}

/** Others, such as addons and TypeScript, are left to Node. */
function isKeptFormat(format: string, kind: 'require' | 'import'): boolean {
  return ['module', 'commonjs', 'json'].includes(format) || (format === '' && kind === 'require');
}

/** A regular file of the package, reached without a link, as it was prepared. */
function readOwn(path: string, files: KnownFiles, name: string): Buffer | undefined {
  try {
    if (realpathSync(path) !== path) return undefined;
    const stat = lstatSync(path);
    if (!stat.isFile() || stat.size > SOURCES_MAX_BYTES) return undefined;
    const bytes = readFileSync(path);
    return files.holds(name, bytes, stat) ? bytes : undefined;
  } catch {
    return undefined;
  }
}

/** What the player reads; see assets/preload/node-start/play.cjs. */
function indexOf(claim: StartClaim, modules: ReadonlyMap<string, KeptModule>, request: KeepRequest) {
  const { roots, files, node } = request;
  const urls = new Table<string>();
  const [specifiers, types] = [new Table<string>(), new Table<string>()];
  const conditions = new Table<readonly string[]>();
  const formats = new Table<string | null>();
  const byParent = new Map<number, number[][]>();
  const guards = new Map<string, Dependence>();
  const sealed = files.map((it) => it.sealed);
  const hang = (on: readonly Dependence[]) => {
    for (const it of on) guards.set(JSON.stringify(it), it);
  };
  for (const claimed of claim.resolves) {
    const parent = claimed.parent === '' ? undefined : modules.get(claimed.parent);
    const target = modules.get(claimed.url);
    if (!target || (claimed.parent !== '' && !parent)) continue;
    const { specifier } = claimed;
    const found = dependencesOf({ specifier, parent, target, isExact: isExact(claimed), sealed });
    if (!found) continue;
    hang(found);
    const from = claimed.parent === '' ? -1 : urls.at(claimed.parent);
    const edge = [
      specifiers.at(specifier),
      conditions.at(claimed.conditions),
      types.at(claimed.type),
      urls.at(claimed.url),
      claimed.format === undefined ? -1 : formats.at(claimed.format),
    ];
    const own = byParent.get(from);
    if (own) own.push(edge);
    else byParent.set(from, [edge]);
  }
  const parents: [number, number][] = [];
  const edges: number[] = [];
  for (const [parent, own] of byParent) {
    parents.push([parent, edges.length]);
    edges.push(own.length, ...own.flat());
  }
  const loads = [...modules].map(([url, { root, path, bytes, offset, required, imported }]) => {
    if (!sealed[root]) hang([{ root, path, what: 'content' }]);
    return [urls.at(url), offset, bytes.length, isAscii(bytes) ? 1 : 0, required, imported];
  });
  const starts = roots.map(rootUrl);
  const index = {
    version: 1,
    node,
    packageRoots: roots.map(({ seen }) => seen),
    roots: starts,
    urls: urls.items.map((url) => {
      const root = starts.findIndex((start) => url.startsWith(start));
      return [root, url.slice(starts[root]!.length)];
    }),
    specifiers: specifiers.items,
    conditions: conditions.items,
    types: types.items,
    formats: formats.items,
    parents,
    edges,
    loads,
    sourceBytes: [...modules.values()].reduce((sum, { bytes }) => sum + bytes.length, 0),
  };
  return { index, guards: [...guards.values()] };
}

/** Nothing was searched for: a URL or path that names the file itself. */
function isExact({ specifier, parent, url, conditions }: ClaimedResolve): boolean {
  try {
    if (conditions.includes('import'))
      return /^(?:\.{0,2}\/|file:)/.test(specifier) && new URL(specifier, parent || undefined).href === url;
    if (!/^\.{0,2}\//.test(specifier)) return false;
    const from = parent === '' ? '/' : dirname(fileURLToPath(parent));
    return pathToFileURL(posix.resolve(from, specifier)).href === url;
  } catch {
    return false;
  }
}

/** Items by number, each once. */
class Table<T> {
  readonly items: T[] = [];
  readonly #numbers = new Map<string, number>();

  at(item: T): number {
    const key = JSON.stringify(item);
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.items.push(item) - 1;
      this.#numbers.set(key, number);
    }
    return number;
  }
}

function stateOf({ root, path, what }: Dependence, hosts: readonly string[]): string {
  const stat = lstatSync(join(hosts[root]!, path), { throwIfNoEntry: false });
  if (!stat) return 'absent';
  if (what === 'presence') return 'there';
  return what === 'listing' ? `${stat.mtimeMs}` : `${stat.ctimeMs} ${stat.size}`;
}

function cacheState(folder: string): string {
  const cache = join(folder, 'cache');
  const inner = readdirSync(cache).map((name) => join(cache, name));
  return [cache, ...inner].map((path) => `${statSync(path).mtimeMs}`).join();
}

/**
 * Copies V8's cache out of a folder that the agent may change at any moment: regular files with the names that Node
 * gives, and no file that a link leads to.
 * @returns whether there is one
 */
async function copyCache(from: string, to: string, signal: AbortSignal): Promise<boolean> {
  const [tag, ...others] = list(from).filter((name) => /^v[\w.-]{1,100}$/.test(name));
  if (tag === undefined || others.length > 0) return false;
  const names = list(join(from, tag)).filter((name) => /^[0-9a-f]{8}$/.test(name));
  if (names.length === 0 || names.length > CACHE_MAX_FILES) return false;
  mkdirSync(join(to, tag), { recursive: true, mode: 0o700 });
  let left = CACHE_MAX_BYTES;
  for (const [index, name] of names.entries()) {
    if (index % FILES_A_TURN === 0) await turn();
    signal.throwIfAborted();
    const bytes = readForeign(join(from, tag, name), left);
    left -= bytes.length;
    writeFileSync(join(to, tag, name), bytes, { mode: 0o400 });
  }
  for (const folder of [join(to, tag), to]) chmodSync(folder, 0o500);
  return true;
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Reads a file in a folder of an agent's: a regular one of bounded size, and certainly the one of this name. */
function readForeign(path: string, maxBytes: number): Buffer {
  // Neither waits for the other end of a pipe nor follows a link at the end of the path.
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(file);
    if (!stat.isFile() || stat.nlink !== 1 || stat.size > maxBytes)
      throw new Error(`${path} is no file, or too large`);
    // A folder on the way may have become a link. Where the system does not tell, nobody else is kept from these files.
    if (process.platform === 'linux' && readlinkSync(`/proc/self/fd/${file}`) !== path)
      throw new Error(`${path} leads elsewhere`);
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}

function writeDurably(path: string, content: string | Buffer): void {
  const file = openSync(path, 'wx', 0o600);
  try {
    writeFileSync(file, content);
    chmodSync(path, 0o400);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Gives a finished folder its name; the one that had it goes. */
function replace(work: string, target: string): void {
  const old = `${target}.${randomUUID()}.tmp`;
  try {
    renameSync(target, old);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  renameSync(work, target);
  removeKept(old);
  const folder = openSync(dirname(target), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
