import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PhaseFailure } from '../../domain/failure.ts';
import { findNodeTool } from './environment.ts';
import { type InstallOptions, keptInstall } from './kept-install.ts';
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
): Promise<string> {
  const { refersToPackage, install } = TOOLS[tool];
  const project = await readNodeProject(options, lockName, root, refersToPackage);
  return keptInstall(options, [tool, ...project.inputs, process.version], async (site) => {
    const program = findNodeTool(tool);
    if (program === undefined) {
      throw new PhaseFailure(
        'install',
        `${lockName} needs ${tool}, which is not on this machine; install it, or ${insteadOf(tool)}`,
      );
    }
    await project.copyTo(site.tree);
    await install({ site, program, lock: project.lock, lockName, cacheDir: options.folders.cache });
    // A package without dependencies has none to point to.
    await mkdir(join(site.tree, 'node_modules'), { recursive: true });
  });
}
