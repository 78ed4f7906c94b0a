import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startTicksOf } from './processes.ts';
import { UsageMeter } from './usage.ts';

const hasProc = existsSync('/proc/self/stat');
if (!hasProc) console.warn('skipped: what processes use is read from /proc, which is not there');

/** Fills so much memory, works for so long, and says when it has. */
const PROGRAM = `const kept = Buffer.alloc(Number(process.argv[1]), 1);
const until = process.cpuUsage().user + Number(process.argv[2]) * 1000;
while (process.cpuUsage().user < until);
console.log(kept.length);
setInterval(() => {}, 1000);`;

async function worker(bytes: number, workMs: number) {
  const child = spawn(process.execPath, ['-e', PROGRAM, String(bytes), String(workMs)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return { pid: child.pid!, startTicks: startTicksOf(child.pid!)! };
}

describe.skipIf(!hasProc)('what an instance uses', () => {
  const MIB = 1024 * 1024;

  it('is that of all its processes, memory and time', async () => {
    const processes = [await worker(64 * MIB, 300), await worker(32 * MIB, 0)];
    const meter = new UsageMeter(async () => new Map([['one', processes]]));
    const use = (await meter.of(['one', 'gone'])).get('one')!;
    expect(use.memoryBytes).toBeGreaterThan(96 * MIB);
    expect(use.memoryBytes).toBeLessThan(400 * MIB);
    expect(use.cpuMs).toBeGreaterThanOrEqual(300);
    expect(use).not.toHaveProperty('cpuShare');
    expect(['pss', 'rss']).toContain(use.memoryMeasure);
  });

  it('is measured once for all who ask within a second, and then tells the share in between', async () => {
    let nowMs = 0;
    let looks = 0;
    const processes = [await worker(0, 0)];
    const meter = new UsageMeter(
      async () => {
        looks++;
        return new Map([['one', processes]]);
      },
      () => nowMs,
    );
    await Promise.all(Array.from({ length: 20 }, () => meter.of(['one'])));
    nowMs = 999;
    await meter.of(['one']);
    expect(looks).toBe(1);
    nowMs = 2000;
    const { cpuShare } = (await meter.of(['one'])).get('one')!;
    expect(looks).toBe(2);
    expect(cpuShare).toBeGreaterThanOrEqual(0);
    expect(cpuShare).toBeLessThan(0.5);
  });

  it('is not that of another process which has its number now', async () => {
    const meter = new UsageMeter(async () => new Map([['one', [{ pid: process.pid, startTicks: '1' }]]]));
    expect((await meter.of(['one'])).get('one')).toEqual({});
  });
});
