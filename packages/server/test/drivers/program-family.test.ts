import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { listProcesses } from '../../src/drivers/process/processes.ts';
import { type ProgramFamily, trackProgram } from '../../src/drivers/process/program-family.ts';

const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

/** Starts a shell with the marks of a family and nothing else, and waits until it says that it is ready. */
async function run(family: ProgramFamily, script: string): Promise<ChildProcess> {
  const child = spawn('/bin/sh', ['-c', `${script}\necho ready; wait`], {
    env: { PATH: '/usr/bin:/bin', ...family.marks },
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  });
  started.push(child);
  await once(child.stdout!, 'data');
  return child;
}

const MARKS = { RUNSTEAD_DATA_MARK: `family-test-${process.pid}` };
const commandsOf = async (family: ProgramFamily) =>
  (await listProcesses()).filter(({ instanceId }) => instanceId === family.marks.RUNSTEAD_INSTANCE_ID).length;

describe.skipIf(process.platform !== 'linux')('a program with everything that comes of it', () => {
  it('is counted and ended, also what left its group and session and was adopted by another', async () => {
    const family = trackProgram(MARKS);
    expect(await family.count()).toBe(0);
    const leader = await run(
      family,
      'sleep 81.5 & (setsid sh -c "sleep 81.5 & sleep 81.5 & wait" &) ; sleep 0.1',
    );
    expect(await family.count()).toBeGreaterThanOrEqual(4);
    const ended = once(leader, 'exit');
    await family.end();
    await ended;
    expect(await family.count()).toBe(0);
    expect(await commandsOf(family)).toBe(0);
  });

  it('is found under another environment once it was counted', async () => {
    const family = trackProgram(MARKS);
    const leader = await run(family, 'env -i setsid sleep 82.5 & sleep 0.1');
    expect(await family.count()).toBe(2);
    leader.kill('SIGKILL');
    await once(leader, 'exit');
    // Nobody in between lives any more.
    expect(await family.count()).toBe(1);
    await family.end();
    expect(await family.count()).toBe(0);
  });

  it('is not mixed up with another of the same data folder', async () => {
    const [one, other] = [trackProgram(MARKS), trackProgram(MARKS)];
    await run(one, 'sleep 83.5 &');
    await run(other, 'sleep 83.5 &');
    await one.end();
    expect(await one.count()).toBe(0);
    expect(await other.count()).toBe(2);
    await other.end();
  });

  it('ended when nobody is there is ended at once', async () => {
    await trackProgram(MARKS).end();
  });
});
