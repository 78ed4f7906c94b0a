import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pino from 'pino';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { InstanceExit, RunningInstance } from '../../src/drivers/driver.ts';
import type { InstanceSpec } from '../../src/drivers/instance-spec.ts';
import { PYTHON_PRELOAD } from '../../src/drivers/process/environment.ts';
import { findInterpreter } from '../../src/drivers/process/find-interpreter.ts';
import { dataMark } from '../../src/drivers/process/identity.ts';
import { ForkParents } from '../../src/drivers/process/pool/fork-parents.ts';
import {
  ForkRefused,
  type ParentPlan,
  ParentProcess,
} from '../../src/drivers/process/pool/parent-process.ts';
import { WaitingPool } from '../../src/drivers/process/pool/waiting-pool.ts';
import { createProcessDriver, type ProcessDriverOptions } from '../../src/drivers/process/process-driver.ts';
import { killAll, listProcesses } from '../../src/drivers/process/processes.ts';
import { AGENTS, agentSpec, get, isThere, until } from '../driver-cases.ts';
import { testBox } from '../secret-box.ts';
import { groupsOf, sandbox, testLimits } from './harness.ts';

const SERVER = fileURLToPath(new URL('../../', import.meta.url));
const found =
  process.platform === 'linux' ? await findInterpreter('python', 'python3.9') : { missing: 'Linux' };
const hasPython = !('missing' in found);
if (!hasPython) console.warn('skipped: forking takes Linux and a Python 3.9 or newer');

let folder: string;
let dataDir: string;
let codeDir: string;
let said: { msg: string; reason?: string }[];
const drivers: ReturnType<typeof createProcessDriver>[] = [];
const servers: ChildProcess[] = [];

function driverOf(changes: Partial<ProcessDriverOptions> = {}) {
  const write = (line: string) => said.push(JSON.parse(line) as (typeof said)[number]);
  const driver = createProcessDriver({
    dataDir,
    box: () => testBox,
    log: pino({ level: 'debug' }, { write }),
    logLimitBytes: 256 * 1024,
    accountId: '0',
    region: 'cn-test',
    portRange: { from: 23_000, to: 23_999 },
    ...changes,
  });
  drivers.push(driver);
  return driver;
}
const forking = (more: Partial<ProcessDriverOptions> = {}) =>
  driverOf({ forkMemoryBytes: 512 * 1024 * 1024, ...more });
const pooling = (more: Partial<ProcessDriverOptions> = {}) => driverOf({ pool: 1, ...more });
/** In the sandbox and under limits, as a server runs its agents. */
const confined = (): Partial<ProcessDriverOptions> => ({ confinedBy: sandbox!, limits: testLimits(dataDir) });
type TestDriver = ReturnType<typeof driverOf>;

const start = (driver: TestDriver, spec: InstanceSpec, onExit: (exit: InstanceExit) => void = () => {}) =>
  driver.start(spec, { signal: new AbortController().signal, onExit });

/** Something that waits is there, and instances of this server can be begun by it. */
const waiting = (count = 1) =>
  until('a process that waits', () => said.filter(({ msg }) => WAITS.test(msg)).length >= count);
const WAITS = /waits for a start|has a process to fork from/;

/** Marks in the environment of the processes of the data folder. */
async function marks(): Promise<string[]> {
  const mark = dataMark(dataDir);
  return (await listProcesses()).filter((it) => it.dataMark === mark).map((it) => String(it.instanceId));
}

async function answer<T>(instance: RunningInstance, path = '/'): Promise<T> {
  return (await (await get(instance, path)).json()) as T;
}

/** What an instance is told of itself, where another is told something else. */
function generalised(text: string, instance: RunningInstance): unknown {
  return JSON.parse(text.replaceAll(instance.instanceId, 'ID').replaceAll(String(instance.port), 'OWN'));
}
async function factsOf(instance: RunningInstance): Promise<unknown> {
  return generalised(await (await get(instance)).text(), instance);
}
const logOf = ({ runtimeId, instanceId }: RunningInstance) =>
  readFileSync(join(dataDir, 'logs', runtimeId, `${instanceId}.log`), 'utf8');

