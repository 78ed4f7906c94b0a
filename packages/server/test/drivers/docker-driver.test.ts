import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pino from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { composeControl } from '../../src/compose.ts';
import { loadConfig } from '../../src/config.ts';
import { engineAddresses } from '../../src/domain/engine-address.ts';
import {
  createDockerDriver,
  type DockerDriverOptions,
  isInContainer,
} from '../../src/drivers/docker/docker-driver.ts';
import { createEngine, EngineAbsent } from '../../src/drivers/docker/engine.ts';
import { createImageStore } from '../../src/drivers/docker/image-store.ts';
import type { InstanceExit } from '../../src/drivers/driver.ts';
import type { InstanceSpec } from '../../src/drivers/instance-spec.ts';
import { dataMark } from '../../src/drivers/process/identity.ts';
import { isAProcess } from '../../src/drivers/process/is-a-process.ts';
import { agentSpec, driverCases, get } from '../driver-cases.ts';
import { engineMissing, nodeArchive, startPodman, type TestEngine } from '../engine/podman.ts';
import { newAuthority, startRegistry, type TestRegistry, tinyLayer } from '../engine/registry.ts';
import { testBox } from '../secret-box.ts';
import { waitFor } from '../wait-for.ts';
import { makeDriver as makeProcessDriver, removeFolder } from './harness.ts';

const IMAGE = 'localhost/runstead-test-node:latest';
const missing = engineMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

let podman: TestEngine;
let removeTrusted = () => {};
/** Trusted by the engine. */
const authority = newAuthority();

function imagesOf(dataDir: string) {
  const { engine } = podman;
  return createImageStore({
    engine,
    mark: dataMark(dataDir),
    timeoutMs: 20_000,
    log: pino({ level: 'silent' }),
  });
}

function makeDriver(dataDir: string, changes: Partial<DockerDriverOptions> = {}) {
  const log = pino({ level: 'silent' });
  const { engine } = podman;
  return createDockerDriver({
    dataDir,
    log,
    engine,
    images: imagesOf(dataDir),
    box: () => testBox,
    logLimitBytes: 256 * 1024,
    accountId: '0000000000000000',
    region: 'cn-test',
    codeImages: { custom: IMAGE },
    portRange: { from: 15_000, to: 16_999 },
    ...changes,
  });
}

function newFolder(): string {
  return realpathSync(mkdtempSync(join(tmpdir(), 'runstead-docker-')));
}

async function leftoversOf(dataDir: string): Promise<string[]> {
  const filters = JSON.stringify({ label: [`runstead.data=${dataMark(dataDir)}`] });
  const [containers, networks] = await Promise.all([
    podman.engine.ask<{ Id: string }[]>('GET', '/containers/json', { query: { all: 'true', filters } }),
    podman.engine.ask<{ Name: string }[]>('GET', '/networks', { query: { filters } }),
  ]);
  return [
    ...containers.map((it) => `container ${it.Id}`),
    ...networks.map((it) => `network ${it.Name}`),
    ...readdirSync(join(dataDir, 'containers')).map((it) => `folder ${it}`),
  ];
}

