import { z } from 'zod';
import { METRICS_TYPE } from '../observe/metrics-text.ts';
import type { AuditEventRecord } from '../store/store.ts';
import type { Call } from './call.ts';
import { isVisible, readId } from './ids.ts';
import { parseQuery } from './parse.ts';

/** What Runstead tells beyond the contract, under `/runstead/v1`. */

const AuditQuery = z.object({
  limit: z
    .string()
    .regex(/^[1-9][0-9]{0,2}$/, 'must be an integer from 1 to 999')
    .transform(Number)
    .optional(),
});

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
  const items = running.map(
    async ({ id, runtimeId, revision, ...rest }): Promise<InstanceInfo | undefined> => {
      const runtime = await store.getRuntime(runtimeId);
      // One that is just being removed is nobody's, or those of all workspaces.
      if (runtime ? !isVisible(call, runtime) : call.principal.workspaces !== 'all') return undefined;
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
    },
  );
  return { items: (await Promise.all(items)).filter((item) => item !== undefined) };
}

/** What is counted, of gateway and control process, for Prometheus. */
export function readMetrics({ deps, setHeader }: Call): Promise<string> {
  setHeader('content-type', METRICS_TYPE);
  return deps.metrics();
}

/** Who wrote what, newest first; a write without a status had no answer, as the server ended before. */
export async function listAuditEvents(call: Call): Promise<{ items: AuditEventRecord[] }> {
  const { limit = 100 } = parseQuery(AuditQuery, call.query);
  return { items: await call.deps.store.listAuditEvents(limit) };
}
