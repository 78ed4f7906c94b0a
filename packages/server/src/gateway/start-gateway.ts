import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { KeyRing } from '../auth/key-ring.ts';
import { privateAccess } from '../domain/private-access.ts';
import type { DownMessage } from '../feed/messages.ts';
import type { GatewayEnd } from '../feed/port.ts';
import { LineSink } from '../observe/line-sink.ts';
import type { Log } from '../observe/log.ts';
import { accountant } from './account.ts';
import { Admission } from './admit.ts';
import { AgentPools } from './agent-pools.ts';
import { BulkPace } from './bulk-pace.ts';
import { certificateNow, followCertificate } from './certificate.ts';
import { CLIENT_TIMES, ClientConnection, type ClientTimes } from './client-connection.ts';
import { CoarseClock } from './coarse-clock.ts';
import { ConnectionPool } from './connection-pool.ts';
import { Connections } from './connections.ts';
import { reportUsage } from './demand.ts';
import { descriptorLimit, mostConnections, mostHandshakes } from './descriptor-limit.ts';
import { answerMalformed } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { followControl } from './follow-control.ts';
import { proxyTrust } from './forwarded.ts';
import { FullHouse } from './full-house.ts';
import { handleRequest } from './handle-request.ts';
import { Handshakes } from './handshakes.ts';
import { hostPolicy } from './host-check.ts';
import { type Instance, InstanceSet } from './instances.ts';
import { plainServer, tlsServer } from './listeners.ts';
import { Metrics, reportCounts } from './metrics.ts';
import type { GatewayParts } from './parts.ts';
import { Rates } from './rates.ts';
import { RouteTable } from './route-table.ts';
import type { MoveReason } from './session.ts';
import { Sessions } from './sessions.ts';
import type { GatewaySettings, TlsSettings } from './settings.ts';

export interface RunningGateway {
  /** As bound, with the real port when 0 was asked for. */
  host: string;
  port: number;
  /** Undefined: TLS is off. */
  tls: { host: string; port: number } | undefined;
  /** Resolves when it has ended: after `shutdown`, when no control process came any more, or after `close`. */
  ended: Promise<void>;
  /** Ends it, open calls first, if there is no control process that could. */
  endIfUnattended(): void;
  /** Stops listening and cuts everything off at once. */
  close(): Promise<void>;
}

export interface GatewayOptions {
  /** Of the control process that started it. */
  feed: GatewayEnd;
  /** Calls back with the feed of every control process that comes later; default: none does. */
  nextFeeds?: (take: (feed: GatewayEnd) => void) => void;
  settings: GatewaySettings;
  /** Path of the control process's unix socket. */
  controlSocket: string;
  log: Log;
  /** In [0,1); decides versions and instances. Default `Math.random`. */
  random?: () => number;
  /** Connections that clients may have open. Default: by how many descriptors the process may have. */
  mostConnections?: number;
  /** How often the certificate's files are looked at, and how long a handshake may take, in ms. */
  tlsTimes?: { lookMs?: number; handshakeMs?: number };
  /** How long clients may take, how long agents may say nothing, and how finely that is looked at, in ms. */
  times?: Partial<ClientTimes> & { agentSilenceMs?: number; tickMs?: number };
}

/** How long an agent may say nothing in the middle of a call: longer than any model is known to think. */
const AGENT_SILENCE_MS = 15 * 60_000;
/** What open calls get when no control process comes any more: as long as those of a deleted runtime. */
const LOST_FEED_GRACE_MS = 10_000;
/** A predecessor that is just leaving holds the address a little longer. */
const BIND_PATIENCE_MS = 2000;
const BIND_AGAIN_MS = 50;

