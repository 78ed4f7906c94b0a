import { type Manifest, mainOf, nodeFile, startedFile, withoutDot } from './started-file.ts';
import { stripsTypes, typescriptFile } from './typescript.ts';

export interface BuildQuestion {
  command: readonly string[];
  manifest: Manifest | undefined;
  /** Whether a path of the package is a file. */
  hasFile: (path: string) => boolean;
  /** Major, minor, patch of the Node that is going to run it; undefined when there is none. */
  nodeVersion: readonly number[] | undefined;
  /** The agent's own NODE_OPTIONS. */
  nodeOptions?: string | undefined;
}

/** What a build is to bring about. */
export type BuildGoal =
  /** A file that the command starts is made. */
  | { kind: 'missing'; file: string }
  /** JavaScript is made of the TypeScript that the command starts. */
  | { kind: 'typescript'; file: string };

/** What has to be built before a command can start; undefined when nothing has, or nothing says how. */
export function buildGoal(question: BuildQuestion): BuildGoal | undefined {
  const { command, manifest, hasFile, nodeVersion, nodeOptions } = question;
  if (!hasBuildScript(manifest)) return undefined;
  const typescript = typescriptFile(command, nodeOptions);
  if (typescript !== undefined && nodeVersion !== undefined && !stripsTypes(nodeVersion)) {
    return { kind: 'typescript', file: typescript };
  }
  const file = startedFile(command, manifest);
  return file === undefined || namesOf(file).some(hasFile) ? undefined : { kind: 'missing', file };
}

export function hasBuildScript(manifest: Manifest | undefined): boolean {
  const script = manifest?.scripts?.build;
  return typeof script === 'string' && script.trim() !== '';
}

/** The command that starts what was built; undefined when it did not bring about the goal. */
export function builtCommand(
  goal: BuildGoal,
  { command, manifest, hasFile }: Pick<BuildQuestion, 'command' | 'manifest' | 'hasFile'>,
): string[] | undefined {
  if (goal.kind === 'missing') return namesOf(goal.file).some(hasFile) ? [...command] : undefined;
  const found = builtNames(goal.file, manifest).find(hasFile);
  const file = nodeFile(command)?.file;
  return found === undefined ? undefined : command.map((word) => (word === file ? found : word));
}

const OUTPUT_FOLDERS = ['dist', 'build', 'out', 'lib'];

/** Where the JavaScript of a TypeScript file is looked for: beside it, in the usual folders, and as `main`. */
export function builtNames(file: string, manifest: Manifest | undefined): string[] {
  const path = withoutDot(file);
  const ends: Record<string, string[]> = { ts: ['js', 'mjs', 'cjs'], mts: ['mjs'], cts: ['cjs'] };
  const [, stem = path, end = 'ts'] = /^(.*)\.([mc]?ts)$/.exec(path) ?? [];
  const stems = [stem, ...OUTPUT_FOLDERS.flatMap((folder) => inFolder(folder, stem))];
  const main = mainOf(manifest);
  return [
    ...stems.flatMap((it) => (ends[end] ?? []).map((js) => `${it}.${js}`)),
    ...(main !== undefined && /\.[mc]?js$/.test(main) ? [main] : []),
  ];
}

/** With `src` as the compiler's root, and without. */
function inFolder(folder: string, stem: string): string[] {
  const inner = stem.replace(/^src\//, '');
  return inner === stem ? [`${folder}/${stem}`] : [`${folder}/${inner}`, `${folder}/${stem}`];
}

/** The files that Node takes a path for. */
function namesOf(file: string): string[] {
  return /\.\w+$/.test(file) ? [file] : [file, `${file}.js`, `${file}/index.js`];
}
