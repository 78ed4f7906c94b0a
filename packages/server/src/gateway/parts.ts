import type { PrivateAccess } from '../domain/private-access.ts';
import type { Log } from '../observe/log.ts';
import type { Account } from './account.ts';
import type { Admission, Lease } from './admit.ts';
import type { AgentPools } from './agent-pools.ts';
import type { BulkPace } from './bulk-pace.ts';
import type { CallRecord } from './call-record.ts';
import type { Destination } from './choose.ts';
import type { CoarseClock } from './coarse-clock.ts';
import type { ConnectionPool } from './connection-pool.ts';
import type { Connections } from './connections.ts';
import type { Door, Principal } from './credentials.ts';
import type { DomainMap } from './domains.ts';
import type { Provenance, ProxyTrust } from './forwarded.ts';
import type { HangUpSignal } from './hang-up.ts';
import type { HostPolicy } from './host-check.ts';
import type { Metrics } from './metrics.ts';
import type { Rates } from './rates.ts';
import type { RequestBody } from './request-body.ts';
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
  isTrustedProxy: ProxyTrust;
  connections: Connections;
  table: RouteTable;
  /** Resolves at the first snapshot. */
  firstRoutes: Promise<void>;
  /** Who may call. */
  door: Door;
  /** How many calls are too many. */
  rates: Rates;
  admission: Admission;
  sessions: Sessions;
  /** For large uploads to the control plane. */
  bulkPace: BulkPace;
  pools: AgentPools;
  /** Of the control process. */
  control: ConnectionPool;
  clock: CoarseClock;
  metrics: Metrics;
  account: Account;
  /** False while there is no control process. */
  isAttended: () => boolean;
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
  signal: HangUpSignal;
  /** The allowed foreign page that calls; known once host and origin were checked. */
  crossOrigin: string | undefined;
  /** Further fields of the answer, names and values by turns: what the steps before forwarding have to say of the call. */
  answerExtras: string[];
  /** What is known of it; accounted for at its end, if it is one to an agent. */
  record: CallRecord;
  /** Where it comes from; known once host and origin were checked. */
  from: Provenance | undefined;
}

/** A call that was let in. */
export interface Invocation {
  destination: Destination;
  principal: Principal;
  lease: Lease;
  body: RequestBody;
  /** Path and query for the agent. */
  rest: string;
  /** Lines that the agent gets of us: where the call comes from, and its trace. */
  added: string;
}
