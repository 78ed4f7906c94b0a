import { z } from 'zod';
import type { EventRecord } from '../store/store.ts';
import type { Call } from './call.ts';
import { readId, requireRuntime } from './ids.ts';
import { parseQuery } from './parse.ts';

/** What Runstead tells beyond the contract, under `/runstead/v1`. */

const EventsQuery = z.object({
  limit: z
    .string()
    .regex(/^[1-9][0-9]{0,2}$/, 'must be an integer from 1 to 999')
    .transform(Number)
    .optional(),
});

/** A runtime's history, newest first: every phase of every attempt with its time and outcome. */
export async function listEvents(call: Call): Promise<{ items: Omit<EventRecord, 'runtimeId'>[] }> {
  const { limit = 100 } = parseQuery(EventsQuery, call.query);
  const runtime = await requireRuntime(call);
  const events = await call.deps.store.listEvents(runtime.id, limit);
  return { items: events.map(({ runtimeId: _runtimeId, ...event }) => event) };
}

/** One instance, as `/runstead/v1/instances` shows it. */
export interface InstanceInfo {
  instanceId: string;
  agentRuntimeId: string;
  agentRuntimeName: string | undefined;
  /** Absent while the version has no number yet. */
  agentRuntimeVersion: string | undefined;
  state: string;
  pid: number | undefined;
  port: number;
  startedAt: string;
  inFlight: number;
}

/** What runs now; `agentRuntimeId` narrows it to one runtime. */
export async function listInstances(call: Call): Promise<{ items: InstanceInfo[] }> {
  const { store, instances } = call.deps;
  const asked = call.query.agentRuntimeId;
  const wanted = asked ? readId('agentRuntimeId', asked) : undefined;
  const running = instances().filter(({ runtimeId }) => wanted === undefined || runtimeId === wanted);
  const items = running.map(async ({ id, runtimeId, revision, ...rest }): Promise<InstanceInfo> => {
    const runtime = await store.getRuntime(runtimeId);
    const version = (await store.versions(runtimeId)).find((candidate) => candidate.revision === revision);
    return {
      instanceId: id,
      agentRuntimeId: runtimeId,
      agentRuntimeName: runtime?.name,
      agentRuntimeVersion: version && String(version.version),
      state: rest.state,
      pid: rest.pid,
      port: rest.port,
      startedAt: rest.startedAt,
      inFlight: rest.inFlight,
    };
  });
  return { items: await Promise.all(items) };
}
