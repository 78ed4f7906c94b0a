import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ACCESS_KEY_SECRET_VARIABLE, type Config, S3_SECRET_VARIABLE } from './config.ts';
import type { DownMessage, UpMessage } from './feed/messages.ts';
import { type ControlEnd, overIpc } from './feed/port.ts';
import type { ListenPlan } from './gateway/listen-plan.ts';
import { gatewayProcessSettings, SETTINGS_VARIABLE } from './gateway/settings.ts';
import type { Log } from './observe/log.ts';
import type { CertificateFiles } from './tls/certificate-files.ts';

/** The gateway as the control process runs it: a child that is started again whenever it ends. */
export interface GatewayProcess extends GatewayAddress {
  pid(): number | undefined;
  /** Lets open calls finish within the time, then ends it. */
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
  /** Brings a gateway that listens up to date; the address is known by then. */
  attach: (feed: ControlEnd, address: GatewayAddress) => Promise<void>;
}

const RESPAWN_MIN_MS = 50;
const RESPAWN_MAX_MS = 5000;
/** For a gateway that ends before it listens, without a word, when the server starts. */
const FIRST_START_RETRIES = 2;
/** Beyond its own grace, before it is ended by force. */
const CLOSE_PATIENCE_MS = 2000;

/**
 * Starts the gateway process and keeps one running.
 * @throws Error when the first one cannot listen
 */
export async function startGatewayProcess(options: GatewayProcessOptions): Promise<GatewayProcess> {
  const { log, attach } = options;
  let closing = false;
  let failures = 0;
  let child: ChildProcess;
  let feed: ControlEnd;

  const begin = async (plan: ListenPlan): Promise<GatewayAddress> => {
    const started = spawnGateway({ ...options, plan });
    child = started.child;
    feed = started.feed;
    const address = await listening(started);
    child.once('exit', (code, signal) => {
      if (!closing) void respawn(atPortsOf(plan, address), signal ?? `code ${code}`);
    });
    await attach(feed, address);
    failures = 0;
    return address;
  };

  const respawn = async (plan: ListenPlan, how: string): Promise<void> => {
    log.error({ how }, 'the gateway process ended; starting another');
    const delay = Math.min(RESPAWN_MAX_MS, RESPAWN_MIN_MS * 2 ** failures++);
    await new Promise((resolve) => setTimeout(resolve, failures === 1 ? 0 : delay));
    if (closing) return;
    await begin(plan).catch((error: Error) => respawn(plan, error.message));
  };

  const beginFirst = async (triesLeft: number): Promise<GatewayAddress> => {
    try {
      return await begin(options.plan);
    } catch (error) {
      // Whoever ended it may have had no reason that holds for the next; what it says itself, the next would say too.
      if (!(error instanceof GatewayLost) || triesLeft === 0) throw error;
      log.error({ how: error.message }, 'the gateway process ended; starting another');
      return beginFirst(triesLeft - 1);
    }
  };
  const address = await beginFirst(FIRST_START_RETRIES);
  return {
    ...address,
    pid: () => child.pid,
    async close(graceMs) {
      closing = true;
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      feed.send({ type: 'shutdown', graceMs });
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs + CLOSE_PATIENCE_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** The ports stay those that callers know. */
function atPortsOf({ plain, tls, ...plan }: ListenPlan, address: GatewayAddress): ListenPlan {
  return {
    ...plan,
    plain: { ...plain, port: address.port },
    tls: tls && { ...tls, port: address.tls?.port ?? tls.port },
  };
}

interface SpawnedGateway {
  child: ChildProcess;
  feed: ControlEnd;
}

function spawnGateway({ config, plan, certificate, controlSocket }: GatewayProcessOptions): SpawnedGateway {
  const child = spawn(process.execPath, [gatewayFile()], {
    // Its log goes where ours goes; nothing is written to stdout.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: {
      ...process.env,
      // It fetches nothing, and hears of keys over the feed.
      [S3_SECRET_VARIABLE]: undefined,
      [ACCESS_KEY_SECRET_VARIABLE]: undefined,
      [SETTINGS_VARIABLE]: JSON.stringify(gatewayProcessSettings(config, plan, certificate, controlSocket)),
    },
  });
  return { child, feed: overIpc<DownMessage, UpMessage>(child) };
}

function listening({ child, feed }: SpawnedGateway): Promise<GatewayAddress> {
  return new Promise((resolve, reject) => {
    // Also after it listens: a channel that breaks must not end this process.
    child.on('error', reject);
    feed.onMessage((message) => {
      if (message.type === 'listening') {
        const { type: _, ...address } = message;
        resolve(address);
      }
      if (message.type === 'listen-failed') reject(new Error(message.reason));
    });
    feed.onClose(() => reject(new GatewayLost('The gateway process ended before it listened')));
  });
}

class GatewayLost extends Error {
  override readonly name = 'GatewayLost';
}

/** A process needs compiled code; when this file runs from source, as in tests, the build's copy is taken. */
function gatewayFile(): string {
  const url = import.meta.url.endsWith('.ts') ? '../dist/gateway/main.js' : './gateway/main.js';
  return fileURLToPath(new URL(url, import.meta.url));
}