describe.skipIf(missing !== undefined)('with an engine', () => {
  beforeAll(async () => {
    const trusted = mkdtempSync(join(tmpdir(), 'runstead-ca-'));
    writeFileSync(join(trusted, 'ca.pem'), authority.cert);
    podman = await startPodman({ trustedCa: join(trusted, 'ca.pem') });
    removeTrusted = () => rmSync(trusted, { recursive: true });
    const archive = await nodeArchive();
    await podman.engine.ask('POST', '/images/create', {
      // What it would start by itself is to be seen nowhere: commands take its place.
      query: {
        fromSrc: '-',
        repo: IMAGE.split(':')[0]!,
        tag: 'latest',
        changes: 'ENTRYPOINT ["/nowhere"]',
      },
      body: createReadStream(archive),
    });
    rmSync(dirname(archive), { recursive: true });
  }, 60_000);

  afterAll(async () => {
    await podman?.dispose();
    removeTrusted();
  }, 60_000);

  driverCases(
    'docker',
    async () => {
      const dataDir = newFolder();
      let driver = makeDriver(dataDir);
      return {
        driver,
        leftovers: () => leftoversOf(dataDir),
        async kill({ instanceId }, signal) {
          const container = `runstead-${dataMark(dataDir)}-${instanceId}`;
          await podman.engine.ask('POST', `/containers/${container}/kill`, { query: { signal } });
        },
        async reopen() {
          await driver.close();
          driver = makeDriver(dataDir);
          return driver;
        },
        async dispose() {
          await driver.close();
          rmSync(dataDir, { recursive: true, force: true });
        },
      };
    },
    {
      processes: false,
      containers: true,
      ownPids: true,
      limitsMemory: true,
      codeDirInside: () => '/code',
    },
  );

  describe('images', () => {
    const login = { userName: 'reader', password: 'sesame-open-yourself' };
    const registries: TestRegistry[] = [];
    let dataDir: string;

    beforeEach(() => {
      dataDir = newFolder();
    });

    afterEach(async () => {
      await Promise.all(registries.splice(0).map((it) => it.close()));
      await imagesOf(dataDir).collect(async () => new Set());
      rmSync(dataDir, { recursive: true, force: true });
    });

    async function registryOf(...given: Parameters<typeof startRegistry>) {
      const registry = await startRegistry(...given);
      registries.push(registry);
      return registry;
    }

    const heard: string[] = [];
    const options = () => ({
      signal: new AbortController().signal,
      onProgress: (text: string) => void heard.push(text),
    });

    async function fault(fixing: Promise<unknown>): Promise<string> {
      const error = await fixing.then(
        () => new Error('it was found'),
        (reason: unknown) => reason as Error,
      );
      expect(error).toMatchObject({ name: 'PhaseFailure', phase: 'fetch' });
      expect(error.message).not.toContain(login.password);
      return error.message;
    }

    const namesIn = async () =>
      (await podman.engine.ask<{ RepoTags: string[] | null }[]>('GET', '/images/json')).flatMap(
        ({ RepoTags }) => RepoTags ?? [],
      );

    it('are fixed by digest: a tag that moves upstream moves no version', async () => {
      const registry = await registryOf(authority, login);
      const registryConfig = { authConfig: login };
      const images = imagesOf(dataDir);
      const name = `${registry.host}/team/agent:v1`;
      const first = registry.push('team/agent', 'v1', { layer: tinyLayer('one') });
      const fixed = await images.fix(name, registryConfig, options());
      expect(fixed).toEqual({ digest: first.slice(7), image: `${registry.host}/team/agent@${first}` });
      expect(heard.at(-1)).toMatch(/layer/);
      const own = `localhost/runstead/${dataMark(dataDir)}:${fixed.digest}`;
      expect(await namesIn()).toContain(own);
      // What the pull left beside it is not ours to leave.
      expect(await namesIn()).not.toContain(name);

      const second = registry.push('team/agent', 'v1', { layer: tinyLayer('two') });
      expect(second).not.toBe(first);
      expect(await images.ensure(fixed, registryConfig, options())).toBe(own);
      // Somebody cleans the engine up: it is fetched again, and is the same.
      await podman.engine.ask('DELETE', `/images/${own}`, { query: { force: 'true' } });
      registry.requests.length = 0;
      expect(await images.ensure(fixed, registryConfig, options())).toBe(own);
      expect(registry.requests).toContain(`GET manifests/${first}`);
      expect(await images.fix(name, registryConfig, options())).toMatchObject({ digest: second.slice(7) });
    });

    it('that cannot be had say why, and never a password', async () => {
      const registry = await registryOf(authority, login);
      registry.push('team/agent', 'v1', { layer: tinyLayer('one') });
      const images = imagesOf(dataDir);
      const fix = (name: string, registryConfig = {}) => fault(images.fix(name, registryConfig, options()));
      const wrong = { authConfig: { ...login, password: 'another-sesame' } };
      const refused = await fix(`${registry.host}/team/agent:v1`, wrong);
      expect(refused).toMatch(/refuses access: check userName and password/);
      expect(refused).not.toContain('another-sesame');
      expect(await fix(`${registry.host}/team/agent:v1`)).toMatch(/refuses access/);
      expect(await fix(`${registry.host}/team/agent:v9`, { authConfig: login })).toMatch(
        /there is no image .+v9 in its registry/,
      );
      expect(await fix('127.0.0.1:1/team/agent:v1')).toMatch(/cannot be reached from this machine/);
      expect(await fix('localhost/not-built:v1')).toMatch(/in the engine.*build it there/);
      expect(await fix('Not A Name')).toMatch(/must be the name of an image.*"Not A Name"/);
    });

    it('of a registry whose certificate nobody vouches for are had with it, and not without', async () => {
      const unknown = newAuthority();
      const registry = await registryOf(unknown, login);
      const digest = registry.push('team/agent', 'v1', { layer: tinyLayer('odd') });
      const images = imagesOf(dataDir);
      const name = `${registry.host}/team/agent:v1`;
      expect(await fault(images.fix(name, { authConfig: login }, options()))).toMatch(
        /certificate .* is not trusted\. Give that of its authority as .*rootCaCertBase64/,
      );
      const certOf = (cert: string) => ({ rootCaCertBase64: Buffer.from(cert).toString('base64') });
      expect(
        await fault(images.fix(name, { authConfig: login, certConfig: certOf(authority.cert) }, options())),
      ).toMatch(/is not trusted/);
      const wrong = { authConfig: { ...login, password: 'no' }, certConfig: certOf(unknown.cert) };
      expect(await fault(images.fix(name, wrong, options()))).toMatch(/refuses access/);

      const right = { authConfig: login, certConfig: certOf(unknown.cert) };
      expect(await images.fix(name, right, options())).toEqual({
        digest: digest.slice(7),
        image: `${registry.host}/team/agent@${digest}`,
      });
      expect(heard.at(-1)).toMatch(/^(0 of )?1 layer|^1 of 1 layer/);
      expect(await namesIn()).toContain(`localhost/runstead/${dataMark(dataDir)}:${digest.slice(7)}`);
      expect(
        await images.fix(name, { authConfig: login, certConfig: { insecure: true } }, options()),
      ).toMatchObject({ digest: digest.slice(7) });

      registry.push('team/agent', 'v2', { layer: tinyLayer('spoilt') });
      registry.spoil();
      expect(await fault(images.fix(`${registry.host}/team/agent:v2`, right, options()))).toMatch(
        /other bytes than sha256:/,
      );
    });

    it('that no version needs go, and no others', async () => {
      const registry = await registryOf(authority);
      const other = newFolder();
      for (const [i, folder] of [dataDir, dataDir, other].entries()) {
        registry.push('team/agent', `v${i}`, { layer: tinyLayer(`number ${i}`) });
        await imagesOf(folder).fix(`${registry.host}/team/agent:v${i}`, undefined, options());
      }
      const ours = async () => (await namesIn()).filter((it) => it.includes(dataMark(dataDir)));
      const [kept, gone] = await ours();
      const digestOf = (name: string) => name.split(':').at(-1)!;
      const before = await namesIn();
      await imagesOf(dataDir).collect(async () => new Set([digestOf(kept!)]));
      expect(await namesIn()).toEqual(before.filter((it) => it !== gone));
      await imagesOf(other).collect(async () => new Set());
      rmSync(other, { recursive: true });
    });
  });

  describe('a container', () => {
    let dataDir: string;
    const drivers: ReturnType<typeof makeDriver>[] = [];
    const servers: ChildProcess[] = [];

    beforeEach(() => {
      dataDir = newFolder();
    });

    afterEach(async () => {
      for (const server of servers.splice(0)) {
        if (server.exitCode === null && server.signalCode === null) {
          server.kill('SIGKILL');
          await once(server, 'exit');
        }
      }
      for (const driver of drivers.splice(0)) {
        await Promise.all(driver.list().map((it) => driver.stop(it.instanceId, { graceMs: 0 })));
        await driver.close();
      }
      const left = await leftoversOf(dataDir);
      rmSync(dataDir, { recursive: true, force: true });
      expect(left).toEqual([]);
    });

    function driverOf(changes: Partial<DockerDriverOptions> = {}) {
      const driver = makeDriver(dataDir, changes);
      drivers.push(driver);
      return driver;
    }

    function start(
      driver: ReturnType<typeof makeDriver>,
      spec: InstanceSpec,
      onExit: (exit: InstanceExit) => void = () => {},
    ) {
      return driver.start(spec, { signal: new AbortController().signal, onExit });
    }

    const inspect = (instanceId: string) =>
      podman.engine.ask<Record<string, never>>(
        'GET',
        `/containers/runstead-${dataMark(dataDir)}-${instanceId}/json`,
      );

    const evaluate = (code: string) => ['node', '--input-type=module', '-e', code];

    it('has no right, no way to one, and nobody to see but itself', async () => {
      // What listens on this machine's loopback, as the server does.
      const server = createServer((_, response) => response.end('the server'));
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const { port } = server.address() as AddressInfo;
      const driver = driverOf();
      const neighbour = agentSpec(['node', 'listens.mjs', '[9000]'], { runtimeId: 'agent-runtime-other' });
      await start(driver, neighbour);
      const found = (await inspect(neighbour.instanceId)) as unknown as {
        NetworkSettings: { Networks: Record<string, { IPAddress: string; Gateway: string }> };
      };
      const [{ IPAddress: address, Gateway: gateway }] = Object.values(found.NetworkSettings.Networks) as [
        { IPAddress: string; Gateway: string },
      ];
      const probe = `
        import { createServer } from 'node:http';
        import { connect } from 'node:net';
        import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
        const dial = (host, port) => new Promise((resolve) => {
          const socket = connect({ host, port, timeout: 700 });
          const say = (text) => { socket.destroy(); resolve(text); };
          socket.on('connect', () => say('open')).on('error', (e) => say(e.code)).on('timeout', () => say('silence'));
        });
        const attempt = (work) => { try { work(); return 'done'; } catch (e) { return e.code; } };
        createServer(async (_, response) => response.end(JSON.stringify({
          status: readFileSync('/proc/self/status', 'latin1'),
          spaces: ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'uts'].map((it) => readlinkSync('/proc/self/ns/' + it)),
          pids: readdirSync('/proc').filter((it) => Number(it) > 0).length,
          write: attempt(() => writeFileSync('/code/mine', '')),
          sockets: ['/var/run/docker.sock', '/run/podman/podman.sock', ${JSON.stringify(podman.socket)}].filter(existsSync),
          dials: await Promise.all([dial('${address}', 9000), dial('${gateway}', ${port}), dial('127.0.0.1', ${port})]),
        }))).listen(process.env.PORT);`;
      const spec = agentSpec(evaluate(probe), { memoryMiB: 128, cpu: 0.5 });
      const instance = await start(driver, spec);
      const seen = (await (await get(instance)).json()) as {
        status: string;
        spaces: string[];
        pids: number;
        write: string;
        sockets: string[];
        dials: string[];
      };
      const status = (name: string) => new RegExp(`^${name}:\\s*(.+)$`, 'm').exec(seen.status)?.[1];
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
        expect(BigInt(`0x${status(set)}`)).toBe(0n);
      expect(status('NoNewPrivs')).toBe('1');
      expect(status('Seccomp')).toBe('2');
      const mine = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'uts'].map((it) =>
        readlinkSync(`/proc/self/ns/${it}`),
      );
      const shared = seen.spaces.filter((it) => mine.includes(it));
      if (shared.length > 0 && existsSync('/sys/fs/cgroup/memory')) {
        console.warn(
          'left out: with control groups of version 1, Podman gives no namespace of them by this interface',
        );
        expect(shared).toEqual([mine[0]]);
      } else expect(shared).toEqual([]);
      expect(seen.pids).toBeLessThanOrEqual(3);
      expect(seen.write).toBe('EROFS');
      expect(seen.sockets).toEqual([]);
      for (const dialled of seen.dials) expect(dialled).not.toBe('open');

      const { HostConfig, Config } = (await inspect(spec.instanceId)) as unknown as {
        HostConfig: Record<string, unknown>;
        Config: { Labels: Record<string, string> };
      };
      expect(HostConfig).toMatchObject({
        Privileged: false,
        PidsLimit: 512,
        Memory: 128 * 1024 * 1024,
        MemorySwap: 128 * 1024 * 1024,
        NanoCpus: 500_000_000,
        PortBindings: { '9000/tcp': [{ HostIp: '127.0.0.1', HostPort: String(instance.port) }] },
      });
      expect(HostConfig.SecurityOpt).toContain('no-new-privileges');
      expect(Config.Labels).toMatchObject({
        'runstead.instance': spec.instanceId,
        'runstead.runtime': spec.runtimeId,
        'runstead.revision': '1',
      });
      await new Promise((resolve) => server.close(resolve));
    });

    it('finds what its package links to, and what its operator has made available', async () => {
      const elsewhere = newFolder();
      const files = {
        'code/index.mjs': `
          import { createServer } from 'node:http';
          import { readFileSync, writeFileSync } from 'node:fs';
          import { said } from 'dependency';
          writeFileSync('${elsewhere}/mount/written', said);
          createServer((_, response) => response.end(readFileSync('${elsewhere}/mount/written'))).listen(process.env.PORT);`,
        'deps/node_modules/dependency/index.js': "exports.said = 'linked';",
        'mount/empty': '',
      };
      for (const [name, text] of Object.entries(files)) {
        mkdirSync(dirname(join(elsewhere, name)), { recursive: true });
        writeFileSync(join(elsewhere, name), text);
      }
      symlinkSync(join(elsewhere, 'deps', 'node_modules'), join(elsewhere, 'code', 'node_modules'));
      const driver = driverOf();
      const spec = agentSpec(['node', 'index.mjs'], {
        codeDir: join(elsewhere, 'code'),
        mounts: [join(elsewhere, 'mount')],
      });
      expect(await (await get(await start(driver, spec))).text()).toBe('linked');
      expect(readFileSync(join(elsewhere, 'mount', 'written'), 'utf8')).toBe('linked');
      await driver.stop(spec.instanceId, { graceMs: 0 });
      rmSync(elsewhere, { recursive: true });
    });

    it('that takes more memory than it may is ended, and the reason says how much', async () => {
      const exits: InstanceExit[] = [];
      const hog = `
        import { createServer } from 'node:http';
        const held = [];
        let hungry;
        createServer((_, response) => {
          response.end();
          hungry ??= setInterval(() => held.push(Buffer.alloc(1e6, 1)), 10);
        }).listen(process.env.PORT);`;
      const driver = driverOf({ lookMs: 20 });
      const spec = agentSpec(evaluate(hog), { memoryMiB: 96, healthCheck: { httpGetUrl: '/' } });
      await start(driver, spec, (exit) => exits.push(exit));
      await waitFor('its end', () => exits.length);
      expect(exits[0]!.reason).toMatch(/^OOM: used \d+ of 96 MiB$/);
      await driver.stop(spec.instanceId, { graceMs: 0 });
    });

    it('that is killed is reported once, with its last lines', async () => {
      const exits: InstanceExit[] = [];
      const driver = driverOf();
      const spec = agentSpec(['node', 'echo.mjs']);
      await start(driver, spec, (exit) => exits.push(exit));
      await podman.engine.ask('POST', `/containers/runstead-${dataMark(dataDir)}-${spec.instanceId}/kill`, {
        query: { signal: 'SIGKILL' },
      });
      await waitFor('its exit', () => exits.length);
      expect(exits).toEqual([
        { instanceId: spec.instanceId, signal: 'SIGKILL', lastLines: ['echo begins', 'echo listens'] },
      ]);
      expect(driver.list()).toEqual([]);
      await driver.stop(spec.instanceId, { graceMs: 0 });
      expect(exits).toHaveLength(1);
    });

    it('works and logs on when the server is killed, and is taken over with no line lost or said twice', async () => {
      const spec = agentSpec(['node', 'counter.mjs'], { environment: { MODEL_API_KEY: 'sk-123456' } });
      const program = fileURLToPath(new URL('./docker-server-process.mjs', import.meta.url));
      const argument = JSON.stringify({ dataDir, spec, socket: podman.socket, image: IMAGE });
      const server = spawn(process.execPath, [program, argument], { stdio: ['ignore', 'pipe', 'inherit'] });
      servers.push(server);
      const [line] = (await once(server.stdout, 'data')) as [Buffer];
      const { port } = JSON.parse(line.toString()) as { port: number };
      const path = join(dataDir, 'logs', spec.runtimeId, `${spec.instanceId}.log`);
      const numbers = () =>
        [...readFileSync(path, 'latin1').matchAll(/^line (\d+) ?$/gm)].map((it) => Number(it[1]));
      await waitFor('lines', () => numbers().length > 100);
      server.kill('SIGKILL');
      await once(server, 'exit');
      // As if it had been killed between writing a line and owning to it.
      writeFileSync(path, 'line 999999 \n', { flag: 'a' });
      const told = async () => Number(await (await fetch(`http://127.0.0.1:${port}/`)).text());
      const atDeath = numbers().at(-2)!;
      await waitFor('lines without a server', async () => (await told()) > atDeath + 500);

      // It looks for strays so often that it would take its own for some before it has taken them over.
      const driver = driverOf({ lookMs: 1 });
      const [adopted, ...others] = await driver.adopt();
      expect(others).toEqual([]);
      expect(adopted).toMatchObject({ instanceId: spec.instanceId, port, revision: 1 });
      expect(await driver.probe(spec.instanceId)).toEqual({ ok: true, detail: 'HTTP 200' });
      expect(await driver.identify(spec.instanceId)).toEqual({ holder: 'instance' });
      const now = await told();
      await waitFor('what was said meanwhile', () => (numbers().at(-1) ?? 0) > now);
      await driver.stop(spec.instanceId, { graceMs: 2000 });
      const all = numbers();
      expect(all).toEqual(all.map((_, i) => i));
    });

    it('of an earlier server that is not known any more is swept with its network, and nobody else is', async () => {
      const other = newFolder();
      const theirs = makeDriver(other);
      const [mine, foreign] = [agentSpec(['node', 'echo.mjs']), agentSpec(['node', 'echo.mjs'])];
      const first = makeDriver(dataDir);
      await start(first, mine);
      const kept = await start(theirs, foreign);
      await first.close();
      rmSync(join(dataDir, 'containers', mine.instanceId, 'instance.json'));
      expect(await driverOf().adopt()).toEqual([]);
      expect(await leftoversOf(dataDir)).toEqual([]);
      expect((await get(kept)).status).toBe(200);
      await theirs.stop(foreign.instanceId, { graceMs: 0 });
      await theirs.close();
      rmSync(other, { recursive: true });
    });

    it('that is made after the death of the server that asked for it is swept as well', async () => {
      const { ask } = podman.engine;
      const engineThat = (own: (...given: Parameters<typeof ask>) => Promise<unknown>) =>
        ({ ...podman.engine, ask: own }) as typeof podman.engine;
      let make: (() => Promise<unknown>) | undefined;
      const dying = makeDriver(dataDir, {
        engine: engineThat(async (method, path, call) => {
          if (path !== '/containers/create') return ask(method, path, call);
          // An engine goes on with what it was asked for when nobody waits for the answer any more.
          make = () => ask(method, path, call);
          return new Promise(() => {});
        }),
      });
      start(dying, agentSpec(['node', 'echo.mjs'])).catch(() => {});
      await waitFor('the wish for it', () => make);
      let asked = 0;
      const next = driverOf({
        lookMs: 20,
        lateLooksMs: [100, 200],
        engine: engineThat(async (method, path, call) => {
          // It comes between the look at what there is and the end of the sweep.
          if (method === 'GET' && path === '/networks' && asked++ === 0) await make!();
          return ask(method, path, call);
        }),
      });
      expect(await next.adopt()).toEqual([]);
      await waitFor('it to be swept', async () => (await leftoversOf(dataDir)).length === 0);
      await waitFor('all to be settled', () => !existsSync(join(dataDir, 'containers-unsettled')));
    });

    it('that the engine was too slow to own to is swept when it has come up', async () => {
      const { ask } = podman.engine;
      let make: (() => Promise<unknown>) | undefined;
      const slow = (async (method, path, call) => {
        if (path === '/containers/create') {
          make = () => ask(method, path, call);
          throw new EngineAbsent('silent');
        }
        if (method === 'DELETE' && path.startsWith('/networks/')) {
          await make?.();
          make = undefined;
        }
        return ask(method, path, call);
      }) as typeof ask;
      const driver = driverOf({
        lookMs: 20,
        lateLooksMs: [100],
        engine: { ...podman.engine, ask: slow },
      });
      await expect(start(driver, agentSpec(['node', 'echo.mjs']))).rejects.toThrow('silent');
      expect(make).toBe(undefined);
      await waitFor('it to be swept', async () => (await leftoversOf(dataDir)).length === 0);
    });

    it('that came late is swept by the server after the next, when that one had no time for it', async () => {
      mkdirSync(join(dataDir, 'containers', randomUUID()), { recursive: true });
      const next = makeDriver(dataDir, { lateLooksMs: [60_000] });
      expect(await next.adopt()).toEqual([]);
      await next.close();
      expect(await leftoversOf(dataDir)).toEqual([]);
      const name = `runstead-${dataMark(dataDir)}-${randomUUID()}`;
      await podman.engine.ask('POST', '/containers/create', {
        query: { name },
        body: { Image: IMAGE, Labels: { 'runstead.data': dataMark(dataDir), 'runstead.instance': name } },
      });
      expect(await leftoversOf(dataDir)).toHaveLength(1);
      expect(await driverOf().adopt()).toEqual([]);
      expect(await leftoversOf(dataDir)).toEqual([]);
    });

    it('whose server dies before its network is gone leaves that to the next one', async () => {
      let reached = () => {};
      let goOn = () => {};
      const isReached = new Promise<void>((resolve) => (reached = resolve));
      const mayGoOn = new Promise<void>((resolve) => (goOn = resolve));
      const ask = (async (method, path, call) => {
        if (method === 'DELETE' && path.startsWith('/networks/')) {
          reached();
          await mayGoOn;
        }
        return podman.engine.ask(method, path, call);
      }) as typeof podman.engine.ask;
      const dying = makeDriver(dataDir, { engine: { ...podman.engine, ask } });
      const spec = agentSpec(['node', 'echo.mjs']);
      await start(dying, spec);
      const stopping = dying.stop(spec.instanceId, { graceMs: 0 });
      await isReached;
      try {
        expect(await driverOf().adopt()).toEqual([]);
        expect(await leftoversOf(dataDir)).toEqual([]);
      } finally {
        goOn();
        await stopping;
        await dying.close();
      }
    });

    it('is not started while the engine is gone, and is once it is back', async () => {
      const driver = driverOf({ lookMs: 50 });
      const before = agentSpec(['node', 'echo.mjs']);
      const exits: InstanceExit[] = [];
      const running = await start(driver, before, (exit) => exits.push(exit));
      await podman.stop();
      try {
        await expect(start(driver, agentSpec(['node', 'echo.mjs']))).rejects.toMatchObject({
          name: 'StartFailure',
          message: expect.stringMatching(
            /container engine (at .+ does not answer.*Start it again|answers.*Install Docker)/,
          ) as string,
        });
        // What runs is not given up for that.
        expect(driver.list()).toEqual([running]);
        expect((await get(running)).status).toBe(200);
        await expect(start(driver, agentSpec(['node', 'echo.mjs']))).rejects.toThrow(
          /no container engine answers.*Install Docker, or Podman/,
        );
        await driver.stop(before.instanceId, { graceMs: 0 });
      } finally {
        await podman.start();
      }
      await waitFor('what was left to be removed', async () => (await leftoversOf(dataDir)).length === 0);
      const after = agentSpec(['node', 'echo.mjs']);
      expect((await get(await start(driver, after))).status).toBe(200);
      await driver.stop(after.instanceId, { graceMs: 0 });
    });
  });

  it('a runtime with an image becomes READY, serves, and leaves nothing when it is deleted', async () => {
    const dataDir = newFolder();
    const registry = await startRegistry(authority);
    const driver = makeDriver(dataDir);
    const quick = { deleteGraceMs: 0, stopGraceMs: 500 };
    const config = loadConfig({ dataDir, port: 0, logLevel: 'silent', ...quick }, {});
    const control = await composeControl({
      config,
      driver,
      images: imagesOf(dataDir),
      log: pino({ level: 'silent' }),
      publicUrl: () => 'http://127.0.0.1',
    });
    const call = async (method: 'GET' | 'POST' | 'DELETE', path: string, body?: object) => {
      const answer = await control.api.inject({
        method,
        url: `/2025-09-10/agents/runtimes${path}`,
        headers: { authorization: `Bearer ${control.apiKey}`, host: '127.0.0.1' },
        ...(body && { payload: body }),
      });
      return answer.json() as { data: Record<string, string> };
    };
    const create = (image: string) =>
      call('POST', '', {
        agentRuntimeName: `r${randomUUID().slice(0, 8)}`,
        artifactType: 'Container',
        containerConfiguration: { image, command: ['node', '-e', AGENT], port: 8080 },
        environmentVariables: { MODEL: 'qwen' },
        cpu: 1,
        memory: 256,
        port: 9000,
      });
    const decided = (id: string) =>
      waitFor('the deploy', async () => {
        const { data } = await call('GET', `/${id}`);
        return data.status !== 'CREATING' && data;
      });
    try {
      const { data } = await create(IMAGE);
      const ready = await decided(data.agentRuntimeId!);
      expect(ready.statusReason ?? '').toBe('');
      expect(ready).toMatchObject({ status: 'READY', artifactType: 'Container' });
      const [instance] = driver.list();
      expect(await (await get(instance!)).text()).toBe('qwen on 8080');
      const missing = await create(`${registry.host}/team/agent:v1`);
      expect(await decided(missing.data.agentRuntimeId!)).toMatchObject({
        status: 'CREATE_FAILED',
        statusReason: expect.stringMatching(/^fetch: there is no image .+ in its registry/) as string,
      });
      await call('DELETE', `/${data.agentRuntimeId}`);
      await waitFor('its end', async () => (await leftoversOf(dataDir)).length === 0);
    } finally {
      await control.close({ stopInstances: true });
      await registry.close();
      rmSync(dataDir, { recursive: true, force: true });
    }
  });
});

