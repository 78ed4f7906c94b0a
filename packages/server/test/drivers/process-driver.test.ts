import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomInt, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { InstanceExit, SocketLink } from '../../src/drivers/driver.ts';
import type { InstanceSpec } from '../../src/drivers/instance-spec.ts';
import type { ProcessDriverOptions } from '../../src/drivers/process/process-driver.ts';
import { bootId, startTicksOf } from '../../src/drivers/process/processes.ts';
import { agentSpec, driverCases, get, isThere, outerAddresses, until } from '../driver-cases.ts';
import {
  benchOf,
  buildServer,
  killed,
  leftoversOf,
  makeDriver,
  newFolder,
  removeFolder,
  startKillable,
} from './harness.ts';

driverCases('process', () => benchOf(), { processes: true });

describe('the process driver and its machine', () => {
  let dataDir: string;
  const drivers: ReturnType<typeof makeDriver>[] = [];
  const started: ChildProcess[] = [];

  function driverOf(changes: Partial<ProcessDriverOptions> = {}) {
    const driver = makeDriver(dataDir, changes);
    drivers.push(driver);
    return driver;
  }

  function options(onExit: (exit: InstanceExit) => void = () => {}) {
    return { signal: new AbortController().signal, onExit };
  }

  beforeEach(() => {
    dataDir = newFolder();
  });

  afterEach(async () => {
    for (const driver of drivers.splice(0)) {
      await Promise.all(driver.list().map((it) => driver.stop(it.instanceId, { graceMs: 0 })));
      await driver.close();
    }
    for (const child of started.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    const left = await leftoversOf(dataDir);
    await removeFolder(dataDir);
    expect(left).toEqual([]);
  });

  describe('when the server is killed', () => {
    beforeAll(buildServer, 120_000);

    function startServer(spec: InstanceSpec, more: object = {}) {
      const killable = startKillable({ dataDir, spec, ...more });
      started.push(killable.server);
      return killable;
    }

    function linesIn(spec: InstanceSpec): number[] {
      const path = join(dataDir, 'logs', spec.runtimeId, `${spec.instanceId}.log`);
      const text = readFileSync(path, 'utf8').replaceAll('\0', '');
      return text.match(/(?<=^line )\d+(?=.*\n)/gm)?.map(Number) ?? [];
    }

    it('tells what an instance takes of the memory, its wrapper and children included, and whether it is at work', async () => {
      const driver = driverOf();
      const code = `require('node:http').createServer((_, answer) => answer.end('{"status":"HealthyBusy"}')).listen(process.env.PORT);`;
      const spec = agentSpec(['node', '-e', code]);
      await driver.start(spec, options());
      const used = await driver.usageOf!([spec.instanceId, 'of nobody']);
      if (process.platform === 'linux') {
        const { memoryBytes } = used.get(spec.instanceId)!;
        expect(memoryBytes).toBeGreaterThan(4 * 2 ** 20);
        expect(memoryBytes).toBeLessThan(2 ** 30);
      }
      expect(used.get('of nobody')?.memoryBytes).toBeUndefined();
      expect(await driver.probe(spec.instanceId)).toEqual({ ok: true, detail: 'HTTP 200', busy: true });
    });

    it('its agents work and log on, and are taken over with nothing lost', async () => {
      const spec = agentSpec(['node', 'counter.mjs', 'x'.repeat(200)], {
        environment: { MODEL_API_KEY: 'sk-123456' },
        healthCheck: { httpGetUrl: '/well', timeoutSeconds: 2 },
      });
      const { server, instance } = startServer(spec);
      const before = await until('the agent', instance);
      // Beyond the limit of 256 KiB twice over, so that the head has been given back while the agent was writing.
      const path = join(dataDir, 'logs', spec.runtimeId, `${spec.instanceId}.log`);
      await until('a log that was shortened', () => existsSync(`${path}.start`));
      await killed(server);
      const atDeath = linesIn(spec).at(-1)!;
      await until('lines without a server', () => linesIn(spec).at(-1)! > atDeath + 500);

      const driver = driverOf({ logCheckMs: 50 });
      const [adopted, ...others] = await driver.adopt();
      expect(others).toEqual([]);
      expect(adopted).toMatchObject({
        instanceId: spec.instanceId,
        pid: before.pid,
        port: before.port,
        revision: 1,
      });
      expect(await (await get(adopted!)).text()).toMatch(/^\d+$/);
      expect(await driver.probe(spec.instanceId)).toEqual({ ok: true, detail: 'HTTP 200' });
      await expect(driver.start(spec, options())).resolves.toBe(adopted);

      const size = () => statSync(path).size;
      const grown = size() + 1024 * 1024;
      await until('another MiB', () => size() > grown);
      await until('a bounded file', () => statSync(path).blocks * 512 <= 3 * 256 * 1024);
      const numbers = linesIn(spec);
      expect(numbers.length).toBeGreaterThan(1000);
      expect(numbers).toEqual(numbers.map((_, i) => numbers[0]! + i));
      const tail = await driver.logTail(spec.instanceId, { maxLines: 30 });
      expect(tail.map((line) => /^line \d+ x+$/.test(line))).toEqual(Array(30).fill(true));

      const exits: InstanceExit[] = [];
      adopted!.onExit = (exit) => exits.push(exit);
      process.kill(adopted!.pid!, 'SIGSEGV');
      await until('its exit', () => exits.length);
      expect(exits[0]).toMatchObject({ instanceId: spec.instanceId, signal: 'SIGSEGV' });
      expect(exits[0]!.lastLines).toHaveLength(20);
      await driver.stop(spec.instanceId, { graceMs: 0 });
    }, 60_000);

    it('an adopted agent ends politely', async () => {
      const spec = agentSpec(['node', 'polite.mjs']);
      const { server, instance } = startServer(spec);
      await until('the agent', instance);
      await killed(server);
      const driver = driverOf();
      await driver.adopt();
      const begun = performance.now();
      await driver.stop(spec.instanceId, { graceMs: 10_000 });
      expect(performance.now() - begun).toBeLessThan(3000);
      expect(await driver.logTail(spec.instanceId, { maxLines: 5 })).toEqual(['finishing', 'finished']);
    });

    it('one that ended meanwhile is cleared away, its log kept and still masked', async () => {
      const environment = { SAY: 'the key is sk-123456\n', API_KEY: 'sk-123456' };
      const spec = agentSpec(['node', 'talker.mjs'], { environment });
      const { server, instance } = startServer(spec);
      const { pid } = await until('the agent', instance);
      await killed(server);
      process.kill(pid, 'SIGKILL');
      const exitFile = join(dataDir, 'instances', spec.instanceId, 'exit');
      await until('its status on disk', () => existsSync(exitFile));
      expect(readFileSync(exitFile, 'latin1')).toBe('137\n');
      const driver = driverOf();
      expect(await driver.adopt()).toEqual([]);
      expect(await driver.logTail(spec.instanceId, { maxLines: 5 })).toEqual(['the key is ***']);
    });

    it.each([
      { dieAt: 'prepared', freeze: false },
      { dieAt: 'spawned', freeze: false },
      { dieAt: 'spawned', freeze: true },
      { dieAt: 'ready', freeze: false },
    ])('at "$dieAt" (wrapper stopped there: $freeze) no orphan is left', async ({ dieAt, freeze }) => {
      const spec = agentSpec(['node', 'echo.mjs']);
      const { server } = startServer(spec, { dieAt, freeze });
      if (server.signalCode === null) await once(server, 'exit');
      expect(server.signalCode).toBe('SIGKILL');
      const driver = driverOf();
      const adopted = await driver.adopt();
      // With a record it is found; without one it is ended. Never neither. A wrapper may be stopped after it has written it.
      if (dieAt === 'prepared') expect(adopted).toEqual([]);
      if (freeze) expect(adopted.length).toBeLessThanOrEqual(1);
      if (dieAt === 'ready') expect(adopted).toHaveLength(1);
      if (adopted.length === 0) expect(await leftoversOf(dataDir)).toEqual([]);
    });

    it('takes over what it let go of itself', async () => {
      const spec = agentSpec(['node', 'echo.mjs']);
      const first = driverOf();
      const before = await first.start(spec, options());
      await first.close();
      expect(isThere(before.pid!)).toBe(true);
      const [adopted] = await driverOf().adopt();
      expect(adopted).toMatchObject({ pid: before.pid, port: before.port, host: before.host });
    });
  });

  describe('a record that names a stranger', () => {
    async function strangerWith(changes: (pid: number) => object) {
      const stranger = spawn('sleep', ['1000'], { stdio: 'ignore', detached: true });
      started.push(stranger);
      const driver = driverOf();
      const instanceId = randomUUID();
      const folder = join(dataDir, 'instances', instanceId);
      mkdirSync(folder);
      const record = {
        instanceId,
        runtimeId: 'agent-runtime-test',
        revision: 1,
        host: '127.0.0.1',
        port: 21_500,
        startedAt: new Date().toISOString(),
        bootId: bootId(),
        pid: stranger.pid!,
        startTicks: startTicksOf(stranger.pid!)!,
        ...changes(stranger.pid!),
      };
      writeFileSync(join(folder, 'identity.json'), JSON.stringify(record));
      return { driver, instanceId, folder, stranger };
    }

    it.each([
      ['was started at another time', () => ({ startTicks: '12345' })],
      ['is of another boot', () => ({ bootId: '00000000-0000-0000-0000-000000000000' })],
    ])('that %s does it no harm', async (_, changes) => {
      const { driver, instanceId, folder, stranger } = await strangerWith(changes);
      expect(await driver.adopt()).toEqual([]);
      await driver.stop(instanceId, { graceMs: 0 });
      expect(existsSync(folder)).toBe(false);
      expect(isThere(stranger.pid!)).toBe(true);
    });

    it('is not cleared by another data folder', async () => {
      const spec = agentSpec(['node', 'echo.mjs']);
      const instance = await driverOf().start(spec, options());
      const elsewhere = newFolder();
      const other = makeDriver(elsewhere);
      expect(await other.adopt()).toEqual([]);
      await other.close();
      await removeFolder(elsewhere);
      expect(isThere(instance.pid!)).toBe(true);
    });
  });

  describe('the wrapper', () => {
    it("is out of reach of the user's variables", async () => {
      const trap = join(dataDir, 'trap');
      mkdirSync(trap);
      const touched = join(dataDir, 'touched');
      writeFileSync(join(trap, 'rc'), `echo rc >> ${touched}\n`);
      for (const name of ['mv', 'sh', 'env', 'node']) {
        writeFileSync(join(trap, name), `#!/bin/sh\necho ${name} >> ${touched}\n`, { mode: 0o755 });
      }
      const environment = {
        LD_PRELOAD: join(trap, 'missing.so'),
        ENV: join(trap, 'rc'),
        PATH: trap,
        IFS: '/',
        folder: trap,
        record: 'mine',
        UID: '7',
        PYTHONHOME: trap,
        NODE_OPTIONS: '--title=mine',
      };
      // BASH_ENV is not among them: the agent is free to start a bash that reads it.
      const spec = agentSpec(['node', 'echo.mjs'], { environment });
      const driver = driverOf();
      const instance = await driver.start(spec, options());
      const { env } = (await (await get(instance)).json()) as { env: Record<string, string> };
      expect(env).toMatchObject({
        LD_PRELOAD: environment.LD_PRELOAD,
        folder: trap,
        record: 'mine',
        UID: '7',
      });
      // What the platform asks of Node besides is not passed on.
      expect(env.NODE_OPTIONS).toMatch(/^--title=mine --require \S+listen\.cjs$/);
      expect(existsSync(touched)).toBe(false);

      const record = JSON.parse(
        readFileSync(join(dataDir, 'instances', spec.instanceId, 'identity.json'), 'utf8'),
      ) as { pid: number; startTicks: string };
      expect(record.startTicks).toBe(startTicksOf(record.pid));
      const variables = readFileSync(`/proc/${record.pid}/environ`, 'latin1').split('\0').filter(Boolean);
      expect(variables.map((it) => it.split('=')[0]).sort()).toEqual([
        'PATH',
        'RUNSTEAD_DATA_MARK',
        'RUNSTEAD_INSTANCE_ID',
        'RUNSTEAD_RUNTIME_ID',
      ]);
      // The dynamic loader complains once for each program that is started with it: env and the agent, nobody else.
      const complaints = (await driver.logTail(spec.instanceId, { maxLines: 100 })).filter((it) =>
        it.includes('missing.so'),
      );
      expect(complaints).toHaveLength(2);
    });

    it('leaves no variable on disk or in arguments, and keeps its folders to itself', async () => {
      const secret = 'sesame-open-yourself';
      const spec = agentSpec(['node', 'echo.mjs'], { environment: { SOME_NAME: secret } });
      const instance = await driverOf().start(spec, options());
      // 1: grep has found nothing.
      expect(spawnSync('grep', ['-rl', secret, dataDir]).status).toBe(1);
      const record = join(dataDir, 'instances', spec.instanceId);
      expect(statSync(record).mode & 0o777).toBe(0o700);
      const everyLine = execFileSync('ps', ['-axww', '-o', 'command='], { encoding: 'utf8' });
      expect(everyLine).not.toContain(secret);
      expect(isThere(instance.pid!)).toBe(true);
    });

    it('gives the agent signals as they are by default', async () => {
      const spec = agentSpec(['sh', '-c', 'grep SigIgn /proc/self/status; exit 1']);
      const failure = (await driverOf()
        .start(spec, options())
        .catch((error: unknown) => error)) as Error & {
        lastLines: string[];
      };
      expect(failure.lastLines).toEqual(['SigIgn:\t0000000000000000']);
    });
  });

  describe('a port', () => {
    /** Somewhere else each time: others may run the same test beside this one. */
    const alone = randomInt(12_000, 19_000);

    it('that a stranger has taken meanwhile is not called ready', async () => {
      const stranger = createServer((_, response) => response.end('well!'));
      const driver = driverOf({
        portRange: { from: alone, to: alone },
        onStep: (step) => step === 'prepared' && stranger.listen(alone, '127.0.0.1'),
      });
      const failed = driver.start(agentSpec(['node', 'silent.mjs']), options());
      await expect(failed).rejects.toMatchObject({
        phase: 'probe',
        message: `port ${alone} is held by another process`,
      });
      stranger.closeAllConnections();
      await new Promise((resolve) => stranger.close(resolve));
    });

    it("is known to be the instance's by its socket, until that is closed", async () => {
      const driver = driverOf();
      const spec = agentSpec(['node', 'reopens.mjs']);
      const instance = await driver.start(spec, options());
      const first = instance.links!;
      const holds = ({ path, target }: SocketLink) => existsSync(path) && readlinkSync(path) === target;
      expect(first).toHaveLength(1);
      expect(holds(first[0]!)).toBe(true);
      expect(await driver.identify(spec.instanceId)).toEqual({ holder: 'instance', links: first });

      await get(instance, '/close');
      expect(first.some(holds)).toBe(false);
      expect(await driver.identify(spec.instanceId)).toEqual({ holder: 'nobody' });
      expect(instance.links).toEqual([]);

      const stranger = createServer((_, response) => response.end('well!')).listen(
        instance.port,
        '127.0.0.1',
      );
      await once(stranger, 'listening');
      expect(await driver.identify(spec.instanceId)).toEqual({ holder: 'stranger' });
      expect(await driver.probe(spec.instanceId)).toMatchObject({ ok: false });
      stranger.closeAllConnections();
      await new Promise((resolve) => stranger.close(resolve));

      process.kill(instance.pid!, 'SIGUSR2');
      await until('the port to be open again', async () => {
        return (await driver.identify(spec.instanceId)).holder === 'instance';
      });
      expect(instance.links!.every(holds)).toBe(true);
      expect(instance.links).not.toEqual(first);
      expect(await driver.identify('never-there')).toEqual({ holder: 'nobody' });
    });

    it('comes back after every way a start can end', async () => {
      const driver = driverOf({ portRange: { from: alone, to: alone }, portRestMs: 0 });
      for (const command of [
        ['nothing'],
        ['node', 'exit-at-once.mjs'],
        ['node', 'silent.mjs'],
        ['node', 'echo.mjs'],
      ]) {
        const spec = agentSpec(command, { startTimeoutMs: 1000 });
        const up = await driver.start(spec, options()).catch(() => undefined);
        expect(up !== undefined).toBe(command[1] === 'echo.mjs');
        await driver.stop(spec.instanceId, { graceMs: 1000 });
      }
      const last = agentSpec(['node', 'echo.mjs']);
      expect((await driver.start(last, options())).port).toBe(alone);
      await expect(driver.start(agentSpec(['node', 'echo.mjs']), options())).rejects.toMatchObject({
        kind: 'cannot-start',
        message: `no port is free between ${alone} and ${alone}`,
      });
    });

    it('open to others is refused when the server is reachable from elsewhere', async () => {
      if (outerAddresses().length === 0) return console.warn('skipped: loopback addresses only');
      const driver = driverOf({ loopbackOnly: true });
      // Without the preload, as a program in Go would be.
      const bare = agentSpec(['sh', '-c', 'NODE_OPTIONS= exec node slow.mjs 0']);
      await expect(driver.start(bare, options())).rejects.toMatchObject({
        kind: 'cannot-start',
        message: expect.stringContaining('past the gateway') as string,
      });
      await driver.start(agentSpec(['node', 'slow.mjs', '0']), options());
    });
  });

  it('follows no redirect after readiness either: the agent is no longer well', async () => {
    let foreign = 0;
    const elsewhere = createServer((_, response) => response.end('well!')).listen(0, '127.0.0.1');
    elsewhere.on('connection', () => foreign++);
    await once(elsewhere, 'listening');
    const { port } = elsewhere.address() as AddressInfo;
    const driver = driverOf();
    const spec = agentSpec(['node', 'turns.mjs'], {
      environment: { ELSEWHERE: `http://127.0.0.1:${port}/ready` },
      healthCheck: { httpGetUrl: '/ready?x=1' },
    });
    const instance = await driver.start(spec, options());
    expect(await driver.probe(spec.instanceId)).toEqual({ ok: true, detail: 'HTTP 200' });
    await get(instance, '/turn');
    expect(await driver.probe(spec.instanceId)).toEqual({ ok: false, detail: 'HTTP 302' });
    expect(foreign).toBe(0);
    await new Promise((resolve) => elsewhere.close(resolve));
  });

  it('says which interpreter is missing, and what is there', async () => {
    const spec = agentSpec(['java', '-jar', 'agent.jar'], { language: 'java99' as never });
    await expect(driverOf().start(spec, options())).rejects.toMatchObject({
      kind: 'cannot-start',
      message: expect.stringMatching(
        /^java99 is needed but not on this machine; found: .+ Install it or/,
      ) as string,
    });
  });

  it('a flood of output takes little of the disk, is told of, and can be read at its end', async () => {
    const driver = driverOf({ logLimitBytes: 256 * 1024, logCheckMs: 50 });
    const spec = agentSpec(['node', 'flood-of-lines.mjs']);
    const running = await driver.start(spec, options());
    const written = Number(await (await get(running, '/32')).text());
    const sizeOnDisk = () =>
      readdirSync(join(dataDir, 'logs', spec.runtimeId))
        .map((name) => statSync(join(dataDir, 'logs', spec.runtimeId, name)).blocks * 512)
        .reduce((sum, bytes) => sum + bytes, 0);
    await until('the log to be shortened', () => sizeOnDisk() < 1024 * 1024);
    const [log] = driver.logsOf!(spec.runtimeId);
    expect(log).toMatchObject({ instanceId: spec.instanceId, revision: 1, isOver: false });
    // Nobody sees what is written in the moments in which a flood is cut.
    expect(log!.end).toBeGreaterThan(24 * 1024 * 1024);
    const { from, bytes } = await log!.read(0, 10 * 1024 * 1024);
    expect(from).toBe(log!.start);
    expect(bytes.toString()).toMatch(new RegExp(`^line \\d+ x{100}\n(?:.*\n)*line ${written - 1} x{100}\n$`));
    expect(log!.timeAt(log!.end)).toBeGreaterThan(log!.openedAt);
    await driver.stop(spec.instanceId, { graceMs: 0 });
    expect(driver.logsOf!(spec.runtimeId)).toMatchObject([{ isOver: true, end: log!.end }]);
  });

  it('logs of a runtime stay within what they may take up in all: the oldest of ended instances go', async () => {
    const driver = driverOf({ logLimitBytes: 8 * 1024 * 1024, logsRuntimeBytes: 5 * 1024 * 1024 });
    const specs = Array.from({ length: 3 }, () => agentSpec(['node', 'flood-of-lines.mjs']));
    const kept = () => driver.logsOf!(specs[0]!.runtimeId).map(({ instanceId }) => instanceId);
    for (const spec of specs) {
      await get(await driver.start(spec, options()), '/2');
      await driver.stop(spec.instanceId, { graceMs: 0 });
    }
    await until('the oldest log to go', () => kept().length === 2);
    expect(kept().sort()).toEqual([specs[1]!.instanceId, specs[2]!.instanceId].sort());
  });

  it("keeps only the newest logs of a runtime's ended instances", async () => {
    const driver = driverOf({ keptLogs: 2 });
    const specs = Array.from({ length: 4 }, () => agentSpec(['node', 'exit-at-once.mjs']));
    for (const spec of specs) await expect(driver.start(spec, options())).rejects.toThrow('exited');
    const kept = await Promise.all(specs.map((spec) => driver.logTail(spec.instanceId, { maxLines: 1 })));
    expect(kept.map((lines) => lines.length)).toEqual([0, 0, 1, 1]);
  });
});
