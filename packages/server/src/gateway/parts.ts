import type { Agent } from 'node:http';
import type { PrivateAccess } from '../domain/private-access.ts';
import type { Log } from '../observe/log.ts';
import type { Admission, Lease } from './admit.ts';
import type { AgentPools } from './agent-pools.ts';
import type { BulkPace } from './bulk-pace.ts';
import type { CallRecord } from './call-record.ts';
import type { Destination } from './choose.ts';
import type { Connections } from './connections.ts';
import type { Door, Principal } from './credentials.ts';
import type { DomainMap } from './domains.ts';
import type { HostPolicy } from './host-check.ts';
import type { RouteTable } from './route-table.ts';
import type { Sessions } from './sessions.ts';
import type { GatewaySettings } from './settings.ts';

/** What a gateway is made of; `startGateway` puts it together. */
export interface GatewayParts {
  settings: GatewaySettings;
  /** Of the listener that a request came to. */
  hostPolicy: HostPolicy;
  domains: DomainMap;
  privateAccess: PrivateAccess;
  connections: Connections;
  table: RouteTable;
  /** Resolves at the first snapshot. */
  firstRoutes: Promise<void>;
  /** Who may call. */
  door: Door;
  admission: Admission;
  sessions: Sessions;
  /** For large uploads to the control plane. */
  bulkPace: BulkPace;
  pools: AgentPools;
  control: { socketPath: string; agent: Agent };
  /** False once the control process is gone. */
  isFeedOpen: () => boolean;
  /** In [0,1). */
  random: () => number;
  log: Log;
}

/** One call on its way. */
export interface Call {
  /** `x-acs-request-id`. */
  id: string;
  startedMs: number;
  /** Aborted when the client hangs up. */
  signal: AbortSignal;
  /** The allowed foreign page that calls; known once host and origin were checked. */
  crossOrigin: string | undefined;
  /** Further fields of the answer, names and values by turns: what the steps before forwarding have to say of the call. */
  answerExtras: string[];
  /** What is told of it when it is over; absent: nothing is. */
  record?: CallRecord;
}

/** A call that was let in. */
export interface Invocation {
  destination: Destination;
  principal: Principal;
  lease: Lease;
  /** Path and query for the agent. */
  rest: string;
  /** The Host field as the client sent it. */
  host: string;
}
