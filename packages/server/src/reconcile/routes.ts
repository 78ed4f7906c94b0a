import { affinityOf, DEFAULT_AFFINITY, sessionsPerInstance } from '../domain/affinity.ts';
import { isLeaving } from '../domain/status.ts';
import type { Share } from '../domain/weights.ts';
import type {
  DownMessage,
  EndpointRoute,
  KeyRoute,
  RuntimeRoute,
  SessionRoute,
  UpMessage,
} from '../feed/messages.ts';
import type { ControlEnd } from '../feed/port.ts';
import type { Log } from '../observe/log.ts';
import type { RuntimeRecord, Store, VersionRecord } from '../store/store.ts';
import type { Instance } from './instance-set.ts';
import { referencedVersions, servedEndpoints } from './references.ts';

export interface RoutesOptions {
  store: Store;
  instancesOf: (runtimeId: string) => Instance[];
  /** Why a version cannot be started at present. */
  failureOf: (runtimeId: string, version: number) => string | undefined;
  /** Why no instance of a version may be started at present. */
  noRoomFor: (runtimeId: string, version: number) => string | undefined;
  /** What the attempt under way is doing. */
  progress: (runtimeId: string) => string | undefined;
  /** Whether a version has as many instances as it can have at present. */
  isAtCap: (runtimeId: string, version: number) => boolean;
  /** What session ids are hashed and cookies signed with, base64url. */
  sessionSecret: string;
  /** Those that are bound to instances that run. */
  sessions: () => Promise<SessionRoute[]>;
  keys: () => KeyRoute[];
  log: Log;
}

/** How long a reader waits for a gateway to follow, before it is told what the store says all the same. */
const SETTLE_TIMEOUT_MS = 2000;

export type Routes = ReturnType<typeof createRoutes>;

/**
 * Keeps the gateway's route table in step with store and instances. Messages are built and sent one after the other,
 * each from the newest state, so a later one never carries older news.
 */