const AGENT = `
  const { MODEL, PORT } = process.env;
  require('node:http').createServer((_, response) => response.end(MODEL + ' on ' + PORT)).listen(PORT);`;

it('without an engine says what to install, for images and for code alike', async () => {
  const dataDir = newFolder();
  const log = pino({ level: 'silent' });
  const engine = createEngine(engineAddresses(join(dataDir, 'nobody.sock'), {}));
  const images = createImageStore({ engine, mark: 'm', timeoutMs: 1000, log });
  const signal = new AbortController().signal;
  const reason = /no container engine answers.*nobody\.sock \(not there\).*Install Docker, or Podman/;
  await expect(images.fix('reg.example/a:1', undefined, { signal, onProgress() {} })).rejects.toMatchObject({
    phase: 'fetch',
    message: expect.stringMatching(reason) as string,
  });
  await images.collect(async () => new Set());
  const driver = withoutEngine(dataDir);
  expect(await driver.adopt()).toEqual([]);
  await expect(driver.start(agentSpec(['node', 'echo.mjs']), { signal, onExit() {} })).rejects.toMatchObject({
    kind: 'cannot-start',
    message: expect.stringMatching(reason) as string,
  });
  expect(driver.list()).toEqual([]);
  await driver.close();
  rmSync(dataDir, { recursive: true });
});