beforeEach(() => {
  said = [];
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'runstead-quick-')));
  dataDir = join(folder, 'data');
  codeDir = join(folder, 'code');
  mkdirSync(join(codeDir, 'python'), { recursive: true });
  for (const name of ['facts.py', 'facts.mjs', 'facts.cjs', 'heap.mjs'])
    copyFileSync(join(AGENTS, name), join(codeDir, name));
  dependency('import random\nNAME = "red"\nGENERATOR = random.Random()\nSEEDED = random.Random(42)\n');
});
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.kill('SIGKILL');
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
  }
  for (const driver of drivers.splice(0)) {
    await Promise.all(driver.list().map((it) => driver.stop(it.instanceId, { graceMs: 0 })));
    await driver.close();
  }
  const left = await marks();
  const mark = dataMark(dataDir);
  await killAll((table) => table.filter((it) => it.dataMark === mark));
  const folders = existsSync(join(dataDir, 'instances')) ? readdirSync(join(dataDir, 'instances')) : [];
  const groups = groupsOf(dataDir);
  rmSync(folder, { recursive: true, force: true });
  expect([...left, ...folders, ...groups]).toEqual([]);
});

/** A package of the agent's dependencies. */
function dependency(text: string): void {
  writeFileSync(join(codeDir, 'python', 'colour.py'), text);
}

const python = (words: string[], environment: Record<string, string> = {}) =>
  agentSpec(['python3', ...words], { codeDir, environment });
const node = (words: string[], environment: Record<string, string> = {}) =>
  agentSpec(['node', ...words], { codeDir, environment });

describe.skipIf(!hasPython)('a forked Python agent', () => {
  it.each([
    ['a script', ['facts.py', 'one', 'two words']],
    ['a module', ['-u', '-m', 'facts', 'one']],
  ])('sees what one that is started sees, as %s', async (_, words) => {
    const driver = forking();
    const started = await start(driver, python(words, { MINE: 'yes' }));
    const plain = await factsOf(started);
    await waiting();
    const forked = await start(driver, python(words, { MINE: 'yes' }));
    expect((await marks()).filter((it) => it === forked.instanceId).length).toBeGreaterThanOrEqual(2);
    // Only the first is learnt from, and only what others see of its environment tells.
    const { procEnviron, ...facts } = plain as { procEnviron: string[] };
    const withoutRecorder = procEnviron.filter((it) => !it.startsWith('RUNSTEAD_RECORD_IMPORTS='));
    expect(await factsOf(forked)).toEqual({ ...facts, procEnviron: withoutRecorder });
    expect(logOf(forked)).toBe(logOf(started));
    expect(existsSync(join(dataDir, 'instances', started.instanceId, 'imports'))).toBe(false);
  });

  it('shares no chance and no key with the next, and ends as others do', async () => {
    const driver = forking();
    const spec = () => python(['facts.py']);
    await start(driver, spec());
    await waiting();
    const exits: InstanceExit[] = [];
    const [one, other] = [
      await start(driver, spec(), (exit) => exits.push(exit)),
      await start(driver, spec()),
    ];
    type Own = { random: number[]; key: string; parent: number };
    const [first, second] = [await answer<Own>(one, '/parent'), await answer<Own>(other, '/parent')];
    expect(first.random.map((it, i) => it === second.random[i])).toEqual([false, false, true]);
    expect(first.key).not.toBe(second.key);
    const forkedFrom = (it: Own) => readFileSync(`/proc/${it.parent}/stat`, 'utf8').split(' ')[3];
    expect(forkedFrom(first)).toBe(forkedFrom(second));
    await get(one, '/exit').catch(() => {});
    await until('its exit', () => exits.length);
    expect(exits).toMatchObject([{ instanceId: one.instanceId, code: 7 }]);
    await until('nothing of it', async () => !(await marks()).includes(one.instanceId));
    process.kill(other.pid!, 'SIGKILL');
    await until(
      'nothing of the other',
      () => !driver.list().some((it) => it.instanceId === other.instanceId),
    );
  });

  it('fails as others do', async () => {
    writeFileSync(
      join(codeDir, 'main.py'),
      'import facts, os\nif os.path.exists("fail"):\n    raise ValueError("it was to fail")\nfacts.FACTS = {}\n' +
        'facts.http.server.ThreadingHTTPServer(("", 9000), facts.Answer).serve_forever()\n',
    );
    const ending = async (driver: TestDriver) => {
      const failure = await start(driver, python(['main.py'])).catch((error: unknown) => error);
      const { kind, lastLines, message } = failure as { kind: string; lastLines: string[]; message: string };
      return { kind, lastLines, message: message.replace(/after .*/, '') };
    };
    const fail = join(codeDir, 'fail');
    writeFileSync(fail, '');
    const plain = await ending(driverOf());
    expect(plain.lastLines.at(-1)).toBe('ValueError: it was to fail');
    rmSync(fail);
    const driver = forking();
    await start(driver, python(['main.py']));
    await waiting();
    const ordinary = said.length;
    writeFileSync(fail, '');
    expect(await ending(driver)).toEqual(plain);
    // Neither refused nor failed on the way.
    expect(said.slice(ordinary)).toEqual([]);
  });

  it('is none where the version does not let it: it is started, and the reason is said', async () => {
    dependency('import os\nHOME = os.path.expanduser("~")\n');
    writeFileSync(join(codeDir, 'main.py'), SERVES);
    const driver = forking();
    await start(driver, python(['main.py']));
    await waiting();
    // What depends on the agent's own variables is seen with the first that would be forked.
    const second = await start(driver, python(['main.py']));
    expect(said.filter(({ msg }) => msg.startsWith('no fork')).map((it) => it.reason)).toEqual([
      'its imports read the variable HOME, which is another for each start',
    ]);
    await until('no parent', async () => !(await marks()).some((it) => it.startsWith('parent-')));
    expect(readFileSync(`/proc/${second.pid}/cmdline`, 'latin1')).toContain('main.py');
  });
});

