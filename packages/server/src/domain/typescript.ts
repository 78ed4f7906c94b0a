import { nodeFile, TEACHES } from './started-file.ts';

/** From these versions on Node runs TypeScript by itself, leaving its types out. */
const STRIPS_TYPES = [
  [22, 18],
  [23, 6],
] as const;

export interface TypeScriptQuestion {
  command: readonly string[];
  /** Major, minor, patch of the Node that is going to run it. */
  nodeVersion: readonly number[];
  /** The agent's own NODE_OPTIONS. */
  nodeOptions?: string | undefined;
}

/**
 * Why a command that gives Node a TypeScript file is not going to work; undefined when it may. For packages that nothing
 * says how to build.
 */
export function typescriptProblem(question: TypeScriptQuestion): string | undefined {
  const { command, nodeVersion, nodeOptions } = question;
  const file = typescriptFile(command, nodeOptions);
  if (file === undefined || stripsTypes(nodeVersion)) return undefined;
  return (
    `${file} is TypeScript, which Node ${nodeVersion.join('.')} does not run by itself: ` +
    'have Node 22.18 or newer here and choose it by language (nodejs22, nodejs24), give package.json a build script, ' +
    'or deploy compiled JavaScript'
  );
}

/** The TypeScript file that a command makes plain Node run. @param nodeOptions the agent's own NODE_OPTIONS */
export function typescriptFile(command: readonly string[], nodeOptions = ''): string | undefined {
  const { file = '', isTaught = false } = nodeFile(command) ?? {};
  if (isTaught || nodeOptions.split(/\s+/).some((word) => TEACHES.test(word))) return undefined;
  return /\.[mc]?ts$/.test(file) ? file : undefined;
}

export function stripsTypes([major = 0, minor = 0]: readonly number[]): boolean {
  const last = STRIPS_TYPES.at(-1)![0];
  return major > last || STRIPS_TYPES.some(([a, b]) => major === a && minor >= b);
}
