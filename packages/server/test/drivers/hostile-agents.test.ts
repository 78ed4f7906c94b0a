import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { Driver, InstanceExit, RunningInstance } from '../../src/drivers/driver.ts';
import type { InstanceSpec } from '../../src/drivers/instance-spec.ts';
import type { ProcessDriverOptions } from '../../src/drivers/process/process-driver.ts';
import { listProcesses } from '../../src/drivers/process/processes.ts';
import { AGENTS, agentSpec, get, hasPython, until } from '../driver-cases.ts';
import { smallDisk } from '../small-disk.ts';
import {
  groupsOf,
  leftoversOf,
  makeDriver,
  newFolder,
  removeFolder,
  sandbox,
  testLimits,
} from './harness.ts';

/** Agents that mean harm, each to its machine, its neighbours or this server. Others are in the suite of driver cases. */

let dataDir: string;
const drivers: Driver[] = [];

function driverOf(changes: Partial<ProcessDriverOptions> = {}): Driver {
  const driver = makeDriver(dataDir, changes);
  drivers.push(driver);
  return driver;
}

function start(driver: Driver, spec: InstanceSpec, onExit: (exit: InstanceExit) => void = () => {}) {
  return driver.start(spec, { signal: new AbortController().signal, onExit });
}

beforeEach(() => {
  dataDir = newFolder();
});

afterEach(async () => {
  for (const driver of drivers.splice(0)) {
    await Promise.all(driver.list().map((it) => driver.stop(it.instanceId, { graceMs: 0 })));
    await driver.close();
  }
  const left = await leftoversOf(dataDir);
  await removeFolder(dataDir);
  expect(left).toEqual([]);
});

type Deed = 'list' | 'read' | 'write' | 'fill' | 'open' | 'kill' | 'run';

function readOrZero(path: string): number {
  try {
    return Number(readFileSync(path, 'latin1'));
  } catch {
    return 0;
  }
}

/** Has the agent try it. @returns what it got, or the error's code */
async function attempt(agent: RunningInstance, deed: Deed, what: string | number): Promise<unknown> {
  const answer = await get(agent, `/${deed}?${encodeURIComponent(String(what))}`);
  const { value, code } = (await answer.json()) as { value?: unknown; code?: string };
  return code ?? value;
}

const NODE = { command: ['node', 'snoop.mjs'] };
const PYTHON = { command: ['python3', 'snoop.py'] };
const BEGINNINGS = [
  { how: 'a Node that is begun anew', ...NODE, born: undefined, waits: {} },
  { how: 'a Node that waited', ...NODE, born: 'pool-', waits: { pool: 1 } },
  ...(hasPython()
    ? [
        { how: 'a Python that is begun anew', ...PYTHON, born: undefined, waits: {} },
        { how: 'a Python that waited', ...PYTHON, born: 'pool-', waits: { pool: 1 } },
        {
          how: 'a Python that had imported',
          ...PYTHON,
          born: 'parent-',
          waits: { forkMemoryBytes: 256 * 1024 * 1024 },
        },
      ]
    : []),
];

