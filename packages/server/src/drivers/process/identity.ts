import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, realpathSync, renameSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { bootId, isAlive, type ProcessId } from './processes.ts';

/** What the wrapper writes down before the agent runs (`identity.json`); `pid` is the wrapper's. */
export interface InstanceRecord extends ProcessId {
  instanceId: string;
  runtimeId: string;
  revision: number;
  host: string;
  port: number;
  startedAt: string;
  bootId: string;
  /** The mark in the environment of its first processes, where they were there before the instance was. */
  bornAs?: string;
}

/** How an agent ended. Neither is known when the wrapper was killed unseen. */
export interface Ending {
  code?: number;
  signal?: string;
  /** Why the platform or the kernel ended it. */
  reason?: string;
}

/** Names a data folder in the environment of all that is started for it. */
export function dataMark(dataDir: string): string {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  return createHash('sha256').update(realpathSync(dataDir)).digest('hex').slice(0, 16);
}

/** The record in an instance's folder; undefined when there is none, or it is not one. */
export function readRecord(folder: string): InstanceRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(join(folder, 'identity.json'), 'utf8')) as InstanceRecord;
    const isWhole =
      typeof record.instanceId === 'string' &&
      typeof record.runtimeId === 'string' &&
      typeof record.startTicks === 'string' &&
      Number.isInteger(record.port) &&
      record.pid > 1;
    return isWhole ? record : undefined;
  } catch {
    return undefined;
  }
}

/** Replaces the record, whole. Only once the wrapper has written its own. */
export function writeRecord(folder: string, record: InstanceRecord): void {
  const path = join(folder, 'identity.json');
  writeFileSync(`${path}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Whether the process in the record is the one that runs under that number now. */
export function isRunning(record: InstanceRecord): boolean {
  return record.bootId === bootId() && isAlive(record);
}

export function readAgentPid(folder: string): number | undefined {
  const pid = Number(readOrEmpty(join(folder, 'agent.pid')));
  return pid > 1 ? pid : undefined;
}

/** What the wrapper recorded of the agent's end; undefined when it could not. */
export function readEnding(folder: string): Ending | undefined {
  const text = readOrEmpty(join(folder, 'exit')).trim();
  return /^\d+$/.test(text) ? endingOf(Number(text)) : undefined;
}

/** Reads a shell's exit status. An agent that itself exits with 137 cannot be told from one killed by SIGKILL. */
export function endingOf(status: number): Ending {
  const number = status - 128;
  if (number <= 0 || number > 64) return { code: status };
  const name = Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
  return { signal: name ?? `signal ${number}` };
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
