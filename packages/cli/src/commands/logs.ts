import { type AgentRuntimeClient, ConnectionError } from '@runstead/client';
import { answered, serverClient } from '../call-server.ts';
import { type Command, CommandError, type Flags, type Io } from '../command.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { findRuntime } from '../find-runtime.ts';
import { DATA_FLAG } from '../local-server.ts';
import { type Output, outputFlag, outputOf, printable } from '../output.ts';

/** One line, as the server has it. */
interface Line {
  time: string;
  level: string;
  instanceId: string;
  agentRuntimeVersion?: string;
  text: string;
}

interface Page {
  items: Line[];
  lost: { instanceId: string; bytes: number }[];
  nextCursor: string;
  hasMore: boolean;
}

/** How often a follower asks for more, and again when the server does not answer. */
const ASK_EVERY_MS = 500;
const LINES_A_PAGE = 1000;

/** Flag → what the server calls it. */
const FILTERS = {
  since: 'since',
  until: 'until',
  level: 'level',
  version: 'version',
  instance: 'instance',
  grep: 'text',
} as const;

export const logs: Command = {
  name: 'logs',
  description: "show what a runtime's instances wrote, those that have ended included",
  arguments: [{ syntax: '<runtime>', description: 'its name or id' }],
  flags: [
    { syntax: '-f, --follow', description: 'go on with what is written from now on' },
    { syntax: '--tail <number>', description: 'the newest so many lines, at most 1000 (default: 100)' },
    { syntax: '--since <time>', description: 'not before: 15m, 2h, 7d ago, or 2026-11-25T14:00:00Z' },
    { syntax: '--until <time>', description: 'not after, in the same way' },
    { syntax: '--level <level>', description: 'at least as grave: trace, debug, info, warn, error, fatal' },
    { syntax: '--version <number>', description: 'of instances of this version' },
    { syntax: '--instance <id>', description: 'of this instance; the beginning of its id will do' },
    { syntax: '--grep <text>', description: 'with this text in them, taken literally' },
    outputFlag('the text'),
    DATA_FLAG,
  ],
  examples: [
    'runstead logs my-agent',
    'runstead logs my-agent -f --level warn',
    'runstead logs my-agent --since 1h --grep timeout --output json',
  ],

  async run(flags, io, [name = '']): Promise<ExitCode> {
    const output = outputOf(flags);
    const client = serverClient(flags, io);
    const path = `/runstead/v1/runtimes/${await findRuntime(client, name)}/logs`;
    const filters = filtersOf(flags);
    const isFollowing = flags.follow === true;
    // Without since, the newest; with it, all of it, page after page.
    const start: Record<string, string> =
      flags.tail !== undefined
        ? { tail: String(flags.tail) }
        : flags.since === undefined
          ? { tail: '100' }
          : { limit: String(LINES_A_PAGE) };
    let page = await answered(client.request<Page>('GET', withQuery(path, { ...filters, ...start })));
    const stop = isFollowing ? interrupted(io) : undefined;
    for (;;) {
      for (const { instanceId, bytes } of page.lost)
        io.stderr.write(`${bytes} bytes of instance ${instanceId} were removed before they were read\n`);
      for (const line of page.items) io.stdout.write(written(line, output));
      if (!page.hasMore) {
        if (stop === undefined) return EXIT.ok;
        if (await stop.within(ASK_EVERY_MS)) return EXIT.interrupted;
      }
      const query = { ...filters, limit: String(LINES_A_PAGE), cursor: page.nextCursor };
      const next = await nextPage(client, withQuery(path, query), io, stop);
      if (next === undefined) return EXIT.interrupted;
      page = next;
    }
  },
};

function filtersOf(flags: Flags): Record<string, string> {
  const given = Object.entries(FILTERS).filter(([flag]) => flags[flag] !== undefined);
  return Object.fromEntries(given.map(([flag, name]) => [name, String(flags[flag])]));
}

/** @returns undefined when the user has had enough of waiting for a server that does not answer */
async function nextPage(
  client: AgentRuntimeClient,
  path: string,
  io: Io,
  stop: Interruption | undefined,
): Promise<Page | undefined> {
  for (let isFirst = true; ; isFirst = false) {
    try {
      return await answered(client.request<Page>('GET', path));
    } catch (error) {
      const isAway = error instanceof CommandError && error.cause instanceof ConnectionError;
      if (!isAway || stop === undefined) throw error;
      if (isFirst) io.stderr.write(`${error.message}; going on when the server is back\n`);
      if (await stop.within(ASK_EVERY_MS)) return undefined;
    }
  }
}

interface Interruption {
  /** Waits; true at once when the user has interrupted. */
  within(ms: number): Promise<boolean>;
}

function interrupted(io: Io): Interruption {
  let isOver = false;
  let wake = () => {};
  const hear = () => {
    isOver = true;
    wake();
  };
  io.on('SIGINT', hear);
  io.on('SIGTERM', hear);
  return {
    async within(ms) {
      if (isOver) return true;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      return isOver;
    },
  };
}

function withQuery(path: string, query: Record<string, string>): string {
  return `${path}?${new URLSearchParams(query)}`;
}

function written(line: Line, output: Output): string {
  if (output === 'json') return `${JSON.stringify(line)}\n`;
  const text = printable(line.text);
  if (output === 'quiet') return `${text}\n`;
  const version = line.agentRuntimeVersion === undefined ? '-' : `v${line.agentRuntimeVersion}`;
  return `${line.time} ${line.level.toUpperCase().padEnd(5)} ${version} ${line.instanceId.slice(0, 8)} ${text}\n`;
}
