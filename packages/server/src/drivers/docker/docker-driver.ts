import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../../observe/log.ts';
import { secretsIn } from '../../observe/secrets.ts';
import {
  type Driver,
  type ProbeResult,
  type ResourceUse,
  type RunningInstance,
  StartFailure,
  type StartOptions,
} from '../driver.ts';
import type { InstanceSpec } from '../instance-spec.ts';
import { dataMark as dataMarkOf } from '../process/identity.ts';
import { readTail } from '../process/instance-log.ts';
import { LogShelf, pathSegment } from '../process/log-shelf.ts';
import { LogTimes } from '../process/log-times.ts';
import { PortPool, type PortRange } from '../process/port-pool.ts';
import { checkHealth, HOSTS } from '../process/readiness.ts';
import { createAdoption } from './adopt-containers.ts';
import { LAST_LINES, untilReady } from './await-container.ts';
import { createClear } from './clear-container.ts';
import type { ContainerEnding } from './container-failure.ts';
import {
  type ContainerInstance,
  type ContainerInstances,
  isUp,
  type Kept,
  newInstance,
} from './container-instance.ts';
import type { Engine } from './engine.ts';
import { createEngineContainers } from './engine-containers.ts';
import { createLogKeeping } from './log-keeping.ts';
import { createNetworks } from './networks.ts';
import { createContainerStart, type StartSettings } from './start-container.ts';
import { createStrays } from './sweep-containers.ts';
import { createWatch, noteMemory } from './watch-container.ts';

export interface DockerDriverOptions extends StartSettings {
  dataDir: string;
  log: Log;
  engine: Engine;
  /** Whether an instance is another driver's, whose logs lie beside ours. Default: there is no other. */
  isElsewhere?: (instanceId: string) => boolean;
  /** Where the ports on 127.0.0.1 come from. */
  portRange?: PortRange;
  /** Logs kept of a runtime's ended instances. */
  keptLogs?: number;
  /** Between two looks at the logs' sizes and the memory used. */
  lookMs?: number;
  /** When it is looked once more for what an earlier server had asked the engine for, after it was settled. */
  lateLooksMs?: readonly number[];
}

/** Whether an instance is, or is about to be, in a container. */
export function isInContainer(dataDir: string, instanceId: string): boolean {
  return existsSync(join(dataDir, 'containers', pathSegment(instanceId)));
}

/** Apart from those of processes: two that do not know of each other would race for a port. */
const PORT_RANGE: PortRange = { from: 15_000, to: 19_999 };
const PORT_REST_MS = 60_000;
const START_GRACE_MS = 1000;
const LOOK_MS = 500;

/**
 * Runs each instance as a container of Docker or Podman. Containers live on when the server dies, and are found again
 * by their labels.
 *
 * In DATA: `containers/<id>/` (instance.json, log-mark), `containers-unsettled`, `logs/<runtime>/<id>.log`.
 */
export function createDockerDriver(options: DockerDriverOptions): Driver {
  const { dataDir, log, engine, box } = options;
  const dataMark = dataMarkOf(dataDir);
  const folder = join(dataDir, 'containers');
  const logsDir = join(dataDir, 'logs');
  for (const path of [folder, logsDir]) mkdirSync(path, { recursive: true, mode: 0o700 });

  const instances: ContainerInstances = new Map();
  const containers = createEngineContainers(engine, dataMark);
  const networks = createNetworks(engine, dataMark);
  const ports = new PortPool(options.portRange ?? PORT_RANGE, PORT_REST_MS);
  const shelf = new LogShelf(logsDir, box);
  /** Whether an instance's log is still written to. */
  const isOpen = (instanceId: string) =>
    instances.has(instanceId) || options.isElsewhere?.(instanceId) === true;
  const clearLogs = (runtimeId: string) => shelf.clear(runtimeId, options.keptLogs ?? 20, isOpen);
  const logKeeping = createLogKeeping(log, options.logLimitBytes);
  const strays = createStrays({
    containers,
    networks,
    instances,
    folder,
    unsettledPath: join(dataDir, 'containers-unsettled'),
    lateLooksMs: options.lateLooksMs,
    log,
  });
  const watch = createWatch(engine, containers);
  const startContainer = createContainerStart(options, {
    engine,
    containers,
    networks,
    ports,
    shelf,
    dataMark,
    logsDir,
    strays,
    watch,
  });
  const clear = createClear({ containers, networks, ports, instances, strays, logKeeping, clearLogs, log });
  const adopt = createAdoption({
    engine,
    containers,
    networks,
    ports,
    instances,
    strays,
    watch,
    folder,
    box,
    log,
    instanceOf,
    nowRunning,
  });
  let isClosed = false;

  const looking = setInterval(() => {
    for (const it of instances.values()) {
      noteMemory(it);
      if (it.clearing === undefined) void logKeeping.keepSmall(it);
    }
    void strays.sweep().catch(() => {});
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
      const state = await containers.inspect(instance.container).catch(() => 'unknown' as const);
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
        logKeeping.noteTime(instance);
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
      await strays.close();
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
    const instance = instanceOf(spec.instanceId, spec.runtimeId, spec.revision, {
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

  function instanceOf(
    instanceId: string,
    runtimeId: string,
    revision: number,
    kept: Kept,
  ): ContainerInstance {
    const logPath = shelf.path(runtimeId, instanceId);
    return newInstance({
      ...kept,
      instanceId,
      runtimeId,
      revision,
      folder: join(folder, pathSegment(instanceId)),
      container: containers.nameOf(instanceId),
      log: { path: logPath, secrets: [] },
      logTimes: new LogTimes(logPath),
      haltGraceMs: START_GRACE_MS,
    });
  }

  /** Everything between the wish for an instance and its readiness. What fails leaves nothing but the log. */
  async function bringUp(
    instance: ContainerInstance,
    spec: InstanceSpec,
    { signal, onProbe }: StartOptions,
  ): Promise<RunningInstance> {
    const giveUp = () => instance.halt.abort(signal.reason);
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      const startedAt = await startContainer(instance, spec);
      await untilReady(containers, instance, spec, startedAt, onProbe);
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

  function nowRunning(instance: ContainerInstance, startMs?: number): RunningInstance {
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

  function endedByItself(instance: ContainerInstance, { outOfMemory, ...ending }: ContainerEnding): void {
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
}
