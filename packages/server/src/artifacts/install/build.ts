import { lstatSync, statSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type BuildGoal, buildGoal, builtCommand, builtNames } from '../../domain/build.ts';
import { PhaseFailure } from '../../domain/failure.ts';
import type { Manifest } from '../../domain/started-file.ts';
import { typescriptProblem } from '../../domain/typescript.ts';
import { type InstallOptions, keptInstall, type Making } from './kept-install.ts';
import { scriptStep } from './node.ts';
import { planNode, type RootListing } from './plan.ts';

const SCRIPT = 'build';

/** A build that a package needs before its command can start. */
export interface BuildPlan {
  goal: BuildGoal;
  command: readonly string[];
  manifest: Manifest;
  root: RootListing;
}

export interface BuildRequest {
  command: readonly string[];
  root: RootListing;
  /** The agent's own NODE_OPTIONS. */
  nodeOptions: string | undefined;
}

/**
 * Whether a package has to be built, and that it can be.
 * @throws PhaseFailure when it cannot start as it is and nothing here will build it
 */
export async function planBuild(
  options: InstallOptions,
  { command, root, nodeOptions }: BuildRequest,
): Promise<BuildPlan | undefined> {
  const { codeDir, rules } = options;
  const node = await options.findInterpreter('node', options.language);
  // That there is none is for the driver to say.
  const nodeVersion = 'missing' in node ? undefined : node.version;
  const manifest = await readManifest(codeDir);
  const goal = buildGoal({ command, manifest, hasFile: isFileIn(codeDir), nodeVersion, nodeOptions });
  if (goal === undefined || manifest === undefined) {
    const problem = nodeVersion && typescriptProblem({ command, nodeVersion, nodeOptions });
    if (problem !== undefined) throw new PhaseFailure('install', problem);
    return undefined;
  }
  const why =
    goal.kind === 'missing'
      ? `${goal.file} is not in the package`
      : `${goal.file} is TypeScript, which Node ${nodeVersion!.join('.')} does not run by itself`;
  if (rules.allowScripts === 'none') {
    throw new PhaseFailure(
      'install',
      `${why}, and this server runs no build scripts (RUNSTEAD_ALLOW_SCRIPTS is none): ` +
        `run "npm run ${SCRIPT}" before deploying and deploy what it makes, or have the operator set it to build`,
    );
  }
  const needed = { ...manifest.dependencies, ...manifest.devDependencies };
  if (!planNode(root) && root.get('node_modules') !== 'folder' && Object.keys(needed).length > 0) {
    throw new PhaseFailure(
      'install',
      `${why}, and it cannot be built: no lockfile says which releases of its dependencies to install; ` +
        'put package-lock.json (or pnpm-lock.yaml, yarn.lock) into the package',
    );
  }
  return { goal, command, manifest, root };
}

/** What is started in place of the package: a copy of it in which the build has run. */
export interface Built {
  codeDir: string;
  command: string[];
}

/** Agents may write into their folder, here as in a package that needs no build. */
const making = (digest: string): Making => ({
  subject: 'the package and its build take',
  readOnly: false,
  of: digest,
});

/**
 * Runs a package's build script, once for each package and its dependencies. The package as it was unpacked is not
 * touched: a build that was cut short leaves nothing in it, and another version never sees what this one made.
 * @throws PhaseFailure
 */
export async function build(
  options: InstallOptions,
  { goal, command, manifest, root }: BuildPlan,
  nodeModules: string | undefined,
): Promise<Built> {
  const { codeDir } = options;
  const script = scriptStep(planNode(root), SCRIPT);
  const resultIn = (folder: string) => builtCommand(goal, { command, manifest, hasFile: isFileIn(folder) });
  // Goals are among the inputs: what one command was satisfied with another may miss.
  const inputs = ['build', basename(codeDir), nodeModules ?? '', process.version, goal.kind, goal.file];
  const tree = await keptInstall(
    options,
    inputs,
    async (site) => {
      await copyPackage(codeDir, site.tree);
      if (nodeModules !== undefined) await linkEach(nodeModules, join(site.tree, 'node_modules'));
      await site.run({ ...script, cwd: site.tree });
      if (resultIn(site.tree) !== undefined) return;
      const wanted =
        goal.kind === 'missing'
          ? goal.file
          : `JavaScript of ${goal.file} (${builtNames(goal.file, manifest)[0]}, …)`;
      throw new PhaseFailure(
        'install',
        `${script.name} succeeded but made no ${wanted}; ` +
          'let codeConfiguration.command start what it does make, or mend the script',
      );
    },
    making(basename(codeDir)),
  );
  return { codeDir: tree, command: resultIn(tree) ?? [...command] };
}

async function copyPackage(from: string, to: string): Promise<void> {
  await cp(from, to, {
    recursive: true,
    // Of what lies at the root, links are ours: dependencies of an earlier start.
    filter: (source) =>
      dirname(source) !== from ||
      !['node_modules', '.venv'].includes(basename(source)) ||
      !lstatSync(source).isSymbolicLink(),
    verbatimSymlinks: true,
  });
}

/**
 * Makes a `node_modules` of links to the packages of another: build tools keep caches in it, and the other is
 * read-only. A package is found under its real path, so it finds its own dependencies where they lie.
 */
async function linkEach(from: string, to: string): Promise<void> {
  await mkdir(to);
  for (const { name } of await readdir(from, { withFileTypes: true })) {
    if (name.startsWith('@')) await linkEach(join(from, name), join(to, name));
    else await symlink(join(from, name), join(to, name));
  }
}

/** `package.json`, or undefined when there is none that can be read. */
async function readManifest(codeDir: string): Promise<Manifest | undefined> {
  const text = await readFile(join(codeDir, 'package.json'), 'utf8').catch(() => undefined);
  try {
    const value: unknown = text === undefined ? undefined : JSON.parse(text);
    return value !== null && typeof value === 'object' ? value : undefined;
  } catch {
    // Whoever reads it later names the fault.
    return undefined;
  }
}

function isFileIn(folder: string) {
  return (path: string) => statSync(join(folder, path), { throwIfNoEntry: false })?.isFile() === true;
}
