import { availableParallelism, homedir } from 'node:os';
import { resolve } from 'node:path';

/** Every setting, resolved once: flag over `RUNSTEAD_*` variable over default. Times in ms, sizes in bytes. */
export interface Config {
  /** Holds everything the server keeps; one server per folder. */
  dataDir: string;
  host: string;
  /** 0 picks a free one. */
  port: number;
  /** What callers reach the gateway under; default: the listening address. */
  publicUrl: string | undefined;
  /** Host names accepted besides loopback ones and that of `publicUrl`. */
  allowHosts: readonly string[];
  /** Origins of web pages that may call, such as `http://localhost:5173`. */
  allowOrigins: readonly string[];
  /** Whether agents end with the server. */
  onExit: 'stop' | 'keep';
  logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  accountId: string;
  region: string;

  maxInstancesPerRuntime: number;
  maxInstances: number;
  /** Starts under way at once, machine-wide. */
  parallelStarts: number;
  /** An instance without calls for this long is stopped. */
  idleStopMs: number;
  startTimeoutMs: number;
  /** Calls that may wait for a version, and for how long. */
  queueLength: number;
  queueTimeoutMs: number;
  /** How long a replaced version may finish its calls. */
  drainTimeoutMs: number;
  /** How long open streams of a deleted runtime may go on. */
  deleteGraceMs: number;
  /** Between the polite and the forced end of an instance. */
  stopGraceMs: number;
  installTimeoutMs: number;
  bodyLimitBytes: number;
  unpackedLimitBytes: number;
  unpackedLimitEntries: number;
  /** Kept of each instance's log. */
  logLimitBytes: number;
}

export type ConfigInput = { [K in keyof Config]?: Config[K] | undefined };