const SERVES =
  'import http.server\nimport colour\n' +
  'http.server.HTTPServer(("", 9000), http.server.SimpleHTTPRequestHandler).serve_forever()\n';

describe.skipIf(!hasPython)('a process to fork from', () => {
  const program = 'missing' in found ? '' : found.path;
  const place = () => join(codeDir, 'python', 'colour.py');

  /** @param record as of an agent that has imported it */
  function plan(record = [`colour\t${place()}`]): ParentPlan {
    return {
      program,
      command: [program, 'main.py'],
      codeDir,
      preload: PYTHON_PRELOAD,
      pythonPath: [join(codeDir, 'python'), codeDir],
      dependencies: [join(codeDir, 'python')],
      record,
    };
  }

  it('is refused where what is imported ahead could come out otherwise', async () => {
    writeFileSync(join(codeDir, 'own.py'), '');
    const cases: [text: string, reason: string, more?: string[]][] = [
      [
        'import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n',
        'imports start threads',
      ],
      ['import socket\nHELD = socket.socket()\n', 'imports open files or sockets'],
      ['import subprocess\nHELD = subprocess.Popen(["sleep", "60"])\n', 'imports start processes'],
      ['print("hello")\n', 'imports print something'],
      ['import os\nos.environ["KEPT"] = "1"\n', 'imports change the variable KEPT'],
      ['import sys\nsys.path.append("/elsewhere")\n', 'imports change sys.path or the working directory'],
      ['import sys\nsys.exit(3)\n', 'colour ends the program that imports it: SystemExit'],
      ['import own\n', 'the package has a module of its own called own'],
      ['try:\n  import own\nexcept ImportError:\n  pass\n', 'the package has a module of its own called own'],
      [
        'import os\nos.getenv("LATER")\n',
        'the agent changes the variable LATER, which its imports read',
        ['=LATER'],
      ],
      ['', 'the agent has import hooks of its own', ['!hooks Mine PathFinder']],
      ['', 'the agent changes its working directory', ['!chdir']],
      ['', 'gevent.monkey changes modules that are imported before it', ['gevent.monkey']],
    ];
    const refusals = await Promise.all(
      cases.map(async ([text, , more = []], i) => {
        // Each with a dependency of its own name, beside the others.
        const file = join(codeDir, 'python', `colour${i}.py`);
        writeFileSync(file, text);
        const record = [`colour${i}\t${file}`, ...more];
        const parent = await ParentProcess.start(plan(record), join(folder, 'parents'), 'test-quick').catch(
          (it: unknown) => it,
        );
        if (parent instanceof ParentProcess) await parent.end();
        return parent instanceof ForkRefused ? parent.message.replace(/colour\d+/, 'colour') : 'none';
      }),
    );
    expect(refusals).toEqual(cases.map(([, reason]) => reason));
    expect(readdirSync(join(folder, 'parents'))).toEqual([]);
  });

  it('imports nothing of the package itself, whatever an agent has written down', async () => {
    const touched = join(folder, 'touched');
    const text = `open(${JSON.stringify(touched)}, "w")\n`;
    for (const name of ['own.py', 'sitecustomize.py', 'main.py']) writeFileSync(join(codeDir, name), text);
    const record = [
      `own\t${join(codeDir, 'own.py')}`,
      'own.more',
      'main',
      `main\t${join(codeDir, 'main.py')}`,
      'nothing\t',
    ];
    const refused = ParentProcess.start(plan(record), join(folder, 'parents'), 'test-quick');
    await expect(refused).rejects.toThrow('the package has a module of its own called sitecustomize');
    rmSync(join(codeDir, 'sitecustomize.py'));
    const parent = await ParentProcess.start(plan(record), join(folder, 'parents'), 'test-quick');
    await parent.end();
    expect(existsSync(touched)).toBe(false);
  });

  it('takes back a fork that is not wanted after all, and serves the next', async () => {
    const ran = join(folder, 'ran');
    writeFileSync(join(codeDir, 'main.py'), `open(${JSON.stringify(ran)}, "a").write("once ")\n`);
    const parent = await ParentProcess.start(plan(), join(folder, 'parents'), 'test-quick');
    const order = (id: string) => {
      const own = join(folder, id);
      for (const name of [own, join(own, 'home'), join(own, 'tmp')]) mkdirSync(name);
      const environment = {
        ...parent.environment,
        RUNSTEAD_INSTANCE_ID: id,
        RUNSTEAD_DATA_MARK: 'test-quick',
      };
      return { id, folder: own, log: join(folder, `${id}.log`), record: '{"instanceId":"x"', environment };
    };
    try {
      const unwanted = await parent.fork(order('unwanted'));
      await unwanted.drop();
      expect(isThere(unwanted.leader.pid)).toBe(false);
      expect(existsSync(ran)).toBe(false);
      const wanted = await parent.fork(order('wanted'));
      wanted.go();
      await until('its end on disk', () => existsSync(join(folder, 'wanted', 'exit')));
      expect(readFileSync(ran, 'utf8')).toBe('once ');
    } finally {
      await parent.end();
    }
  });

  it('gives way to others once it is not used, and not before', async () => {
    let now = 0;
    const parents = new ForkParents({
      folder: join(folder, 'parents'),
      dataMark: 'test-quick',
      // One, and not another beside it.
      limitBytes: 45 * 1024 * 1024,
      log: pino({ level: 'silent' }),
      now: () => now,
    });
    const begin = async (key: string) => {
      parents.begin(key, 'runtime', plan);
      await parents.settled();
      return parents.ready.map((it) => it.key);
    };
    expect(await begin('one')).toEqual(['one']);
    expect(await begin('other')).toEqual(['one']);
    now += 61_000;
    expect(await begin('other')).toEqual(['other']);
    await parents.forget('runtime');
    expect(parents.ready).toEqual([]);
    await parents.close();
    expect(readdirSync(join(folder, 'parents'))).toEqual([]);
  });
});

