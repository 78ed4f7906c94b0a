import { appendFileSync, closeSync, mkdirSync, mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Driver } from '../../src/drivers/driver.ts';
import { boundLog, type InstanceLog, logExtent, openLog } from '../../src/drivers/process/instance-log.ts';
import { LogShelf } from '../../src/drivers/process/log-shelf.ts';
import { LogTimes } from '../../src/drivers/process/log-times.ts';
import { createAgentLogs, type LogStart } from '../../src/logs/agent-logs.ts';
import type { LogFilter } from '../../src/logs/log-filter.ts';
import { testBox } from '../secret-box.ts';

export const RUNTIME = '01234567-89ab-4cde-8f01-23456789abcd';
export const T0 = Date.parse('2026-11-25T12:00:00.000Z');

/** Logs of a runtime in a folder, written by hand: no process, and a clock of the test's own. */
export class KeptLogs {
  readonly folder = mkdtempSync(join(tmpdir(), 'runstead-logs-'));
  nowMs = T0;
  versions = new Map([[1, 1]]);
  #open = new Map<string, { log: InstanceLog; times: LogTimes }>();
  #shelf = new LogShelf(this.folder, () => testBox);
  /** How often the logs were looked at, and how much was read of them. */
  looks = 0;
  bytesRead = 0;
  /** What reading a log ends in. */
  fault: Error | undefined;
  /** Whose they are, to those who ask. */
  runtimeId = RUNTIME;

  constructor() {
    mkdirSync(join(this.folder, RUNTIME));
    onTestFinished(() => rmSync(this.folder, { recursive: true, force: true }));
  }

  logs = createAgentLogs({
    driver: {
      logsOf: (runtimeId: string) => {
        this.looks++;
        if (runtimeId !== this.runtimeId) return [];
        return this.#shelf
          .logsOf(RUNTIME, (id) => this.#open.get(id))
          .map((log) => ({
            ...log,
            read: async (position: number, limit: number) => {
              if (this.fault) throw this.fault;
              const piece = await log.read(position, limit);
              this.bytesRead += piece.bytes.length;
              return piece;
            },
          }));
      },
    } as Driver,
    versionsOf: async () => this.versions,
    now: () => this.nowMs,
  });

  path(instanceId: string): string {
    return this.#shelf.path(RUNTIME, instanceId);
  }

  /** It is to be begun; there is no file yet. */
  announce(instanceId: string, { revision = 1, secrets = [] as string[] } = {}): InstanceLog {
    this.#shelf.begin({ runtimeId: RUNTIME, instanceId, revision });
    const log = { path: this.path(instanceId), secrets };
    this.#open.set(instanceId, { log, times: new LogTimes(log.path) });
    return log;
  }

  begin(instanceId: string, of: { revision?: number; secrets?: string[] } = {}): void {
    closeSync(openLog(this.announce(instanceId, of), testBox));
  }

  /** The agent writes, now; the driver looks, unless told otherwise. */
  write(instanceId: string, text: string | Buffer, { isSeen = true } = {}): void {
    const path = this.path(instanceId);
    appendFileSync(path, text);
    utimesSync(path, this.nowMs / 1000, this.nowMs / 1000);
    const open = this.#open.get(instanceId);
    if (!isSeen || !open) return;
    const { end, writtenMs } = logExtent(path);
    open.times.note(end, writtenMs);
  }

  end(instanceId: string): void {
    this.#open.delete(instanceId);
  }

  /** Another server takes over; what was open stays so, or has ended. */
  restart(running: readonly string[] = []): void {
    const before = this.#open;
    this.#shelf = new LogShelf(this.folder, () => testBox);
    this.#open = new Map(
      running.map((id) => [id, { log: before.get(id)!.log, times: new LogTimes(this.path(id)) }]),
    );
  }

  /** Keeps the newest so many bytes. */
  bound(instanceId: string, limitBytes: number, freeHead?: () => Promise<boolean>): Promise<void> {
    return boundLog(this.path(instanceId), limitBytes, freeHead);
  }

  async texts(filter: LogFilter = {}, start: LogStart = { at: 'oldest' }, limit = 1000): Promise<string[]> {
    return (await this.logs.page(RUNTIME, filter, start, limit)).lines.map(({ text }) => text);
  }

  /** Page after page, each from the cursor of the one before. */
  async pages(filter: LogFilter = {}, limit = 3): Promise<string[][]> {
    const pages: string[][] = [];
    let start: LogStart = { at: 'oldest' };
    for (;;) {
      const page = await this.logs.page(RUNTIME, filter, start, limit);
      pages.push(page.lines.map(({ text }) => text));
      if (!page.hasMore) return pages;
      start = { at: 'cursor', cursor: page.cursor };
    }
  }
}
