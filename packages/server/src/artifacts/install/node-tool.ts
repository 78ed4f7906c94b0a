import type { Site, Step } from './kept-install.ts';
import type { NodePlan } from './plan.ts';

/** A package manager for Node. */
export interface NodeTool {
  /** Whether a lockfile refers to folders of the package itself; those need to be beside the manifest then. */
  refersToPackage(lock: string): boolean;
  /** Installs the project in the site's tree. @throws PhaseFailure */
  install(job: NodeToolJob): Promise<unknown>;
  /** How a script of a `package.json` is run by this package manager, in the folder where that lies. */
  scriptStep(program: string, script: string): Omit<Step, 'cwd'>;
}

export interface NodeToolJob {
  site: Site;
  /** The package manager's program. */
  program: string;
  lock: string;
  lockName: string;
  /** A folder for the caches of package managers. It may not exist yet. */
  cacheDir: string;
  /** One that other runtimes use as well; only for what is checked against checksums of the lockfile. */
  sharedCacheDir: string;
  /** Development dependencies are wanted, too. */
  development: boolean;
  /** Dependencies may run their install scripts. Where those can run in a step of their own, only there. */
  scripts: boolean;
}

/** What a package can bring in place of a lockfile whose package manager is not there. */
export function insteadOf(tool: NodePlan['tool']): string {
  return `put ${tool === 'npm' ? '' : 'a package-lock.json or '}node_modules into the package`;
}
