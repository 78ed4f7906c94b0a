import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { PhaseFailure } from '../../domain/failure.ts';
import { ownCache } from './caches.ts';
import { pipSettings, unreached } from './environment.ts';
import { type InstallOptions, keptInstall, type Site } from './kept-install.ts';
import { readPyproject } from './pyproject.ts';
import { makeVenv, pythonFor, pythonInputs } from './python.ts';
import { RequirementRefused, readRequirements } from './requirements.ts';

const REQUIREMENTS = 'requirements.txt';

/** @returns the folder with the virtual environment; there is none in it if nothing is needed */
export async function installWithPip(
  options: InstallOptions,
  from: 'requirements' | 'pyproject',
): Promise<string | undefined> {
  return from === 'requirements' ? installList(options) : installProject(options);
}

async function installList(options: InstallOptions): Promise<string | undefined> {
  const list = await collectList(options.codeDir);
  if ([...list.files.values()].every((lines) => lines.length === 0)) return undefined;
  const python = await pythonFor(options, REQUIREMENTS);
  const inputs = ['pip', ...pythonInputs(python), ...scriptsInput(options)];
  for (const [path, lines] of list.files) inputs.push(path, lines.join('\n'));
  for (const [path, digest] of list.wheels) inputs.push(path, digest);
  return keptInstall(options, inputs, async (site) => {
    const project = join(site.work, 'project');
    for (const [path, lines] of list.files) await write(project, path, `${lines.join('\n')}\n`);
    for (const path of list.wheels.keys()) {
      await mkdir(dirname(join(project, path)), { recursive: true });
      await copyFile(join(options.codeDir, path), join(project, path));
    }
    await makeVenv(site, python);
    await runPip(options, site, project);
  });
}

async function installProject(options: InstallOptions): Promise<string | undefined> {
  const text = await readFile(join(options.codeDir, 'pyproject.toml'), 'utf8');
  // Most say something about formatters only; and no tool is started for those.
  if (!/dependencies/.test(text)) return undefined;
  const python = await pythonFor(options, 'pyproject.toml');
  const inputs = ['pyproject', ...pythonInputs(python), text, ...scriptsInput(options)];
  return keptInstall(options, inputs, async (site) => {
    const project = join(site.work, 'project');
    await write(project, 'pyproject.toml', text);
    const dependencies = await readPyproject(site, python, project, options.language);
    if (dependencies.length === 0) return;
    for (const dependency of dependencies) checkDependency(dependency);
    await write(project, REQUIREMENTS, `${dependencies.join('\n')}\n`);
    await makeVenv(site, python);
    await runPip(options, site, project);
  });
}

function checkDependency(dependency: string): void {
  const { lines, wheels, includes } = read(dependency, 'pyproject.toml');
  if (lines.length !== 1 || lines[0] !== dependency.trim() || wheels.length + includes.length > 0) {
    throw new PhaseFailure('install', `pyproject.toml: '${dependency}' is no requirement`);
  }
}

interface RequirementList {
  /** The files of the list by their paths in the package, down to what may be installed. */
  files: Map<string, string[]>;
  /** Wheels of the package, with a digest of each. */
  wheels: Map<string, string>;
}

const FILES_MAX = 100;

/** Reads the list with all it includes; what is installed later is what was checked here. */
async function collectList(codeDir: string): Promise<RequirementList> {
  const list: RequirementList = { files: new Map(), wheels: new Map() };
  const left = [REQUIREMENTS];
  for (let path = left.shift(); path !== undefined; path = left.shift()) {
    if (list.files.has(path)) continue;
    if (list.files.size === FILES_MAX) {
      throw new PhaseFailure('install', `${REQUIREMENTS} includes more than ${FILES_MAX} files`);
    }
    const { lines, includes, wheels } = read(decoded(await readListed(codeDir, path)), path);
    list.files.set(path, lines);
    left.push(...includes.map((name) => normalize(join(dirname(path!), name))));
    // pip reads these from where it runs, which is the package's root.
    for (const wheel of wheels.map((name) => normalize(name))) {
      const digest = createHash('sha256').update(await readListed(codeDir, wheel));
      list.wheels.set(wheel, digest.digest('hex'));
    }
  }
  return list;
}

