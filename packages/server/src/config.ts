import { readFileSync } from 'node:fs';
import { availableParallelism, homedir } from 'node:os';
import { resolve } from 'node:path';
import type { S3Settings } from './artifacts/buckets/s3-bucket.ts';
import type { AllowScripts } from './artifacts/install/rules.ts';
import type { CustomDomain } from './domain/custom-domains.ts';
import { canonicalHost } from './domain/host-name.ts';
import { isLoopbackHost } from './domain/loopback.ts';
import { PRIVATE_NETWORKS } from './domain/private-access.ts';
import type { RateLimit } from './domain/rate-limit.ts';

import {
  accessKeyId,
  ConfigError,
  certificateNames,
  codeImages,
  DEFAULT_CODE_IMAGES,
  domains,
  duration,
  engineHost,
  folders,
  hosts,
  hostsOrNone,
  httpUrl,
  list,
  MIB,
  MINUTE,
  memoryShare,
  networks,
  oneOf,
  rate,
  SECOND,
  share,
  size,
  storeUrl,
  text,
  whole,
  yesOrNo,
} from './setting-values.ts';

export { ConfigError } from './setting-values.ts';

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
  /** Undefined: TLS is off. 0 picks a free one. */
  tlsPort: number | undefined;
  /** PEM files, both or neither. Neither: a local authority vouches for the server. */
  tlsCert: string | undefined;
  tlsKey: string | undefined;
  /** Further names and addresses that the local certificate is for. */
  tlsNames: readonly string[];
  /** Whether keys and answers may cross a network in the clear. */
  insecureHttp: boolean;
  /** Hosts that stand for one endpoint each. */
  domains: readonly CustomDomain[];
  /** Hosts under which endpoints without public access are called; undefined: loopback ones, see `privateHosts`. */
  privateHosts: readonly string[] | undefined;
  /** Where such callers are: addresses or CIDR blocks. */
  privateNetworks: readonly string[];
  /** Proxies whose word on where a call comes from counts: addresses or CIDR blocks. */
  trustProxy: readonly string[];
  /** Whether traces that begin at the gateway say that they are sampled. */
  traceSampled: boolean;
  /** Hosts under which nothing but agents is served. */
  agentHosts: readonly string[];
  /** Directories that runtimes may want mounted and that are there on this machine: absolute, normalised. */
  mounts: readonly string[];
  /** The container engine: `unix:///path`, `tcp://127.0.0.1:2375`, or `none`; undefined: DOCKER_HOST, else the usual sockets. */
  dockerHost: string | undefined;
  /** What code runs in: processes of this machine, or containers. */
  codeDriver: 'process' | 'docker';
  /** Language → the image that its code runs in, where it runs in containers. */
  codeImages: Readonly<Record<string, string>>;
  /** Holds releases of Node for agents, as `24/bin/node`: absolute; undefined: they are got from npm. */
  nodeDir: string | undefined;
  /** Whether agents end with the server. */
  onExit: 'stop' | 'keep';
  /** Whether agents are kept to themselves: where that works, or else no start at all, or not. */
  sandbox: 'auto' | 'require' | 'off';
  /** Whether lists show values of variables and passwords as `***`. */
  redactLists: boolean;
  /** Runtimes without a `credentialName` take calls from anybody. */
  anonymousCalls: boolean;
  /** A key pair of role admin that is there from the start, besides the local one. */
  accessKeyId: string | undefined;
  /** Not enumerable, as `s3AccessKeySecret`. */
  accessKeySecret: string | undefined;
  /** The secret as a file; its content becomes `accessKeySecret`. */
  accessKeySecretFile: string | undefined;
  logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** Which calls to agents are written down, one line each: none, those that did not go well, or all. */
  accessLog: 'off' | 'errors' | 'all';
  /** Of those that went well, in [0,1]. */
  accessLogShare: number;
  /** Absolute; undefined: they go to stderr. */
  accessLogFile: string | undefined;
  accountId: string;
  region: string;

  maxInstancesPerRuntime: number;
  maxInstances: number;
  /** Starts under way at once, machine-wide. */
  parallelStarts: number;
  /** Bytes for all instances together; undefined: as many as they like. */
  memoryBudget: number | undefined;
  /** An instance without calls for this long is stopped. */
  idleStopMs: number;
  /** How long an instance without calls is kept because it says that it is busy. */
  busyLimitMs: number;
  startTimeoutMs: number;
  /** Booted interpreters that wait for a start, for each that is in use. 0: none. */
  pool: number;
  /** Memory of the processes that have imported what a Python version imports. 0: there are none. */
  forkMemoryBytes: number;
  /** Calls that may wait for a version, and for how long. */
  queueLength: number;
  queueTimeoutMs: number;
  /** How long a gateway whose control process is gone waits for the next one. 0: not at all. */
  gatewayWaitMs: number;
  /** What waiting calls may hold in memory: those for one version, and all. */
  queueBytes: number;
  queueBytesTotal: number;
  /** Calls to one runtime, and with one key. Undefined: no limit. */
  rateLimitRuntime: RateLimit | undefined;
  rateLimitKey: RateLimit | undefined;
  /** Of each runtime, so many of the newest versions are kept, besides those that an endpoint names. */
  keptVersions: number;
  /** How long a replaced version may finish its calls. */
  drainTimeoutMs: number;
  /** How long open streams of a deleted runtime may go on. */
  deleteGraceMs: number;
  /** Between the polite and the forced end of an instance. */
  stopGraceMs: number;
  installTimeoutMs: number;
  /** Whose code runs while a deploy is prepared: nobody's; the package's own build script; also that of dependencies. */
  allowScripts: AllowScripts;
  /** What one install or build may take. */
  installDiskBytes: number;
  installEntries: number;
  installProcesses: number;
  /** What unpacked packages, installs and builds may take together; those not in use beyond it are made again when wanted. */
  preparedLimitBytes: number;
  /** Stays free on the disk of the data folder: no unpacking and no install goes below. */
  freeSpaceReserveBytes: number;
  bodyLimitBytes: number;
  unpackedLimitBytes: number;
  unpackedLimitEntries: number;
  /** Of one instance at a time. */
  instanceProcesses: number;
  /** What an instance's home and temporary files may take. */
  instanceDiskBytes: number;
  /** Kept of each instance's log. */
  logLimitBytes: number;
  /** Logs of ended instances, kept of each runtime. */
  keptLogs: number;
  /** What logs may take up on the disk: those of one runtime, all. Those of ended instances go first, the oldest first. */
  logsRuntimeBytes: number;
  logsTotalBytes: number;
  /** Events kept of each runtime, of each kind. */
  eventsKept: number;
  /** Older events go. */
  eventsMaxAgeMs: number;

  /** For one package that lies in a bucket. */
  fetchTimeoutMs: number;
  /** The object store for buckets without a folder in the data folder; undefined: there is none. */
  s3Endpoint: string | undefined;
  s3Region: string;
  /** Undefined: requests are anonymous. */
  s3AccessKeyId: string | undefined;
  /** Not enumerable, so that a configuration that is copied, logged or sent elsewhere does not carry it. */
  s3AccessKeySecret: string | undefined;
  /** The secret as a file; its content becomes `s3AccessKeySecret`. */
  s3AccessKeySecretFile: string | undefined;
  /** Buckets stand in the path; else in front of the host name. */
  s3PathStyle: boolean;
}

