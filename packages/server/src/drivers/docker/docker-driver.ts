import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { HealthCheckConfiguration } from '@runstead/contract';
import type { SecretBox } from '../../auth/secret-box.ts';
import type { Log } from '../../observe/log.ts';
import { secretsIn } from '../../observe/secrets.ts';
import {
  type Driver,
  type InstanceExit,
  type ProbeResult,
  type ResourceUse,
  type RunningInstance,
  StartFailure,
  type StartOptions,
} from '../driver.ts';
import type { InstanceSpec } from '../instance-spec.ts';
import { dataMark as dataMarkOf } from '../process/identity.ts';
import { boundLog, findLog, type InstanceLog, logExtent, readTail } from '../process/instance-log.ts';
import { LogShelf, pathSegment } from '../process/log-shelf.ts';
import { LogTimes } from '../process/log-times.ts';
import { PortPool, type PortRange } from '../process/port-pool.ts';
import { checkHealth, HOSTS, type Seen, waitUntilHealthy } from '../process/readiness.ts';
import { containerBody, LABEL } from './container-body.ts';
import {
  type ContainerEnding,
  containerEnding,
  endedEarly,
  notCreated,
  notReadyInTime,
} from './container-failure.ts';
import { ContainerLog, writeFirstMark } from './container-log.ts';
import { type Engine, EngineAbsent, EngineRefusal } from './engine.ts';
import type { ImageStore } from './image-store.ts';
import { linkedFolders } from './linked-folders.ts';
import { createNetworks } from './networks.ts';
import { type ContainerProcess, containerProcess } from './on-this-machine.ts';

export interface DockerDriverOptions {
  dataDir: string;
  log: Log;
  engine: Engine;
  images: ImageStore;
  /** Seals what is to be masked in logs, for a server started later. */
  box: () => SecretBox;
  /** Kept of each instance's log, here and, while this server is not there, in the engine. */
  logLimitBytes: number;
  accountId: string;
  region: string;
  /** The image that code of a language runs in; for specs without an image. */
  codeImages: Readonly<Record<string, string>>;
  /** Where the ports on 127.0.0.1 come from. */
  portRange?: PortRange;
  /** Whether an instance is another driver's, whose logs lie beside ours. Default: there is no other. */
  isElsewhere?: (instanceId: string) => boolean;
  /** Logs kept of a runtime's ended instances. */
  keptLogs?: number;
  /** Between two looks at the logs' sizes and the memory used. */
  lookMs?: number;
}

/** Whether an instance is, or is about to be, in a container. */
export function isInContainer(dataDir: string, instanceId: string): boolean {
  return existsSync(join(dataDir, 'containers', pathSegment(instanceId)));
}

/** Apart from those of processes: two that do not know of each other would race for a port. */
const PORT_RANGE: PortRange = { from: 15_000, to: 19_999 };
const PORT_REST_MS = 60_000;
const START_GRACE_MS = 1000;
const LAST_LINES = 20;
const LOOK_MS = 500;
/**
 * Between two looks whether the kernel has killed for want of memory. Shorter than an engine takes to clear the
 * control group away with the count in it.
 */
const KILLS_LOOK_MS = 25;
/** How long looks at the memory used are remembered. */
const MEMORY_MS = 3000;
/** After the engine was gone: between two tries to reach it. */
const RETRY_MS = [200, 1000, 5000];
/** A port that was free may be taken by the time the engine asks for it. */
const PORT_TRIES = 3;

/** What a later server must know of an instance besides its labels. */
interface Kept {
  port: number;
  agentPort: number;
  memoryMiB: number;
  health: HealthCheckConfiguration;
  startedAt: string;
}

