import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { DownMessage } from '../feed/messages.ts';
import type { GatewayEnd } from '../feed/port.ts';
import type { Log } from '../observe/log.ts';
import { Admission } from './admit.ts';
import { AgentPools, KEEP_ALIVE } from './agent-pools.ts';
import { BulkPace } from './bulk-pace.ts';
import { Connections } from './connections.ts';
import { KeyRing } from './credentials.ts';
import { reportUsage } from './demand.ts';
import { answerMalformed } from './errors.ts';
import { handleRequest } from './handle-request.ts';
import { hostPolicy } from './host-check.ts';
import { InstanceSet } from './instances.ts';
import type { GatewayParts } from './parts.ts';
import { RouteTable } from './route-table.ts';
import type { GatewaySettings } from './settings.ts';
import { GatewayRequest, handleUpgrade } from './upgrade.ts';

export interface RunningGateway {
  /** As bound, with the real port when 0 was asked for. */
  host: string;
  port: number;
  /** Resolves when it has ended: after `shutdown`, after the control process was lost, or after `close`. */
  ended: Promise<void>;
  /** Stops listening and cuts everything off at once. */
  close(): Promise<void>;
}

export interface GatewayOptions {
  feed: GatewayEnd;
  settings: GatewaySettings;
  /** Path of the control process's unix socket. */
  controlSocket: string;
  log: Log;
  /** In [0,1); decides versions and instances. Default `Math.random`. */
  random?: () => number;
}

/** What open calls get when the control process is lost: as long as those of a deleted runtime. */
const LOST_FEED_GRACE_MS = 10_000;
/** A predecessor that is just leaving holds the address a little longer. */
const BIND_PATIENCE_MS = 2000;
const BIND_AGAIN_MS = 50;
/** Node's default; stated because it would follow `requestTimeout`, which is off. */
const HEADERS_TIMEOUT_MS = 60_000;
/** Longer than the pools of common clients keep a connection, so that it is they who close it. */
const CLIENT_KEEP_ALIVE_MS = 75_000;

