import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from './config.ts';
import { BUILD } from './feed/build.ts';
import { FEED_PROTOCOL } from './feed/meeting.ts';
import type { UpMessage } from './feed/messages.ts';
import type { ControlEnd } from './feed/port.ts';
import type { ListenPlan } from './gateway/listen-plan.ts';
import { gatewayProcessSettings } from './gateway/settings.ts';
import {
  isGatewayRunning,
  killGateway,
  readGatewayRecord,
  removeGatewayRecord,
  writeGatewayRecord,
} from './gateway-record.ts';
import type { Log } from './observe/log.ts';
import {
  GatewayLost,
  HELLO_WITHIN_MS,
  type LinkedGateway,
  type LoadedGateway,
  linkGateway,
  spawnGateway,
} from './spawn-gateway.ts';
import type { CertificateFiles } from './tls/certificate-files.ts';

/** The gateway as the control process runs it: taken over from the one before or started, and again whenever it ends. */
export interface GatewayProcess extends GatewayAddress {
  pid(): number | undefined;
  /** Lets open calls finish within the time, then ends it. Once more with 0 cuts them off. */
  close(graceMs: number): Promise<void>;
}

/** Where it listens, with the real ports. */
export interface GatewayAddress {
  host: string;
  port: number;
  /** Absent: TLS is off. */
  tls?: { host: string; port: number };
}

export interface GatewayProcessOptions {
  config: Readonly<Config>;
  plan: ListenPlan;
  /** For the TLS listener, if there is to be one. */
  certificate: CertificateFiles | undefined;
  controlSocket: string;
  log: Log;
  /** Takes a line of the gateway's log. */
  writeLog: (line: string) => void;
  /** Brings a gateway that listens up to date; the address is known by then. */
  attach: (feed: ControlEnd, address: GatewayAddress) => Promise<void>;
}

const RESPAWN_MIN_MS = 50;
const RESPAWN_MAX_MS = 5000;
/** For a gateway that ends before it listens, without a word, when the server starts. */
const FIRST_START_RETRIES = 5;
/** Beyond its own grace, before it is ended by force. */
const CLOSE_PATIENCE_MS = 2000;
/** What open calls get of a gateway that is replaced. */
const REPLACED_GRACE_MS = 10_000;
/** For letting go of its address. */
const RELEASE_PATIENCE_MS = 1000;
const RELINK_MS = 20;

/**
 * Takes over the gateway that an earlier control process left, if it is as this one would start it, or starts one; and
 * keeps one running.
 * @throws Error when the first one cannot listen
 */
