/** The names at the root of a package. */
export type RootListing = ReadonlyMap<string, 'file' | 'folder' | 'link'>;

export type NodePlan =
  | { tool: 'npm'; lockName: 'npm-shrinkwrap.json' | 'package-lock.json' }
  | { tool: 'pnpm'; lockName: 'pnpm-lock.yaml' }
  | { tool: 'yarn'; lockName: 'yarn.lock' };

/** In the order in which they win. */
const NODE_PLANS: readonly NodePlan[] = [
  { tool: 'npm', lockName: 'npm-shrinkwrap.json' },
  { tool: 'npm', lockName: 'package-lock.json' },
  { tool: 'pnpm', lockName: 'pnpm-lock.yaml' },
  { tool: 'yarn', lockName: 'yarn.lock' },
];

/** How a package gets its Node dependencies; undefined when it brings them, or when nobody locked any. */
export function planNode(root: RootListing): NodePlan | undefined {
  // A link there is ours, of an earlier install.
  if (root.get('node_modules') === 'folder') return undefined;
  return NODE_PLANS.find(({ lockName }) => root.get(lockName) === 'file');
}

export type PythonPlan = 'uv' | 'requirements' | 'pyproject';

/**
 * How a package gets its Python dependencies; undefined when it brings them in `python/` or `.venv`, or names none.
 * A lock that only uv reads is of no use without uv: then what pip can read has to do.
 */
export function planPython(root: RootListing, { uv }: { uv: boolean }): PythonPlan | undefined {
  if (root.get('python') === 'folder' || root.get('.venv') === 'folder') return undefined;
  const has = (name: string) => root.get(name) === 'file';
  if (uv && has('uv.lock') && has('pyproject.toml')) return 'uv';
  if (has('requirements.txt')) return 'requirements';
  return has('pyproject.toml') ? 'pyproject' : undefined;
}
