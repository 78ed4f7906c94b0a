import {
  ConfigError,
  FolderInUse,
  loadConfig,
  MigrationError,
  oneOf,
  type RunningServer,
  startServer,
  whole,
} from '@runstead/server';
import { type Command, CommandError, type Io } from '../command.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';

export const serve: Command = {
  name: 'serve',
  description: 'run the server: control plane, gateway and agents, on one machine',
  flags: [
    { syntax: '--port <number>', description: 'port to listen on; 0 picks a free one (default: 7700)' },
    { syntax: '--host <address>', description: 'loopback address to listen on (default: 127.0.0.1)' },
    { syntax: '--data <folder>', description: 'where everything is kept (default: ~/.runstead)' },
    { syntax: '--on-exit <stop|keep>', description: 'whether agents end with the server (default: stop)' },
    { syntax: '--log-level <level>', description: 'debug, info, warn, error or silent (default: warn)' },
  ],
  examples: ['runstead serve', 'runstead serve --port 0 --data ./data --on-exit keep'],

  async run(flags, io): Promise<ExitCode> {
    const text = (name: string) => flags[name] as string | undefined;
    const parsed = <T>(name: string, parse: (value: string, what: string) => T): T | undefined => {
      const value = text(name);
      return value === undefined
        ? undefined
        : parse(value, `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`);
    };
    try {
      const config = loadConfig(
        {
          port: parsed('port', whole(0, 65_535)),
          host: text('host'),
          dataDir: text('data'),
          onExit: parsed('onExit', oneOf('stop', 'keep')),
          logLevel: parsed('logLevel', oneOf('debug', 'info', 'warn', 'error', 'silent')),
        },
        io.env,
      );
      // Heard from before the first agent may be running: a signal that nobody hears ends this process at once, and
      // the agents would be left.
      let server: RunningServer | undefined;
      const asked = signalled(io, () => void server?.close({ graceMs: 0 }));
      server = await startServer(config);
      io.stderr.write(`runstead listens on ${server.url} (data in ${config.dataDir})\n`);
      await asked;
      await server.close();
      return EXIT.ok;
    } catch (error) {
      throw explain(error as Error);
    }
  },
};

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
  if (error instanceof FolderInUse || error instanceof MigrationError)
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