describe('a Node that waits', () => {
  it.each([
    ['an ES module', 'facts.mjs'],
    ['a CommonJS module', 'facts.cjs'],
  ])('becomes an agent that sees what one that is started sees, as %s', async (_, file) => {
    const driver = pooling();
    const spec = () => node([file, 'one', 'two words'], { MINE: 'yes' });
    const started = await start(driver, spec());
    const plain = await factsOf(started);
    await waiting();
    const pooled = await start(driver, spec());
    // The one that was used, and the one that waits for the next start.
    const born = async () => (await marks()).filter((it) => it.startsWith('pool-')).length;
    await expect.poll(born).toBeGreaterThanOrEqual(2);
    expect(await factsOf(pooled)).toEqual(plain);
    expect(logOf(pooled)).toBe(logOf(started));
  });

  it('has the heap of an instance with as much memory', async () => {
    const driver = pooling({ limits: testLimits(dataDir) });
    const limits: unknown[] = [];
    for (const [i, memoryMiB] of [256, 1024].entries()) {
      const spec = () => ({ ...node(['heap.mjs']), memoryMiB });
      const started = await start(driver, spec());
      await waiting(i * 2 + 1);
      const pooled = await start(driver, spec());
      await waiting(i * 2 + 2);
      limits.push(await answer(started));
      expect(await answer(pooled)).toEqual(limits.at(-1));
    }
    // Where there are groups at all.
    if (testLimits(dataDir).places.memory) expect(limits[0]).not.toEqual(limits[1]);
  });

  it('serves one start, is followed by another, and its end is told', async () => {
    const driver = pooling();
    await start(driver, node(['facts.mjs']));
    await waiting();
    const exits: InstanceExit[] = [];
    const one = await start(driver, node(['facts.mjs']), (exit) => exits.push(exit));
    await waiting(2);
    const other = await start(driver, node(['facts.mjs']));
    expect(one.pid).not.toBe(other.pid);
    await get(one, '/exit').catch(() => {});
    await until('its exit', () => exits.length);
    expect(exits).toMatchObject([{ instanceId: one.instanceId, code: 7 }]);
    const failure = await waiting(3).then(() =>
      start(driver, node(['facts.mjs'], { FAIL: 'yes' })).catch((it: unknown) => it),
    );
    expect(failure).toMatchObject({ kind: 'exited' });
    expect((failure as { lastLines: string[] }).lastLines.join('\n')).toContain('Error: it was to fail');
  });

  it('loads what is to be loaded before the file', async () => {
    const stub = join(folder, 'stub.cjs');
    writeFileSync(stub, 'globalThis.played = [process.argv[1], process.env.MINE];\n');
    writeFileSync(
      join(codeDir, 'prints.mjs'),
      'console.log(JSON.stringify(globalThis.played)); console.error("also");\n',
    );
    const pool = new WaitingPool({
      folder: join(folder, 'pool'),
      dataMark: dataMark(dataDir),
      size: 1,
      log: pino({ level: 'silent' }),
    });
    const kind = { family: 'node' as const, program: process.execPath };
    expect(pool.take(kind)).toBeUndefined();
    pool.fill(() => true);
    const { process: waiting } = await until('one that waits', () => pool.take(kind));
    const instance = join(folder, 'instance');
    mkdirSync(instance);
    writeFileSync(join(instance, 'instance.json'), '{}');
    waiting.moveInto(instance);
    const environment = { MINE: 'yes' };
    const order = { environment, cwd: codeDir, words: ['prints.mjs'], preloads: [stub] };
    waiting.become(`${JSON.stringify(order)}\n`, environment);
    expect(await waiting.ended).toEqual({ code: 0 });
    expect(readFileSync(waiting.logPath, 'utf8')).toBe(
      `${JSON.stringify([join(codeDir, 'prints.mjs'), 'yes'])}\nalso\n`,
    );
    expect(readdirSync(instance).sort()).toEqual(['agent.pid', 'exit', 'instance.json', 'wrapper']);
    await pool.close();
  });

  it('is not there when none is wanted, and not made for what is no Node file', async () => {
    const none = driverOf({ pool: 0 });
    await start(none, node(['facts.mjs']));
    const some = pooling();
    await start(some, node(['--no-warnings', 'facts.mjs']));
    await start(some, agentSpec(['sh', 'start.sh']));
    expect((await marks()).filter((it) => !/^[0-9a-f-]{36}$/.test(it))).toEqual([]);
  });
});

