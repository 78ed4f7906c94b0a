import { existsSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { FastifyInstance } from 'fastify';
import { createApi } from './api/app.ts';
import type { RunningNow } from './api/deps.ts';
import { createWalks } from './api/walks.ts';
import { createPackageFetcher } from './artifacts/buckets/fetch-package.ts';
import { sweepIncoming } from './artifacts/collect.ts';
import { type DataFolders, openDataFolders } from './artifacts/folders.ts';
import { type TrackProgram, trackNothing } from './artifacts/install/guard.ts';
import type { FindInterpreter } from './artifacts/install/kept-install.ts';
import { createPackageIntake } from './artifacts/intake.ts';
import { letGoOfOthers, preparedRuntimes } from './artifacts/let-go.ts';
import { createPackageThread, type PackageThread } from './artifacts/package-thread.ts';
import { sweepPrepared } from './artifacts/prepare.ts';
import { createPreparedTrees } from './artifacts/prepared-trees.ts';
import { givenKeys, KeyBook, LOCAL_KEY_ID } from './auth/key-book.ts';
import { openLocalKey } from './auth/local-key.ts';
import { Nonces } from './auth/nonces.ts';
import { openSecretBox, type SecretBox } from './auth/secret-box.ts';
import { type Config, ConfigError, s3Settings } from './config.ts';
import { namedKeyWarning, sandboxFault } from './domain/sandbox-rule.ts';
import { isLeaving } from './domain/status.ts';
import type { Driver, RunningInstance } from './drivers/driver.ts';
import { type Images, noImages } from './drivers/images.ts';
import type { UpMessage } from './feed/messages.ts';
import type { ControlEnd } from './feed/port.ts';
import { createAgentLogs } from './logs/agent-logs.ts';
import { processCounts } from './observe/call-counts.ts';
import { HeardCounts } from './observe/gateway-counts.ts';
import type { Log } from './observe/log.ts';
import { metricsText } from './observe/metrics-text.ts';
import { createExaminer } from './reconcile/examine.ts';
import { createInstanceEvents } from './reconcile/instance-events.ts';
import { createInstanceSet, type Instance } from './reconcile/instance-set.ts';
import { createLoop } from './reconcile/loop.ts';
import { createMinimums } from './reconcile/minimums.ts';
import { createReconcileEndpoints, describeScaling } from './reconcile/reconcile-endpoints.ts';
import {
  createReconcileRuntime,
  describeProgress,
  type Progress,
  packagesInUse,
  packagesOf,
} from './reconcile/reconcile-runtime.ts';
import { createSecretResolver } from './reconcile/resolve-secrets.ts';
import { createRetention } from './reconcile/retain-versions.ts';
import { createRoutes } from './reconcile/routes.ts';
import { createScaler } from './reconcile/scaler.ts';
import { createSessionKeeper } from './reconcile/session-keeper.ts';
import { createStartLimit } from './reconcile/start-limit.ts';
import { createStarter } from './reconcile/starter.ts';
import { openSqliteStore } from './store/sqlite/sqlite-store.ts';
import { SecretsKeyError, type Store } from './store/store.ts';

export interface ControlOptions {
  config: Readonly<Config>;
  driver: Driver;
  /** Default: there are none, and runtimes that want one fail. */
  images?: Images;
  /** Default: none is ever found. */
  findInterpreter?: FindInterpreter;
  /** Default: nobody looks for what installs leave running. */
  trackProgram?: TrackProgram;
  log: Log;
  /** Others than this machine can reach the server. Default: false. */
  isPublic?: boolean;
  /** Where the gateway can be reached, once it listens. */
  publicUrl: () => string;
  /** Default: true. Without, what is written stays as it was written: nothing is started, updated or removed. */
  reconcile?: boolean;
  /** Default: SQLite in the data folder. */
  store?: Store;
  /** Default: a real one. */
  thread?: PackageThread;
}

/** The control process's parts, wired: the only place that knows which store and which parts there are. */
export interface Control {
  api: FastifyInstance;
  store: Store;
  apiKey: string;
  /** Follows a gateway that has connected; resolves when it has the routes. */
  attach(feed: ControlEnd): Promise<void>;
  /** Ends answers that would go on without end, with a word to who reads them. */
  endStreams(): void;
  /** Ends all work. Instances stay as they are unless `stopInstances`. */
  close(options: { stopInstances: boolean }): Promise<void>;
}

export async function composeControl({
  config,
  driver,
  log,
  publicUrl,
  reconcile = true,
  ...given
}: ControlOptions): Promise<Control> {
  const folders = openDataFolders(config.dataDir);
  const localKey = openLocalKey(folders.localKey);
  const store = given.store ?? openStore(folders, config);
  const keyBook = new KeyBook(givenKeys(localKey, config), () => store.keys());
  await keyBook.read();
  const sandboxMissing = driver.sandboxState?.kind === 'off' ? driver.sandboxState.reason : undefined;
  const exposure = { setting: config.sandbox, missing: sandboxMissing };
  const hasNamedKeys = keyBook.all.some((key) => key.id !== LOCAL_KEY_ID && !hasEnded(key));
  const unconfined = sandboxFault({ ...exposure, hasNamedKeys, isPublic: given.isPublic ?? false });
  if (unconfined !== undefined) {
    await store.close();
    throw new ConfigError(unconfined);
  }
  const nonces = await Nonces.open(store, Date.now());
  const thread = given.thread ?? createPackageThread();
  const images = given.images ?? noImages;
  const intake = createPackageIntake(folders, thread);
  const progress: Progress = new Map();
  const counts = new HeardCounts();
  const events = createInstanceEvents({ store, maxAgeMs: config.eventsMaxAgeMs, now: Date.now, log });
  const now = () => performance.now();

  const instances = createInstanceSet({
    driver,
    limit: createStartLimit(config.parallelStarts),
    stopGraceMs: config.stopGraceMs,
    now,
    log,
    onChange: (runtimeId) => {
      publish(runtimeId);
      scaler.look(runtimeId);
      endpointLoop.enqueue(runtimeId);
    },
    onGone: (instance) => {
      prepared.unused(instance.id);
      sessions.instanceGone();
      scaler.instanceGone(instance);
    },
    onExit: (instance, exit) => void scaler.instanceEnded(instance, exit),
    onLeaving: (instance, reason) => events.add(instance, { phase: 'stop', outcome: 'ok', reason }),
    onCut: ({ id }, reason) => routes.cut(id, reason),
  });
  const sessions = createSessionKeeper({
    store,
    instanceIds: () => instances.all().map(({ id }) => id),
    log,
  });
  const sessionSecret = openSecretBox(folders.secretsKey).derive('sessions');
  const routes = createRoutes({
    store,
    sessions: () => sessions.forGateway(),
    sessionSecret: Buffer.from(sessionSecret).toString('base64url'),
    isAtCap: (runtimeId, version) => scaler.isAtCap(runtimeId, version),
    instancesOf: instances.of,
    failureOf: (runtimeId, version) => scaler.failureOf(runtimeId, version),
    noRoomFor: (runtimeId, version) => scaler.noRoomFor(runtimeId, version),
    progress: (runtimeId) => describeProgress(progress, runtimeId),
    keys: () => [...keyBook.all],
    log,
  });
  const publish = (runtimeId: string) => void routes.publish(runtimeId).catch(() => {});
  const prepared = createPreparedTrees({
    folders,
    thread,
    limitBytes: config.preparedLimitBytes,
    packagesInUse: (runtimeId) => packagesInUse(store, instances, runtimeId),
    log,
  });
  const start = createStarter({
    ...config,
    folders,
    thread,
    prepared,
    instances,
    marks: driver.marks,
    findInterpreter:
      given.findInterpreter ?? (async (family) => ({ missing: `this server looks for no ${family}` })),
    installLimit: createStartLimit(availableParallelism()),
    isWanted: async (runtimeId) => {
      const runtime = await store.getRuntime(runtimeId);
      return runtime !== undefined && !isLeaving(runtime.status);
    },
    resolveSecrets: createSecretResolver(store),
    installRules: {
      allowScripts: config.allowScripts,
      diskBytes: config.installDiskBytes,
      diskEntries: config.installEntries,
      processes: config.installProcesses,
      freeSpaceReserveBytes: config.freeSpaceReserveBytes,
    },
    trackProgram: given.trackProgram ?? trackNothing,
  });
  const minimums = createMinimums(Date.now);
  const scaler = createScaler({
    ...config,
    store,
    driver,
    instances,
    minimums,
    start,
    publish,
    now,
    log,
  });
  const reconcileRuntime = createReconcileRuntime({
    ...config,
    store,
    driver,
    instances,
    start,
    fetchPackage: createPackageFetcher({
      folders,
      intake,
      s3: s3Settings(config),
      limitBytes: config.bodyLimitBytes,
      timeoutMs: config.fetchTimeoutMs,
    }),
    images,
    routes,
    scaler,
    retain: createRetention({ store, instances, keptVersions: config.keptVersions, log }),
    intake,
    folders,
    prepared,
    progress,
    log,
  });
  const onError = (runtimeId: string, error: unknown) =>
    log.error({ err: error, agentRuntimeId: runtimeId }, 'reconciling failed; it will be tried again');
  const runtimeLoop = createLoop({ work: reconcileRuntime, onError });
  const reconcileEndpoints = createReconcileEndpoints({
    ...config,
    store,
    instances,
    minimums,
    routes,
    scaler,
  });
  const endpointLoop = createLoop({
    async work(runtimeId) {
      await reconcileEndpoints(runtimeId);
      // An endpoint that names a version no more, or the end of its last instance, may be what it was kept for.
      const runtime = reconcile ? await store.getRuntime(runtimeId) : undefined;
      if ((runtime?.headVersion ?? 0) > config.keptVersions) runtimeLoop.enqueue(runtimeId);
    },
    onError,
  });

  const runningNow = ({ idleSince, ...instance }: Instance): RunningNow => ({
    ...instance,
    driver: driver.nameOf?.(instance.id) ?? driver.name,
    idleSince: idleSince === undefined ? undefined : new Date(Date.now() - (now() - idleSince)).toISOString(),
    busyReason: instance.inFlight > 0 ? `calls in flight: ${instance.inFlight}` : instance.keptBecause,
  });

  const logs = createAgentLogs({
    driver,
    versionsOf: async (runtimeId) =>
      new Map((await store.versions(runtimeId)).map(({ revision, version }) => [revision, version])),
    now: Date.now,
  });

  const api = createApi({
    store,
    logs,
    walks: createWalks(now),
    intake,
    folders,
    identity: config,
    log,
    bodyLimitBytes: config.bodyLimitBytes,
    freeSpaceReserveBytes: config.freeSpaceReserveBytes,
    maxInstancesPerRuntime: config.maxInstancesPerRuntime,
    redactLists: config.redactLists,
    authentication: { keys: keyBook.ring, nonces, now: Date.now },
    givenKeys: keyBook.givenIds,
    keysChanged: async () => {
      await keyBook.read();
      await routes.sendKeys();
    },
    publicUrl,
    containment: () => ({ sandbox: driver.sandboxState, limits: driver.limits }),
    namedKeyWarning: () => namedKeyWarning(exposure),
    runtimeChanged: (runtimeId) => {
      if (!reconcile) return;
      publish(runtimeId);
      runtimeLoop.supersede(runtimeId);
    },
    endpointsChanged: (runtimeId) => {
      if (reconcile) endpointLoop.enqueue(runtimeId);
    },
    routesSettled: (runtimeId) => routes.settled(runtimeId),
    progress: (runtimeId) => describeProgress(progress, runtimeId),
    scalingStatus: (of) => describeScaling(of, { instances, scaler, minimums }),
    instances: () => instances.all().map(runningNow),
    usageOf: async (instanceIds) => (await driver.usageOf?.(instanceIds)) ?? new Map(),
    metrics: async () =>
      metricsText({
        gateway: await counts.now(),
        control: processCounts(),
        instances: countBy(instances.all(), ({ state }) => state),
      }),
    sessions: {
      openCallsOf: sessions.openCallsOf,
      end: async (id) => {
        await routes.endSession(id);
        await sessions.ended(id);
      },
    },
  });

  const examine = createExaminer({ ...config, driver, instances, publish, log });

  const hear = (message: UpMessage) => {
    switch (message.type) {
      case 'installed':
        return routes.installed(message);
      case 'demand':
        return scaler.reportDemand(message.runtimeId, message.version, message);
      case 'usage':
        return scaler.reportUsage(message.instances);
      case 'sessions':
        return sessions.hear(message);
      case 'spent':
        return instances.drain(message.instanceId, {
          deadlineMs: config.drainTimeoutMs,
          reason: 'its session has ended',
          mayFinish: true,
        });
      case 'drained':
        return scaler.drained(message.instanceId, message.drain);
      case 'unreachable':
        return void examine(message);
      case 'counts':
        return counts.hear(message.counts);
    }
  };

  await sweepIncoming(folders);
  const known = new Set(await store.runtimeIds());
  const running = await driver.adopt();
  // Only now is nobody left of an earlier server who could still write into what is swept.
  await sweepPrepared(folders, known, log);
  for (const id of await preparedRuntimes(folders)) {
    const kept = await packagesOf(store, id);
    if (kept) await letGoOfOthers(folders, id, kept, log);
  }
  await intake.collect(() => store.artifactDigests());
  await takeOver(running);
  if (reconcile) {
    prepared.look();
    scaler.begin();
    for (const id of await store.runtimeIds({ unsettled: true })) runtimeLoop.enqueue(id);
    // All others sleep, and nothing is to be done for them before somebody calls.
    const awake = instances.all().map(({ runtimeId }) => runtimeId);
    for (const id of new Set([...awake, ...(await store.runtimeIdsByEndpoints())])) {
      scaler.look(id);
      endpointLoop.enqueue(id);
    }
  }

  /** Of what an earlier server left running: keeps what a version still stands for, ends the rest. */
  async function takeOver(running: RunningInstance[]): Promise<void> {
    const each = running.map(async (instance) => {
      const versions = await store.versions(instance.runtimeId);
      const wanted = versions.find(({ revision }) => revision === instance.revision);
      // Not asked whether it is well, as it may be busy; the gateway will tell if it cannot be reached.
      if (wanted && (await driver.identify(instance.instanceId)).holder !== 'stranger')
        instances.adopt(instance, wanted.spec.memory);
      else {
        const { instanceId, runtimeId: agentRuntimeId } = instance;
        const reason = wanted ? 'another process listens on its port' : 'no version stands for it any more';
        log.info({ instanceId, agentRuntimeId, reason }, 'stopping an instance of an earlier server');
        await driver.stop(instanceId, { graceMs: config.stopGraceMs });
      }
    });
    await Promise.all(each);
  }

  return {
    api,
    store,
    apiKey: localKey.apiKey,

    attach(feed) {
      feed.onMessage(hear);
      counts.attach(() => feed.send({ type: 'count' }));
      feed.onClose(() => {
        if (!routes.detach(feed)) return;
        scaler.forgetCalls();
        counts.detach();
        sessions.forgetCalls();
      });
      return routes.attach(feed);
    },

    endStreams: () => logs.close(),

    async close({ stopInstances }) {
      logs.close();
      // Told to stop first: what the thread then gives up is nobody's fault.
      const ended = [runtimeLoop.close(), endpointLoop.close(), scaler.close(), prepared.close()];
      await thread.close();
      await Promise.all(ended);
      if (stopInstances)
        await Promise.all(instances.all().map(({ id }) => instances.stop(id, 'the server stops')));
      instances.close();
      await api.close();
      await sessions.written();
      await events.close();
      await driver.close();
      await store.close();
    },
  };
}

function hasEnded({ expiresAt }: { expiresAt?: string | undefined }): boolean {
  return expiresAt !== undefined && Date.parse(expiresAt) <= Date.now();
}

function countBy<T>(items: readonly T[], kindOf: (item: T) => string): Record<string, number> {
  const found: Record<string, number> = {};
  for (const item of items) found[kindOf(item)] = (found[kindOf(item)] ?? 0) + 1;
  return found;
}

/** @throws SecretsKeyError naming the file of the key when it is missing or another one than the secrets were sealed with */
function openStore(folders: DataFolders, { eventsKept }: Pick<Config, 'eventsKept'>): Store {
  const file = folders.secretsKey;
  const isThere = existsSync(file);
  let box: SecretBox;
  try {
    box = openSecretBox(file);
  } catch (error) {
    throw new SecretsKeyError(file, { message: (error as Error).message, cause: error });
  }
  try {
    return openSqliteStore(folders.database, box, { eventsKept });
  } catch (error) {
    if (!(error instanceof SecretsKeyError)) throw error;
    // The one just made opens nothing, and would only pass for the right one.
    if (!isThere) rmSync(file, { force: true });
    const message = `${file} ${isThere ? 'is not the key' : 'is missing: it held the key'} that sealed the secrets in ${error.path}. Put back the file that belongs to this data folder, or restore both from one backup. Nothing was changed, and without that key the secrets cannot be read.`;
    throw new SecretsKeyError(error.path, { message, cause: error });
  }
}
