import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig, type ServerRecord } from '@runstead/server';
import { CommandError, type Flags, type Io } from './command.ts';
import { EXIT } from './exit-codes.ts';

/** The flag that says which server of this machine is meant. */
export const DATA_FLAG = {
  syntax: '--data <folder>',
  description: "the server's data folder (default: ~/.runstead)",
};

/** The key of this machine, as it lies in the data folder. */
export interface LocalKey {
  apiKey?: string;
  accessKeyId?: string;
  accessKeySecret?: string;
}

/** A server that runs on this machine. */
export interface LocalServer {
  dataDir: string;
  record: ServerRecord & { url: string };
  key: LocalKey;
}

/** @throws CommandError (7) when none runs there */
export function localServer(flags: Flags, io: Io): LocalServer {
  const dataDir = dataFolder(flags, io);
  const record = readJson<ServerRecord>(join(dataDir, 'run', 'server.json'));
  if (typeof record?.pid !== 'number' || !isAlive(record.pid)) {
    throw new CommandError(EXIT.unreachable, `no server runs on the data folder ${dataDir}`, {
      code: 'ERR_NO_SERVER',
      hint: 'Start one with "runstead serve", or name the folder of the one that runs with --data.',
    });
  }
  if (record.url === undefined) {
    throw new CommandError(EXIT.unreachable, `the server on ${dataDir} is starting and does not listen yet`, {
      code: 'ERR_NO_SERVER',
      hint: 'Try again in a moment.',
    });
  }
  return {
    dataDir,
    record: { ...record, url: record.url },
    key: readJson<LocalKey>(join(dataDir, 'local-key.json')) ?? {},
  };
}

function dataFolder(flags: Flags, { env }: Io): string {
  return loadConfig({ dataDir: flags.data as string | undefined }, { RUNSTEAD_DATA: env.RUNSTEAD_DATA })
    .dataDir;
}

/** Undefined for a file that is missing, not ours to read, or half written by an earlier crash. */
function readJson<T>(file: string): T | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return typeof value === 'object' && value !== null ? (value as T) : undefined;
  } catch {
    return undefined;
  }
}

/** A server that was killed leaves its record. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
