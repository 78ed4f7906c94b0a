import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PhaseFailure } from '../../domain/failure.ts';
import { ownCache, sharedCache } from './caches.ts';
import { findNodeTool, nodeFolders } from './environment.ts';
import { type InstallOptions, keptInstall, type Step } from './kept-install.ts';
import { readNodeProject } from './node-project.ts';
import { insteadOf, type NodeTool } from './node-tool.ts';
import { npm } from './npm.ts';
import type { NodePlan, RootListing } from './plan.ts';
import { pnpm } from './pnpm.ts';
import { yarn } from './yarn.ts';

const TOOLS: Record<NodePlan['tool'], NodeTool> = { npm, pnpm, yarn };

/** @returns the folder with the `node_modules` */
export async function installNode(
  options: InstallOptions,
  { tool, lockName }: NodePlan,
  root: RootListing,
  { development }: { development: boolean },
): Promise<string> {
  const { refersToPackage, install } = TOOLS[tool];
  const { folders, runtimeId, rules } = options;
  const scripts = rules.allowScripts === 'all';
  const project = await readNodeProject(options, lockName, root, refersToPackage);
  const inputs = [tool, ...project.inputs, process.version];
  if (development) inputs.push('with development dependencies');
  if (scripts) inputs.push('with install scripts');
  return keptInstall(options, inputs, async (site) => {
    const program = programOf(tool, lockName);
    await project.copyTo(site.tree);
    await install({
      site,
      program,
      lock: project.lock,
      lockName,
      cacheDir: ownCache(folders, runtimeId),
      sharedCacheDir: sharedCache(folders),
      development,
      scripts,
    });
    // A package without dependencies has none to point to.
    await mkdir(join(site.tree, 'node_modules'), { recursive: true });
  });
}

/** How the package's own script is run: by the package manager of its lockfile, by npm where it has none. */
export function scriptStep(plan: NodePlan | undefined, script: string): Omit<Step, 'cwd'> {
  const { tool, lockName } = plan ?? { tool: 'npm', lockName: 'package.json' };
  const program = programOf(tool, lockName);
  return {
    ...TOOLS[tool].scriptStep(program, script),
    toolFolders: nodeFolders(program),
    runsStrangers: true,
  };
}

function programOf(tool: NodePlan['tool'], because: string): string {
  const program = findNodeTool(tool);
  if (program !== undefined) return program;
  throw new PhaseFailure(
    'install',
    `${because} needs ${tool}, which is not on this machine; install it, or ${insteadOf(tool)}`,
  );
}