/**
 * Starts a gateway on a feed: one process has one, tests have many. Says `listening`, or `listen-failed` and throws.
 * @throws Error when an address cannot be bound, or the certificate cannot be served with
 */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const { settings, log } = options;
  const feed = followControl({
    first: options.feed,
    next: options.nextFeeds,
    waitMs: settings.gatewayWaitMs,
  });
  const now = () => performance.now();
  const random = options.random ?? Math.random;

  const table = new RouteTable();
  const keys = new KeyRing();
  const silenceMs = options.times?.agentSilenceMs ?? AGENT_SILENCE_MS;
  const pools = new AgentPools(silenceMs);
  let adopting = false;
  const instances = new InstanceSet(
    {
      drained: (instanceId, drain) => {
        // What lies idle may yet turn out to have sessions; it is said again afterwards.
        if (!adopting) feed.send({ type: 'drained', instanceId, ...(drain !== undefined && { drain }) });
      },
      retired: (instanceId) => pools.retire(instanceId),
      gone: (instance, wasDraining) => sessions.instanceGone(instance, whyGone(instance, wasDraining)),
      cut: (instance) => sessions.instanceGone(instance, whyGone(instance, true)),
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
  const metrics = new Metrics();
  const sink = new LineSink({
    target: settings.accessLogFile === undefined ? { fd: 2 } : { path: settings.accessLogFile },
    log,
  });
  const most = options.mostConnections ?? mostConnections(descriptorLimit());
  const handshakes = new Handshakes(mostHandshakes(most));
  const clock = new CoarseClock(options.times?.tickMs);
  const controlPool = new ConnectionPool({ path: options.controlSocket }, silenceMs);
  for (const ticked of [connections, pools, controlPool]) clock.add(ticked);
  let sayRoutesKnown = () => {};

  const shared: Omit<GatewayParts, 'hostPolicy'> = {
    settings,
    domains: new Map(settings.domains.map((domain) => [domain.host, domain])),
    privateAccess: privateAccess(settings),
    isTrustedProxy: proxyTrust(settings.trustProxy),
    connections,
    table,
    firstRoutes: new Promise((resolve) => {
      sayRoutesKnown = resolve;
    }),
    door: { keys, anonymousCalls: settings.anonymousCalls, now: Date.now },
    admission,
    rates: new Rates({ runtime: settings.rateLimitRuntime, key: settings.rateLimitKey }, now),
    sessions,
    bulkPace: new BulkPace(() => admission.isBusy, now),
    pools,
    control: controlPool,
    clock,
    metrics,
    account: accountant({ settings, metrics, sink, random, now: Date.now }),
    isAttended: feed.isAttended,
    random,
    log,
  };
  const times = { ...CLIENT_TIMES, ...options.times };
  const fullHouse = new FullHouse();
  /** Takes the calls of a listener. */
  const takeCalls = (host: string, isSecure: boolean) => {
    const parts: GatewayParts = { ...shared, hostPolicy: hostPolicy(settings, host) };
    const service = {
      serve: (exchange: Exchange) => handleRequest(parts, exchange),
      refuse: answerMalformed,
    };
    const onClose = (connection: ClientConnection) => {
      metrics.now.connections--;
      connections.delete(connection);
    };
    return (socket: Socket) => {
      if (connections.size >= most && !connections.makeRoom(clock.nowMs)) return fullHouse.refuse(socket);
      metrics.now.connections++;
      connections.add(new ClientConnection(socket, isSecure, { clock, times, service, onClose }));
    };
  };
  const servePlain = () => plainServer().on('connection', takeCalls(settings.host, false));
  const serveTls = (tls: TlsSettings) => {
    const server = tlsServer(loadOrExplain(tls), options.tlsTimes?.handshakeMs);
    const takeCall = takeCalls(tls.host, true);
    server.on('connection', (socket) => handshakes.begin(socket));
    server.on('secureConnection', (socket: TLSSocket) => {
      handshakes.done(socket);
      takeCall(socket);
    });
    // A handshake that failed: there is nobody who could read an answer.
    server.on('tlsClientError', (_error, socket) => socket.destroy());
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
  const sendCounts = (counts = metrics.counts()) => feed.send({ type: 'counts', counts });
  const stopCounts = reportCounts(metrics, sendCounts);
  const stopSessions = sessions.begin();
  let sayEnded = () => {};
  const ended = new Promise<void>((resolve) => {
    sayEnded = resolve;
  });
  let stopped: Promise<void> | undefined;

  /** Stops listening at once, gives open calls their time, cuts what is left. Only the first call counts. */
  const stop = (graceMs: number, reason: string): Promise<void> => {
    if (graceMs === 0) connections.destroy();
    stopped ??= (async () => {
      plain.server.close();
      secure?.server.close();
      stopFollowing();
      handshakes.cut();
      fullHouse.close();
      connections.stop();
      admission.close(reason);
      const timer = setTimeout(() => connections.cut(reason), graceMs);
      await connections.empty();
      clearTimeout(timer);
      stopUsage();
      stopCounts();
      sessions.flush();
      stopSessions();
      pools.close();
      controlPool.close();
      clock.stop();
      await sink.close();
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
      case 'count':
        sendCounts();
        break;
      case 'cut':
        instances.cut(message.instanceId, message.reason);
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
        feed.send({ type: 'released' });
        break;
    }
  };

  const where = (address: AddressInfo) => ({ host: address.address, port: address.port });
  const tls = secure && where(secure.address);
  log.info({ ...where(plain.address), ...(tls && { tls }) }, 'listening');
  const sayWhere = () =>
    feed.send(
      stopped !== undefined
        ? { type: 'listen-failed', reason: 'The gateway is ending' }
        : { type: 'listening', ...where(plain.address), ...(tls && { tls }) },
    );
  sayWhere();
  feed.onMessage(receive);
  feed.onArrival(() => {
    log.info('another control process has come');
    sayWhere();
  });
  feed.onLeft(() => {
    controlPool.closeIdle();
    log.warn('the control process is gone; calls go on');
  });
  feed.onClose(() => {
    log.warn('no control process has come; ending');
    void stop(LOST_FEED_GRACE_MS, 'The server is shutting down').then(sayEnded);
  });

  return {
    ...where(plain.address),
    tls,
    ended,
    endIfUnattended: feed.giveUp,
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
