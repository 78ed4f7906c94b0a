import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { confinement, INSIDE, installationOf } from './confinement.ts';
import type { Sandbox } from './sandbox.ts';

/** How an agent sees what is its own: where things are for it, and what it is started through to see them there. */
export interface View {
  isConfined: boolean;
  codeDir: string;
  home: string;
  tmp: string;
  /** A path of the machine as the agent has to write it. */
  pathOf(path: string): string;
  /**
   * What precedes its command; empty without a sandbox. Asked for when the instance's folder is there.
   * @param shown further folders of the machine that it sees, read-only and under their own names
   * @param folder one that waits to become the instance's. Default: the instance's
   */
  boundary(shown?: readonly string[], folder?: string): string[];
  /** What it sees by when that is known; undefined without a sandbox. */
  parts(shown?: readonly string[]): ViewParts | undefined;
}

/** A view in two parts: the first is the same for all agents of the same interpreters. Paths are those of the machine. */
export interface ViewParts {
  sandbox: Sandbox;
  early: { links: string; readOnly: readonly string[] };
  /** Beside the code; read-only, under their own names. */
  late: readonly string[];
  /** Can be written to, under their own names. */
  writable: readonly string[];
}

export interface Surroundings {
  runtimeId: string;
  codeDir: string;
  /** The instance's folder. */
  folder: string;
  /** Its folder of links to interpreters. */
  links: string;
  /** All interpreters of this machine, by their real paths. */
  interpreters: readonly string[];
  /** Directories of the machine that it may write to. */
  mounts: readonly string[];
  /** What every agent is given besides, such as preloads. */
  assets: string;
  dataDir: string;
}

/** As the server sees it itself. */
export function plainView({ codeDir, folder }: Pick<Surroundings, 'codeDir' | 'folder'>): View {
  const pathOf = (path: string) => path;
  return {
    isConfined: false,
    codeDir,
    home: join(folder, 'home'),
    tmp: join(folder, 'tmp'),
    pathOf,
    boundary: () => [],
    parts: () => undefined,
  };
}

export function confinedView(sandbox: Sandbox, surroundings: Surroundings): View {
  const { codeDir, folder, links, assets, mounts } = surroundings;
  const moved = [
    [links, INSIDE.links],
    [codeDir, INSIDE.code],
  ] as const;
  return {
    isConfined: true,
    codeDir: INSIDE.code,
    home: INSIDE.home,
    tmp: INSIDE.tmp,
    pathOf(path) {
      const found = moved.find(([from]) => path === from || path.startsWith(`${from}/`));
      return found ? found[1] + path.slice(found[0].length) : path;
    },
    boundary(shown = [], own = folder) {
      const readOnly = [assets, ...preparedFolders(surroundings), ...installations(surroundings), ...shown];
      const scene = { codeDir, folder: own, links, readOnly, writable: mounts };
      return [sandbox.program, ...confinement(scene)];
    },
    parts: (shown = []) => ({
      sandbox,
      early: { links, readOnly: [assets, ...installations(surroundings)] },
      late: [...preparedFolders(surroundings), ...shown],
      writable: mounts,
    }),
  };
}

/**
 * What was installed or built for the runtime, which the package has links to: virtual environments cannot be moved, and
 * modules go by their real paths, so it is seen where it is. Links that a package brings itself show nothing.
 */
function preparedFolders({ dataDir, runtimeId }: Surroundings): string[] {
  const own = join(dataDir, 'deps', runtimeId);
  const real = realPathOf(own);
  return real === undefined ? [] : [own, real];
}

/** Of all interpreters the agent can find. */
function installations({ codeDir, links, dataDir, interpreters }: Surroundings): string[] {
  const linked = readdirSync(links).map((name) => join(links, name));
  const own = realPathOf(join(codeDir, '.venv', 'bin', 'python'));
  const programs = [...linked, ...(own !== undefined && interpreters.includes(own) ? [own] : [])];
  const apart = [homedir(), dataDir, codeDir].map((path) => realPathOf(path) ?? path);
  return programs.filter((path) => existsSync(path)).map((path) => installationOf(path, apart));
}

function realPathOf(path: string): string | undefined {
  return existsSync(path) ? realpathSync(path) : undefined;
}