export type ConfigInput = { [K in keyof Config]?: Config[K] | undefined };

interface Setting<T> {
  variable: string;
  parse: (value: string, variable: string) => T;
  fallback: () => T;
}

/** The two variables whose values are secret. */
export const ACCESS_KEY_SECRET_VARIABLE = 'RUNSTEAD_ACCESS_KEY_SECRET';
export const S3_SECRET_VARIABLE = 'RUNSTEAD_S3_ACCESS_KEY_SECRET';

const settings: { [K in keyof Config]: Setting<Config[K]> } = {
  dataDir: { variable: 'RUNSTEAD_DATA', parse: text, fallback: () => resolve(homedir(), '.runstead') },
  host: { variable: 'RUNSTEAD_HOST', parse: text, fallback: () => '127.0.0.1' },
  port: { variable: 'RUNSTEAD_PORT', parse: whole(0, 65_535), fallback: () => 7700 },
  publicUrl: { variable: 'RUNSTEAD_PUBLIC_URL', parse: httpUrl, fallback: () => undefined },
  allowHosts: { variable: 'RUNSTEAD_ALLOW_HOST', parse: list, fallback: () => [] },
  allowOrigins: { variable: 'RUNSTEAD_ALLOW_ORIGIN', parse: list, fallback: () => [] },
  tlsPort: { variable: 'RUNSTEAD_TLS_PORT', parse: whole(0, 65_535), fallback: () => undefined },
  tlsCert: { variable: 'RUNSTEAD_TLS_CERT', parse: text, fallback: () => undefined },
  tlsKey: { variable: 'RUNSTEAD_TLS_KEY', parse: text, fallback: () => undefined },
  tlsNames: { variable: 'RUNSTEAD_TLS_NAMES', parse: certificateNames, fallback: () => [] },
  insecureHttp: { variable: 'RUNSTEAD_INSECURE_HTTP', parse: yesOrNo, fallback: () => false },
  domains: { variable: 'RUNSTEAD_DOMAINS', parse: domains, fallback: () => [] },
  privateHosts: { variable: 'RUNSTEAD_PRIVATE_HOSTS', parse: hostsOrNone, fallback: () => undefined },
  privateNetworks: {
    variable: 'RUNSTEAD_PRIVATE_NETWORKS',
    parse: networks,
    fallback: () => PRIVATE_NETWORKS,
  },
  trustProxy: { variable: 'RUNSTEAD_TRUST_PROXY', parse: networks, fallback: () => [] },
  traceSampled: { variable: 'RUNSTEAD_TRACE_SAMPLED', parse: yesOrNo, fallback: () => true },
  agentHosts: { variable: 'RUNSTEAD_AGENT_HOSTS', parse: hosts, fallback: () => [] },
  mounts: { variable: 'RUNSTEAD_MOUNTS', parse: folders, fallback: () => [] },
  dockerHost: { variable: 'RUNSTEAD_DOCKER_HOST', parse: engineHost, fallback: () => undefined },
  codeDriver: {
    variable: 'RUNSTEAD_CODE_DRIVER',
    parse: oneOf('process', 'docker'),
    fallback: () => 'process',
  },
  codeImages: { variable: 'RUNSTEAD_CODE_IMAGES', parse: codeImages, fallback: () => DEFAULT_CODE_IMAGES },
  nodeDir: { variable: 'RUNSTEAD_NODE_DIR', parse: text, fallback: () => undefined },
  onExit: { variable: 'RUNSTEAD_ON_EXIT', parse: oneOf('stop', 'keep'), fallback: () => 'stop' },
  sandbox: {
    variable: 'RUNSTEAD_SANDBOX',
    parse: oneOf('auto', 'require', 'off'),
    fallback: () => 'auto',
  },
  redactLists: { variable: 'RUNSTEAD_REDACT_LISTS', parse: yesOrNo, fallback: () => false },
  anonymousCalls: { variable: 'RUNSTEAD_ANONYMOUS_CALLS', parse: yesOrNo, fallback: () => true },
  accessKeyId: { variable: 'RUNSTEAD_ACCESS_KEY_ID', parse: accessKeyId, fallback: () => undefined },
  accessKeySecret: { variable: ACCESS_KEY_SECRET_VARIABLE, parse: text, fallback: () => undefined },
  accessKeySecretFile: {
    variable: `${ACCESS_KEY_SECRET_VARIABLE}_FILE`,
    parse: text,
    fallback: () => undefined,
  },
  logLevel: {
    variable: 'RUNSTEAD_LOG_LEVEL',
    parse: oneOf('debug', 'info', 'warn', 'error', 'silent'),
    fallback: () => 'warn',
  },
  accessLog: {
    variable: 'RUNSTEAD_ACCESS_LOG',
    parse: oneOf('off', 'errors', 'all'),
    fallback: () => 'off',
  },
  accessLogShare: { variable: 'RUNSTEAD_ACCESS_LOG_SHARE', parse: share, fallback: () => 1 },
  accessLogFile: { variable: 'RUNSTEAD_ACCESS_LOG_FILE', parse: text, fallback: () => undefined },
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
  memoryBudget: {
    variable: 'RUNSTEAD_MEMORY_BUDGET',
    parse: memoryShare,
    fallback: () => memoryShare('80%', 'RUNSTEAD_MEMORY_BUDGET'),
  },
  idleStopMs: { variable: 'RUNSTEAD_IDLE_STOP', parse: duration, fallback: () => 300 * SECOND },
  busyLimitMs: { variable: 'RUNSTEAD_BUSY_LIMIT', parse: duration, fallback: () => 8 * 60 * MINUTE },
  startTimeoutMs: { variable: 'RUNSTEAD_START_TIMEOUT', parse: duration, fallback: () => 120 * SECOND },
  pool: { variable: 'RUNSTEAD_POOL', parse: whole(0, 100), fallback: () => 2 },
  forkMemoryBytes: { variable: 'RUNSTEAD_FORK_MEMORY', parse: size, fallback: () => 256 * MIB },
  queueLength: { variable: 'RUNSTEAD_QUEUE_LENGTH', parse: whole(0, 100_000), fallback: () => 100 },
  queueTimeoutMs: { variable: 'RUNSTEAD_QUEUE_TIMEOUT', parse: duration, fallback: () => 60 * SECOND },
  gatewayWaitMs: { variable: 'RUNSTEAD_GATEWAY_WAIT', parse: duration, fallback: () => MINUTE },
  queueBytes: { variable: 'RUNSTEAD_QUEUE_BYTES', parse: size, fallback: () => 16 * MIB },
  queueBytesTotal: { variable: 'RUNSTEAD_QUEUE_BYTES_TOTAL', parse: size, fallback: () => 64 * MIB },
  rateLimitRuntime: { variable: 'RUNSTEAD_RATE_LIMIT_RUNTIME', parse: rate, fallback: () => undefined },
  rateLimitKey: { variable: 'RUNSTEAD_RATE_LIMIT_KEY', parse: rate, fallback: () => undefined },
  keptVersions: { variable: 'RUNSTEAD_KEPT_VERSIONS', parse: whole(1, 10_000), fallback: () => 20 },
  drainTimeoutMs: { variable: 'RUNSTEAD_DRAIN_TIMEOUT', parse: duration, fallback: () => 10 * MINUTE },
  deleteGraceMs: { variable: 'RUNSTEAD_DELETE_GRACE', parse: duration, fallback: () => 10 * SECOND },
  stopGraceMs: { variable: 'RUNSTEAD_STOP_GRACE', parse: duration, fallback: () => 10 * SECOND },
  installTimeoutMs: { variable: 'RUNSTEAD_INSTALL_TIMEOUT', parse: duration, fallback: () => 10 * MINUTE },
  allowScripts: {
    variable: 'RUNSTEAD_ALLOW_SCRIPTS',
    parse: oneOf('none', 'build', 'all'),
    fallback: () => 'build',
  },
  installDiskBytes: { variable: 'RUNSTEAD_INSTALL_DISK', parse: size, fallback: () => 2048 * MIB },
  installEntries: {
    variable: 'RUNSTEAD_INSTALL_ENTRIES',
    parse: whole(1, 100_000_000),
    fallback: () => 500_000,
  },
  installProcesses: { variable: 'RUNSTEAD_INSTALL_PROCESSES', parse: whole(1, 100_000), fallback: () => 256 },
  preparedLimitBytes: { variable: 'RUNSTEAD_PREPARED_LIMIT', parse: size, fallback: () => 20 * 1024 * MIB },
  freeSpaceReserveBytes: {
    variable: 'RUNSTEAD_FREE_SPACE_RESERVE',
    parse: size,
    fallback: () => 1024 * MIB,
  },
  bodyLimitBytes: { variable: 'RUNSTEAD_BODY_LIMIT', parse: size, fallback: () => 128 * MIB },
  unpackedLimitBytes: { variable: 'RUNSTEAD_UNPACKED_LIMIT', parse: size, fallback: () => 2048 * MIB },
  unpackedLimitEntries: {
    variable: 'RUNSTEAD_UNPACKED_ENTRIES',
    parse: whole(1, 10_000_000),
    fallback: () => 100_000,
  },
  instanceProcesses: {
    variable: 'RUNSTEAD_INSTANCE_PROCESSES',
    parse: whole(16, 100_000),
    fallback: () => 512,
  },
  instanceDiskBytes: { variable: 'RUNSTEAD_INSTANCE_DISK', parse: size, fallback: () => 2048 * MIB },
  logLimitBytes: { variable: 'RUNSTEAD_LOG_LIMIT', parse: size, fallback: () => 8 * MIB },
  keptLogs: { variable: 'RUNSTEAD_LOGS_KEPT', parse: whole(0, 1000), fallback: () => 20 },
  logsRuntimeBytes: { variable: 'RUNSTEAD_LOGS_RUNTIME', parse: size, fallback: () => 128 * MIB },
  logsTotalBytes: { variable: 'RUNSTEAD_LOGS_TOTAL', parse: size, fallback: () => 1024 * MIB },
  eventsKept: { variable: 'RUNSTEAD_EVENTS_KEPT', parse: whole(1, 100_000), fallback: () => 500 },
  eventsMaxAgeMs: {
    variable: 'RUNSTEAD_EVENTS_MAX_AGE',
    parse: duration,
    fallback: () => 90 * 24 * 60 * MINUTE,
  },

  fetchTimeoutMs: { variable: 'RUNSTEAD_FETCH_TIMEOUT', parse: duration, fallback: () => 10 * MINUTE },
  s3Endpoint: { variable: 'RUNSTEAD_S3_ENDPOINT', parse: storeUrl, fallback: () => undefined },
  s3Region: { variable: 'RUNSTEAD_S3_REGION', parse: text, fallback: () => 'us-east-1' },
  s3AccessKeyId: { variable: 'RUNSTEAD_S3_ACCESS_KEY_ID', parse: text, fallback: () => undefined },
  s3AccessKeySecret: { variable: S3_SECRET_VARIABLE, parse: text, fallback: () => undefined },
  s3AccessKeySecretFile: { variable: `${S3_SECRET_VARIABLE}_FILE`, parse: text, fallback: () => undefined },
  s3PathStyle: { variable: 'RUNSTEAD_S3_PATH_STYLE', parse: yesOrNo, fallback: () => true },
};

