import { ListAgentRuntimeVersionsQuery, type Page } from '@runstead/contract';
import { z } from 'zod';
import { defined } from '../domain/runtime.ts';
import type { PageRequest, PageResult, RuntimeRecord } from '../store/store.ts';
import type { Call } from './call.ts';
import type { RunningNow, UsedNow } from './deps.ts';
import { isVisible, readId } from './ids.ts';
import { pageRequest, readPage, toPage } from './page.ts';
import { parseQuery } from './parse.ts';

const ListInstancesQuery = ListAgentRuntimeVersionsQuery.extend({
  agentRuntimeId: z.string().optional(),
  agentRuntimeVersion: z
    .string()
    .regex(/^[1-9][0-9]{0,8}$/, 'must be the number of a version')
    .optional(),
  state: z.enum(['starting', 'ready', 'draining', 'stopping']).optional(),
});

/** One instance, as `/runstead/v1/instances` shows it. */
export interface InstanceInfo {
  instanceId: string;
  agentRuntimeId: string;
  /** Absent: the runtime is just being removed. */
  agentRuntimeName?: string | undefined;
  /** Absent while the version has no number yet. */
  agentRuntimeVersion?: string | undefined;
  state: string;
  driver: string;
  pid?: number | undefined;
  /** Absent while it has no port. */
  host?: string | undefined;
  port?: number | undefined;
  startedAt: string;
  /** Of all its processes; absent where the system does not say. */
  memoryBytes?: number | undefined;
  /** `pss`: what is shared counts in parts. `rss`: it counts whole for each process. */
  memoryMeasure?: string | undefined;
  cpuSeconds?: number | undefined;
  /** Of one processor, since it was last asked for; absent the first time. */
  cpuShare?: number | undefined;
  sessions: number;
  inFlight: number;
  idleSince?: string | undefined;
  busyReason?: string | undefined;
  /** Why it is to be replaced, in words. */
  sick?: string | undefined;
}

/** An instance with what the store knows of it. */
interface Known {
  id: string;
  createdAt: string;
  instance: RunningNow;
  runtime: RuntimeRecord | undefined;
  version: string | undefined;
}

/** What runs now, newest first. */
export async function listInstances(call: Call): Promise<Page<InstanceInfo>> {
  const { agentRuntimeId, agentRuntimeVersion, state, ...query } = parseQuery(ListInstancesQuery, call.query);
  const page = pageRequest(query, call);
  const runtimeId = agentRuntimeId === undefined ? undefined : readId('agentRuntimeId', agentRuntimeId);
  const filter = { runtimeId, agentRuntimeVersion, state };
  const result = await readPage(call, 'ListInstances', filter, page, async (request) => {
    const running = call.deps
      .instances()
      .filter(
        (it) => (runtimeId === undefined || it.runtimeId === runtimeId) && (!state || it.state === state),
      );
    const known = await withStore(call, running);
    const wanted = known.filter(
      (it) => agentRuntimeVersion === undefined || it.version === agentRuntimeVersion,
    );
    return pageOf(wanted, request);
  });
  const used = await call.deps.usageOf(result.items.map(({ id }) => id));
  return toPage(result, page, (known) => toWire(known, used.get(known.id)));
}

/** Of those that the caller may see. */
async function withStore(call: Call, running: readonly RunningNow[]): Promise<Known[]> {
  const { store } = call.deps;
  const known: Known[] = [];
  for (const runtimeId of new Set(running.map((it) => it.runtimeId))) {
    const runtime = await store.getRuntime(runtimeId);
    // One that is just being removed is nobody's, or those of all workspaces.
    if (runtime ? !isVisible(call, runtime) : call.principal.workspaces !== 'all') continue;
    const versions = await store.versions(runtimeId);
    for (const instance of running.filter((it) => it.runtimeId === runtimeId)) {
      const version = versions.find(({ revision }) => revision === instance.revision)?.version;
      known.push({
        id: instance.id,
        createdAt: instance.startedAt,
        instance,
        runtime,
        version: version === undefined ? undefined : String(version),
      });
    }
  }
  return known;
}

/** As a store reads one: newest first, ties by id. */
function pageOf(known: readonly Known[], { pageNumber, pageSize, after }: PageRequest): PageResult<Known> {
  const inOrder = [...known].sort((a, b) => compare(a, b));
  const begin = after
    ? inOrder.filter((it) => compare(after, it) < 0)
    : inOrder.slice((pageNumber - 1) * pageSize);
  return { items: begin.slice(0, pageSize), total: known.length };
}

type Place = Pick<Known, 'createdAt' | 'id'>;

function compare(a: Place, b: Place): number {
  if (a.createdAt !== b.createdAt) return a.createdAt > b.createdAt ? -1 : 1;
  return a.id === b.id ? 0 : a.id < b.id ? -1 : 1;
}

function toWire({ instance, runtime, version }: Known, used: UsedNow = {}): InstanceInfo {
  const hasPort = instance.port !== 0;
  return defined({
    instanceId: instance.id,
    agentRuntimeId: instance.runtimeId,
    agentRuntimeName: runtime?.name,
    agentRuntimeVersion: version,
    state: instance.state,
    driver: instance.driver,
    pid: instance.pid,
    host: hasPort ? instance.host : undefined,
    port: hasPort ? instance.port : undefined,
    startedAt: instance.startedAt,
    memoryBytes: used.memoryBytes,
    memoryMeasure: used.memoryMeasure,
    cpuSeconds: used.cpuMs === undefined ? undefined : used.cpuMs / 1000,
    cpuShare: used.cpuShare === undefined ? undefined : Math.round(used.cpuShare * 1000) / 1000,
    sessions: instance.sessions,
    inFlight: instance.inFlight,
    idleSince: instance.idleSince,
    busyReason: instance.busyReason,
    sick: instance.sick,
  });
}
