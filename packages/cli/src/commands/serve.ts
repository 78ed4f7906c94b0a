import {
  type Config,
  ConfigError,
  type ConfigInput,
  FolderInUse,
  loadConfig,
  MigrationError,
  parseSetting,
  type RunningServer,
  SecretsKeyError,
  startServer,
} from '@runstead/server';
import { type Command, CommandError, type Flags, type Io } from '../command.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';

/** The settings that have a flag; all others are variables alone. */
const FLAGS: [setting: keyof Config, syntax: string, description: string][] = [
  ['port', '--port <number>', 'port to listen on; 0 picks a free one (default: 7700)'],
  ['host', '--host <address>', 'address to listen on; beyond loopback only over TLS (default: 127.0.0.1)'],
  ['dataDir', '--data <folder>', 'where everything is kept (default: ~/.runstead)'],
  [
    'dockerHost',
    '--docker-host <address>',
    'the container engine, or "none" (default: DOCKER_HOST, else the usual sockets of Docker and Podman)',
  ],
  ['codeDriver', '--code-driver <process|docker>', 'what code runs in (default: process)'],
  [
    'codeImages',
    '--code-images <list>',
    'images that code runs in with docker, such as nodejs20=node:20-slim (default: official ones)',
  ],
  ['onExit', '--on-exit <stop|keep>', 'whether agents end with the server (default: stop)'],
  [
    'sandbox',
    '--sandbox <auto|require|off>',
    'whether agents are kept from each other and from this machine by bubblewrap (default: auto)',
  ],
  [
    'pool',
    '--pool <number>',
    'booted processes that wait for a start, for each Node and Python; 0: none (default: 2)',
  ],
  ['logLevel', '--log-level <level>', 'debug, info, warn, error or silent (default: warn)'],
  ['tlsPort', '--tls-port <number>', 'port for TLS, such as 7443; 0 picks a free one (default: TLS is off)'],
  ['tlsCert', '--tls-cert <file>', 'certificate in PEM form (default: one of a local authority)'],
  ['tlsKey', '--tls-key <file>', 'its private key (default: that of the local certificate)'],
  ['tlsNames', '--tls-names <names>', 'further names of the local certificate, by commas (default: none)'],
  ['insecureHttp', '--insecure-http', 'listen in the clear on --host too, beyond loopback'],
  ['publicUrl', '--public-url <url>', 'what callers reach the server under (default: the listening address)'],
  ['allowHosts', '--allow-host <names>', 'further names accepted in Host, by commas (default: none)'],
  ['allowOrigins', '--allow-origin <origins>', 'web pages that may call, by commas (default: none)'],
  [
    'domains',
    '--domains <list>',
    'hosts of their own, such as chat.example.com=hello/Default (default: none)',
  ],
  [
    'privateHosts',
    '--private-hosts <names>',
    'hosts for endpoints without public access, or "none" (default: loopback names)',
  ],
  ['accessLog', '--access-log <off|errors|all>', 'one line for each call to an agent (default: off)'],
  ['accessLogFile', '--access-log-file <file>', 'where those lines go (default: stderr)'],
  [
    'agentHosts',
    '--agent-hosts <names>',
    'hosts for agents alone, whose pages are not confined, such as agents.localhost (default: none)',
  ],
  [
    'trustProxy',
    '--trust-proxy <addresses>',
    'proxies that are believed where a call comes from, such as 10.0.0.0/8 (default: none)',
  ],
  [
    'rateLimitRuntime',
    '--rate-limit-runtime <rate>',
    'calls to one runtime, such as 100/s or 600/m:50 (default: no limit)',
  ],
  [
    'keptVersions',
    '--kept-versions <number>',
    'of each runtime, besides those that an endpoint names (default: 20)',
  ],
  [
    'preparedLimitBytes',
    '--prepared-limit <size>',
    'what unpacked packages and installs may take together, such as 50GiB (default: 20GiB)',
  ],
  [
    'nodeDir',
    '--node-dir <folder>',
    'releases of Node for agents, as 24/bin/node (default: got from npm when needed)',
  ],
  ['rateLimitKey', '--rate-limit-key <rate>', 'calls with one key, in the same way (default: no limit)'],
];

export const serve: Command = {
  name: 'serve',
  description: 'run the server: control plane, gateway and agents, on one machine',
  flags: FLAGS.map(([, syntax, description]) => ({ syntax, description })),
  examples: [
    'runstead serve',
    'runstead serve --port 0 --data ./data --on-exit keep',
    'runstead serve --host 0.0.0.0 --tls-port 7443 --tls-names box.local',
  ],

  async run(flags, io): Promise<ExitCode> {
    try {
      const config = loadConfig(settingsOf(flags), io.env);
      // Heard from before the first agent may be running: a signal that nobody hears ends this process at once, and
      // the agents would be left.
      let server: RunningServer | undefined;
      const asked = signalled(io, () => void server?.close({ graceMs: 0 }));
      server = await startServer(config);
      const where = [server.url, ...(server.tlsUrl === undefined ? [] : [server.tlsUrl])].join(' and ');
      io.stderr.write(`runstead listens on ${where} (data in ${config.dataDir}; ${said(server)})\n`);
      await asked;
      await server.close();
      return EXIT.ok;
    } catch (error) {
      throw explain(error as Error);
    }
  },
};

function said({ sandbox }: RunningServer): string {
  return sandbox.kind === 'off'
    ? `agents run without a sandbox: ${sandbox.reason}`
    : `sandbox: ${sandbox.kind}`;
}

/** @throws ConfigError for a flag whose value cannot be used */
function settingsOf(flags: Flags): ConfigInput {
  const given = FLAGS.flatMap(([setting, syntax]) => {
    const [flag = ''] = syntax.split(' ');
    const value = flags[flag.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())];
    if (value === undefined) return [];
    return [[setting, value === true ? value : parseSetting(setting, String(value), flag)]];
  });
  return Object.fromEntries(given) as ConfigInput;
}

/** Resolves at the first signal; a second one is an impatient person. */
function signalled(io: Io, again: () => void): Promise<void> {
  return new Promise((resolve) => {
    let seen = false;
    const hear = () => {
      if (seen) again();
      seen = true;
      resolve();
    };
    io.on('SIGINT', hear);
    io.on('SIGTERM', hear);
  });
}

function explain(error: Error): Error {
  if (error instanceof ConfigError) return new CommandError(EXIT.usage, error.message);
  if (error instanceof FolderInUse || error instanceof MigrationError || error instanceof SecretsKeyError)
    return new CommandError(EXIT.failed, error.message);
  if (/^Cannot listen on /.test(error.message)) return new CommandError(EXIT.failed, error.message);
  const { code = '', path } = error as NodeJS.ErrnoException;
  if (path !== undefined && FOLDER_FAULTS.has(code)) {
    const advice = 'Choose another data folder with --data, or make this one usable';
    return new CommandError(EXIT.failed, `${error.message}. ${advice}`);
  }
  return error;
}

/** What the system says of a path that the user, not Runstead, has to mend. */
const FOLDER_FAULTS = new Set([
  'ENOENT',
  'ENOTDIR',
  'EEXIST',
  'EACCES',
  'EPERM',
  'EROFS',
  'ENOSPC',
  'EDQUOT',
]);