describe.skipIf(!hasPython)('a Python that waits for any agent', () => {
  const WHERE = [
    { where: 'without a sandbox', held: () => ({}) },
    ...(sandbox ? [{ where: 'in the sandbox', held: confined }] : []),
  ];
  const makeVenv = () => {
    const program = 'missing' in found ? '' : found.path;
    execFileSync(program, ['-m', 'venv', '--without-pip', join(codeDir, '.venv')]);
    const lib = join(codeDir, '.venv', 'lib');
    const packages = join(lib, readdirSync(lib)[0]!, 'site-packages');
    // As those that come with installed packages: one adds a folder, one runs code.
    mkdirSync(join(packages, 'more'));
    writeFileSync(join(packages, 'a.pth'), 'more\n');
    writeFileSync(
      join(packages, 'b.pth'),
      'import os, sys; sys.meta_path.insert(0, type("Mine", (), {"find_spec": None})) if os.environ.get("MINE") == "no" else None\n',
    );
  };

  it.each(
    WHERE.flatMap((it) => [
      { ...it, words: ['facts.py', 'one', 'two words'], inVenv: false },
      { ...it, words: ['-u', '-m', 'facts', 'one'], inVenv: false },
      { ...it, words: ['facts.py'], inVenv: true },
    ]),
  )(
    'becomes one that sees what one that is started sees: $words $where, in its own environment: $inVenv',
    async ({ held, words, inVenv }) => {
      if (inVenv) makeVenv();
      const driver = pooling(held());
      const spec = () => python(words, { MINE: 'yes' });
      const started = await start(driver, spec());
      const plain = await factsOf(started);
      await waiting();
      const pooled = await start(driver, spec());
      expect(bornAs(pooled)).toMatch(/^pool-/);
      expect(await factsOf(pooled)).toEqual(plain);
      expect(logOf(pooled)).toBe(logOf(started));
    },
  );

  it.each([
    ['has a module that hides one of Python’s', 'json.py', 'the package has a module of its own called json'],
    ['brings what changes others', 'gevent.py', 'gevent.monkey changes modules that are imported before it'],
    [
      'has code of its own for all starts',
      'sitecustomize.py',
      'the package has a module of its own called sitecustomize',
    ],
  ])('is not used for a package that %s', async (_, file, reason) => {
    writeFileSync(join(codeDir, 'python', file), file === 'json.py' ? 'from _json import *\n' : '');
    writeFileSync(join(codeDir, 'main.py'), SERVES);
    const driver = pooling();
    for (let i = 0; i < 3; i++) {
      const instance = await start(driver, python(['main.py']));
      expect(bornAs(instance)).toBeUndefined();
      if (i === 0) await waiting();
    }
    expect(said.filter(({ msg }) => msg.startsWith('no process')).map((it) => it.reason)).toEqual([reason]);
  });
});

