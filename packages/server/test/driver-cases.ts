import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Driver, type InstanceExit, type RunningInstance, StartFailure } from '../src/drivers/driver.ts';
import type { InstanceSpec } from '../src/drivers/instance-spec.ts';
import { startTicksOf } from '../src/drivers/process/processes.ts';

/** A driver with a data folder of its own. */
export interface DriverBench {
  driver: Driver;
  /** What of its instances can still be found on this machine, each described in a line; nothing when all is well. */
  leftovers(): Promise<string[]>;
  /** Sends a signal to an instance's agent behind the driver's back. */
  kill(instance: RunningInstance, signal: NodeJS.Signals): Promise<void>;
  /** As a server does that starts after another: lets go of everything, and opens the data folder again. */
  reopen(): Promise<Driver>;
  /** Ends everything and removes the data folder. */
  dispose(): Promise<void>;
}

export interface DriverCaseOptions {
  /** Agents are processes of this machine, with pids and signals. */
  processes: boolean;
  /** Agents count their processes anew, from 1: the numbers they name are not this machine's. Default: false. */
  ownPids?: boolean;
  /** Whether an agent is held to its memory. Default: false. */
  limitsMemory?: boolean;
  /** Where an agent sees the package's folder. Default: where it is. */
  codeDirInside?: (codeDir: string) => string;
  /** Agents are in containers: each with a network and ports of its own, and with an environment beneath ours. */
  containers?: boolean;
}

const MANY = 50;
/** Starting so many takes its time on a machine that does other things besides. */
const MANY_AT_ONCE = { startTimeoutMs: 90_000 };

export const AGENTS = fileURLToPath(new URL('./fixtures/agents', import.meta.url));

/** The configuration of a small agent that is ready at once. */
export function agentSpec(command: string[], changes: Partial<InstanceSpec> = {}): InstanceSpec {
  return {
    instanceId: randomUUID(),
    runtimeId: 'agent-runtime-test',
    runtimeName: 'test',
    revision: 1,
    codeDir: AGENTS,
    language: 'custom',
    command,
    port: 9000,
    environment: {},
    cpu: 1,
    memoryMiB: 512,
    healthCheck: {},
    startTimeoutMs: 30_000,
    ...changes,
  };
}

/** Waits for a condition, checked every few milliseconds. */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  deadlineMs = 10_000,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value) return value as NonNullable<T>;
    if (performance.now() > deadline) throw new Error(`waited ${deadlineMs} ms in vain for: ${what}`);
    await delay(5);
  }
}

export function get(instance: RunningInstance, path = '/', host = instance.host): Promise<Response> {
  const name = host.includes(':') ? `[${host}]` : host;
  return fetch(`http://${name}:${instance.port}${path}`, { headers: { connection: 'close' } });
}