/**
 * Starts a gateway on a feed: one process has one, tests have many. Says `listening`, or `listen-failed` and throws.
 * @throws Error when the address cannot be bound
 */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const { feed, settings, log } = options;
  const now = () => performance.now();
  const random = options.random ?? Math.random;

  const table = new RouteTable();
  const keys = new KeyRing();
  const pools = new AgentPools();
  const instances = new InstanceSet(
    {
      drained: (instanceId) => feed.send({ type: 'drained', instanceId }),
      retired: (instanceId) => pools.retire(instanceId),
    },
    now,
  );
  const admission = new Admission({
    table,
    instances,
    limits: settings,
    send: (message) => feed.send(message),
    random,
    now,
  });
  const connections = new Connections();
  const controlAgent = new Agent(KEEP_ALIVE);
  let feedOpen = true;
  let sayRoutesKnown = () => {};

  const server = createServer({
    IncomingMessage: GatewayRequest,
    // Checked by ourselves, so that the refusal has the form of all others.
    requireHostHeader: false,
    // A request's body may take as long as it needs; only its head is limited in time.
    requestTimeout: 0,
    headersTimeout: HEADERS_TIMEOUT_MS,
    keepAliveTimeout: CLIENT_KEEP_ALIVE_MS,
    noDelay: true,
  });
  const address = await listen(server, settings).catch((error: Error) => {
    feed.send({ type: 'listen-failed', reason: error.message });
    throw error;
  });

  const parts: GatewayParts = {
    settings,
    hostPolicy: hostPolicy(settings, address.address),
    connections,
    table,
    firstRoutes: new Promise((resolve) => {
      sayRoutesKnown = resolve;
    }),
    keys,
    admission,
    bulkPace: new BulkPace(() => admission.isBusy, now),
    pools,
    control: { socketPath: options.controlSocket, agent: controlAgent },
    isFeedOpen: () => feedOpen,
    random,
    log,
  };
  const onRequest = (request: IncomingMessage, response: Parameters<typeof handleRequest>[2]) =>
    void handleRequest(parts, request, response);
  server.on('connection', (socket) => connections.add(socket));
  server.on('request', onRequest);
  // Without these Node would say "100 Continue", or refuse, before the agent was asked.
  server.on('checkContinue', onRequest);
  server.on('checkExpectation', onRequest);
  server.on('upgrade', (request, socket, early) => {
    void handleUpgrade(parts, request, socket as Socket, early);
  });
  server.on('clientError', (error, socket) => {
    answerMalformed(error, socket as Socket, connections.openCalls(socket as Socket));
  });

  const stopUsage = reportUsage(
    () => instances.usage(),
    (message) => feed.send(message),
  );
  let sayEnded = () => {};
  const ended = new Promise<void>((resolve) => {
    sayEnded = resolve;
  });
  let stopped: Promise<void> | undefined;

  /** Stops listening at once, gives open calls their time, cuts what is left. Only the first call counts. */
  const stop = (graceMs: number, reason: string): Promise<void> => {
    if (graceMs === 0) connections.cut();
    stopped ??= (async () => {
      server.close();
      connections.stop();
      admission.close(reason);
      const timer = setTimeout(() => connections.cut(), graceMs);
      await connections.empty();
      clearTimeout(timer);
      stopUsage();
      pools.close();
      controlAgent.destroy();
    })();
    return stopped;
  };

  const routesChanged = (runtimeId: string) => {
    const runtime = table.byId(runtimeId);
    instances.install(runtimeId, runtime);
    admission.routesChanged(runtimeId);
  };
  const receive = (message: DownMessage) => {
    switch (message.type) {
      case 'snapshot':
        keys.replace(message.keys);
        for (const runtimeId of table.installSnapshot(message.runtimes)) routesChanged(runtimeId);
        instances.repeatDrained();
        admission.repeatDemand();
        sayRoutesKnown();
        feed.send({ type: 'installed', sequence: message.sequence });
        break;
      case 'routes':
        table.install(message.runtimeId, message.runtime);
        routesChanged(message.runtimeId);
        feed.send({ type: 'installed', sequence: message.sequence });
        break;
      case 'keys':
        keys.replace(message.keys);
        break;
      case 'shutdown':
        void stop(message.graceMs, 'The server is shutting down').then(() => {
          feed.send({ type: 'closed' });
          // After what was sent has been delivered.
          setImmediate(() => {
            feed.close();
            sayEnded();
          });
        });
        break;
    }
  };

  log.info({ host: address.address, port: address.port }, 'listening');
  feed.send({ type: 'listening', host: address.address, port: address.port });
  feed.onMessage(receive);
  feed.onClose(() => {
    feedOpen = false;
    void stop(LOST_FEED_GRACE_MS, 'The control process is gone; the server is being restarted').then(
      sayEnded,
    );
  });

  return {
    host: address.address,
    port: address.port,
    ended,
    close: async () => {
      await stop(0, 'The server is shutting down');
      feed.close();
      sayEnded();
    },
  };
}

/** Binds the address, waiting a little for one that is still in use. */
async function listen(server: Server, { host, port }: GatewaySettings): Promise<AddressInfo> {
  const startedMs = performance.now();
  for (;;) {
    try {
      server.listen({ host, port });
      await once(server, 'listening');
      return server.address() as AddressInfo;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'EADDRINUSE') {
        throw new Error(`Cannot listen on ${host}:${port}: ${ADVICE[code ?? ''] ?? message}`, {
          cause: error,
        });
      }
      if (performance.now() - startedMs > BIND_PATIENCE_MS) {
        throw new Error(
          `Cannot listen on ${host}:${port}: the address is in use. Stop what listens there, ` +
            'or choose another port with --port (0 picks a free one)',
          { cause: error },
        );
      }
      await new Promise((resolve) => setTimeout(resolve, BIND_AGAIN_MS));
    }
  }
}

const ADVICE: Record<string, string> = {
  EACCES: 'ports below 1024 need more rights; choose another with --port',
  EADDRNOTAVAIL: 'no interface of this machine has that address; choose another with --host',
  ENOTFOUND: 'that host name is not known; choose another with --host',
};