/**
 * Reads one setting from text, as its variable is read.
 * @param what how the text's place is called in messages: a variable or a flag
 * @throws ConfigError
 */
export function parseSetting<K extends keyof Config>(key: K, text: string, what: string): Config[K] {
  return settings[key].parse(text, what);
}

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
  if (resolved.nodeDir !== undefined) resolved.nodeDir = resolve(resolved.nodeDir);
  if (resolved.accessLogFile !== undefined) resolved.accessLogFile = resolve(resolved.accessLogFile);
  checkTls(resolved);
  checkDomains(resolved);
  checkAgentHosts(resolved);
  const secrets = { s3AccessKeySecret: s3Secret(resolved), accessKeySecret: ownSecret(resolved) };
  for (const [name, value] of Object.entries(secrets))
    Object.defineProperty(resolved, name, { enumerable: false, value });
  return Object.freeze(resolved);
}

/** @throws ConfigError when what is said of TLS does not fit together */
function checkTls({ tlsPort, tlsCert, tlsKey, port }: Config): void {
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    const [missing, given] =
      tlsKey === undefined
        ? ['RUNSTEAD_TLS_KEY', 'RUNSTEAD_TLS_CERT']
        : ['RUNSTEAD_TLS_CERT', 'RUNSTEAD_TLS_KEY'];
    throw new ConfigError(`${missing} is needed beside ${given}: a certificate is served with its key`);
  }
  if (tlsCert !== undefined && tlsPort === undefined)
    throw new ConfigError('RUNSTEAD_TLS_PORT is needed beside RUNSTEAD_TLS_CERT: without a port, TLS is off');
  if (tlsPort !== undefined && tlsPort !== 0 && tlsPort === port)
    throw new ConfigError(`RUNSTEAD_TLS_PORT must differ from RUNSTEAD_PORT; got ${port} for both`);
}

