import type { Agent } from 'node:http';
import type { Log } from '../observe/log.ts';
import type { Admission } from './admit.ts';
import type { AgentPools } from './agent-pools.ts';
import type { Connections } from './connections.ts';
import type { KeyRing } from './credentials.ts';
import type { HostPolicy } from './host-check.ts';
import type { RouteTable } from './route-table.ts';
import type { GatewaySettings } from './settings.ts';

/** What a gateway is made of; `startGateway` puts it together. */
export interface GatewayParts {
  settings: GatewaySettings;
  hostPolicy: HostPolicy;
  connections: Connections;
  table: RouteTable;
  /** Resolves at the first snapshot. */
  firstRoutes: Promise<void>;
  keys: KeyRing;
  admission: Admission;
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
}
