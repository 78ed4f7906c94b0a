import { once } from 'node:events';
import { Agent, type IncomingMessage } from 'node:http';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { KeyRing } from '../auth/key-ring.ts';
import { privateAccess } from '../domain/private-access.ts';
import type { DownMessage } from '../feed/messages.ts';
import type { GatewayEnd } from '../feed/port.ts';
import type { Log } from '../observe/log.ts';
import { Admission } from './admit.ts';
import { AgentPools, KEEP_ALIVE } from './agent-pools.ts';
import { BulkPace } from './bulk-pace.ts';
import { certificateNow, followCertificate } from './certificate.ts';
import { Connections } from './connections.ts';
import { reportUsage } from './demand.ts';
import { answerMalformed } from './errors.ts';
import { handleRequest } from './handle-request.ts';
import { Handshakes } from './handshakes.ts';
import { hostPolicy } from './host-check.ts';
import { type Instance, InstanceSet } from './instances.ts';
import { plainServer, tlsServer } from './listeners.ts';
import type { GatewayParts } from './parts.ts';
import { RouteTable } from './route-table.ts';
import type { MoveReason } from './session.ts';
import { Sessions } from './sessions.ts';
import type { GatewaySettings, TlsSettings } from './settings.ts';
import { handleUpgrade } from './upgrade.ts';

export interface RunningGateway {
  /** As bound, with the real port when 0 was asked for. */
  host: string;
  port: number;
  /** Undefined: TLS is off. */
  tls: { host: string; port: number } | undefined;
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
  /** How often the certificate's files are looked at, and how long a handshake may take, in ms. */
  tlsTimes?: { lookMs?: number; handshakeMs?: number };
}

/** What open calls get when the control process is lost: as long as those of a deleted runtime. */
const LOST_FEED_GRACE_MS = 10_000;
/** A predecessor that is just leaving holds the address a little longer. */
const BIND_PATIENCE_MS = 2000;
const BIND_AGAIN_MS = 50;