async function readListed(codeDir: string, path: string): Promise<Buffer> {
  return readFile(join(codeDir, path)).catch((error: unknown) => {
    throw new PhaseFailure('install', `${path} is named among the requirements but not in the package`, [], {
      cause: error,
    });
  });
}

function read(text: string, path: string) {
  try {
    return readRequirements(text);
  } catch (error) {
    if (!(error instanceof RequirementRefused)) throw error;
    throw new PhaseFailure('install', `${path}: ${error.message}`, [], { cause: error });
  }
}

/** UTF-8, or UTF-16 as PowerShell writes it. */
function decoded(bytes: Buffer): string {
  const isWide = bytes[0] === 0xff && bytes[1] === 0xfe;
  return bytes.toString(isWide ? 'utf16le' : 'utf8').replace(/^\ufeff/, '');
}

async function write(folder: string, path: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), text);
}

const NO_BUILDS = 'Runstead installs wheels only';

/**
 * pip, unable to start a program. Options keep it from building what an index has; what the metadata of a wheel at
 * some address refers to they do not, and a build runs code of strangers in this environment.
 */
const PIP = `
import runpy, sys
STARTS = ('subprocess.Popen', 'os.system', 'os.exec', 'os.fork', 'os.forkpty', 'os.posix_spawn', 'os.spawn')
def forbid(event, args):
    if event in STARTS:
        raise PermissionError('${NO_BUILDS}')
sys.addaudithook(forbid)
sys.argv[0] = 'pip'
runpy.run_module('pip', run_name='__main__', alter_sys=True)
`;

function scriptsInput({ rules }: InstallOptions): string[] {
  return rules.allowScripts === 'all' ? ['with builds'] : [];
}

async function runPip(options: InstallOptions, site: Site, project: string): Promise<void> {
  const { folders, runtimeId, rules } = options;
  const builds = rules.allowScripts === 'all';
  await site.run({
    file: join(site.tree, 'venv', 'bin', 'python'),
    args: [
      ...(builds ? ['-I', '-m', 'pip', 'install'] : ['-I', '-c', PIP, 'install', '--only-binary', ':all:']),
      ...['--no-input', '--disable-pip-version-check', '--no-color', '--progress-bar', 'off', '--compile'],
      ...['-r', REQUIREMENTS],
    ],
    name: 'pip install',
    cwd: project,
    settings: { ...pipSettings(), PIP_CACHE_DIR: join(ownCache(folders, runtimeId), 'pip') },
    runsStrangers: builds,
    decisive: (lines) => lines.filter((line) => !PROGRESS.test(line)),
    explain: (lines) => {
      if (lines.some((line) => line.includes(NO_BUILDS))) {
        return `a requirement would have to be built, which runs its code; ${WHEELS_ONLY}`;
      }
      const away = unreached(lines, 'pip’s');
      if (away !== undefined) return away;
      const missing = lines.flatMap(
        (line) => /No matching distribution found for (.+?)(?: \(|$)/.exec(line) ?? [],
      );
      if (builds || missing[1] === undefined) return undefined;
      return `pip found no wheel for ${missing[1]}; ${WHEELS_ONLY}`;
    },
  });
}

const WHEELS_ONLY =
  'only wheels are installed: name a version that has one for this Python, put a wheel into the package, or vendor it in python/';

const PROGRESS =
  /^\s*(?:Looking in|Collecting|Obtaining|Downloading|Using cached|Requirement already|Installing collected|Successfully|Processing|Attempting|\[notice\]|WARNING: Cache entry|at 0x)/;
