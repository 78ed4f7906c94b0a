import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../../observe/log.ts';
import { secretsIn } from '../../observe/secrets.ts';
import {
  type Driver,
  type ProbeResult,
  type RunningInstance,
  type SandboxState,
  StartFailure,
  type StartOptions,
} from '../driver.ts';
import type { InstanceSpec } from '../instance-spec.ts';
import { createAdoption } from './adopt-processes.ts';
import { LAST_LINES, untilReady } from './await-process.ts';
import { createClear } from './clear-processes.ts';
import { createOwnerCheck, type OwnerSettings } from './confirm-owner.ts';
import { dataMark as dataMarkOf, type Ending, readRecord, writeRecord } from './identity.ts';
import { readTail } from './instance-log.ts';
import { defaultInterpreter } from './interpreters.ts';
import { leavePlaces, openGroups } from './limits/control-groups.ts';
import { settleCpu } from './limits/instance-groups.ts';
import { shareOf, waitingShare } from './limits/limits.ts';
import { watchLimits } from './limits/watch-limits.ts';
import { LogBounds } from './log-bounds.ts';
import { LogKeeper } from './log-keeper.ts';
import { LogShelf, pathSegment } from './log-shelf.ts';
import { LogTimes } from './log-times.ts';
import { QuickStarts } from './pool/quick-starts.ts';
import { DEFAULT_PORT_RANGE, PortPool, type PortRange } from './port-pool.ts';
import { hostIn, type Instance, type Instances, isUp, newInstance } from './process-instance.ts';
import { DATA_MARK, listProcesses, membersOf, type ProcessInfo } from './processes.ts';
import { checkHealth, HOSTS, type Host, saysBusy } from './readiness.ts';
import { createProcessStart, type StartSettings } from './start-process.ts';
import { UsageMeter } from './usage.ts';
import { createWatched } from './watched-instances.ts';

export interface ProcessDriverOptions extends StartSettings, OwnerSettings {
  dataDir: string;
  log: Log;
  /** Kept of each instance's log; it may grow to twice that, and by what is written in the moment until it is shortened. */
  logLimitBytes: number;
  /** What logs may take up on the disk: those of one runtime, and all. Default: no limit but that of each. */
  logsRuntimeBytes?: number;
  logsTotalBytes?: number;
  /** Where the instances' own ports come from. */
  portRange?: PortRange;
  /** How long a freed port is not given out again. */
  portRestMs?: number;
  sandboxState?: SandboxState;
  /** Whether an instance is another driver's, whose logs lie beside ours. Default: there is no other. */
  isElsewhere?: (instanceId: string) => boolean;
  /** Logs kept of a runtime's ended instances. */
  keptLogs?: number;
  /** Between two looks at all logs: how large they are, and when they were written. Default: 250 ms. */
  logCheckMs?: number;
  /** Booted Nodes and Pythons that wait for a start, for each interpreter in use. Default 0: none. */
  pool?: number;
  /** Memory of the processes that Python instances are forked from, in bytes. Default 0: none are. */
  forkMemoryBytes?: number;
}

/** What an agent that is not wanted before it was ready gets to end by itself. */
const START_GRACE_MS = 1000;
/** From readiness on, for the answer that it was started for. */
const FIRST_ANSWER_MS = 1000;

/**
 * Runs each instance as processes of this machine: a wrapper, the agent, and what that starts. They live on when the
 * server dies, and are found again by the record in their folder and the marks in their environment.
 *
 * In DATA: `instances/<id>/` (home, tmp, shm, identity.json, agent.pid, exit), `logs/<runtime>/<id>.log`, `run/bin/`;
 * `starts/` is `nodeStarts`'.
 */
