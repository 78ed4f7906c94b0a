import type { Site } from './kept-install.ts';
import type { NodePlan } from './plan.ts';

/** A package manager for Node. */
export interface NodeTool {
  /** Whether a lockfile refers to folders of the package itself; those need to be beside the manifest then. */
  refersToPackage(lock: string): boolean;
  /** Installs the project in the site's tree. @throws PhaseFailure */
  install(job: NodeToolJob): Promise<unknown>;
}

export interface NodeToolJob {
  site: Site;
  /** The package manager's program. */
  program: string;
  lock: string;
  lockName: string;
  /** A folder for the caches of package managers. */
  cacheDir: string;
}

/** What a package can bring in place of a lockfile whose package manager is not there. */
export function insteadOf(tool: NodePlan['tool']): string {
  return `put ${tool === 'npm' ? '' : 'a package-lock.json or '}node_modules into the package`;
}