interface Instance extends Kept {
  instanceId: string;
  runtimeId: string;
  revision: number;
  folder: string;
  /** The container's name; it has one from the moment that it may be there. */
  container: string;
  mayExist: boolean;
  log: InstanceLog;
  /** When its lines were written. */
  logTimes: LogTimes;
  writing: ContainerLog | undefined;
  onMachine: ContainerProcess | undefined;
  /** In bytes, by the newest looks: a container that is being killed gives back what it had. */
  memoryUsed: { at: number; bytes: number }[];
  /** When the kernel was last seen to have killed for want of memory, in ms of the monotonic clock. */
  killedForMemoryAt: number | undefined;
  hasNetwork: boolean;
  ended: Promise<ContainerEnding>;
  ending: ContainerEnding | undefined;
  starting: Promise<RunningInstance>;
  running: RunningInstance | undefined;
  halt: AbortController;
  haltGraceMs: number;
  clearing: Promise<void> | undefined;
  onExit: ((exit: InstanceExit) => void) | undefined;
  /** Ends what waits for the container's end. */
  letGo: AbortController;
}

interface ContainerState {
  Id: string;
  State: { Running: boolean; Status?: string; ExitCode: number; OOMKilled?: boolean; Pid?: number };
}

/**
 * Runs each instance as a container of Docker or Podman. Containers live on when the server dies, and are found again
 * by their labels.
 *
 * In DATA: `containers/<id>/` (instance.json, log-mark), `logs/<runtime>/<id>.log`.
 */
