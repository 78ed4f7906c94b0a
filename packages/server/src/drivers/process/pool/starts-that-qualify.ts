import { basename, normalize, sep } from 'node:path';

/** A start as it would be made in the ordinary way. */
export interface PlannedStart {
  /** Program (absolute) and arguments. */
  command: readonly string[];
  /** The whole of it. */
  environment: Readonly<Record<string, string>>;
}

/** Variables that a process reads as it begins to live, some of them in its libraries: too late for one that waits. */
const READ_AT_BOOT =
  /^(LD_|DYLD_|MALLOC_|GLIBC_TUNABLES$|LC_|LANGUAGE$|LOCPATH$|GCONV_PATH$|NLSPATH$|TZDIR$|OPENSSL_|SSL_CERT_|ASAN_|OMP_|KMP_|MKL_|OPENBLAS_|GOMP_|GRPC_|CUDA_|UV_|ICU_)/;

/** The language of a waiting process's environment; see `agentEnvironment`. */
export const WAITING_LANG = 'C.UTF-8';

/** Bytes for an agent's environment where that of a waiting process lies: it is put there, for others to see. */
export const ENVIRONMENT_ROOM = 16 * 1024;

/**
 * Why a Python start cannot be a fork of a process that waits, as far as it shows in the start itself.
 * @returns undefined when it can
 */
export function whyNotForked({ command, environment }: PlannedStart): string | undefined {
  const [program = '', ...words] = command;
  if (!/^python(3(\.\d+)?)?$/.test(basename(program))) return 'the command does not start Python itself';
  while (words[0] === '-u') words.shift();
  const [first = '', second = ''] = words;
  const isModule = first === '-m' && /^[\p{L}_][\p{L}\p{N}_.]*$/u.test(second);
  const isScript = !first.startsWith('-') && first.endsWith('.py');
  if (!isModule && !isScript) return 'the command is neither python FILE.py nor python -m NAME';
  const pythons = Object.keys(environment).find(
    (name) =>
      name.startsWith('PYTHON') &&
      name !== 'PYTHONPATH' &&
      !(name === 'PYTHONUNBUFFERED' && environment[name] === '1'),
  );
  return pythons === undefined ? readAtBoot(environment) : actsAtBoot(pythons);
}

/**
 * As `whyNotForked`, for a Node start and a Node that waits.
 * @param preloadFolder where the platform's own preloads lie
 */
export function whyNotPooled(
  { command, environment }: PlannedStart,
  preloadFolder: string,
): string | undefined {
  const [program = '', first = ''] = command;
  if (!/^node(js)?$/.test(basename(program))) return 'the command does not start Node itself';
  if (first.startsWith('-') || !/\.[cm]?js$/.test(first)) return 'the command is not node FILE.js';
  if (preloadsIn(environment.NODE_OPTIONS ?? '', preloadFolder) === undefined)
    return actsAtBoot('NODE_OPTIONS');
  const nodes = Object.keys(environment).find(
    (name) => name.startsWith('NODE_') && name !== 'NODE_OPTIONS' && name !== 'NODE_ENV',
  );
  return nodes === undefined ? readAtBoot(environment) : actsAtBoot(nodes);
}

/**
 * The files that NODE_OPTIONS has loaded first, if it asks for nothing else: a process that waits can do that late.
 * @returns undefined when there is anything in it that is not the platform's
 */
export function preloadsIn(options: string, preloadFolder: string): string[] | undefined {
  const files: string[] = [];
  const rest = options.replace(
    /--require (?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?= |$)/g,
    (_, quoted?: string, bare?: string) => {
      files.push(quoted?.replace(/\\(.)/g, '$1') ?? bare!);
      return '';
    },
  );
  const isOwn = (file: string) => normalize(file) === file && file.startsWith(preloadFolder + sep);
  return rest.trim() === '' && files.every(isOwn) ? files : undefined;
}

function readAtBoot(environment: Readonly<Record<string, string>>): string | undefined {
  if (environment.LANG !== WAITING_LANG) return actsAtBoot('LANG');
  if ((environment.TZ ?? '') !== (process.env.TZ ?? '')) return actsAtBoot('TZ');
  const name = Object.keys(environment).find((it) => READ_AT_BOOT.test(it));
  return name === undefined ? undefined : actsAtBoot(name);
}

function actsAtBoot(name: string): string {
  return `the variable ${name} acts while a process starts`;
}

/**
 * Whether what imports have read of their environment is what the agent would have them read.
 * @param read names; `*` for all
 * @returns a variable for which it is not
 */
export function readDifferently(
  read: ReadonlySet<string>,
  there: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
): string | undefined {
  if (read.has('*')) return '*';
  return [...read].find((name) => there[name] !== wanted[name]);
}
