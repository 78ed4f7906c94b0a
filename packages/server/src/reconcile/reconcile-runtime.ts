import type { FetchPackage } from '../artifacts/buckets/fetch-package.ts';
import type { DataFolders } from '../artifacts/folders.ts';
import type { PackageIntake } from '../artifacts/intake.ts';
import { letGoOfOthers } from '../artifacts/let-go.ts';
import { forgetPrepared } from '../artifacts/prepare.ts';
import type { PreparedTrees } from '../artifacts/prepared-trees.ts';
import { PhaseFailure, statusReason } from '../domain/failure.ts';
import { checksumFault, imageToFix, placeToFetch, type RuntimeSpec, runsTheSame } from '../domain/runtime.ts';
import { failedStatus, isLeaving } from '../domain/status.ts';
import type { Driver } from '../drivers/driver.ts';
import type { Images } from '../drivers/images.ts';
import type { Log } from '../observe/log.ts';
import type { NewEvent, RuntimeRecord, Store } from '../store/store.ts';
import type { Instance, InstanceSet } from './instance-set.ts';
import { Superseded } from './loop.ts';
import type { RetainVersions } from './retain-versions.ts';
import type { Routes } from './routes.ts';
import type { Scaler } from './scaler.ts';
import type { Starter } from './starter.ts';

export interface ReconcileRuntimeOptions {
  store: Store;
  driver: Driver;
  instances: InstanceSet;
  start: Starter;
  fetchPackage: FetchPackage;
  images: Images;
  routes: Routes;
  scaler: Scaler;
  retain: RetainVersions;
  intake: PackageIntake;
  folders: DataFolders;
  prepared: PreparedTrees;
  deleteGraceMs: number;
  progress: Progress;
  log: Log;
}

/** What attempts under way are doing, by runtime; in memory only. */
export type Progress = Map<string, { phase: string; since: number; detail?: string }>;

/** For a person who waits: `install: getting Node 24 from npm (12 s)`, `fetch: 2 of 5 layers, 31 of 80 MiB (12 s)`. */
export function describeProgress(progress: Progress, runtimeId: string): string | undefined {
  const current = progress.get(runtimeId);
  if (!current) return undefined;
  const seconds = Math.floor((performance.now() - current.since) / 1000);
  const what = current.detail === undefined ? current.phase : `${current.phase}: ${current.detail}`;
  return seconds > 0 ? `${what} (${seconds} s)` : what;
}

/**
 * Brings one runtime to what is desired of it. Level-based: whatever was under way when the server ended is found
 * again by its status, and every phase may run twice.
 */
export function createReconcileRuntime(options: ReconcileRuntimeOptions) {
  const { store } = options;
  return async (id: string, signal: AbortSignal): Promise<void> => {
    const runtime = await store.getRuntime(id);
    if (!runtime) return;
    if (runtime.status === 'DELETING') return remove(runtime, signal, options);
    if (runtime.status === 'CREATING' || runtime.status === 'UPDATING') {
      await attempt(runtime, signal, options);
      await retire(id, options);
      collectImages(runtime, options);
      return letGo(id, signal, options);
    }
    await options.routes.publish(id);
    if (await retire(id, options)) await letGo(id, signal, options);
  };
}

/**
 * One attempt at a revision: prepare, start beside what serves, and only when it is healthy number the version, move
 * LATEST to it and let traffic follow. If it fails, traffic stays where it was.
 */
async function attempt(
  runtime: RuntimeRecord,
  signal: AbortSignal,
  options: ReconcileRuntimeOptions,
): Promise<void> {
  const { store, routes, scaler, progress, log } = options;
  const { id, revision } = runtime;
  const phases = new PhaseRecorder(runtime, options);
  let candidate: Instance | undefined;
  try {
    const head =
      runtime.headVersion === undefined ? undefined : await store.getVersion(id, runtime.headVersion);
    const spec = await withContent(runtime, phases, signal, options);
    const newVersion = !head || !runsTheSame(head.spec, spec);
    if (newVersion) {
      candidate = await options.start({
        runtimeId: id,
        runtimeName: runtime.name,
        revision,
        spec,
        signal,
        onPhase: (phase) => phases.begin(phase),
        onDoing: (what) => phases.tell(what),
        onOutput: (lines) => phases.heard(lines),
      });
    }
    const settled = await routes.during(id, () =>
      store.settleRuntime(id, revision, { status: 'READY', newVersion, at: new Date().toISOString() }),
    );
    if (!settled) throw new Superseded();
    if (runtime.forceEvict) scaler.evict(id);
    candidate = undefined;
    scaler.forgetFailures(id);
    await phases.end('ok');
    scaler.look(id);
  } catch (error) {
    if (candidate) await options.instances.stop(candidate.id, 'the attempt came to nothing');
    // Newer work, a delete too, may be in the store and felt before this attempt is told of it.
    const isOver = error instanceof Superseded || signal.aborted;
    if (isOver || (await store.getRuntime(id))?.revision !== revision) {
      await phases.end('superseded');
      return;
    }
    const reason = failureReason(error, phases.current, log, id);
    await phases.end('failed', reason);
    await routes.during(id, () =>
      store.settleRuntime(id, revision, {
        status: failedStatus(runtime.status as 'CREATING' | 'UPDATING'),
        statusReason: reason,
        at: new Date().toISOString(),
      }),
    );
  } finally {
    progress.delete(id);
  }
}