interface Setting<T> {
  variable: string;
  parse: (value: string, variable: string) => T;
  fallback: () => T;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const MIB = 1024 * 1024;

const settings: { [K in keyof Config]: Setting<Config[K]> } = {
  dataDir: { variable: 'RUNSTEAD_DATA', parse: text, fallback: () => resolve(homedir(), '.runstead') },
  host: { variable: 'RUNSTEAD_HOST', parse: text, fallback: () => '127.0.0.1' },
  port: { variable: 'RUNSTEAD_PORT', parse: whole(0, 65_535), fallback: () => 7700 },
  publicUrl: { variable: 'RUNSTEAD_PUBLIC_URL', parse: httpUrl, fallback: () => undefined },
  allowHosts: { variable: 'RUNSTEAD_ALLOW_HOST', parse: list, fallback: () => [] },
  allowOrigins: { variable: 'RUNSTEAD_ALLOW_ORIGIN', parse: list, fallback: () => [] },
  onExit: { variable: 'RUNSTEAD_ON_EXIT', parse: oneOf('stop', 'keep'), fallback: () => 'stop' },
  logLevel: {
    variable: 'RUNSTEAD_LOG_LEVEL',
    parse: oneOf('debug', 'info', 'warn', 'error', 'silent'),
    fallback: () => 'warn',
  },
  accountId: { variable: 'RUNSTEAD_ACCOUNT_ID', parse: text, fallback: () => '0000000000000000' },
  region: { variable: 'RUNSTEAD_REGION', parse: text, fallback: () => 'cn-hangzhou' },

  maxInstancesPerRuntime: {
    variable: 'RUNSTEAD_MAX_INSTANCES_PER_RUNTIME',
    parse: whole(1, 1000),
    fallback: () => 10,
  },
  maxInstances: { variable: 'RUNSTEAD_MAX_INSTANCES', parse: whole(1, 10_000), fallback: () => 100 },
  parallelStarts: {
    variable: 'RUNSTEAD_PARALLEL_STARTS',
    parse: whole(1, 1000),
    fallback: () => availableParallelism(),
  },
  idleStopMs: { variable: 'RUNSTEAD_IDLE_STOP', parse: duration, fallback: () => 300 * SECOND },
  startTimeoutMs: { variable: 'RUNSTEAD_START_TIMEOUT', parse: duration, fallback: () => 120 * SECOND },
  queueLength: { variable: 'RUNSTEAD_QUEUE_LENGTH', parse: whole(0, 100_000), fallback: () => 100 },
  queueTimeoutMs: { variable: 'RUNSTEAD_QUEUE_TIMEOUT', parse: duration, fallback: () => 60 * SECOND },
  drainTimeoutMs: { variable: 'RUNSTEAD_DRAIN_TIMEOUT', parse: duration, fallback: () => 10 * MINUTE },
  deleteGraceMs: { variable: 'RUNSTEAD_DELETE_GRACE', parse: duration, fallback: () => 10 * SECOND },
  stopGraceMs: { variable: 'RUNSTEAD_STOP_GRACE', parse: duration, fallback: () => 10 * SECOND },
  installTimeoutMs: { variable: 'RUNSTEAD_INSTALL_TIMEOUT', parse: duration, fallback: () => 10 * MINUTE },
  bodyLimitBytes: { variable: 'RUNSTEAD_BODY_LIMIT', parse: size, fallback: () => 128 * MIB },
  unpackedLimitBytes: { variable: 'RUNSTEAD_UNPACKED_LIMIT', parse: size, fallback: () => 2048 * MIB },
  unpackedLimitEntries: {
    variable: 'RUNSTEAD_UNPACKED_ENTRIES',
    parse: whole(1, 10_000_000),
    fallback: () => 100_000,
  },
  logLimitBytes: { variable: 'RUNSTEAD_LOG_LIMIT', parse: size, fallback: () => 8 * MIB },
};

/**
 * Resolves all settings.
 * @throws ConfigError naming the setting, the value seen and what it must be.
 */
export function loadConfig(
  input: ConfigInput = {},
  environment: Record<string, string | undefined> = process.env,
): Readonly<Config> {
  const config: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(settings) as [keyof Config, Setting<unknown>][]) {
    const given = input[key];
    const variable = environment[setting.variable];
    if (given !== undefined) config[key] = given;
    else if (variable !== undefined && variable !== '')
      config[key] = setting.parse(variable, setting.variable);
    else config[key] = setting.fallback();
  }
  const resolved = config as unknown as Config;
  resolved.dataDir = resolve(resolved.dataDir);
  return Object.freeze(resolved);
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Reads a duration: a number of seconds, or a number with `ms`, `s`, `m` or `h`.
 * @returns milliseconds
 */
export function duration(value: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(value.trim());
  if (!match)
    throw new ConfigError(`${what} must be a duration such as 500ms, 30s, 10m or 1h; got "${value}"`);
  const unit = { ms: 1, s: SECOND, m: MINUTE, h: 60 * MINUTE }[match[2] ?? 's']!;
  return Math.round(Number(match[1]) * unit);
}

/**
 * Reads a size: a number of bytes, or a number with `KiB`, `MiB` or `GiB`.
 * @returns bytes
 */
export function size(value: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?)(KiB|MiB|GiB)?$/.exec(value.trim());
  if (!match) throw new ConfigError(`${what} must be a size such as 512KiB, 128MiB or 2GiB; got "${value}"`);
  const unit = match[2] ? { KiB: 1024, MiB: MIB, GiB: 1024 * MIB }[match[2]]! : 1;
  return Math.round(Number(match[1]) * unit);
}

function text(value: string): string {
  return value;
}

function list(value: string): string[] {
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

export function httpUrl(value: string, what: string): string {
  if (!URL.canParse(value) || !/^https?:$/.test(new URL(value).protocol)) {
    throw new ConfigError(`${what} must be an http or https URL; got "${value}"`);
  }
  return value.replace(/\/+$/, '');
}

/** Reads a whole number within a range. */
export function whole(min: number, max: number) {
  return (value: string, what: string): number => {
    const number = Number(value);
    if (!/^\d+$/.test(value.trim()) || number < min || number > max) {
      throw new ConfigError(`${what} must be a whole number from ${min} to ${max}; got "${value}"`);
    }
    return number;
  };
}

/** Reads one of the words given. */
export function oneOf<T extends string>(...words: T[]) {
  return (value: string, what: string): T => {
    if (!(words as string[]).includes(value)) {
      throw new ConfigError(`${what} must be one of ${words.join(', ')}; got "${value}"`);
    }
    return value as T;
  };
}
