/** The little of a `package.json` that tells how an agent is built and started. */
export interface Manifest {
  scripts?: Record<string, unknown>;
  main?: unknown;
  dependencies?: Record<string, unknown>;
  devDependencies?: Record<string, unknown>;
}

/** Options that may teach Node to read TypeScript, or whatever else. */
export const TEACHES =
  /^(?:--import|--require|-r|--loader|--experimental-(?:loader|strip-types|transform-types))(?:=|$)/;
const TAKES_A_VALUE = /^(?:--import|--require|-r|--loader|--experimental-loader|--conditions|-C|--env-file)$/;

/** The file that a command gives plain Node to run, and whether an option taught Node something before. */
export function nodeFile([program = '', ...words]: readonly string[]):
  | { file: string; isTaught: boolean }
  | undefined {
  if (!/^(?:.*\/)?node(?:js)?$/.test(program)) return undefined;
  let isTaught = false;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (TEACHES.test(word)) isTaught = true;
    if (TAKES_A_VALUE.test(word)) i++;
    else if (/^(?:-e|-p|--eval|--print)(?:=|$)|^-$/.test(word)) return undefined;
    else if (!word.startsWith('-')) return { file: word, isTaught };
  }
  return undefined;
}

/**
 * The file of the package that a command starts: what Node is given, also by way of `npm start` or a shell; or the
 * program itself, when it is named by a relative path. Undefined when it cannot be told, or lies outside.
 */
export function startedFile(command: readonly string[], manifest: Manifest | undefined): string | undefined {
  const [program = '', ...words] = scriptOf(command, manifest) ?? command;
  const file =
    nodeFile([program, ...words])?.file ??
    (/^(?:.*\/)?(?:ba|da)?sh$/.test(program) && words[0] === '-c'
      ? fileInScript(words[1] ?? '')
      : program.includes('/')
        ? program
        : undefined);
  const named = file && withoutDot(file);
  const path = named === '.' ? mainOf(manifest) : named;
  return path === undefined || path === '' || /^\/|(?:^|\/)\.\.(?:\/|$)/.test(path) ? undefined : path;
}

/** What `main` names, as a path of the package. */
export function mainOf(manifest: Manifest | undefined): string | undefined {
  return typeof manifest?.main === 'string' ? withoutDot(manifest.main) : undefined;
}

/** `./a` is `a`. */
export function withoutDot(path: string): string {
  return path.replace(/^(?:\.\/+)+/, '');
}

/** `npm start` and its relatives, as the script they run. */
function scriptOf(command: readonly string[], manifest: Manifest | undefined): string[] | undefined {
  const [program = '', ...words] = command;
  if (!/^(?:.*\/)?(?:npm|pnpm|yarn)$/.test(program)) return undefined;
  const name = words.filter((word) => !word.startsWith('-') && word !== 'run' && word !== 'run-script')[0];
  const script = name === undefined ? undefined : manifest?.scripts?.[name];
  return typeof script === 'string' ? ['sh', '-c', script] : undefined;
}

/** The file that the first `node` of a shell's line is given. */
function fileInScript(script: string): string | undefined {
  const words = script.split(/\s+/).map((word) => word.replace(/^(['"])(.*)\1$/, '$2'));
  const start = words.findIndex((word) => /^(?:.*\/)?node(?:js)?$/.test(word));
  const file = start === -1 ? undefined : nodeFile(words.slice(start))?.file;
  // What only a shell can work out is left to it.
  return file !== undefined && /^[\w@%+=:,./-]+$/.test(file) ? file : undefined;
}