describe.skipIf(!sandbox)('in the sandbox,', () => {
  it.each([
    ['an ES module', 'facts.mjs'],
    ['a CommonJS module', 'facts.cjs'],
  ])('a Node that waits becomes an agent that sees what one that is started sees, as %s', async (_, file) => {
    const driver = pooling(confined());
    const spec = () => node([file, 'one', 'two words'], { MINE: 'yes' });
    const started = await start(driver, spec());
    const plain = await factsOf(started);
    await waiting();
    const pooled = await start(driver, spec());
    expect(bornAs(pooled)).toMatch(/^pool-/);
    expect(await factsOf(pooled)).toEqual(plain);
    expect(logOf(pooled)).toBe(logOf(started));
  });

  it.skipIf(!hasPython).each([
    ['a script', ['facts.py', 'one', 'two words']],
    ['a module', ['-u', '-m', 'facts', 'one']],
  ])('a Python that waits does, as %s', async (_, words) => {
    const driver = forking(confined());
    const started = await start(driver, python(words, { MINE: 'yes' }));
    const plain = (await factsOf(started)) as { procEnviron: string[] };
    await waiting();
    const prepared = await start(driver, python(words, { MINE: 'yes' }));
    expect(bornAs(prepared)).toMatch(/^parent-/);
    const withoutRecorder = plain.procEnviron.filter((it) => !it.startsWith('RUNSTEAD_RECORD_IMPORTS='));
    expect(await factsOf(prepared)).toEqual({ ...plain, procEnviron: withoutRecorder });
    expect(logOf(prepared)).toBe(logOf(started));
    // Another takes its place.
    await waiting(2);
  });

  it.skipIf(!hasPython)(
    'imports that fill the disk ahead of a start are ended, and made no more',
    async () => {
      // No instance lacks the name of its runtime.
      const ahead = 'os.environ.get("RUNSTEAD_RUNTIME_ID") is None';
      dependency(`import os\nif ${ahead}: open("/home/agent/much", "wb").write(bytes(16 * 1024 ** 2))\n`);
      writeFileSync(join(codeDir, 'main.py'), SERVES);
      const limits = testLimits(dataDir, { diskBytes: 8 * 1024 ** 2 });
      const driver = forking({ ...confined(), limits });
      await start(driver, python(['main.py']));
      const refusal = () => said.find(({ msg }) => msg.startsWith('no fork'))?.reason;
      // It may still import when it is looked at, and on a busy machine that is seldom.
      expect(await until('a refusal', refusal, 40_000)).toMatch(/disk: .* took more than 8 MiB/);
      await until('nothing of it', async () => !(await marks()).some((it) => it.startsWith('parent-')));
      await until('no group of it', () => !groupsOf(dataDir).some((it) => it.includes('parent-')));
    },
    60_000,
  );

  it('starts are ordinary where nothing can be mounted later, and the reason is said once', async () => {
    const program = join(folder, 'bwrap');
    const script = `for it; do [ "$it" != stage ] || { echo "bwrap: not here" >&2; exit 1; }; done\n`;
    writeFileSync(program, `#!/bin/sh\n${script}exec ${sandbox!.program} "$@"\n`, { mode: 0o755 });
    const driver = pooling({ ...confined(), confinedBy: { program } });
    for (let i = 0; i < 2; i++) {
      const instance = await start(driver, node(['facts.mjs']));
      expect(bornAs(instance)).toBeUndefined();
      await until('a look whether it can be done', () =>
        said.some(({ reason }) => reason === 'bwrap: not here'),
      );
    }
    expect(said.filter(({ reason }) => reason === 'bwrap: not here')).toHaveLength(1);
  });
});