describe.skipIf(!sandbox).each(BEGINNINGS)('in the sandbox, as $how,', ({ command, born, waits }) => {
  let waiting = 0;
  const confined = (changes: Partial<ProcessDriverOptions> = {}) => {
    waiting = 0;
    const write = (line: string) => {
      if (/waits for a start|has a process to fork from/.test(line)) waiting++;
    };
    const log = pino({ level: 'debug' }, { write });
    return driverOf({ confinedBy: sandbox!, limits: testLimits(dataDir), log, ...waits, ...changes });
  };
  const snoop = (changes: Partial<InstanceSpec> = {}) => agentSpec(command, changes);

  /** Starts one, and makes sure that it begins as it is to begin. */
  async function startSo(
    driver: Driver,
    spec: InstanceSpec,
    onExit?: (exit: InstanceExit) => void,
  ): Promise<RunningInstance> {
    // Each start is followed by another process that waits for the like of it.
    const followed = async <T>(starting: () => Promise<T>): Promise<T> => {
      const before = waiting;
      const done = await starting();
      if (born !== undefined) await until('a process that waits', () => waiting > before);
      return done;
    };
    if (born !== undefined) {
      const first = await followed(() => start(driver, { ...spec, instanceId: randomUUID() }));
      await driver.stop(first.instanceId, { graceMs: 0 });
    }
    const agent = await followed(() => start(driver, spec, onExit));
    const record = readFileSync(join(dataDir, 'instances', agent.instanceId, 'identity.json'), 'utf8');
    expect((JSON.parse(record) as { bornAs?: string }).bornAs?.replace(/-.*/, '-')).toBe(born);
    return agent;
  }

  it('an agent sees neither its neighbours nor the server nor the data folder', async () => {
    const driver = confined();
    const neighbour = await startSo(driver, snoop());
    const agent = await startSo(driver, snoop({ environment: { A_TOKEN: 'sesame' } }));
    await attempt(neighbour, 'write', '/home/agent/secret');

    const pids = ((await attempt(agent, 'list', '/proc')) as string[]).filter((name) => /^\d+$/.test(name));
    expect(pids.sort()).toEqual(['1', '2']);
    for (const pid of [process.pid, neighbour.pid!]) {
      expect(await attempt(agent, 'read', `/proc/${pid}/environ`)).toBe('ENOENT');
      expect(await attempt(agent, 'kill', pid)).toBe('ESRCH');
    }
    expect(await attempt(agent, 'list', '/home/agent')).toEqual([]);
    const outside = ['instances', 'logs', 'run', `instances/${neighbour.instanceId}/home/secret`];
    for (const path of [
      dataDir,
      ...outside.map((name) => join(dataDir, name)),
      AGENTS,
      '/etc/shadow',
      '/var',
      '/srv',
    ])
      expect(await attempt(agent, 'list', path), path).toBe('ENOENT');
    // The first process of the sandbox has the launcher's environment, not the server's.
    const names = await attempt(agent, 'run', "tr '\\0' '\\n' < /proc/1/environ | cut -d= -f1 | sort");
    const own = ['PATH', 'RUNSTEAD_DATA_MARK', 'RUNSTEAD_INSTANCE_ID', 'RUNSTEAD_RUNTIME_ID'];
    // Of what waited: fixed, like the launcher's.
    const waited = 'HOME LANG PYTHONPATH PYTHONUNBUFFERED RUNSTEAD_ROOM TMPDIR TZ'.split(' ');
    const known = born === undefined ? own : [...own, ...waited];
    expect(known).toEqual(expect.arrayContaining((names as string).trim().split('\n')));
    expect(await attempt(agent, 'read', '/proc/1/environ')).not.toContain('sesame');
    const everyLine = spawnSync('ps', ['-axww', '-o', 'command='], { encoding: 'utf8' }).stdout;
    expect(everyLine).not.toContain('sesame');
  });

  it('an agent writes into its home and temporary folders and nowhere else, root or not', async () => {
    const agent = await startSo(confined(), snoop());
    for (const folder of ['/home/agent', '/tmp', '/dev/shm']) {
      expect(await attempt(agent, 'write', `${folder}/mine`)).toBeNull();
    }
    const folder = join(dataDir, 'instances', agent.instanceId);
    for (const name of ['home', 'tmp', 'shm']) expect(existsSync(join(folder, name, 'mine'))).toBe(true);
    for (const path of [
      '/code/mine',
      '/mine',
      '/usr/mine',
      '/etc/mine',
      '/dev/mine',
      '/run/mine',
      '/home/mine',
    ])
      expect(await attempt(agent, 'write', path), path).toBe('EROFS');
    // A program of this name would be run by the kernel, outside, for any process that crashes.
    expect(await attempt(agent, 'open', '/proc/sys/kernel/core_pattern')).toBe('EROFS');
    for (const line of [
      'mount -o remount,rw /code',
      'umount /code',
      'umount -l /',
      'mount -t tmpfs none /tmp',
    ])
      expect(await attempt(agent, 'run', `${line} 2>/dev/null; echo $?`), line).not.toBe('0\n');
    const status = (await attempt(agent, 'read', '/proc/self/status')) as string;
    for (const kind of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
      expect(status).toMatch(`${kind}:\t${'0'.repeat(16)}`);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
  });

  it("no variable of an agent's acts on what starts it", async () => {
    const codeDir = mkdtempSync(join(tmpdir(), 'runstead-package-'));
    onTestFinished(() => rmSync(codeDir, { recursive: true }));
    cpSync(join(AGENTS, 'echo.mjs'), join(codeDir, 'echo.mjs'));
    const mark = join(dataDir, 'acted');
    const source = fileURLToPath(new URL('../fixtures/programs/acts-when-loaded.c', import.meta.url));
    const object = join(codeDir, 'acts.so');
    const isCompiled = spawnSync('cc', ['-shared', '-fPIC', '-o', object, source]).status === 0;
    if (!isCompiled) console.warn('no C compiler here: LD_PRELOAD is tried with a file that is no library');
    else expect(spawnSync('/bin/true', [], { env: { LD_PRELOAD: object, MARK: mark } }).status).toBe(0);
    // It does act, where it is let.
    expect(existsSync(mark)).toBe(isCompiled);
    rmSync(mark, { force: true });
    const script = `for (const it of [process.env.MARK, process.env.HOME + '/required'])
      try { require('node:fs').appendFileSync(it, 'x') } catch {}`;
    writeFileSync(join(codeDir, 'acts.cjs'), script);
    mkdirSync(join(codeDir, 'bin'));
    for (const name of ['node', 'sh', 'env', 'bwrap', 'mv', 'renice'])
      writeFileSync(join(codeDir, 'bin', name), `#!/bin/sh\necho ${name} >> ${mark}\n`, { mode: 0o755 });
    const environment = {
      MARK: mark,
      // By both names: that of the machine and that of the sandbox.
      LD_PRELOAD: `${object} /code/acts.so`,
      NODE_OPTIONS: '--require /code/acts.cjs',
      PYTHONHOME: codeDir,
      PATH: `${codeDir}/bin`,
      ENV: join(codeDir, 'acts.cjs'),
      BASH_ENV: join(codeDir, 'acts.cjs'),
      'odd.name': 'passed on by env',
    };
    const agent = await start(confined(), agentSpec(['node', 'echo.mjs'], { codeDir, environment }));
    const { env } = (await (await get(agent)).json()) as { env: Record<string, string> };
    expect(env).toMatchObject({ LD_PRELOAD: environment.LD_PRELOAD, 'odd.name': 'passed on by env' });
    expect(existsSync(mark)).toBe(false);
    const home = readdirSync(join(dataDir, 'instances', agent.instanceId, 'home'));
    expect(home.sort()).toEqual(isCompiled ? ['acted', 'required'] : ['required']);
  });

  it('a package with links of its own shows nothing of the machine by them', async () => {
    const codeDir = mkdtempSync(join(tmpdir(), 'runstead-package-'));
    const secrets = mkdtempSync(join(tmpdir(), 'runstead-secrets-'));
    for (const folder of [codeDir, secrets]) onTestFinished(() => rmSync(folder, { recursive: true }));
    cpSync(join(AGENTS, command[1]!), join(codeDir, command[1]!));
    for (const name of ['lib', 'bin']) mkdirSync(join(secrets, name));
    writeFileSync(join(secrets, 'bin', 'python'), '', { mode: 0o755 });
    const links = [
      ['node_modules', join(secrets, 'lib')],
      ['.venv', secrets],
    ] as const;
    for (const [name, target] of links) spawnSync('ln', ['-s', target, join(codeDir, name)]);
    const driver = confined();
    const agent = await startSo(driver, snoop({ codeDir }));
    for (const path of [secrets, '/code/node_modules', '/code/.venv'])
      expect(await attempt(agent, 'list', path), path).toBe('ENOENT');
  });

  it('what a runtime was prepared with is there, under its own name, and nothing beside it', async () => {
    const [spec, other] = [snoop(), join(dataDir, 'deps', 'agent-runtime-other')];
    const own = join(dataDir, 'deps', spec.runtimeId, 'key', 'tree', 'node_modules');
    for (const folder of [own, other]) mkdirSync(folder, { recursive: true });
    writeFileSync(join(own, 'present.js'), '');
    const codeDir = mkdtempSync(join(tmpdir(), 'runstead-package-'));
    onTestFinished(() => rmSync(codeDir, { recursive: true }));
    cpSync(join(AGENTS, command[1]!), join(codeDir, command[1]!));
    spawnSync('ln', ['-s', own, join(codeDir, 'node_modules')]);
    const agent = await startSo(confined(), { ...spec, codeDir });
    expect(await attempt(agent, 'list', '/code/node_modules')).toEqual(['present.js']);
    expect(await attempt(agent, 'write', join(own, 'mine'))).toBe('EROFS');
    expect(await attempt(agent, 'list', other)).toBe('ENOENT');
    expect(await attempt(agent, 'list', join(dataDir, 'deps'))).toEqual([spec.runtimeId]);
  });

  it('directories that the operator mapped are there and can be written to', async () => {
    const shared = mkdtempSync(join(tmpdir(), 'runstead-mapped-'));
    onTestFinished(() => rmSync(shared, { recursive: true }));
    const agent = await start(confined(), snoop({ mounts: [shared] }));
    expect(await attempt(agent, 'write', join(shared, 'mine'))).toBeNull();
    expect(existsSync(join(shared, 'mine'))).toBe(true);
  });

  it('a fork bomb fills its own share of processes, and ends', async (context) => {
    const limits = testLimits(dataDir, { processes: 40 });
    if (limits.places.processes === undefined)
      context.skip('no control group for processes can be made here');
    if (!hasPython()) context.skip('there is no python3 here');
    const driver = confined({ limits });
    const spec = agentSpec(['python3', 'fork_bomb.py'], { startTimeoutMs: 3000 });
    const bomb = start(driver, spec);
    bomb.catch(() => {});
    const group = join(limits.places.processes!.folder, spec.instanceId);
    const count = () => Number(readFileSync(join(group, 'pids.current'), 'latin1'));
    await until('it to have all it may', () => existsSync(group) && count() >= 40);
    expect((await get(await start(driver, snoop()))).status).toBe(200);
    expect(count()).toBeLessThanOrEqual(40);
    await driver.stop(spec.instanceId, { graceMs: 100 });
    await expect(bomb).rejects.toThrow('stopped before it was ready');
    expect((await listProcesses()).filter((it) => it.instanceId === spec.instanceId)).toEqual([]);
  });

  it('an agent is held to its processes and its memory from its first line on', async (context) => {
    const limits = testLimits(dataDir, { processes: 40 });
    if (limits.places.processes === undefined || limits.places.memory === undefined)
      context.skip('no control groups for processes and memory can be made here');
    const driver = confined({ limits });
    const bomb = await startSo(driver, snoop());
    void attempt(bomb, 'run', 'i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done').catch(() => {});
    const held = () => groupsOf(dataDir).filter((group) => readOrZero(join(group, 'pids.max')) === 40);
    await until('it to have all it may', () =>
      held().some((group) => readOrZero(join(group, 'pids.current')) >= 39),
    );
    for (const group of held()) expect(readOrZero(join(group, 'pids.current'))).toBeLessThanOrEqual(40);
    await driver.stop(bomb.instanceId, { graceMs: 0 });

    const exits: InstanceExit[] = [];
    const spec = agentSpec(['node', 'hog.mjs', 'asked'], { memoryMiB: 128 });
    const hog = await (command[0] === 'node' ? startSo : start)(driver, spec, (exit) => exits.push(exit));
    await get(hog, '/more').catch(() => {});
    await until('its exit', () => exits.length);
    expect(exits[0]!.reason).toMatch(/^OOM: used 1[23]\d of 128 MiB$/);
    await until('nothing of it', () => driver.list().length === 0);
  });
});

describe('where no control group can be made', () => {
  const watched = (changes = {}) => driverOf({ limits: testLimits(dataDir, { watched: true, ...changes }) });

  it('a memory hog is ended with the reason, also one that was taken over', async () => {
    const spec = agentSpec(['node', 'hog.mjs', 'asked'], { memoryMiB: 160 });
    const first = watched();
    await start(first, spec);
    await first.close();
    const driver = watched();
    const [agent] = await driver.adopt();
    const exits: InstanceExit[] = [];
    agent!.onExit = (exit) => exits.push(exit);
    await get(agent!, '/more').catch(() => {});
    await until('its exit', () => exits.length);
    expect(exits[0]).toMatchObject({ signal: 'SIGKILL' });
    expect(Number(/^OOM: used (\d+) of 160 MiB$/.exec(exits[0]!.reason!)![1])).toBeGreaterThan(160);
    await driver.stop(spec.instanceId, { graceMs: 0 });
  });

  it('one that starts too many processes is ended, with all of them', async () => {
    const exits: InstanceExit[] = [];
    const driver = watched({ processes: 20 });
    const agent = await start(driver, agentSpec(['node', 'snoop.mjs']), (exit) => exits.push(exit));
    // It may be ended before it has answered.
    await attempt(
      agent,
      'run',
      'i=0; while [ $i -lt 30 ]; do sleep 1000 & i=$((i+1)); done >/dev/null 2>&1',
    ).catch(() => {});
    await until('its exit', () => exits.length);
    expect(exits[0]!.reason).toMatch(
      /^processes: it had \d+ of 20; RUNSTEAD_INSTANCE_PROCESSES is the limit$/,
    );
    await driver.stop(agent.instanceId, { graceMs: 0 });
  });

  it('the server and the gateway come first for the processors', async () => {
    const agent = await start(watched(), agentSpec(['node', 'snoop.mjs']));
    const niceness = (await attempt(agent, 'read', '/proc/self/stat')) as string;
    expect(niceness.slice(niceness.lastIndexOf(')') + 2).split(' ')[16]).toBe('5');
    expect(groupsOf(dataDir)).toEqual([]);
  });
});

it('an agent that fills its home is ended with the reason', async () => {
  const exits: InstanceExit[] = [];
  const driver = driverOf({ limits: testLimits(dataDir, { diskBytes: 8 * 1024 * 1024 }) });
  const agent = await start(driver, agentSpec(['node', 'snoop.mjs']), (exit) => exits.push(exit));
  const home = join(dataDir, 'instances', agent.instanceId, 'home');
  await attempt(agent, 'fill', join(home, 'much')).catch(() => {});
  await until('its exit', () => exits.length);
  expect(exits[0]!.reason).toMatch(/^disk: .* took more than 8 MiB \(1[67] MiB\); RUNSTEAD_INSTANCE_DISK/);
  await driver.stop(agent.instanceId, { graceMs: 0 });
});

it('gigabytes of output without a line end take a bounded part of the disk', async () => {
  const total = 2 * 1024 ** 3;
  const limit = 1024 * 1024;
  const driver = driverOf({ logLimitBytes: limit });
  const agent = await start(driver, agentSpec(['node', 'flood.mjs', String(total)]));
  const path = join(dataDir, 'logs', agent.runtimeId, `${agent.instanceId}.log`);
  let most = 0;
  await until(
    'all of it to be written',
    () => {
      const { size, blocks } = statSync(path);
      most = Math.max(most, blocks * 512);
      return size >= total;
    },
    60_000,
  );
  expect(most).toBeLessThan(total / 2);
  await until('the rest to be given back', () => statSync(path).blocks * 512 <= 3 * limit);
  expect(await driver.logTail(agent.instanceId, { maxLines: 5 })).toEqual([`${'x'.repeat(499)}…`]);
}, 90_000);

const disk = smallDisk(8);

it.skipIf(disk === undefined)(
  'on a full disk a start fails with the reason, and what runs goes on',
  async () => {
    await removeFolder(dataDir);
    dataDir = mkdtempSync(join(disk!, 'data-'));
    const driver = driverOf();
    const running = await start(driver, agentSpec(['node', 'snoop.mjs']));
    const filler = join(disk!, 'filler');
    spawnSync('sh', ['-c', `cat /dev/zero > ${filler}`], { stdio: 'ignore' });
    await expect(start(driver, agentSpec(['node', 'snoop.mjs']))).rejects.toMatchObject({
      phase: 'start',
      kind: 'cannot-start',
      message: 'no space is left on the disk of the data folder; make room there',
    });
    expect((await get(running)).status).toBe(200);
    rmSync(filler);
    await start(driver, agentSpec(['node', 'snoop.mjs']));
  },
);