/** A domain hides everything else under its name. @throws ConfigError */
function checkDomains({ domains, publicUrl }: Config): void {
  if (publicUrl === undefined) return;
  const { hostname } = new URL(publicUrl);
  if (domains.some(({ host }) => host === hostname)) {
    throw new ConfigError(
      `RUNSTEAD_DOMAINS must not hold the host of RUNSTEAD_PUBLIC_URL, "${hostname}": nothing but one endpoint would be left under it`,
    );
  }
}

/** Where agents are served nothing else is; so no name that the rest is called by may be among them. @throws ConfigError */
function checkAgentHosts({ agentHosts, domains, host, publicUrl }: Config): void {
  const taken = (name: string, what: string) => {
    throw new ConfigError(
      `RUNSTEAD_AGENT_HOSTS must not hold "${name}", ${what}; give agents a host of their own, such as agents.localhost`,
    );
  };
  for (const name of agentHosts) {
    if (isLoopbackHost(name)) taken(name, "this machine's own name");
    if (name === canonicalHost(host)) taken(name, 'the host of RUNSTEAD_HOST');
    if (publicUrl !== undefined && name === canonicalHost(new URL(publicUrl).hostname))
      taken(name, 'the host of RUNSTEAD_PUBLIC_URL');
    if (domains.some((domain) => domain.host === name)) taken(name, 'which is among RUNSTEAD_DOMAINS');
  }
}