/**
 * Starts a gateway on a feed: one process has one, tests have many. Says `listening`, or `listen-failed` and throws.
 * @throws Error when an address cannot be bound, or the certificate cannot be served with
 */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const { feed, settings, log } = options;
  const now = () => performance.now();
  const random = options.random ?? Math.random;

  const table = new RouteTable();
  const keys = new KeyRing();
  const pools = new AgentPools();
  let adopting = false;
  const instances = new InstanceSet(
    {
      drained: (instanceId) => {
        // What lies idle may yet turn out to have sessions; it is said again afterwards.
        if (!adopting) feed.send({ type: 'drained', instanceId });
      },
      retired: (instanceId) => pools.retire(instanceId),
      gone: (instance, wasDraining) => sessions.instanceGone(instance, whyGone(instance, wasDraining)),
      spent: (instanceId) => feed.send({ type: 'spent', instanceId }),
    },
    now,
  );
  const whyGone = ({ runtimeId, version }: Instance, wasDraining: boolean): MoveReason => {
    const endpoints = table.byId(runtimeId)?.endpoints ?? [];
    const serves = endpoints.some(({ weights }) => weights.some((weight) => weight.version === version));
    if (!serves) return 'version-gone';
    return wasDraining ? 'drained' : 'instance-gone';
  };
  const sessions = new Sessions({
    instances,
    send: (message) => feed.send(message),
    freed: (instance) => admission.slotFreed(instance),
    now,
    clock: Date.now,
  });
  const admission = new Admission({
    table,
    instances,
    sessions,
    limits: settings,
    send: (message) => feed.send(message),
    random,
    now,
  });
  const connections = new Connections();
  const handshakes = new Handshakes();
  const controlAgent = new Agent(KEEP_ALIVE);
  let feedOpen = true;
  let sayRoutesKnown = () => {};

  const shared: Omit<GatewayParts, 'hostPolicy'> = {
    settings,
    domains: new Map(settings.domains.map((domain) => [domain.host, domain])),
    privateAccess: privateAccess(settings),
    connections,
    table,
    firstRoutes: new Promise((resolve) => {
      sayRoutesKnown = resolve;
    }),
    door: { keys, anonymousCalls: settings.anonymousCalls, now: Date.now },
    admission,
    sessions,
    bulkPace: new BulkPace(() => admission.isBusy, now),
    pools,
    control: { socketPath: options.controlSocket, agent: controlAgent },
    isFeedOpen: () => feedOpen,
    random,
    log,
  };
  /** Takes the calls of a listener. */
  const serve = (server: ReturnType<typeof plainServer> | ReturnType<typeof tlsServer>, host: string) => {
    const parts: GatewayParts = { ...shared, hostPolicy: hostPolicy(settings, host) };
    const onRequest = (request: IncomingMessage, response: Parameters<typeof handleRequest>[2]) =>
      void handleRequest(parts, request, response);
    server.on('request', onRequest);
    // Without these Node would say "100 Continue", or refuse, before the agent was asked.
    server.on('checkContinue', onRequest);
    server.on('checkExpectation', onRequest);
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, early: Buffer) => {
      void handleUpgrade(parts, request, socket as Socket, early);
    });
    server.on('clientError', (error: NodeJS.ErrnoException, stream: Duplex) => {
      const socket = stream as Socket;
      if (connections.has(socket)) answerMalformed(error, socket, connections.openCalls(socket));
      // A handshake that failed: there is nobody who could read an answer.
      else socket.destroy();
    });
  };
  const servePlain = () => {
    const server = plainServer();
    server.on('connection', (socket) => connections.add(socket as Socket));
    serve(server, settings.host);
    return server;
  };
  const serveTls = (tls: TlsSettings) => {
    const server = tlsServer(loadOrExplain(tls), options.tlsTimes?.handshakeMs);
    server.on('connection', (socket) => handshakes.begin(socket as Socket));
    // Before Node's own listener, which may already read a request.
    server.prependListener('secureConnection', (socket: Socket) => {
      handshakes.done(socket);
      connections.add(socket);
    });
    serve(server, tls.host);
    return server;
  };
  const { plain, secure } = await bind(settings, servePlain, serveTls).catch((error: Error) => {
    feed.send({ type: 'listen-failed', reason: error.message });
    throw error;
  });
  const stopFollowing =
    secure && settings.tls
      ? followCertificate(secure.server, settings.tls, log, options.tlsTimes?.lookMs)
      : () => {};

  const stopUsage = reportUsage(
    () => instances.usage(),
    (message) => feed.send(message),
  );
  const stopSessions = sessions.begin();
  let sayEnded = () => {};
  const ended = new Promise<void>((resolve) => {
    sayEnded = resolve;
  });
  let stopped: Promise<void> | undefined;

  /** Stops listening at once, gives open calls their time, cuts what is left. Only the first call counts. */
  const stop = (graceMs: number, reason: string): Promise<void> => {
    if (graceMs === 0) connections.cut();
    stopped ??= (async () => {
      plain.server.close();
      secure?.server.close();
      stopFollowing();
      handshakes.cut();
      connections.stop();
      admission.close(reason);
      const timer = setTimeout(() => connections.cut(), graceMs);
      await connections.empty();
      clearTimeout(timer);
      stopUsage();
      sessions.flush();
      stopSessions();
      pools.close();
      controlAgent.destroy();
    })();
    return stopped;
  };

  const routesChanged = (runtimeId: string) => {
    const runtime = table.byId(runtimeId);
    if (runtime?.state !== 'serving') sessions.endAllOf(runtimeId);
    instances.install(runtimeId, runtime);
    admission.routesChanged(runtimeId);
  };
  const receive = (message: DownMessage) => {
    switch (message.type) {
      case 'snapshot': {
        const isFirst = !table.installed;
        keys.replace(message.keys);
        sessions.useSecret(message.sessionSecret);
        const touched = table.installSnapshot(message.runtimes);
        if (isFirst) {
          // Before a call that waits for routes takes the place of a session.
          adopting = true;
          for (const runtimeId of touched) instances.install(runtimeId, table.byId(runtimeId));
          sessions.adopt(message.sessions ?? []);
          adopting = false;
          instances.spendUnbound();
        }
        for (const runtimeId of touched) routesChanged(runtimeId);
        if (!isFirst) {
          sessions.repeat();
          instances.repeatSpent();
        }
        instances.repeatDrained();
        admission.repeatDemand();
        sayRoutesKnown();
        feed.send({ type: 'installed', sequence: message.sequence });
        break;
      }
      case 'routes':
        table.install(message.runtimeId, message.runtime);
        routesChanged(message.runtimeId);
        feed.send({ type: 'installed', sequence: message.sequence });
        break;
      case 'keys':
        keys.replace(message.keys);
        feed.send({ type: 'installed', sequence: message.sequence });
        break;
      case 'endSession':
        sessions.end(message.hash);
        feed.send({ type: 'installed', sequence: message.sequence });
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

  const where = (address: AddressInfo) => ({ host: address.address, port: address.port });
  const tls = secure && where(secure.address);
  log.info({ ...where(plain.address), ...(tls && { tls }) }, 'listening');
  feed.send({ type: 'listening', ...where(plain.address), ...(tls && { tls }) });
  feed.onMessage(receive);
  feed.onClose(() => {
    feedOpen = false;
    void stop(LOST_FEED_GRACE_MS, 'The control process is gone; the server is being restarted').then(
      sayEnded,
    );
  });

  return {
    ...where(plain.address),
    tls,
    ended,
    close: async () => {
      await stop(0, 'The server is shutting down');
      feed.close();
      sayEnded();
    },
  };
}

interface Listening<S extends Server> {
  server: S;
  address: AddressInfo;
}

/** Binds all listeners or none. They take calls from the first moment on. */
async function bind<S extends Server>(
  settings: GatewaySettings,
  servePlain: () => Server,
  serveTls: (tls: TlsSettings) => S,
): Promise<{ plain: Listening<Server>; secure: Listening<S> | undefined }> {
  const { tls } = settings;
  // What cannot be served with needs no port.
  const secureServer = tls && serveTls(tls);
  const plainServer = servePlain();
  const plain = {
    server: plainServer,
    address: await listen(plainServer, settings, { host: '--host', port: '--port' }),
  };
  if (!secureServer) return { plain, secure: undefined };
  try {
    const address = await listen(secureServer, tls, { host: '--host', port: '--tls-port' });
    return { plain, secure: { server: secureServer, address } };
  } catch (error) {
    plainServer.close();
    throw error;
  }
}

function loadOrExplain(tls: TlsSettings) {
  try {
    return certificateNow(tls);
  } catch (error) {
    throw new Error(`Cannot listen on ${tls.host}:${tls.port}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Binds the address, waiting a little for one that is still in use. */
async function listen(
  server: Server,
  { host, port }: { host: string; port: number },
  flags: { host: string; port: string },
): Promise<AddressInfo> {
  const startedMs = performance.now();
  for (;;) {
    try {
      server.listen({ host, port });
      await once(server, 'listening');
      return server.address() as AddressInfo;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'EADDRINUSE') {
        throw new Error(`Cannot listen on ${host}:${port}: ${ADVICE[code ?? '']?.(flags) ?? message}`, {
          cause: error,
        });
      }
      if (performance.now() - startedMs > BIND_PATIENCE_MS) {
        throw new Error(
          `Cannot listen on ${host}:${port}: the address is in use. Stop what listens there, ` +
            `or choose another port with ${flags.port} (0 picks a free one)`,
          { cause: error },
        );
      }
      await new Promise((resolve) => setTimeout(resolve, BIND_AGAIN_MS));
    }
  }
}

const ADVICE: Record<string, (flags: { host: string; port: string }) => string> = {
  EACCES: (flags) => `ports below 1024 need more rights; choose another with ${flags.port}`,
  EADDRNOTAVAIL: (flags) =>
    `no interface of this machine has that address; choose another with ${flags.host}`,
  ENOTFOUND: (flags) => `that host name is not known; choose another with ${flags.host}`,
};