export function createRoutes(options: RoutesOptions) {
  const { store, instancesOf, failureOf, noRoomFor, progress, keys, log } = options;
  let feed: ControlEnd | undefined;
  let sequence = 0;
  let tail: Promise<unknown> = Promise.resolve();
  const queued = new Map<string, Promise<void>>();
  const pending = new Map<string, Set<Promise<unknown>>>();
  const acknowledgements = new Map<number, () => void>();

  const track = <T>(runtimeId: string, promise: Promise<T>): Promise<T> => {
    const set = pending.get(runtimeId) ?? new Set();
    pending.set(runtimeId, set);
    set.add(promise);
    const forget = () => {
      set.delete(promise);
      if (set.size === 0 && pending.get(runtimeId) === set) pending.delete(runtimeId);
    };
    promise.then(forget, forget);
    return promise;
  };

  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = tail.then(work);
    tail = result.catch((error: unknown) => log.error({ err: error }, 'routes could not be sent'));
    return result;
  };

  /** Resolves when the gateway has it in force; at once when there is none, as the next one begins with a snapshot. */
  const deliver = (make: (sequence: number) => DownMessage): Promise<void> => {
    const to = feed;
    if (!to) return Promise.resolve();
    const number = ++sequence;
    return new Promise((resolve) => {
      acknowledgements.set(number, resolve);
      to.send(make(number));
    });
  };

  /** Sends a message in its turn and waits until it is in force, but not for a gateway that does not answer. */
  const inForce = async (make: (sequence: number) => DownMessage): Promise<void> => {
    const { installed } = await inTurn(async () => ({ installed: deliver(make) }));
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, SETTLE_TIMEOUT_MS);
    });
    await Promise.race([installed, timeout]);
    clearTimeout(timer);
  };

  const forgetAcknowledgements = () => {
    for (const resolve of acknowledgements.values()) resolve();
    acknowledgements.clear();
  };

  const build = async (runtime: RuntimeRecord): Promise<RuntimeRoute> => {
    const leaving = isLeaving(runtime.status);
    const versions = await store.versions(runtime.id);
    const endpoints = leaving ? [] : servedEndpoints(runtime, await store.endpoints(runtime.id), versions);
    const referenced = referencedVersions(endpoints);
    const instances = instancesOf(runtime.id);
    return {
      runtimeId: runtime.id,
      name: runtime.name,
      workspaceId: runtime.workspaceId,
      ...(runtime.spec.credentialName !== undefined && { credentialName: runtime.spec.credentialName }),
      state: leaving ? 'deleting' : 'serving',
      ...(runtime.headVersion === undefined && {
        unavailableReason: [runtime.status, runtime.statusReason ?? progress(runtime.id)]
          .filter(Boolean)
          .join(': '),
      }),
      endpoints: endpoints.map(({ name, shares, disablePublicNetworkAccess }) => ({
        name,
        weights: shares.filter(({ share }) => share > 0),
        disablePublicNetworkAccess,
        ...affinityFor(shares, versions),
      })),
      versions: versions.flatMap(({ version, revision, spec }) => {
        const own = instances.filter(
          (instance) =>
            instance.revision === revision && (instance.state === 'ready' || instance.state === 'draining'),
        );
        if (!referenced.has(version) && own.length === 0) return [];
        // While an instance serves, waiting for it is better than the reason why a second one could not start.
        const serves = own.some(({ state }) => state === 'ready');
        const failure = serves ? undefined : failureOf(runtime.id, version);
        const noRoom = serves ? undefined : noRoomFor(runtime.id, version);
        return {
          version,
          slotsPerInstance: sessionsPerInstance(spec),
          ...(spec.sessionIdleTimeoutSeconds !== undefined && {
            sessionIdleSeconds: spec.sessionIdleTimeoutSeconds,
          }),
          ...(spec.enableSessionIsolation && { isolated: true as const }),
          ...(options.isAtCap(runtime.id, version) && { atCap: true as const }),
          instances: own.map(({ id, host, port, state, drains, links }) => ({
            id,
            host,
            port,
            state: state as 'ready' | 'draining',
            ...(state === 'draining' && { drain: drains }),
            ...(links && { links }),
          })),
          ...(failure !== undefined && { failure }),
          ...(noRoom !== undefined && { noRoom }),
        };
      }),
    };
  };

  const publish = (runtimeId: string): Promise<void> => {
    const waiting = queued.get(runtimeId);
    if (waiting !== undefined) return waiting;
    const sent = inTurn(async () => {
      // From here on a further change needs a further message.
      queued.delete(runtimeId);
      const runtime = await store.getRuntime(runtimeId);
      const route = runtime ? await build(runtime) : null;
      return {
        installed: deliver((number) => ({ type: 'routes', sequence: number, runtimeId, runtime: route })),
      };
    }).then(({ installed }) => installed);
    queued.set(runtimeId, sent);
    return track(runtimeId, sent);
  };

  return {
    /** Sends a runtime's routes as they are now; resolves when they are in force. */
    publish,

    /** Sends the keys as they are now; resolves when they are in force. */
    sendKeys: () => inForce((number) => ({ type: 'keys', sequence: number, keys: keys() })),

    /** Ends a session; resolves when the gateway has, and what it says of it has been heard. */
    endSession: (hash: string) => inForce((number) => ({ type: 'endSession', sequence: number, hash })),

    /** Says that what is open on an instance is to end, after whatever was published of its runtime before. */
    cut(instanceId: string, reason: string): void {
      void inTurn(async () => feed?.send({ type: 'cut', instanceId, reason })).catch(() => {});
    },

    /** Makes a change that routes follow; readers of the runtime wait until they do. */
    during<T>(runtimeId: string, change: () => Promise<T>): Promise<T> {
      const result = change();
      const followed = result.then(() => publish(runtimeId));
      track(runtimeId, followed).catch(() => {});
      return result;
    },

    /** Resolves when what was published of a runtime, or of all, is in force, at the latest after two seconds. */
    async settled(runtimeId?: string): Promise<void> {
      const sets = runtimeId === undefined ? [...pending.values()] : [pending.get(runtimeId) ?? new Set()];
      const open = sets.flatMap((set) => [...set]);
      if (open.length === 0) return;
      let timer: NodeJS.Timeout | undefined;
      const timeout = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, SETTLE_TIMEOUT_MS);
      });
      await Promise.race([Promise.allSettled(open), timeout]);
      clearTimeout(timer);
    },

    /** Brings a gateway that has just connected up to date, and follows it from then on. */
    attach(to: ControlEnd): Promise<void> {
      return inTurn(async () => {
        feed = to;
        // The one before is gone; whoever waits for it is answered by this snapshot.
        forgetAcknowledgements();
        const runtimes: RuntimeRoute[] = [];
        for (const id of await store.runtimeIds()) {
          const runtime = await store.getRuntime(id);
          if (runtime) runtimes.push(await build(runtime));
        }
        const sessions = await options.sessions();
        const { sessionSecret } = options;
        return {
          installed: deliver((number) => ({
            type: 'snapshot',
            sequence: number,
            runtimes,
            keys: keys(),
            sessions,
            sessionSecret,
          })),
        };
      }).then(({ installed }) => installed);
    },

    /**
     * The gateway is gone: whoever waits for it need not, since the next begins anew.
     * @returns false when another has taken its place already
     */
    detach(from: ControlEnd): boolean {
      if (feed !== from) return false;
      feed = undefined;
      forgetAcknowledgements();
      return true;
    },

    installed({ sequence: number }: Extract<UpMessage, { type: 'installed' }>): void {
      acknowledgements.get(number)?.();
      acknowledgements.delete(number);
    },
  };
}

/**
 * How calls to an endpoint say which session they belong to: as the newest version says that it sends new sessions to.
 * While two versions say it differently, the newer one is what callers are being moved to.
 */
function affinityFor(
  shares: readonly Share[],
  versions: readonly VersionRecord[],
): Pick<EndpointRoute, 'affinity'> {
  const newest = Math.max(...shares.filter(({ share }) => share > 0).map(({ version }) => version));
  const spec = versions.find(({ version }) => version === newest)?.spec;
  const affinity = spec ? affinityOf(spec) : DEFAULT_AFFINITY;
  return affinity === DEFAULT_AFFINITY ? {} : { affinity };
}