export function createProcessDriver(options: ProcessDriverOptions): Driver {
  const { dataDir, log, limits } = options;
  const dataMark = dataMarkOf(dataDir);
  const instancesDir = join(dataDir, 'instances');
  const logsDir = join(dataDir, 'logs');
  const binDir = join(dataDir, 'run', 'bin');
  for (const path of [instancesDir, logsDir, binDir]) mkdirSync(path, { recursive: true, mode: 0o700 });

  const ports = new PortPool(options.portRange ?? DEFAULT_PORT_RANGE, options.portRestMs ?? 60_000);
  const instances: Instances = new Map();
  const shelf = new LogShelf(logsDir, options.box);
  /** Whether an instance's log is still written to. */
  const isOpen = (instanceId: string) =>
    instances.has(instanceId) || options.isElsewhere?.(instanceId) === true;
  const clearLogs = (runtimeId: string) => shelf.clear(runtimeId, options.keptLogs ?? 20, isOpen);
  const bounds = new LogBounds(
    shelf,
    {
      runtimeBytes: options.logsRuntimeBytes ?? Number.POSITIVE_INFINITY,
      totalBytes: options.logsTotalBytes ?? Number.POSITIVE_INFINITY,
    },
    isOpen,
  );
  const logs = new LogKeeper({
    growing: () => [...instances.values()],
    bounds,
    limitBytes: options.logLimitBytes,
    everyMs: options.logCheckMs,
    log,
  });
  const usage = new UsageMeter(async (instanceIds) => {
    const table = await listProcesses();
    const found = instanceIds.flatMap((id) => instances.get(id) ?? []);
    return new Map(found.map((it) => [it.instanceId, membersOf(table, { ...it, dataMark })]));
  });
  const { pool = 0, forkMemoryBytes = 0 } = options;
  const quickStarts = new QuickStarts({
    dataDir,
    dataMark,
    pool,
    forkMemoryBytes,
    openGroups:
      limits && ((name, memoryMiB) => openGroups(limits.places, name, waitingShare(limits, memoryMiB))),
    log,
  });
  const startProcess = createProcessStart(options, {
    dataDir,
    dataMark,
    logsDir,
    binDir,
    ports,
    shelf,
    logs,
    quickStarts,
    log,
  });
  const { confirmOwner, whoListens, identify } = createOwnerCheck(options, { members, log });
  const clear = createClear({ dataMark, instances, members, ports, logs, usage, clearLogs, log });
  const adopt = createAdoption({
    dataMark,
    instancesDir,
    instances,
    ports,
    shelf,
    bounds,
    logs,
    quickStarts,
    nodeStarts: options.nodeStarts,
    limits,
    box: options.box,
    log,
    nowRunning,
  });
  let isClosed = false;

  // Asked before the first start needs the answer.
  void defaultInterpreter('python');

  const watch =
    limits && watchLimits(limits, createWatched({ dataMark, instances, quickStarts, limits, log }));

  return {
    name: 'process',
    marks: { [DATA_MARK]: dataMark },
    ...(options.sandboxState && { sandboxState: options.sandboxState }),
    ...(limits && { limits: limits.state }),

    start,

    async stop(instanceId, { graceMs }) {
      const instance = instances.get(instanceId);
      if (!instance) return;
      if (instance.running !== undefined || instance.clearing !== undefined) return clear(instance, graceMs);
      // The start itself cleans up behind it: only it knows how far it has come.
      instance.haltGraceMs = graceMs;
      instance.halt.abort(new StartFailure('start', 'killed-by-signal', 'stopped before it was ready'));
      await instance.starting.catch(() => {});
    },

    adopt,

    async identify(instanceId) {
      const instance = instances.get(instanceId);
      return instance && isUp(instance) ? identify(instance) : { holder: 'nobody' };
    },

    list: () => [...instances.values()].filter(isUp).map((it) => it.running!),

    probe,

    async logTail(instanceId, { maxLines }) {
      const instanceLog = instances.get(instanceId)?.log ?? shelf.find(instanceId);
      return instanceLog ? readTail(instanceLog, maxLines) : [];
    },

    logsOf(runtimeId) {
      const openLog = (instanceId: string) => {
        const instance = instances.get(instanceId);
        if (!instance) return undefined;
        logs.noteTime(instance);
        return { log: instance.log, times: instance.logTimes };
      };
      return shelf.logsOf(runtimeId, openLog, options.isElsewhere);
    },

    usageOf: (instanceIds) => usage.of(instanceIds),

    async forgetRuntime(runtimeId) {
      await quickStarts.forgetRuntime(runtimeId);
      await shelf.clear(runtimeId, 0, isOpen);
      await options.nodeStarts?.forget(runtimeId);
    },

    async close() {
      isClosed = true;
      watch?.stop();
      const all = [...instances.values()];
      // A start that nobody waits for any more has no owner.
      for (const it of all) if (!it.running) it.halt.abort(new Error('the driver was closed'));
      await Promise.all(all.map((it) => (it.running ? it.clearing : it.starting.catch(() => {}))));
      await options.nodeStarts?.close();
      for (const it of all) it.detach();
      instances.clear();
      await quickStarts.close();
      if (limits) leavePlaces(limits.places);
      await logs.close();
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
    const instance = instanceOf(spec, startOptions);
    instances.set(spec.instanceId, instance);
    instance.starting = bringUp(instance, spec, startOptions);
    return instance.starting;
  }

  function instanceOf(spec: InstanceSpec, { onExit }: StartOptions): Instance {
    const secrets = secretsIn(spec.environment, spec.secretVariables);
    const logPath = shelf.path(spec.runtimeId, spec.instanceId);
    return newInstance({
      instanceId: spec.instanceId,
      runtimeId: spec.runtimeId,
      revision: spec.revision,
      folder: join(instancesDir, pathSegment(spec.instanceId)),
      log: { path: logPath, secrets },
      logTimes: new LogTimes(logPath),
      health: spec.healthCheck,
      agentPort: spec.port,
      startedAt: new Date().toISOString(),
      isConfined: options.confinedBy !== undefined,
      memoryBytes: limits && shareOf(limits, spec).memoryBytes,
      cpu: spec.cpu,
      haltGraceMs: START_GRACE_MS,
      onExit,
    });
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
      const spawnedAt = await startProcess(instance, spec);
      const host = await untilReady({ members, confirmOwner }, instance, spec, spawnedAt, onProbe);
      const startMs = performance.now() - spawnedAt;
      await instance.nodeStart?.ready();
      instance.halt.signal.throwIfAborted();
      settleSoon(instance);
      options.onStep?.('ready');
      quickStarts.settled(instance.instanceId, { isReady: true });
      return nowRunning(instance, host, startMs);
    } catch (error) {
      await clear(instance, instance.haltGraceMs);
      throw error;
    } finally {
      quickStarts.settled(instance.instanceId, { isReady: false });
      instance.nodeStart?.over();
      signal.removeEventListener('abort', giveUp);
    }
  }

  async function members(instance: Instance): Promise<ProcessInfo[]> {
    return membersOf(await listProcesses(), { ...instance, dataMark });
  }

  /** Its first caller waits for it still, and to take processors from it at once would stop it in the middle of its answer. */
  function settleSoon(instance: Instance): void {
    setTimeout(() => {
      if (isUp(instance)) settleCpu(instance, log);
    }, FIRST_ANSWER_MS).unref();
  }

  function nowRunning(instance: Instance, host: Host, startMs?: number): RunningInstance {
    const { instanceId, runtimeId, revision, startedAt, agentPid: pid } = instance;
    if (host !== HOSTS[0]) {
      const record = readRecord(instance.folder);
      if (record) writeRecord(instance.folder, { ...record, host });
    }
    const running: RunningInstance = {
      instanceId,
      runtimeId,
      revision,
      host,
      port: instance.port!,
      startedAt,
      ...(pid !== undefined && { pid }),
      ...(startMs !== undefined && { startMs }),
      ...(instance.links && { links: instance.links }),
    };
    instance.running = running;
    void instance.ended.then((ending) => {
      if (isUp(instance) && !isClosed) endedByItself(instance, ending);
    });
    return running;
  }

  function endedByItself(instance: Instance, ending: Ending): void {
    const lastLines = readTail(instance.log, LAST_LINES);
    // Said first, cleared afterwards: no call must be sent to a port that is free again.
    const cleared = clear(instance, 0);
    const exit = { instanceId: instance.instanceId, ...ending, lastLines };
    for (const hear of [instance.onExit, instance.running?.onExit]) {
      try {
        hear?.(exit);
      } catch (error) {
        log.error({ err: error, instanceId: instance.instanceId }, 'a listener for an exit failed');
      }
    }
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
      const { running, health } = instance;
      const hosts = [hostIn(running!.host)];
      const attempt = await checkHealth(hosts, running!.port, health, undefined, undefined, 'body');
      if (attempt.ok && (await whoListens(instance, attempt.host)).holder === 'stranger') {
        return { ok: false, detail: `port ${running!.port} is held by another process` };
      }
      const isBusy = attempt.ok && saysBusy(attempt.body);
      return { ok: attempt.ok, detail: attempt.detail, ...(isBusy && { busy: true as const }) };
    } catch (error) {
      return { ok: false, detail: (error as Error).message };
    }
  }
}
