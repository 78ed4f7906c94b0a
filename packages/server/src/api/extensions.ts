import { z } from 'zod';
import { METRICS_TYPE } from '../observe/metrics-text.ts';
import type { AuditEventRecord } from '../store/store.ts';
import type { Call } from './call.ts';
import { parseQuery } from './parse.ts';

/** What Runstead tells beyond the contract, under `/runstead/v1`. */

const AuditQuery = z.object({
  limit: z
    .string()
    .regex(/^[1-9][0-9]{0,2}$/, 'must be an integer from 1 to 999')
    .transform(Number)
    .optional(),
});

/** What is counted, of gateway and control process, for Prometheus. */
export function readMetrics({ deps, setHeader }: Call): Promise<string> {
  setHeader('content-type', METRICS_TYPE);
  return deps.metrics();
}

/** What `/health` does not tell everybody: how agents are kept apart and held to their share. */
export async function readHealth({ deps }: Call): Promise<Record<string, unknown>> {
  const { sandbox, limits } = deps.containment();
  return {
    status: 'ok',
    ...(sandbox && { sandbox: { state: sandbox.kind, ...(sandbox.reason && { reason: sandbox.reason }) } }),
    ...(limits && { limits }),
  };
}

/** Who wrote what, newest first; a write without a status had no answer, as the server ended before. */
export async function listAuditEvents(call: Call): Promise<{ items: AuditEventRecord[] }> {
  const { limit = 100 } = parseQuery(AuditQuery, call.query);
  return { items: await call.deps.store.listAuditEvents(limit) };
}