/**
 * The configuration with what it runs, by content. A tag may come to stand for another image at any time: this
 * revision, and the version that comes of it, stand for what it means now. An update that names it anew asks anew.
 */
async function withContent(
  runtime: RuntimeRecord,
  phases: PhaseRecorder,
  signal: AbortSignal,
  options: ReconcileRuntimeOptions,
): Promise<RuntimeSpec> {
  const { id, revision, spec } = runtime;
  const name = imageToFix(spec);
  if (name === undefined) return withPackage(runtime, phases, signal, options);
  phases.begin('fetch');
  const fixed = await options.images.fix(name, spec.containerConfiguration?.registryConfig, {
    signal,
    onProgress: (text) => phases.tell(text),
  });
  const artifact = { ...fixed, crc64: '0' };
  if (!(await options.store.fixArtifact(id, revision, artifact))) throw new Superseded();
  return { ...spec, artifact };
}

/**
 * The configuration with its package, fetched if it lies in a bucket. What was fetched is written down before anything
 * is made of it: this revision, and the version that comes of it, then stand for these bytes, whatever becomes of the
 * object. An update that names the bucket anew asks anew.
 */
async function withPackage(
  { id, revision, spec }: RuntimeRecord,
  phases: PhaseRecorder,
  signal: AbortSignal,
  { store, intake, fetchPackage }: ReconcileRuntimeOptions,
): Promise<RuntimeSpec> {
  const place = placeToFetch(spec);
  // Also when nothing is to be started: a caller whose package arrived as another must hear of it.
  const fault = spec.artifact && checksumFault(spec, spec.artifact.crc64);
  if (place || fault !== undefined) phases.begin('fetch');
  if (fault !== undefined) throw new PhaseFailure('fetch', fault);
  if (!place) return spec;
  const { artifact, release } = await fetchPackage(place, spec, signal);
  // Held until the row refers to it, so that nobody's collection takes it away in between.
  const fixed = await store.fixArtifact(id, revision, artifact).finally(release);
  if (fixed) return { ...spec, artifact };
  await intake.collect(() => store.artifactDigests());
  throw new Superseded();
}

function failureReason(error: unknown, phase: string, log: Log, runtimeId: string): string {
  if (error instanceof PhaseFailure) return statusReason(error);
  log.error({ err: error, agentRuntimeId: runtimeId, phase }, 'a deploy failed by an internal fault');
  return `${phase}: an internal fault: ${(error as Error).message}`;
}

/**
 * Versions that nothing asks to keep go, and the packages that only they referred to. Their rows go first: should the
 * server end in between, the next one finds that nothing refers to the rest.
 */
async function retire(id: string, { store, intake, retain }: ReconcileRuntimeOptions): Promise<boolean> {
  const runtime = await store.getRuntime(id);
  if (!runtime || !(await retain(runtime))) return false;
  await intake.collect(() => store.artifactDigests());
  return true;
}

/** Of configurations that came to nothing and were followed by others, what was prepared goes. */
async function letGo(
  id: string,
  signal: AbortSignal,
  { store, instances, folders, prepared, log }: ReconcileRuntimeOptions,
): Promise<void> {
  // Where an instance is on its way up, an install for its version may be under way.
  await untilChangedTo(instances, signal, () => instances.of(id).every(({ state }) => state !== 'starting'));
  // The next attempt does it in its turn.
  if (signal.aborted) return;
  const kept = await packagesOf(store, id);
  if (kept) await prepared.exclusively(id, () => letGoOfOthers(folders, id, kept, log));
}

/** The packages that a runtime and its versions refer to; undefined for one that is gone or on its way out. */
export async function packagesOf(store: Store, runtimeId: string): Promise<Set<string> | undefined> {
  const runtime = await store.getRuntime(runtimeId);
  if (!runtime || isLeaving(runtime.status)) return undefined;
  const specs = [runtime.spec, ...(await store.versions(runtimeId)).map(({ spec }) => spec)];
  return new Set(specs.flatMap(({ artifact }) => artifact?.digest ?? []));
}

/**
 * Which packages of a runtime its instances run from, asked at any later moment. A revision that was not there when this
 * was read is not known, and neither is what a start is about.
 */
export async function packagesInUse(
  store: Store,
  instances: Pick<InstanceSet, 'of'>,
  runtimeId: string,
): Promise<() => ReadonlySet<string> | 'all'> {
  const runtime = await store.getRuntime(runtimeId);
  const digests = new Map<number, string | undefined>();
  if (runtime) digests.set(runtime.revision, runtime.spec.artifact?.digest);
  for (const { revision, spec } of await store.versions(runtimeId))
    digests.set(revision, spec.artifact?.digest);
  return () => {
    const own = instances.of(runtimeId);
    const used = own.map(({ revision }) => digests.get(revision));
    if (own.some(({ state }) => state === 'starting') || used.includes(undefined)) return 'all';
    return new Set(used.filter((digest) => digest !== undefined));
  };
}

