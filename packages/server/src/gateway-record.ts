import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootId, isAlive, type ProcessId, signalProcess, startTicksOf } from './drivers/process/processes.ts';

/** What stands in `run/gateway.json`: the gateway that this data folder has, for the control process that comes next. */
export interface GatewayRecord extends ProcessId {
  bootId: string;
  /** Path of the unix socket on which it listens for control processes. */
  socket: string;
}

/** Sockets of gateways, so that they can be removed after those that could not. */
const SOCKET_NAME = /\/gateway-[0-9a-f]{8}\.sock$/;

const fileIn = (dataDir: string) => join(dataDir, 'run', 'gateway.json');

/** Names a child that was just started; undefined when it is gone already. */
export function recordOf(pid: number, socket: string): GatewayRecord | undefined {
  const startTicks = startTicksOf(pid);
  return startTicks === undefined ? undefined : { pid, startTicks, bootId: bootId(), socket };
}

/** @returns undefined when there is none, or what is there is none */
export function readGatewayRecord(dataDir: string): GatewayRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(fileIn(dataDir), 'utf8')) as GatewayRecord;
    const isWhole =
      Number.isInteger(record.pid) &&
      record.pid > 1 &&
      [record.startTicks, record.bootId, record.socket].every((it) => typeof it === 'string') &&
      SOCKET_NAME.test(record.socket);
    return isWhole ? record : undefined;
  } catch {
    return undefined;
  }
}

export function writeGatewayRecord(dataDir: string, record: GatewayRecord): void {
  const file = fileIn(dataDir);
  writeFileSync(`${file}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

export function removeGatewayRecord(dataDir: string): void {
  rmSync(fileIn(dataDir), { force: true });
}

/** Whether the process in the record is the one that runs under that number now. */
export function isGatewayRunning(record: GatewayRecord): boolean {
  return record.bootId === bootId() && isAlive(record);
}

/** Ends it by force, and never another that has its number by now. */
export function killGateway(record: GatewayRecord): void {
  if (record.bootId === bootId()) signalProcess(record, 'SIGKILL');
}