/** @throws ConfigError when what is said of the object store does not fit together */
function s3Secret(config: Config): string | undefined {
  const { s3Endpoint, s3AccessKeyId: id, s3AccessKeySecret: value, s3AccessKeySecretFile: file } = config;
  if (s3Endpoint === undefined && (id ?? value ?? file) !== undefined)
    throw new ConfigError('RUNSTEAD_S3_ENDPOINT is needed when there is an access key for it');
  return secretBeside('RUNSTEAD_S3_ACCESS_KEY_ID', id, S3_SECRET_VARIABLE, value, file);
}

/** @throws ConfigError when the pair is not whole, or its secret could be guessed */
function ownSecret({ accessKeyId: id, accessKeySecret: value, accessKeySecretFile: file }: Config) {
  const secret = secretBeside('RUNSTEAD_ACCESS_KEY_ID', id, ACCESS_KEY_SECRET_VARIABLE, value, file);
  if (secret !== undefined && secret.length < SECRET_MIN) {
    throw new ConfigError(
      `${ACCESS_KEY_SECRET_VARIABLE} must have at least ${SECRET_MIN} characters; "openssl rand -base64 30" makes one`,
    );
  }
  return secret;
}

/** Signatures can be tried against guesses without asking the server. */
const SECRET_MIN = 16;