/** The mark of what an instance was before; undefined where it was nothing. */
function bornAs({ instanceId }: Pick<RunningInstance, 'instanceId'>): string | undefined {
  const text = readFileSync(join(dataDir, 'instances', instanceId, 'identity.json'), 'utf8');
  return (JSON.parse(text) as { bornAs?: string }).bornAs;
}

describe("variables of the runtime's", () => {
  it('act on no process that waits, and one that would act at boot has its agent started', async () => {
    const library = join(folder, 'hostile.so');
    const touched = join(folder, 'touched');
    const source = join(folder, 'hostile.c');
    writeFileSync(
      source,
      '#include <stdio.h>\n#include <stdlib.h>\n__attribute__((constructor)) static void touch(void) {\n' +
        `  FILE *file = fopen("${touched}", "a");\n` +
        '  const char *who = getenv("RUNSTEAD_INSTANCE_ID");\n  fprintf(file, "%s\\n", who ? who : "nobody");\n  fclose(file);\n}\n',
    );
    execFileSync('cc', ['-shared', '-fPIC', '-o', library, source]);
    const trap = join(folder, 'trap');
    mkdirSync(trap);
    for (const name of ['node', 'python3', 'python', 'sh', 'mv']) {
      writeFileSync(join(trap, name), `#!/bin/sh\necho ${name} >> ${touched}\n`, { mode: 0o755 });
    }
    writeFileSync(join(trap, 'sitecustomize.py'), `open(${JSON.stringify(touched)}, "a").write("site\\n")\n`);
    const driver = driverOf({ pool: 1, forkMemoryBytes: 512 * 1024 * 1024 });
    const harmless = { PATH: trap, ENV: join(trap, 'rc'), PWD: trap };
    const kinds = [node(['facts.mjs'], harmless), ...(hasPython ? [python(['facts.py'], harmless)] : [])];
    for (const spec of kinds) await start(driver, spec);
    await waiting(kinds.length);

    const hostile: Record<string, string>[] = [
      { LD_PRELOAD: library, NODE_OPTIONS: '--title=mine' },
      {
        PYTHONSTARTUP: join(trap, 'sitecustomize.py'),
        PYTHONHASHSEED: '0',
        NODE_EXTRA_CA_CERTS: trap,
        TZ: 'Asia/Tokyo',
      },
    ];
    for (const { command } of kinds) {
      for (const environment of [harmless, ...hostile]) {
        const instance = await start(driver, { ...node([]), command, environment });
        const facts = await answer<{ env?: object; environ?: object }>(instance);
        expect(facts.env ?? facts.environ).toMatchObject({
          ...environment,
          PATH: expect.not.stringContaining(trap),
          ...(environment.NODE_OPTIONS && { NODE_OPTIONS: expect.stringContaining('--title=mine') }),
        });
        const touches = existsSync(touched) ? readFileSync(touched, 'utf8').split('\n').filter(Boolean) : [];
        // The agent's own processes alone.
        if (environment.LD_PRELOAD) expect(new Set(touches)).toEqual(new Set([instance.instanceId]));
        rmSync(touched, { force: true });
        await driver.stop(instance.instanceId, { graceMs: 0 });
        rmSync(touched, { force: true });
      }
    }
    // None of those that wait was taken for what does not qualify.
    expect((await marks()).filter((it) => it.startsWith('parent-'))).toHaveLength(hasPython ? 1 : 0);
  }, 60_000);
});