it('leaves the logs alone of those that run as processes of the same runtime', async () => {
  const dataDir = newFolder();
  const processes = makeProcessDriver(dataDir, { isElsewhere: (id) => isInContainer(dataDir, id) });
  const containers = withoutEngine(dataDir, { keptLogs: 0 });
  const spec = agentSpec(['node', 'echo.mjs']);
  const signal = new AbortController().signal;
  try {
    await processes.start(spec, { signal, onExit() {} });
    const tail = () => processes.logTail(spec.instanceId, { maxLines: 5 });
    await waitFor('its lines', async () => (await tail()).length === 2);
    const other = agentSpec(['node', 'echo.mjs'], { runtimeId: spec.runtimeId });
    await expect(containers.start(other, { signal, onExit() {} })).rejects.toThrow('no container engine');
    expect(await tail()).toEqual(['echo begins', 'echo listens']);
    await containers.forgetRuntime(spec.runtimeId);
    expect(await tail()).toEqual(['echo begins', 'echo listens']);
    await processes.stop(spec.instanceId, { graceMs: 0 });
    await containers.forgetRuntime(spec.runtimeId);
    expect(await tail()).toEqual([]);
  } finally {
    await Promise.all([processes.close(), containers.close()]);
    await removeFolder(dataDir);
  }
});

/** A driver whose engine is not there. */
function withoutEngine(dataDir: string, changes: Partial<DockerDriverOptions> = {}) {
  const log = pino({ level: 'silent' });
  const engine = createEngine(engineAddresses(join(dataDir, 'nobody.sock'), {}));
  const images = createImageStore({ engine, mark: 'm', timeoutMs: 1000, log });
  return createDockerDriver({
    dataDir,
    log,
    engine,
    images,
    box: () => testBox,
    logLimitBytes: 1024,
    accountId: '0',
    region: 'r',
    codeImages: { custom: IMAGE },
    isElsewhere: (id) => isAProcess(dataDir, id),
    ...changes,
  });
}