export function hasPython(): boolean {
  try {
    execFileSync('python3', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    console.warn('skipped: this machine has no python3');
    return false;
  }
}

/**
 * Addresses of this machine under which others reach it. Not those of networks for containers: other tests make and
 * remove such networks, and what answers under an address that is gone is not this machine.
 */
export function outerAddresses(): string[] {
  return Object.entries(networkInterfaces())
    .filter(([name]) => !/^(podman|docker|br-|cni|veth)/.test(name))
    .flatMap(([, addresses]) => addresses ?? [])
    .filter((it) => !it.internal && !it.address.startsWith('fe80'))
    .map((it) => it.address);
}

/** What every driver must do, whatever it runs agents in. */
export function driverCases(
  name: string,
  makeDriver: () => Promise<DriverBench>,
  options: DriverCaseOptions,
): void {
  const { processes, ownPids = false, limitsMemory = false, codeDirInside = (codeDir) => codeDir } = options;
  describe(`the ${name} driver`, () => {
    let bench: DriverBench;
    let driver: Driver;
    const unwanted = () => {
      throw new Error('this instance was not to end by itself');
    };

    beforeEach(async () => {
      bench = await makeDriver();
      driver = bench.driver;
    });

    afterEach(async () => {
      await Promise.all(driver.list().map((it) => driver.stop(it.instanceId, { graceMs: 0 })));
      const left = await bench.leftovers();
      await bench.dispose();
      expect(left).toEqual([]);
    });

    /** @param why printed: what is left out does not go unsaid */
    const notInContainers = (why: string) => {
      if (options.containers) console.warn(`left out for containers: ${why}`);
      return options.containers === true;
    };

    const isUnlimited = () => {
      if (!limitsMemory) console.warn('left out: these agents are held to no memory');
      return !limitsMemory;
    };

    /** Whether agents may be written in it. */
    const hasPythonInside = () => !notInContainers('there is no Python in the image') && hasPython();

    function start(spec: InstanceSpec, onExit: (exit: InstanceExit) => void = unwanted) {
      return driver.start(spec, { signal: new AbortController().signal, onExit });
    }

    async function failureOf(spec: InstanceSpec): Promise<StartFailure> {
      const outcome = await start(spec).then(
        () => new Error('it started'),
        (error: unknown) => error,
      );
      expect(outcome).toBeInstanceOf(StartFailure);
      expect(driver.list()).toEqual([]);
      expect(await bench.leftovers()).toEqual([]);
      return outcome as StartFailure;
    }

    describe('start', () => {
      it('resolves with an instance that answers calls', async () => {
        const spec = agentSpec(['node', 'echo.mjs', 'one', 'two words']);
        const instance = await start(spec);
        expect(instance).toMatchObject({
          instanceId: spec.instanceId,
          runtimeId: spec.runtimeId,
          revision: 1,
          host: '127.0.0.1',
        });
        expect(instance.startMs).toBeGreaterThan(0);
        const seen = (await (await get(instance, '/x?y=1')).json()) as Record<string, unknown>;
        expect(seen.url).toBe('/x?y=1');
        expect((seen.argv as string[]).slice(2)).toEqual(['one', 'two words']);
        expect(seen.execArgv).toEqual([]);
        expect(seen.cwd).toBe(codeDirInside(AGENTS));
        if (processes && !ownPids) expect(seen.pid).toBe(instance.pid);
        expect(driver.list()).toEqual([instance]);
        expect(await driver.probe(spec.instanceId)).toEqual({ ok: true, detail: 'HTTP 200' });
      });

      it('gives the agent exactly the promised environment', async () => {
        const odd = 'it\'s "odd" $HOME `id` \\ \n second line\t*ÿ Á ✓ 🎈';
        const spec = agentSpec(['node', 'echo.mjs'], {
          environment: {
            MODEL_NAME: 'qwen',
            ODD: odd,
            EMPTY: '',
            'with.dot': 'a b',
            UID: '42',
            PORT: '1',
            FC_REGION: 'mars',
            PATH: '/nowhere',
            HOME: '/root',
            LANG: 'de_DE.UTF-8',
            PYTHONPATH: '/mine',
          },
        });
        process.env.RUNSTEAD_TEST_LEAK = 'of the server';
        const instance = await start(spec).finally(() => delete process.env.RUNSTEAD_TEST_LEAK);
        const { env } = (await (await get(instance)).json()) as { env: Record<string, string> };
        const own = options.containers
          ? 'HOSTNAME TERM container'
          : 'NODE_OPTIONS RUNSTEAD_DATA_MARK RUNSTEAD_PORT_MAP';
        const names = (
          'EMPTY FC_ACCOUNT_ID FC_CUSTOM_LISTEN_PORT FC_REGION FC_SERVER_PORT HOME LANG MODEL_NAME ODD ' +
          'PATH PORT PYTHONPATH PYTHONUNBUFFERED RUNSTEAD_INSTANCE_ID ' +
          `RUNSTEAD_RUNTIME_ID TMPDIR UID with.dot ${own}${process.env.TZ && !options.containers ? ' TZ' : ''}`
        ).split(' ');
        // A shell that is bash adds these two to whatever it starts.
        const { SHLVL: _level, _: _last, ...rest } = env;
        expect(Object.keys(rest).sort()).toEqual(names.sort());
        expect(env).toMatchObject({
          ODD: odd,
          EMPTY: '',
          'with.dot': 'a b',
          UID: '42',
          MODEL_NAME: 'qwen',
          LANG: 'de_DE.UTF-8',
          PYTHONUNBUFFERED: '1',
          FC_REGION: 'cn-test',
          FC_ACCOUNT_ID: '0000000000000000',
        });
        expect(env.PATH).not.toContain('/nowhere');
        expect(env.HOME).not.toBe('/root');
        const code = codeDirInside(AGENTS);
        expect(`:${env.PYTHONPATH}`).toMatch(new RegExp(`:${code}/python:/opt/python:${code}:/mine$`));
        expect(new Set([env.PORT, env.FC_SERVER_PORT, env.FC_CUSTOM_LISTEN_PORT]).size).toBe(1);
      });

      it('refuses to pass a secret where it could be seen', async () => {
        if (notInContainers('no variable is seen in a list of processes')) return;
        const failure = await failureOf(
          agentSpec(['node', 'echo.mjs'], { environment: { 'my.api-key': 'sesame-open' } }),
        );
        expect(failure).toMatchObject({ phase: 'start', kind: 'cannot-start' });
        expect(failure.message).toContain('"my.api-key"');
        expect(failure.message).not.toContain('sesame');
      });

      it('is the same start when it is asked for twice', async () => {
        const spec = agentSpec(['node', 'slow.mjs', '100']);
        const [first, second] = await Promise.all([start(spec), start(spec)]);
        expect(second).toBe(first);
        expect(await start(spec)).toBe(first);
        expect(driver.list()).toHaveLength(1);
      });

      it('waits for an agent that needs its time', async () => {
        const instance = await start(agentSpec(['node', 'slow.mjs', '700']));
        expect(instance.startMs).toBeGreaterThan(650);
        expect(await (await get(instance)).text()).toBe('awake');
      });

      it('takes an agent that speaks no HTTP when it keeps a connection open', async () => {
        const instance = await start(agentSpec(['node', 'line-protocol.mjs']));
        expect(instance.startMs).toBeGreaterThan(950);
      });

      it('runs a launcher of the package', async () => {
        for (const word of ['./start.sh', 'start.sh']) {
          const instance = await start(agentSpec([word, 'arg']));
          const { argv } = (await (await get(instance)).json()) as { argv: string[] };
          expect(argv.slice(2)).toEqual(['arg']);
        }
      });

      it('answers 404 on /health and is ready all the same, unless a path is configured', async () => {
        await start(agentSpec(['node', 'unready.mjs']));
        const failure = await failureOf2(
          agentSpec(['node', 'unready.mjs'], {
            healthCheck: { httpGetUrl: '/missing' },
            startTimeoutMs: 1500,
          }),
        );
        expect(failure.message).toMatch(
          /^GET \/missing answered HTTP 404 \(last of \d+ tries\) within 1\.5 s$/,
        );
      });

      async function failureOf2(spec: InstanceSpec): Promise<StartFailure> {
        return (await start(spec).then(
          () => undefined,
          (error: unknown) => error,
        )) as StartFailure;
      }
    });

    describe('a start that fails', () => {
      it('names the exit code and shows the last lines, secrets masked', async () => {
        const failure = await failureOf(
          agentSpec(['node', 'crash.mjs'], { environment: { MODEL_API_KEY: 'sk-123456' } }),
        );
        expect(failure).toMatchObject({ phase: 'start', kind: 'exited' });
        expect(failure.message).toMatch(/^exited with code 1 after [\d.]+ s$/);
        expect(failure.lastLines).toContain('loading the model');
        expect(failure.lastLines).toContain('the key is ***');
        expect(failure.lastLines.join('\n')).toContain('Error: no model called gpt-0');
      });

      it('masks a secret under any name, and passes none where a list of processes would show it', async () => {
        const secret = (environment: Record<string, string>) =>
          agentSpec(['node', 'tells-environment.mjs'], {
            environment,
            secretVariables: Object.keys(environment),
          });
        const failure = await failureOf(secret({ GREETING: 'planted-value' }));
        expect(failure.lastLines).toContain('GREETING is ***');
        if (notInContainers('variables whose names a shell cannot carry are passed like all others')) return;
        const refused = await failureOf(secret({ 'my-greeting': 'planted-value' }));
        expect(refused.message).toMatch(/"my-greeting" looks like a secret but cannot be passed in secret/);
      });

      it('is an exit too when the code is 0, within two seconds', async () => {
        const started = performance.now();
        const spec = agentSpec(['node', 'exit-at-once.mjs']);
        const failure = await failureOf(spec);
        // Creating a container takes what the engine needs for it.
        if (!options.containers) expect(performance.now() - started).toBeLessThan(2000);
        expect(failure.message).toMatch(/^exited with code 0 after/);
        expect(failure.lastLines).toEqual(['done, without a line end']);
        expect(await driver.logTail(spec.instanceId, { maxLines: 5 })).toEqual(['done, without a line end']);
      });

      it('names the signal that killed the agent', async () => {
        for (const signal of ['SIGKILL', 'SIGSEGV', 'SIGTERM', 'SIGABRT']) {
          const failure = await failureOf(agentSpec(['node', 'killed.mjs', signal]));
          expect(failure).toMatchObject({ phase: 'start', kind: 'killed-by-signal' });
          expect(failure.message).toMatch(new RegExp(`^killed by ${signal} after`));
        }
      });

      it('says that the port was never opened', async () => {
        // Long enough to say what it thinks; in a container it takes longer to begin.
        const startTimeoutMs = options.containers ? 3000 : 400;
        const failure = await failureOf(agentSpec(['node', 'silent.mjs'], { startTimeoutMs }));
        expect(failure).toMatchObject({ phase: 'probe', kind: 'port-never-opened' });
        expect(failure.message).toMatch(/^port 9000 was never opened within (0\.4|3) s/);
        expect(failure.message).toContain('listens on no port');
        expect(failure.lastLines).toEqual(['thinking']);
      });

      it('says which port was opened instead', async () => {
        const failure = await failureOf(agentSpec(['node', 'wrong-port.mjs'], { startTimeoutMs: 1500 }));
        expect(failure).toMatchObject({ phase: 'probe', kind: 'port-never-opened' });
        const [port] = /\d+/.exec(failure.lastLines[0]!)!;
        expect(failure.message).toBe(
          `port 9000 was never opened within 1.5 s; the process listens on ${port}`,
        );
      });

      it('says what the health check answered, and follows no redirect', async () => {
        const failing = { startTimeoutMs: 1500 };
        const failure = await failureOf(
          agentSpec(['node', 'unready.mjs'], { ...failing, healthCheck: { httpGetUrl: '/ready' } }),
        );
        expect(failure).toMatchObject({ phase: 'probe', kind: 'probe-failing' });
        expect(failure.message).toMatch(
          /^GET \/ready answered HTTP 503 \(last of \d+ tries\) within 1\.5 s$/,
        );
        const moved = await failureOf(
          agentSpec(['node', 'unready.mjs'], { ...failing, healthCheck: { httpGetUrl: '/moved' } }),
        );
        expect(moved.message).toContain('answered HTTP 302');
      });

      it('is a crash in its probe when it had opened its port', async () => {
        const failure = await failureOf(
          agentSpec(['node', 'crash-while-probed.mjs'], { healthCheck: { httpGetUrl: '/ready' } }),
        );
        expect(failure).toMatchObject({ phase: 'probe', kind: 'exited' });
        expect(failure.message).toMatch(/^exited with code 7 after/);
        expect(failure.lastLines).toEqual(['asked for /ready']);
      });

      it('says that nothing answered when the port is open and the agent hangs', async () => {
        const failure = await failureOf(
          agentSpec(['node', 'line-protocol.mjs'], {
            healthCheck: { httpGetUrl: '/ready', timeoutSeconds: 1 },
            startTimeoutMs: 1500,
          }),
        );
        expect(failure).toMatchObject({ phase: 'probe', kind: 'probe-failing' });
        expect(failure.message).toMatch(/^GET \/ready: .* within 1\.5 s$/);
      });

      it('is an exit when the agent goes on as a daemon, which is ended', async () => {
        const failure = await failureOf(agentSpec(['node', 'daemonises.mjs']));
        expect(failure.message).toMatch(/^exited with code 0 after/);
      });

      it('says that it took more memory than it was given', async () => {
        if (isUnlimited()) return;
        const failure = await failureOf(agentSpec(['node', 'hog.mjs', 'now'], { memoryMiB: 128 }));
        expect(failure).toMatchObject({ phase: 'start', kind: 'killed-by-signal' });
        expect(failure.message).toMatch(/^OOM: used 1[23]\d of 128 MiB after/);
      });

      it('says at once that a program is not there', async () => {
        const missing = await failureOf(agentSpec(['nothing-of-that-name']));
        expect(missing).toMatchObject({ phase: 'start', kind: 'cannot-start' });
        expect(missing.message).toContain('"nothing-of-that-name"');
        const joined = await failureOf(agentSpec(['node echo.mjs']));
        expect(joined.message).toContain('["node","echo.mjs"]');
        const unmarked = await failureOf(agentSpec(['./refuses.sh']));
        expect(unmarked.message).toContain('not executable');
        const file = await failureOf(agentSpec(['node', 'missing.mjs']));
        expect(file).toMatchObject({ phase: 'start', kind: 'exited' });
        expect(file.lastLines.join('\n')).toContain('missing.mjs');
      });

      it('ends everything when it is aborted, and rejects with the reason', async () => {
        const controller = new AbortController();
        const spec = agentSpec(['node', 'silent.mjs']);
        const starting = driver.start(spec, { signal: controller.signal, onExit: unwanted });
        await until('its first line', async () =>
          (await driver.logTail(spec.instanceId, { maxLines: 1 })).includes('thinking'),
        );
        const reason = new Error('superseded');
        controller.abort(reason);
        await expect(starting).rejects.toBe(reason);
        expect(await bench.leftovers()).toEqual([]);
        await expect(
          driver.start(agentSpec(['node', 'echo.mjs']), { signal: controller.signal, onExit: unwanted }),
        ).rejects.toBe(reason);
      });

      it('may be aborted at any moment', async () => {
        await Promise.all(
          Array.from({ length: 8 }, async (_, i) => {
            const signal = AbortSignal.timeout(i * 4);
            const spec = agentSpec(['node', 'silent.mjs']);
            await expect(driver.start(spec, { signal, onExit: unwanted })).rejects.toBeInstanceOf(
              DOMException,
            );
          }),
        );
        expect(await bench.leftovers()).toEqual([]);
      });

      it('can be stopped while it is under way', async () => {
        const spec = agentSpec(['node', 'silent.mjs']);
        const starting = start(spec);
        starting.catch(() => {});
        await until(
          'its first line',
          async () => (await driver.logTail(spec.instanceId, { maxLines: 1 })).length,
        );
        await driver.stop(spec.instanceId, { graceMs: 1000 });
        await expect(starting).rejects.toMatchObject({ message: 'stopped before it was ready' });
        expect(await bench.leftovers()).toEqual([]);
      });
    });

    describe('stop', () => {
      it('lets an agent finish', async () => {
        const spec = agentSpec(['node', 'polite.mjs']);
        await start(spec);
        await driver.stop(spec.instanceId, { graceMs: 10_000 });
        expect(await driver.logTail(spec.instanceId, { maxLines: 5 })).toEqual(['finishing', 'finished']);
        expect(await bench.leftovers()).toEqual([]);
      });

      it('kills what does not end in time', async () => {
        const spec = agentSpec(['node', 'stubborn.mjs']);
        await start(spec);
        const started = performance.now();
        await driver.stop(spec.instanceId, { graceMs: 300 });
        expect(performance.now() - started).toBeGreaterThan(290);
        expect(await driver.logTail(spec.instanceId, { maxLines: 5 })).toEqual(['not now']);
        expect(await bench.leftovers()).toEqual([]);
      });

      it('ends children of children, daemons and those that wiped their environment', async () => {
        const spec = agentSpec(['node', 'family.mjs']);
        const pids = (await (await get(await start(spec))).json()) as number[];
        expect(pids).toHaveLength(4);
        await driver.stop(spec.instanceId, { graceMs: 2000 });
        if (processes && !ownPids) await until('all to be gone', () => !pids.some(isThere));
        expect(await bench.leftovers()).toEqual([]);
      });

      it('may be asked for again, by several at once, and for what was never there', async () => {
        const spec = agentSpec(['node', 'polite.mjs']);
        await start(spec);
        const grace = { graceMs: 5000 };
        await Promise.all([driver.stop(spec.instanceId, grace), driver.stop(spec.instanceId, grace)]);
        await driver.stop(spec.instanceId, grace);
        await driver.stop(randomUUID(), grace);
        expect(await driver.probe(spec.instanceId)).toEqual({ ok: false, detail: 'not running' });
        const lines = await driver.logTail(spec.instanceId, { maxLines: 5 });
        expect(lines.filter((line) => line === 'finishing')).toHaveLength(1);
      });

      it('leaves nothing after many at once', async () => {
        const files = () => (existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0);
        // What is opened once and kept is open after the first.
        const first = agentSpec(['node', 'echo.mjs']);
        await start(first);
        await driver.stop(first.instanceId, { graceMs: 5000 });
        const filesBefore = files();
        const specs = Array.from({ length: MANY }, () => agentSpec(['node', 'echo.mjs'], MANY_AT_ONCE));
        const started = await Promise.all(specs.map((spec) => start(spec)));
        expect(new Set(started.map((it) => it.port)).size).toBe(MANY);
        const pids = await Promise.all(
          started.map(async (it) => ((await (await get(it)).json()) as { pid: number }).pid),
        );
        if (!ownPids) expect(new Set(pids).size).toBe(MANY);
        await Promise.all(specs.map((spec) => driver.stop(spec.instanceId, { graceMs: 10_000 })));
        expect(driver.list()).toEqual([]);
        expect(await bench.leftovers()).toEqual([]);
        for (const it of started) await expect(get(it)).rejects.toThrow();
        await until('all files to be closed', () => files() <= filesBefore);
      }, 240_000);
    });

    describe('after another server', () => {
      it('an instance is taken over as it was, and one that ended meanwhile is cleared away', async () => {
        const [stays, ends] = [agentSpec(['node', 'polite.mjs']), agentSpec(['node', 'echo.mjs'])];
        const before = await start(stays);
        const gone = await start(ends);
        driver = await bench.reopen();
        // Between the two servers, with nobody to hear of it.
        await bench.kill(gone, 'SIGKILL');
        await driver.adopt();
        await until('the other to be gone', () => driver.list().length === 1);
        expect(driver.list()[0]).toMatchObject({
          instanceId: stays.instanceId,
          runtimeId: stays.runtimeId,
          revision: 1,
          host: before.host,
          port: before.port,
        });
        if (processes) expect(driver.list()[0]!.pid).toBe(before.pid);
        expect(await (await get(driver.list()[0]!)).text()).toBe('ok');
        await expect(start(stays)).resolves.toBe(driver.list()[0]);
        await driver.stop(stays.instanceId, { graceMs: 10_000 });
        expect(await driver.logTail(stays.instanceId, { maxLines: 5 })).toEqual(['finishing', 'finished']);
        expect(await bench.leftovers()).toEqual([]);
      });
    });

    describe('an agent that ends after it was ready', () => {
      it('is reported once, with code and last lines, and cleared away', async () => {
        const exits: InstanceExit[] = [];
        const spec = agentSpec(['node', 'echo.mjs']);
        const instance = await start(spec, (exit) => exits.push(exit));
        // The small first process of a container keeps that for itself; what ends all of it says so as well.
        const signal = options.containers ? 'SIGKILL' : 'SIGSEGV';
        await bench.kill(instance, signal);
        await until('its exit', () => exits.length);
        expect(exits).toEqual([
          { instanceId: spec.instanceId, signal, lastLines: ['echo begins', 'echo listens'] },
        ]);
        expect(driver.list()).toEqual([]);
        await driver.stop(spec.instanceId, { graceMs: 1000 });
        expect(await bench.leftovers()).toEqual([]);
        expect(exits).toHaveLength(1);
      });

      it('is reported with the memory it took, when that was too much', async () => {
        if (isUnlimited()) return;
        const exits: InstanceExit[] = [];
        const instance = await start(agentSpec(['node', 'hog.mjs', 'asked'], { memoryMiB: 128 }), (exit) =>
          exits.push(exit),
        );
        await get(instance, '/more').catch(() => {});
        await until('its exit', () => exits.length);
        expect(exits[0]!.reason).toMatch(/^OOM: used 1[23]\d of 128 MiB$/);
        await driver.stop(instance.instanceId, { graceMs: 0 });
      });

      it('takes its children along', async () => {
        const exits: InstanceExit[] = [];
        const spec = agentSpec(['node', 'family.mjs']);
        const instance = await start(spec, (exit) => exits.push(exit));
        const pids = (await (await get(instance)).json()) as number[];
        await bench.kill(instance, 'SIGKILL');
        await until('its exit', () => exits.length);
        expect(exits[0]).toMatchObject({ signal: 'SIGKILL' });
        await driver.stop(spec.instanceId, { graceMs: 0 });
        if (!ownPids) await until('all to be gone', () => !pids.some(isThere));
        expect(await bench.leftovers()).toEqual([]);
      });
    });

    describe('the log', () => {
      it('holds stdout and stderr in order', async () => {
        const spec = agentSpec(['sh', '-c', 'for i in 1 2 3; do echo out $i; echo err $i >&2; done; exit 4']);
        const failure = await failureOf(spec);
        expect(failure.message).toMatch(/^exited with code 4/);
        const expected = ['out 1', 'err 1', 'out 2', 'err 2', 'out 3', 'err 3'];
        const linesOf = (stream: string) => failure.lastLines.filter((line) => line.startsWith(stream));
        // An engine reads two pipes: which of two lines came first is known of each alone.
        if (options.containers) {
          expect([...linesOf('out'), ...linesOf('err')]).toEqual(
            [1, 2, 3].map((i) => `out ${i}`).concat([1, 2, 3].map((i) => `err ${i}`)),
          );
          return;
        }
        expect(failure.lastLines).toEqual(expected);
        expect(await driver.logTail(spec.instanceId, { maxLines: 2 })).toEqual(['out 3', 'err 3']);
      });

      it('shows no secret, no colour and no endless line', async () => {
        const environment = {
          OPENAI_API_KEY: 'sk-open',
          DB_PASSWORD: 'first part\nsecond part',
          GITHUB_TOKEN: 'abc',
          client_secret: 'sk-open-longer',
          SAY: [
            'key sk-open, longer sk-open-longer',
            'password first part',
            'and second part too',
            'short abc',
            '\u001b[31mred\u001b[0m',
            'x'.repeat(3000),
            'sk-open without end',
          ].join('\n'),
        };
        const spec = agentSpec(['node', 'talker.mjs'], { environment });
        await start(spec);
        const tail = () => driver.logTail(spec.instanceId, { maxLines: 20 });
        await until('all its lines', async () => (await tail()).length >= 7);
        expect(await tail()).toEqual([
          'key ***, longer ***',
          'password ***',
          'and *** too',
          'short abc',
          'red',
          `${'x'.repeat(499)}…`,
          '*** without end',
        ]);
      });

      it('survives what is not text', async () => {
        const spec = agentSpec(['sh', '-c', 'printf "a\\377\\376b\\n10%%\\r50%%\\r100%%\\n"; exit 1']);
        expect((await failureOf(spec)).lastLines).toEqual(['a\ufffd\ufffdb', '100%']);
      });

      it('is forgotten with its runtime', async () => {
        const spec = agentSpec(['node', 'exit-at-once.mjs']);
        await failureOf(spec);
        await driver.forgetRuntime(spec.runtimeId);
        await driver.forgetRuntime('never-there');
        expect(await driver.logTail(spec.instanceId, { maxLines: 5 })).toEqual([]);
      });
    });

    describe('the port', () => {
      const listens = (...args: unknown[]) => ['node', 'listens.mjs', JSON.stringify(args)];

      it('is its own for each of two agents that both insist on 9000', async () => {
        const specs = [agentSpec(listens(9000)), agentSpec(listens(9000))];
        if (hasPythonInside()) specs.push(agentSpec(['python3', 'listens.py', 'http', '', '9000']));
        const started = await Promise.all(specs.map((spec) => start(spec)));
        expect(new Set(started.map((it) => it.port)).size).toBe(specs.length);
        for (const it of started)
          expect(await (await get(it)).json()).toMatchObject({ port: options.containers ? 9000 : it.port });
      });

      it('is found in every form of listen', async () => {
        const forms = [
          [9000],
          ['9000'],
          [9000, '0.0.0.0'],
          [9000, '::'],
          [9000, 128],
          [{ port: 9000 }],
          [{ port: '9000', host: '0.0.0.0' }],
        ];
        if (!notInContainers('what listens on their own loopback cannot be reached'))
          forms.push([9000, '127.0.0.1'], [{ port: 9000, host: 'localhost' }]);
        const started = await Promise.all(forms.map((form) => start(agentSpec(listens(...form)))));
        for (const it of started) {
          const address = (await (await get(it)).json()) as { address: string; port: number };
          // A container has all of its own addresses to itself, and its port is another than this machine's.
          expect(address.port).toBe(options.containers ? 9000 : it.port);
          expect(options.containers ? ['0.0.0.0', '::'] : ['127.0.0.1', '::1']).toContain(address.address);
        }
      });

      it('is found in worker threads and forked children too', async () => {
        for (const script of ['listens-in-child.cjs', 'listens-in-worker.mjs']) {
          const instance = await start(agentSpec(['node', script]));
          expect((await get(instance)).status).toBe(200);
        }
      });

      it('may be open on the IPv6 loopback alone', async () => {
        if (notInContainers('what listens on their own loopback cannot be reached')) return;
        const instance = await start(agentSpec(listens({ port: 9000, host: '::', ipv6Only: true })));
        expect(instance.host).toBe('::1');
        expect(await (await get(instance)).json()).toMatchObject({ address: '::1' });
        expect(await driver.probe(instance.instanceId)).toMatchObject({ ok: true });
      });

      it('leaves other ports as they are', async () => {
        const spec = agentSpec(listens({ port: 0 }), { startTimeoutMs: 300 });
        await expect(start(spec)).rejects.toMatchObject({ kind: 'port-never-opened' });
      });

      it('cannot be reached under another address of this machine', async () => {
        const outer = outerAddresses();
        if (outer.length === 0) return console.warn('skipped: this machine has loopback addresses only');
        const commands = [listens(9000), listens(9000, '0.0.0.0'), listens({ port: 9000, host: '::' })];
        if (hasPythonInside()) {
          for (const kind of ['http', 'asyncio']) {
            for (const host of ['', '0.0.0.0', '::']) {
              commands.push(['python3', 'listens.py', kind, host, '9000']);
            }
          }
        }
        const started = await Promise.all(commands.map((command) => start(agentSpec(command))));
        for (const [i, instance] of started.entries()) {
          expect((await get(instance)).status, commands[i]!.join(' ')).toBe(200);
          for (const host of outer) {
            await expect(
              get(instance, '/', host),
              `${commands[i]!.join(' ')} under ${host}`,
            ).rejects.toThrow();
          }
        }
      });
    });

    describe('the preload', () => {
      it('adds to the NODE_OPTIONS of the user', async () => {
        if (notInContainers('they need no preload')) return;
        const environment = { NODE_OPTIONS: '--max-http-header-size=20000 --title=mine' };
        const instance = await start(agentSpec(['node', 'listens.mjs', '[9000]'], { environment }));
        expect((await get(instance)).status).toBe(200);
      });

      it("runs a sitecustomize of the package's own", async () => {
        if (notInContainers('they need no preload') || !hasPython()) return;
        const folder = mkdtempSync(join(tmpdir(), 'runstead-package-'));
        try {
          writeFileSync(join(folder, 'sitecustomize.py'), 'print("mine came first")\n');
          writeFileSync(
            join(folder, 'main.py'),
            'import sys, sitecustomize\nprint(sitecustomize.__file__, sys.path[0])\nraise SystemExit(3)\n',
          );
          const spec = agentSpec(['python3', 'main.py'], { codeDir: folder, language: 'python3.10' });
          const failure = await failureOf(spec);
          expect(failure.message).toMatch(/^exited with code 3/);
          expect(failure.lastLines).toEqual([
            'mine came first',
            `${join(codeDirInside(folder), 'sitecustomize.py')} ${codeDirInside(folder)}`,
          ]);
        } finally {
          rmSync(folder, { recursive: true });
        }
      });
    });
  });
}

/** Whether a process of this number lives; one that is dead but not yet buried does not. */
export function isThere(pid: number): boolean {
  return startTicksOf(pid) !== undefined;
}