describe('when the server is killed', () => {
  beforeAll(() => {
    execFileSync('npx', ['tsc', '--build'], { cwd: SERVER, stdio: 'inherit' });
  }, 120_000);

  const forks = { forkMemoryBytes: 512 * 1024 * 1024 };
  const outside = [
    { kind: 'pooled', spec: () => node(['facts.mjs']), waits: { pool: 1 } },
    ...(hasPython
      ? [
          { kind: 'forked', spec: () => python(['facts.py']), waits: forks },
          { kind: 'a pooled Python', spec: () => python(['facts.py']), waits: { pool: 1 } },
        ]
      : []),
  ];
  const kinds = [
    ...outside.map((it) => ({ ...it, waits: { ...it.waits, sandboxed: false } })),
    ...(sandbox ? outside : []).map(({ kind, spec, waits }) => ({
      kind: `${kind} in the sandbox`,
      spec,
      waits: { ...waits, sandboxed: true },
    })),
  ];
  function startServer(spec: InstanceSpec, more: object) {
    const args = [
      join(SERVER, 'test', 'drivers', 'server-process.mjs'),
      JSON.stringify({ dataDir, spec, ...more }),
    ];
    const server = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    servers.push(server);
    let output = '';
    server.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    const instance = () => (output.endsWith('\n') ? (JSON.parse(output) as RunningInstance) : undefined);
    return { server, instance };
  }
  const gone = (server: ChildProcess) =>
    server.exitCode === null && server.signalCode === null ? once(server, 'exit') : Promise.resolve();

  it.each(kinds)(
    'what is $kind runs on, is taken over, and what waits ends',
    async ({ spec, waits }) => {
      const wanted = spec();
      const { server, instance } = startServer(wanted, { ...waits, warmUp: spec() });
      const before = await until('the agent', instance);
      server.kill('SIGKILL');
      await gone(server);
      await until('the end of what waits', async () => {
        const left = new Set(await marks());
        const own = readRecordMark(wanted);
        return [...left].every((it) => it === wanted.instanceId || it === own);
      });
      const driver = driverOf(waits.sandboxed ? confined() : {});
      const [adopted, ...others] = await driver.adopt();
      expect(others).toEqual([]);
      expect(adopted).toMatchObject({ instanceId: wanted.instanceId, pid: before.pid, port: before.port });
      await answer(adopted!, '/parent');
      const exits: InstanceExit[] = [];
      adopted!.onExit = (exit) => exits.push(exit);
      await get(adopted!, '/exit').catch(() => {});
      await until('its exit', () => exits.length);
      expect(exits).toMatchObject([{ code: 7 }]);
      expect(isThere(before.pid!)).toBe(false);
    },
    60_000,
  );

  function readRecordMark({ instanceId }: InstanceSpec): string | undefined {
    const text = readFileSync(join(dataDir, 'instances', instanceId, 'identity.json'), 'utf8');
    return (JSON.parse(text) as { bornAs?: string }).bornAs;
  }

  it.each(kinds.flatMap((it) => ['waiting', 'spawned'].map((dieAt) => ({ ...it, dieAt }))))(
    'at "$dieAt", of what is $kind no orphan is left',
    async ({ spec, waits, dieAt }) => {
      const { server } = startServer(spec(), { ...waits, warmUp: spec(), dieAt });
      await gone(server);
      expect(server.signalCode).toBe('SIGKILL');
      const driver = driverOf(waits.sandboxed ? confined() : {});
      const adopted = await driver.adopt();
      if (dieAt === 'ready') expect(adopted).toHaveLength(1);
      if (dieAt === 'waiting' || dieAt === 'prepared') expect(adopted).toEqual([]);
      const kept = new Set(adopted.map(({ instanceId }) => instanceId));
      const others = (await marks()).filter((it) => !kept.has(it) && !/^(pool|parent)-/.test(it));
      expect(others).toEqual([]);
      if (adopted.length === 0) expect(await marks()).toEqual([]);
      expect(existsSync(join(dataDir, 'run', 'pool')) || existsSync(join(dataDir, 'run', 'parents'))).toBe(
        false,
      );
    },
    60_000,
  );
});