/** The secret of a key pair: given as it is or as a file, with its id, or not at all. */
function secretBeside(
  idVariable: string,
  id: string | undefined,
  variable: string,
  value: string | undefined,
  file: string | undefined,
): string | undefined {
  if (value !== undefined && file !== undefined)
    throw new ConfigError(`${variable} and ${variable}_FILE are both set; set one`);
  const hasSecret = value !== undefined || file !== undefined;
  if (id === undefined && hasSecret) throw new ConfigError(`${idVariable} is needed beside ${variable}`);
  if (id !== undefined && !hasSecret)
    throw new ConfigError(`${variable} or ${variable}_FILE is needed beside ${idVariable}`);
  return file === undefined ? value : readSecret(`${variable}_FILE`, file);
}

function readSecret(variable: string, file: string): string {
  let secret: string;
  try {
    secret = readFileSync(file, 'utf8').trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(`${variable} names ${file}, which cannot be read: ${code}`);
  }
  if (secret === '') throw new ConfigError(`${variable} names ${file}, which is empty`);
  return secret;
}

/** The object store as packages are fetched from it; undefined when none is configured. */
export function s3Settings(config: Readonly<Config>): S3Settings | undefined {
  const { s3Endpoint: endpoint, s3AccessKeyId: id, s3AccessKeySecret: secret } = config;
  if (endpoint === undefined) return undefined;
  return {
    endpoint,
    region: config.s3Region,
    key: id === undefined || secret === undefined ? undefined : { id, secret },
    pathStyle: config.s3PathStyle,
  };
}