export async function startGatewayProcess(options: GatewayProcessOptions): Promise<GatewayProcess> {
  const { log, config, certificate, controlSocket } = options;
  const { dataDir } = config;
  const settingsFor = (plan: ListenPlan) => gatewayProcessSettings(config, plan, certificate, controlSocket);
  const stopping = new AbortController();
  const { signal } = stopping;
  let current: LinkedGateway | undefined;
  let failures = 0;
  /** What is being done for there to be a gateway. Never rejects. */
  let busy: Promise<void> = Promise.resolve();
  const leaving = new Set<LinkedGateway>();

  /** Makes it the gateway, and finds another one when it is lost. */
  const follow = async (gateway: LinkedGateway, plan: ListenPlan, address: GatewayAddress) => {
    current = gateway;
    gateway.feed.onClose(() => {
      if (signal.aborted || current !== gateway) return;
      busy = busy.then(() => recover(gateway, atPortsOf(plan, address), address));
    });
    try {
      await options.attach(withoutLog(gateway.feed, options.writeLog), address);
    } catch (error) {
      current = undefined;
      throw error;
    }
    failures = 0;
  };

  const begin = async (loaded: LoadedGateway, plan: ListenPlan): Promise<GatewayAddress> => {
    const former = readGatewayRecord(dataDir);
    try {
      const gateway = loaded.begin();
      const address = await listening(gateway, options.writeLog);
      await follow(gateway, plan, address);
      return address;
    } catch (error) {
      loaded.kill();
      // It may live, where this one would not have been in its way.
      if (former) writeGatewayRecord(dataDir, former);
      throw error;
    }
  };

  const recover = async (lost: LinkedGateway, plan: ListenPlan, address: GatewayAddress): Promise<void> => {
    const deadline = performance.now() + HELLO_WITHIN_MS;
    // Only the connection may have gone.
    while (isGatewayRunning(lost.record) && performance.now() < deadline && !signal.aborted) {
      try {
        const again = await linkGateway(lost.record);
        await listening(again, options.writeLog);
        return await follow({ ...again, ended: lost.ended }, plan, address);
      } catch (error) {
        log.debug({ err: error }, 'the gateway is not to be spoken with; trying again');
        await delay(RELINK_MS);
      }
    }
    killGateway(lost.record);
    await respawn(plan, await lost.ended());
  };

  const respawn = async (plan: ListenPlan, how: string): Promise<void> => {
    if (signal.aborted) return;
    log.error({ how }, 'the gateway process ended; starting another');
    const pauseMs = Math.min(RESPAWN_MAX_MS, RESPAWN_MIN_MS * 2 ** failures++);
    if (failures > 1) await delay(pauseMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
    try {
      await begin(await spawnGateway(dataDir, settingsFor(plan), signal), plan);
    } catch (error) {
      await respawn(plan, (error as Error).message);
    }
  };

  const beginFirst = async (triesLeft: number, makeRoom?: () => Promise<void>): Promise<GatewayAddress> => {
    try {
      const loaded = await spawnGateway(dataDir, settingsFor(options.plan), signal);
      await makeRoom?.();
      return await begin(loaded, options.plan);
    } catch (error) {
      // Whoever ended it may have had no reason that holds for the next; what it says itself, the next would say too.
      if (!(error instanceof GatewayLost) || triesLeft === 0) throw error;
      log.error({ how: error.message }, 'the gateway process ended; starting another');
      await delay(RESPAWN_MIN_MS * 2 ** (FIRST_START_RETRIES - triesLeft));
      return beginFirst(triesLeft - 1, makeRoom);
    }
  };

  /** Sends a gateway home that is not as this server wants it. Resolves when its address is free. */
  const sendHome = async (gateway: LinkedGateway): Promise<void> => {
    leaving.add(gateway);
    const released = new Promise<void>((resolve) => {
      gateway.feed.onClose(resolve);
      withoutLog(gateway.feed, options.writeLog).onMessage((message) => {
        if (message.type === 'released') resolve();
      });
    });
    void end(gateway, REPLACED_GRACE_MS).then(() => leaving.delete(gateway));
    await Promise.race([released, delay(RELEASE_PATIENCE_MS)]);
  };

  const takeOverOrBegin = async (): Promise<GatewayAddress> => {
    const found = await findGateway(options);
    if (!found) return beginFirst(FIRST_START_RETRIES);
    const { gateway, address } = found;
    const wanted = settingsFor(options.plan);
    if (address && isAlike(gateway, wanted.settingsDigest) && isAt(address, options.plan)) {
      log.info({ pid: gateway.record.pid }, 'the gateway of the server before is taken over');
      await follow(gateway, options.plan, address);
      return address;
    }
    log.warn(
      { pid: gateway.record.pid },
      'the gateway of the server before was started otherwise; replacing it',
    );
    let sent: Promise<void> | undefined;
    const makeRoom = () => (sent ??= sendHome(gateway));
    if (address && !overlaps(address, options.plan)) {
      try {
        const begun = await beginFirst(FIRST_START_RETRIES);
        await makeRoom();
        return begun;
      } catch (error) {
        // It serves on, for a server that comes after this one.
        gateway.feed.close();
        throw error;
      }
    }
    // Loaded before the old one lets go of the address: nobody listens for as short a time as can be.
    return beginFirst(FIRST_START_RETRIES, makeRoom);
  };

  const address = await takeOverOrBegin();
  return {
    ...address,
    pid: () => current?.record.pid,
    async close(graceMs) {
      stopping.abort();
      await busy;
      const all = current ? [current, ...leaving] : [...leaving];
      await Promise.all(all.map((gateway) => end(gateway, graceMs)));
      removeGatewayRecord(dataDir);
    },
  };
}

/** Ends a gateway: by its own doing within the time, or by force. */
async function end(gateway: LinkedGateway, graceMs: number): Promise<void> {
  const { record, feed, ended } = gateway;
  let isLinked = true;
  feed.onClose(() => {
    isLinked = false;
  });
  if (!isGatewayRunning(record)) return;
  const kill = () => killGateway(record);
  if (isLinked) feed.send({ type: 'shutdown', graceMs });
  const timer = setTimeout(kill, isLinked ? graceMs + CLOSE_PATIENCE_MS : 0);
  await ended();
  clearTimeout(timer);
}

interface FoundGateway {
  gateway: LinkedGateway;
  /** Undefined: it listens nowhere any more, or does not say. */
  address: GatewayAddress | undefined;
}

/** The gateway that an earlier control process left, if it lives. One that cannot be spoken with is ended. */
async function findGateway({
  config: { dataDir },
  log,
  writeLog,
}: GatewayProcessOptions): Promise<FoundGateway | undefined> {
  const record = readGatewayRecord(dataDir);
  if (!record) return undefined;
  if (!isGatewayRunning(record)) {
    rmSync(record.socket, { force: true });
    return undefined;
  }
  try {
    const gateway = await linkGateway(record);
    const address = await listening(gateway, writeLog, HELLO_WITHIN_MS).catch(() => undefined);
    return { gateway, address };
  } catch (error) {
    if (isGatewayRunning(record)) {
      log.error(
        { pid: record.pid, err: error },
        'the gateway of the server before does not answer; ending it',
      );
      killGateway(record);
    }
    while (isGatewayRunning(record)) await delay(RELINK_MS);
    return undefined;
  }
}

function isAlike({ about }: LinkedGateway, settingsDigest: string): boolean {
  return about.protocol === FEED_PROTOCOL && about.build === BUILD && about.settings === settingsDigest;
}

function isAt({ port, tls }: GatewayAddress, plan: ListenPlan): boolean {
  const fits = (wanted: number | undefined, has: number | undefined) => wanted === has || wanted === 0;
  return fits(plan.plain.port, port) && fits(plan.tls?.port, tls?.port);
}

/** Whether one that begins by the plan would have to wait for the address. */
function overlaps({ port, tls }: GatewayAddress, plan: ListenPlan): boolean {
  const wanted = [plan.plain.port, plan.tls?.port];
  return [port, tls?.port].some((taken) => taken !== undefined && wanted.includes(taken));
}

/** The ports stay those that callers know. */
function atPortsOf({ plain, tls, ...plan }: ListenPlan, address: GatewayAddress): ListenPlan {
  return {
    ...plan,
    plain: { ...plain, port: address.port },
    tls: tls && { ...tls, port: address.tls?.port ?? tls.port },
  };
}

/** What it says first; everything after that is for the next listener. */
function listening(
  { feed }: LinkedGateway,
  writeLog: (line: string) => void,
  withinMs?: number,
): Promise<GatewayAddress> {
  return new Promise((resolve, reject) => {
    const timer =
      withinMs === undefined ? undefined : setTimeout(() => reject(new GatewayLost('no word')), withinMs);
    const done = () => {
      clearTimeout(timer);
      feed.onMessage(undefined);
    };
    withoutLog(feed, writeLog).onMessage((message) => {
      if (message.type === 'listening') {
        done();
        const { type: _, ...address } = message;
        resolve(address);
      }
      if (message.type === 'listen-failed') {
        done();
        reject(new Error(message.reason));
      }
    });
    feed.onClose(() => reject(new GatewayLost('The gateway process ended before it listened')));
  });
}

/** The feed as the server's parts know it: lines of the log go their own way. */
function withoutLog(feed: ControlEnd, writeLog: (line: string) => void): ControlEnd {
  const passing = (listener: (message: UpMessage) => void) => (message: UpMessage) => {
    if (message.type === 'log') writeLog(message.line);
    else listener(message);
  };
  return { ...feed, onMessage: (listener) => feed.onMessage(listener && passing(listener)) };
}
