/** From these versions on Node runs TypeScript by itself, leaving its types out. */
const STRIPS_TYPES = [
  [22, 18],
  [23, 6],
] as const;

/** Options that may teach Node to read TypeScript, or whatever else. */
const TEACHES =
  /^(?:--import|--require|-r|--loader|--experimental-(?:loader|strip-types|transform-types))(?:=|$)/;
const TAKES_A_VALUE = /^(?:--import|--require|-r|--loader|--experimental-loader|--conditions|-C|--env-file)$/;

export interface TypeScriptQuestion {
  command: readonly string[];
  /** Major, minor, patch of the Node that is going to run it. */
  nodeVersion: readonly number[];
  /** The agent's own NODE_OPTIONS. */
  nodeOptions?: string | undefined;
  /** `package.json` has a script called build. */
  hasBuildScript?: boolean;
}

/** Why a command that gives Node a TypeScript file is not going to work; undefined when it may. */
export function typescriptProblem(question: TypeScriptQuestion): string | undefined {
  const { command, nodeVersion, nodeOptions = '', hasBuildScript = false } = question;
  const file = typescriptFile(command);
  if (file === undefined || nodeOptions.split(/\s+/).some((word) => TEACHES.test(word))) return undefined;
  if (stripsTypes(nodeVersion)) return undefined;
  const build = hasBuildScript
    ? 'run the build script of package.json before deploying and start what it makes'
    : 'deploy compiled JavaScript';
  return (
    `${file} is TypeScript, which Node ${nodeVersion.join('.')} does not run by itself: ` +
    `have Node 22.18 or newer here and choose it by language (nodejs22, nodejs24), or ${build}`
  );
}

/** The TypeScript file that a command makes plain Node run. */
export function typescriptFile([program = '', ...words]: readonly string[]): string | undefined {
  if (!/^(?:.*\/)?node(?:js)?$/.test(program)) return undefined;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (TEACHES.test(word)) return undefined;
    if (TAKES_A_VALUE.test(word)) i++;
    else if (!word.startsWith('-')) return /\.[mc]?ts$/.test(word) ? word : undefined;
  }
  return undefined;
}

function stripsTypes([major = 0, minor = 0]: readonly number[]): boolean {
  const last = STRIPS_TYPES.at(-1)![0];
  return major > last || STRIPS_TYPES.some(([a, b]) => major === a && minor >= b);
}