/** Delete wins over all: calls stop at once, open streams get their grace, then everything of the runtime goes. */
async function remove(
  runtime: RuntimeRecord,
  signal: AbortSignal,
  options: ReconcileRuntimeOptions,
): Promise<void> {
  const { store, driver, instances, routes, scaler, folders, intake } = options;
  const { id } = runtime;
  await routes.publish(id);
  for (const instance of instances.of(id)) {
    instances.drain(instance.id, { deadlineMs: options.deleteGraceMs, reason: 'the runtime is deleted' });
  }
  await untilGone(instances, id, signal);
  await driver.forgetRuntime(id);
  await options.prepared.exclusively(id, () => forgetPrepared(folders, id, options.log));
  await store.removeRuntime(id);
  scaler.forgetFailures(id);
  await routes.publish(id);
  await intake.collect(() => store.artifactDigests());
  collectImages(runtime, options);
}

/** Nobody waits for it: an engine may be slow, or not there. One that no runtime has needed is not asked at all. */
function collectImages({ spec }: RuntimeRecord, { store, images }: ReconcileRuntimeOptions): void {
  if (spec.artifactType === 'Container') void images.collect(() => store.artifactDigests());
}

/** Draining instances end by themselves; ones that are still starting are stopped as they come up. */
async function untilGone(instances: InstanceSet, runtimeId: string, signal: AbortSignal): Promise<void> {
  await untilChangedTo(instances, signal, () => {
    const left = instances.of(runtimeId);
    for (const { id, state } of left)
      if (state === 'starting') void instances.stop(id, 'the runtime is deleted');
    return left.length === 0;
  });
  signal.throwIfAborted();
}

/** Looks at every change of the instances until it is so, or until aborted. */
async function untilChangedTo(
  instances: InstanceSet,
  signal: AbortSignal,
  isSo: () => boolean,
): Promise<void> {
  const aborted = new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  while (!signal.aborted && !isSo()) await Promise.race([instances.changed(), aborted]);
}

/** Kept of the output of a phase, by how it ended: more where somebody has to find out why. */
const LINES_KEPT: Record<NewEvent['outcome'], number> = { ok: 20, failed: 200, superseded: 20 };

/** Times the phases of an attempt and keeps them with the runtime. */
class PhaseRecorder {
  readonly #runtime: RuntimeRecord;
  readonly #store: Store;
  readonly #progress: Progress;
  readonly #log: Log;
  #phase = '';
  #startedAt = new Date();
  #begun = 0;
  #output: string[] = [];
  #writes: Promise<void> = Promise.resolve();

  constructor(runtime: RuntimeRecord, { store, progress, log }: ReconcileRuntimeOptions) {
    this.#log = log;
    this.#runtime = runtime;
    this.#store = store;
    this.#progress = progress;
  }

  get current(): string {
    return this.#phase || 'fetch';
  }

  begin(phase: string): void {
    if (phase === this.#phase) return;
    this.#close('ok');
    this.#phase = phase;
    this.#startedAt = new Date();
    this.#begun = performance.now();
    this.#progress.set(this.#runtime.id, { phase, since: this.#begun });
  }

  /** How far the phase under way has come, for who waits. */
  tell(detail: string): void {
    if (this.#phase === '') return;
    this.#progress.set(this.#runtime.id, { phase: this.#phase, since: this.#begun, detail });
  }

  /** What was run in the phase under way has written this. */
  heard(lines: readonly string[]): void {
    this.#output = [...this.#output, ...lines].slice(-LINES_KEPT.failed);
  }

  /** Closes the phase under way; a success adds the event `ready`. */
  async end(outcome: NewEvent['outcome'], reason?: string): Promise<void> {
    this.#close(outcome, reason);
    if (outcome === 'ok') {
      this.#phase = 'ready';
      this.#startedAt = new Date();
      this.#begun = performance.now();
      this.#close('ok');
    }
    await this.#writes;
  }

  #close(outcome: NewEvent['outcome'], reason?: string): void {
    if (this.#phase === '') return;
    const event: NewEvent = {
      runtimeId: this.#runtime.id,
      revision: this.#runtime.revision,
      phase: this.#phase,
      startedAt: this.#startedAt.toISOString(),
      durationMs: performance.now() - this.#begun,
      outcome,
      reason,
      ...(this.#output.length > 0 && { output: this.#output.slice(-LINES_KEPT[outcome]) }),
    };
    this.#output = [];
    this.#phase = '';
    this.#writes = this.#writes
      .then(() => this.#store.addEvent(event))
      .catch((error: unknown) => this.#log.error({ err: error }, 'a phase could not be recorded'));
  }
}