export function createDockerDriver(options: DockerDriverOptions): Driver {
  const { dataDir, log, engine, images } = options;
  const dataMark = dataMarkOf(dataDir);
  const containersDir = join(dataDir, 'containers');
  const logsDir = join(dataDir, 'logs');
  for (const path of [containersDir, logsDir]) mkdirSync(path, { recursive: true, mode: 0o700 });

  const ports = new PortPool(options.portRange ?? PORT_RANGE, PORT_REST_MS);
  const networks = createNetworks(engine, dataMark);
  const shelf = new LogShelf(logsDir, options.box);
  const instances = new Map<string, Instance>();
  /** Whether an instance's log is still written to. */
  const isOpen = (instanceId: string) =>
    instances.has(instanceId) || options.isElsewhere?.(instanceId) === true;
  let isClosed = false;
  /** The engine may hold containers of ours that nobody here knows of. */
  let mayHaveStrays = false;
  let sweeping: Promise<void> | undefined;

  const looking = setInterval(() => {
    for (const it of instances.values()) {
      const used = it.onMachine?.memoryUsed();
      if (used !== undefined) {
        const at = performance.now();
        it.memoryUsed = [...it.memoryUsed.filter((look) => at - look.at < MEMORY_MS), { at, bytes: used }];
      }
      if (it.clearing === undefined) void keepLogSmall(it);
    }
    if (mayHaveStrays) void sweep().catch(() => {});
  }, options.lookMs ?? LOOK_MS);
  looking.unref();

  return {
    name: 'docker',
    marks: {},

    start,

    async stop(instanceId, { graceMs }) {
      const instance = instances.get(instanceId);
      if (!instance) return;
      if (instance.running !== undefined || instance.clearing !== undefined) return clear(instance, graceMs);
      instance.haltGraceMs = graceMs;
      instance.halt.abort(new StartFailure('start', 'killed-by-signal', 'stopped before it was ready'));
      await instance.starting.catch(() => {});
    },

    adopt,

    async identify(instanceId) {
      const instance = instances.get(instanceId);
      if (!instance || !isUp(instance)) return { holder: 'nobody' };
      // The engine holds the port for as long as the container runs, and for nobody else.
      const state = await inspect(instance.container).catch(() => 'unknown' as const);
      const isThere = state === 'unknown' || state?.State.Running === true;
      return { holder: isThere ? 'instance' : 'nobody' };
    },

    probe,

    list: () => [...instances.values()].filter(isUp).map((it) => it.running!),

    async logTail(instanceId, { maxLines }) {
      const found = instances.get(instanceId)?.log ?? shelf.find(instanceId);
      return found ? readTail(found, maxLines) : [];
    },

    logsOf(runtimeId) {
      const openLog = (instanceId: string) => {
        const instance = instances.get(instanceId);
        if (!instance) return undefined;
        noteTime(instance);
        return { log: instance.log, times: instance.logTimes };
      };
      // Those of ended ones are known to whoever shows the logs of processes.
      return shelf.logsOf(runtimeId, openLog, (instanceId) => !instances.has(instanceId));
    },

    async usageOf(instanceIds) {
      const found = new Map<string, ResourceUse>();
      for (const instanceId of instanceIds) {
        const memoryBytes = instances.get(instanceId)?.onMachine?.memoryUsed();
        if (memoryBytes !== undefined) found.set(instanceId, { memoryBytes });
      }
      return found;
    },

    async forgetRuntime(runtimeId) {
      await shelf.clear(runtimeId, 0, isOpen);
    },

    async close() {
      isClosed = true;
      clearInterval(looking);
      const all = [...instances.values()];
      for (const it of all) if (!it.running) it.halt.abort(new Error('the driver was closed'));
      await Promise.all(all.map((it) => (it.running ? it.clearing : it.starting.catch(() => {}))));
      for (const it of all) {
        it.letGo.abort();
        it.writing?.close();
      }
      await sweeping?.catch(() => {});
      instances.clear();
    },
  };

  async function start(spec: InstanceSpec, startOptions: StartOptions): Promise<RunningInstance> {
    if (isClosed) throw new Error('the driver is closed');
    startOptions.signal.throwIfAborted();
    const known = instances.get(spec.instanceId);
    if (known?.clearing !== undefined) {
      await known.clearing;
      return start(spec, startOptions);
    }
    if (known) return known.starting;
    const instance = newInstance(spec.instanceId, spec.runtimeId, spec.revision, {
      port: 0,
      agentPort: spec.port,
      memoryMiB: spec.memoryMiB,
      health: spec.healthCheck,
      startedAt: new Date().toISOString(),
    });
    instance.log.secrets = secretsIn(spec.environment, spec.secretVariables);
    instance.onExit = startOptions.onExit;
    instances.set(spec.instanceId, instance);
    instance.starting = bringUp(instance, spec, startOptions);
    return instance.starting;
  }

  function newInstance(instanceId: string, runtimeId: string, revision: number, kept: Kept): Instance {
    return {
      ...kept,
      instanceId,
      runtimeId,
      revision,
      folder: join(containersDir, pathSegment(instanceId)),
      container: `runstead-${dataMark}-${pathSegment(instanceId)}`,
      mayExist: false,
      log: { path: shelf.path(runtimeId, instanceId), secrets: [] },
      logTimes: new LogTimes(shelf.path(runtimeId, instanceId)),
      writing: undefined,
      onMachine: undefined,
      memoryUsed: [],
      killedForMemoryAt: undefined,
      hasNetwork: false,
      ended: new Promise(() => {}),
      ending: undefined,
      starting: new Promise(() => {}),
      running: undefined,
      halt: new AbortController(),
      haltGraceMs: START_GRACE_MS,
      clearing: undefined,
      onExit: undefined,
      letGo: new AbortController(),
    };
  }

  /** Everything between the wish for an instance and its readiness. What fails leaves nothing but the log. */
  async function bringUp(
    instance: Instance,
    spec: InstanceSpec,
    { signal, onProbe }: StartOptions,
  ): Promise<RunningInstance> {
    const giveUp = () => instance.halt.abort(signal.reason);
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      const startedAt = await startContainer(instance, spec);
      await untilReady(instance, spec, startedAt, onProbe);
      const startMs = performance.now() - startedAt;
      instance.halt.signal.throwIfAborted();
      return nowRunning(instance, startMs);
    } catch (error) {
      await clear(instance, instance.haltGraceMs);
      throw error;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  /** @returns when the engine was told to start it, in ms of the monotonic clock */
  async function startContainer(instance: Instance, spec: InstanceSpec): Promise<number> {
    const { halt, folder, container } = instance;
    const { signal } = halt;
    try {
      await sweep();
      const facts = await engine.facts();
      const image = await imageFor(spec, signal);
      signal.throwIfAborted();
      await rm(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      mkdirSync(join(logsDir, spec.runtimeId), { recursive: true, mode: 0o700 });
      shelf.begin(spec);
      instance.hasNetwork = true;
      const network = await networks.take(spec.runtimeId);
      const linked = spec.image ? { folders: [], sitePackages: [] } : linkedFolders(spec.codeDir);
      for (let tried = 1; ; tried++) {
        signal.throwIfAborted();
        instance.port = await ports.take();
        const body = containerBody(spec, {
          image,
          network,
          hostPort: instance.port,
          dataMark,
          accountId: options.accountId,
          region: options.region,
          logLimitBytes: 2 * options.logLimitBytes,
          facts,
          user: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
          linked: linked.folders,
          sitePackages: linked.sitePackages,
        });
        writeKept(instance);
        // From here on, whatever becomes of the answer.
        instance.mayExist = true;
        const { Id: id } = await engine.ask<{ Id: string }>('POST', '/containers/create', {
          query: { name: container },
          body,
        });
        signal.throwIfAborted();
        const startedAt = performance.now();
        try {
          await engine.ask('POST', `/containers/${container}/start`);
        } catch (error) {
          const isTaken =
            error instanceof EngineRefusal && /address already in use|port is already/.test(error.message);
          if (!isTaken || tried === PORT_TRIES) throw error;
          await engine.ask('DELETE', `/containers/${container}`, { query: { force: 'true', v: 'true' } });
          ports.release(instance.port);
          continue;
        }
        await watch(instance, id, { box: options.box() });
        return startedAt;
      }
    } catch (error) {
      halt.signal.throwIfAborted();
      if (error instanceof StartFailure) throw error;
      if (error instanceof EngineRefusal) throw notCreated(spec.command[0], error.message);
      const { message } = error as Error;
      throw new StartFailure('start', 'cannot-start', message);
    }
  }

  /** @returns the name that the image has in the engine */
  async function imageFor(spec: InstanceSpec, signal: AbortSignal): Promise<string> {
    const onProgress = () => {};
    if (spec.image) return images.ensure(spec.image, spec.image.registry, { signal, onProgress });
    const name = options.codeImages[spec.language];
    if (name === undefined) {
      throw new StartFailure(
        'start',
        'cannot-start',
        `no image is set for ${spec.language} to run in; name one with RUNSTEAD_CODE_IMAGES=${spec.language}=<image>`,
      );
    }
    const isThere = await engine.ask('GET', `/images/${name}/json`).then(
      () => true,
      (error: unknown) => {
        if (error instanceof EngineRefusal && error.status === 404) return false;
        throw error;
      },
    );
    if (isThere) return name;
    const fixed = await images.fix(name, undefined, { signal, onProgress });
    return images.ensure(fixed, undefined, { signal, onProgress });
  }

  /** Has the output of a container that runs written down, and waits for its end. */
  async function watch(instance: Instance, id: string, how: { box?: SecretBox }): Promise<void> {
    const markPath = join(instance.folder, 'log-mark');
    if (how.box) writeFirstMark(markPath);
    instance.writing = new ContainerLog({
      engine,
      container: instance.container,
      log: instance.log,
      box: how.box,
      markPath,
    });
    instance.writing.follow();
    instance.ended = untilEnded(instance);
    const pid = (await inspect(instance.container).catch(() => undefined))?.State.Pid ?? 0;
    instance.onMachine = pid > 1 ? containerProcess(pid, id) : undefined;
    watchKills(instance, how.box !== undefined);
  }

  /** Never rejects; never resolves once it is let go of. The engine may come and go meanwhile. */
  async function untilEnded(instance: Instance): Promise<ContainerEnding> {
    const { signal } = instance.letGo;
    for (let tries = 0; ; tries++) {
      try {
        await engine.ask('POST', `/containers/${instance.container}/wait`, { signal, silenceMs: 0 });
        const found = await inspect(instance.container);
        if (!found?.State.Running) {
          instance.ending = found
            ? containerEnding(found.State, instance.memoryMiB, shortlyBefore(instance))
            : {};
          return instance.ending;
        }
        tries = 0;
      } catch (error) {
        if (signal.aborted) return new Promise(() => {});
        if (error instanceof EngineRefusal && error.status === 404) {
          instance.ending = {};
          return instance.ending;
        }
      }
      const pauseMs = RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]!;
      await delay(pauseMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return new Promise(() => {});
    }
  }

  /**
   * Notes when the kernel kills for want of memory: the count goes with the container.
   * @param isNew whether what is counted already has just happened
   */
  function watchKills(instance: Instance, isNew: boolean): void {
    let known = instance.onMachine?.memoryKills();
    if (known === undefined) return;
    const note = () => {
      const kills = instance.onMachine?.memoryKills();
      if (kills === undefined || kills === known) return;
      known = kills;
      instance.killedForMemoryAt = performance.now();
    };
    if (isNew) known = 0;
    note();
    const looking = setInterval(note, KILLS_LOOK_MS);
    looking.unref();
    instance.letGo.signal.addEventListener('abort', () => clearInterval(looking), { once: true });
  }

  /** @throws StartFailure the moment it is certain that it will not be ready; the halt's reason. */
  async function untilReady(
    instance: Instance,
    spec: InstanceSpec,
    startedAt: number,
    onProbe: () => void = () => {},
  ): Promise<void> {
    const { halt, health, port, agentPort } = instance;
    const over = new AbortController();
    const seen: Seen = { attempts: 0, lastOpen: undefined };
    void instance.ended.then(() => over.abort());
    const timeoutMs = spec.startTimeoutMs;
    let isProbed = false;
    try {
      const attempt = await waitUntilHealthy({
        port,
        health,
        timeoutMs,
        signal: AbortSignal.any([over.signal, halt.signal]),
        seen,
        onOpen() {
          if (!isProbed) onProbe();
          isProbed = true;
        },
        confirm: async () => (await inspect(instance.container))?.State.Running === true,
      });
      if (attempt) return;
    } catch (error) {
      halt.signal.throwIfAborted();
      if (error instanceof EngineAbsent) throw new StartFailure('probe', 'cannot-start', error.message);
      if (!instance.ending) throw error;
      const afterMs = performance.now() - startedAt;
      await instance.writing?.end();
      throw endedEarly(instance.ending, spec.command[0], afterMs, seen, readTail(instance.log, LAST_LINES));
    }
    const opened = instance.onMachine?.listeners();
    throw notReadyInTime({ agentPort, health, timeoutMs }, seen, opened, readTail(instance.log, LAST_LINES));
  }

  function nowRunning(instance: Instance, startMs?: number): RunningInstance {
    const { instanceId, runtimeId, revision, startedAt, port } = instance;
    const running: RunningInstance = {
      instanceId,
      runtimeId,
      revision,
      host: HOSTS[0]!,
      port,
      startedAt,
      ...(startMs !== undefined && { startMs }),
    };
    instance.running = running;
    void instance.ended.then((ending) => {
      if (isUp(instance) && !isClosed) endedByItself(instance, ending);
    });
    return running;
  }

  function endedByItself(instance: Instance, { outOfMemory, ...ending }: ContainerEnding): void {
    // Marked as ending at once: no call must be sent to a port that is free again.
    const written = instance.writing?.end() ?? Promise.resolve();
    const cleared = clear(instance, 0);
    void written.then(() => {
      const lastLines = readTail(instance.log, LAST_LINES);
      const { instanceId } = instance;
      const exit = {
        instanceId,
        ...ending,
        lastLines,
        ...(outOfMemory !== undefined && { reason: outOfMemory }),
      };
      for (const hear of [instance.onExit, instance.running?.onExit]) {
        try {
          hear?.(exit);
        } catch (error) {
          log.error({ err: error, instanceId }, 'a listener for an exit failed');
        }
      }
    });
    cleared.catch((error: unknown) => {
      log.error(
        { err: error, instanceId: instance.instanceId },
        'an ended instance could not be cleared away',
      );
    });
  }

  /** Ends a container, then forgets it but for its log. Calls share one end. */
  function clear(instance: Instance, graceMs: number): Promise<void> {
    instance.clearing ??= (async () => {
      const { instanceId, runtimeId } = instance;
      let isLeft = false;
      try {
        if (instance.mayExist) await endContainer(instance, graceMs);
      } catch (error) {
        // Not to be reached: what is left of it goes when the engine is back.
        log.warn({ err: error, instanceId }, 'a container could not be removed now; it will be tried again');
        isLeft = true;
        mayHaveStrays = true;
      }
      instance.letGo.abort();
      instance.writing?.close();
      await keepLogSmall(instance);
      if (instance.port > 0) ports.release(instance.port);
      if (instance.hasNetwork)
        await networks.release(runtimeId).catch(() => {
          isLeft = true;
          mayHaveStrays = true;
        });
      // As long as there is a folder, there may be a container or its network: so a server knows whether to ask the
      // engine at all.
      if (!isLeft) await removeFolder(instance.folder);
      if (instances.get(instanceId) === instance) instances.delete(instanceId);
      await shelf.clear(runtimeId, options.keptLogs ?? 20, isOpen);
    })();
    return instance.clearing;
  }

  async function removeFolder(folder: string): Promise<void> {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch((error: unknown) => {
      log.warn({ err: error, folder }, "an ended instance's folder could not be removed");
    });
  }

  async function endContainer(instance: Instance, graceMs: number): Promise<void> {
    const { container } = instance;
    const signal = (name: string) =>
      engine.ask('POST', `/containers/${container}/kill`, { query: { signal: name } }).then(
        () => true,
        (error: unknown) => {
          // It is not there, or does not run.
          if (error instanceof EngineRefusal) return false;
          throw error;
        },
      );
    if (graceMs > 0 && !instance.ending && (await signal('SIGTERM'))) {
      const over = new AbortController();
      const patience = delay(graceMs, undefined, { signal: over.signal }).catch(() => {});
      await Promise.race([instance.ended, patience]);
      over.abort();
    }
    if (!instance.ending && (await signal('SIGKILL')) && instance.writing) await instance.ended;
    await instance.writing?.end();
    await removeContainer(container);
  }

  async function removeContainer(container: string): Promise<void> {
    await engine
      .ask('DELETE', `/containers/${container}`, { query: { force: 'true', v: 'true' } })
      .catch((error: unknown) => {
        if (!(error instanceof EngineRefusal) || error.status !== 404) throw error;
      });
  }

  async function adopt(): Promise<RunningInstance[]> {
    const adopted: RunningInstance[] = [];
    // Whoever runs no containers may have no engine, or one that is not to be woken.
    if (readdirSync(containersDir).length === 0) return adopted;
    try {
      for (const found of await ourContainers()) {
        const { [LABEL.instance]: id, [LABEL.runtime]: runtimeId, [LABEL.revision]: revision } = found.Labels;
        if (id === undefined || runtimeId === undefined || instances.has(id)) continue;
        const kept = readKept(id);
        const state = kept && (await inspect(found.Id));
        if (!kept || !state) continue;
        const instance = newInstance(id, runtimeId, Number(revision), kept);
        instance.log = findLog(instance.log.path, options.box());
        instance.mayExist = true;
        if (state.State.Running) adopted.push(await takeOver(instance, state.Id));
        else await readOut(instance);
      }
      // Not before all are known: whoever looks for strays meanwhile would take them for some.
      mayHaveStrays = true;
      await sweep();
    } catch (error) {
      mayHaveStrays = true;
      if (!(error instanceof EngineAbsent || error instanceof EngineRefusal)) throw error;
      log.warn(`containers of an earlier server may still run: ${error.message}`);
    }
    return adopted.filter(({ instanceId }) => {
      const instance = instances.get(instanceId);
      return instance !== undefined && isUp(instance);
    });
  }

  async function takeOver(instance: Instance, id: string): Promise<RunningInstance> {
    ports.hold(instance.port);
    networks.hold(instance.runtimeId);
    instance.hasNetwork = true;
    instances.set(instance.instanceId, instance);
    await watch(instance, id, {});
    const running = nowRunning(instance);
    instance.starting = Promise.resolve(running);
    return running;
  }

  /** The rest of what one has written that ended while no server was there. */
  async function readOut(instance: Instance): Promise<void> {
    const markPath = join(instance.folder, 'log-mark');
    if (!existsSync(markPath)) return;
    const { container, log: file } = instance;
    await new ContainerLog({ engine, container, log: file, box: undefined, markPath }).end();
  }

  /** Removes containers and networks of ours that nobody here knows of. @throws EngineAbsent */
  function sweep(): Promise<void> {
    if (!mayHaveStrays) return Promise.resolve();
    sweeping ??= (async () => {
      for (const { Id: id, Labels: labels } of await ourContainers())
        if (!instances.has(labels[LABEL.instance] ?? '')) await removeContainer(id);
      await networks.sweep();
      for (const name of readdirSync(containersDir))
        if (!instances.has(name)) await removeFolder(join(containersDir, name));
      mayHaveStrays = false;
    })().finally(() => {
      sweeping = undefined;
    });
    return sweeping;
  }

  function ourContainers() {
    const filters = JSON.stringify({ label: [`${LABEL.data}=${dataMark}`] });
    return engine.ask<{ Id: string; Labels: Record<string, string | undefined> }[]>(
      'GET',
      '/containers/json',
      { query: { all: 'true', filters } },
    );
  }

  async function inspect(container: string): Promise<ContainerState | undefined> {
    try {
      return await engine.ask<ContainerState>('GET', `/containers/${container}/json`);
    } catch (error) {
      if (error instanceof EngineRefusal && error.status === 404) return undefined;
      throw error;
    }
  }

  function writeKept({ folder, port, agentPort, memoryMiB, health, startedAt }: Instance): void {
    const kept: Kept = { port, agentPort, memoryMiB, health, startedAt };
    writeFileSync(join(folder, 'instance.json'), JSON.stringify(kept), { mode: 0o600 });
  }

  function readKept(instanceId: string): Kept | undefined {
    try {
      const path = join(containersDir, pathSegment(instanceId), 'instance.json');
      return JSON.parse(readFileSync(path, 'utf8')) as Kept;
    } catch {
      return undefined;
    }
  }

  async function probe(instanceId: string): Promise<ProbeResult> {
    const instance = instances.get(instanceId);
    if (!instance || !isUp(instance)) return { ok: false, detail: 'not running' };
    try {
      const { ok, detail } = await checkHealth([HOSTS[0]!], instance.port, instance.health);
      return { ok, detail };
    } catch (error) {
      return { ok: false, detail: (error as Error).message };
    }
  }

  /** Looks when the newest lines were written. */
  function noteTime({ instanceId, log: { path }, logTimes }: Instance): void {
    try {
      if (!existsSync(path)) return;
      const { end, writtenMs } = logExtent(path);
      logTimes.note(end, writtenMs);
    } catch (error) {
      log.warn({ err: error, instanceId }, 'when lines were written could not be noted');
    }
  }

  async function keepLogSmall(instance: Instance): Promise<void> {
    // First: what gives blocks back counts as a change of the file.
    noteTime(instance);
    try {
      if (existsSync(instance.log.path)) await boundLog(instance.log.path, options.logLimitBytes);
    } catch (error) {
      log.warn({ err: error, instanceId: instance.instanceId }, 'a log could not be shortened');
    }
  }
}

function shortlyBefore({ killedForMemoryAt = Number.NEGATIVE_INFINITY, memoryUsed }: Instance) {
  return {
    killedForMemory: performance.now() - killedForMemoryAt < MEMORY_MS,
    usedBytes: Math.max(0, ...memoryUsed.map(({ bytes }) => bytes)),
  };
}

function isUp(instance: Instance): boolean {
  return instance.running !== undefined && instance.clearing === undefined;
}
