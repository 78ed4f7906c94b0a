import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ACCESS_KEY_SECRET_VARIABLE, S3_SECRET_VARIABLE } from './config.ts';
import { type GatewayHello, meetGateway } from './feed/meeting.ts';
import type { ControlEnd } from './feed/port.ts';
import { GATEWAY_NODE_FLAGS } from './gateway/node-flags.ts';
import { type GatewayProcessSettings, SETTINGS_VARIABLE } from './gateway/settings.ts';
import { type GatewayRecord, isGatewayRunning, recordOf, writeGatewayRecord } from './gateway-record.ts';
import { privateSocketPath } from './private-socket.ts';

/** A gateway that this process speaks with, whoever started it. */
export interface LinkedGateway {
  record: GatewayRecord;
  about: GatewayHello;
  feed: ControlEnd;
  /** Resolves when its process is gone, with how it ended. */
  ended: () => Promise<string>;
}

/** A gateway's process that has loaded, listens nowhere but for us, and ends if we do. */
export interface LoadedGateway {
  /** Lets it bind its addresses; it says `listening` or `listen-failed`, and outlives this process from then on. */
  begin(): LinkedGateway;
  /** Ends it by force. */
  kill(): void;
}

/** The gateway process ended, or was lost, before it listened. */
export class GatewayLost extends Error {
  override readonly name = 'GatewayLost';
}

/** A process that has loaded answers at once, unless the machine has no time for it. */
export const HELLO_WITHIN_MS = 5000;

/**
 * Starts a gateway's process and waits until it has loaded. It is nobody's child in all but name: a session of its own,
 * no pipe of ours, a file for what it may say in dying.
 * @param signal ends it while it loads
 * @throws GatewayLost when it ends while it loads
 */
export async function spawnGateway(
  dataDir: string,
  settings: Omit<GatewayProcessSettings, 'feedSocket'>,
  signal: AbortSignal,
): Promise<LoadedGateway> {
  const feedSocket = privateSocketPath(dataDir, `gateway-${randomBytes(4).toString('hex')}.sock`);
  const wordsFile = join(dataDir, 'run', 'gateway.err');
  rmSync(wordsFile, { force: true });
  const words = openSync(wordsFile, 'a', 0o600);
  const child = spawn(process.execPath, [...GATEWAY_NODE_FLAGS, gatewayFile()], {
    detached: true,
    // The channel is there until we have met: by it each sees the other's end.
    stdio: ['ignore', 'ignore', words, 'ipc'],
    env: {
      ...process.env,
      // It fetches nothing, and hears of keys over the feed.
      [S3_SECRET_VARIABLE]: undefined,
      [ACCESS_KEY_SECRET_VARIABLE]: undefined,
      [SETTINGS_VARIABLE]: JSON.stringify({ ...settings, feedSocket } satisfies GatewayProcessSettings),
    },
  });
  closeSync(words);
  const kill = () => void child.kill('SIGKILL');
  const exit = new Promise<string>((resolve) => {
    child.once('exit', (code, name) => {
      rmSync(feedSocket, { force: true });
      resolve([name ?? `code ${code}`, ...lastLines(wordsFile)].join(' | '));
    });
    // Could not be started; and when a channel breaks later, that is no fault of this process.
    child.on('error', (error) => {
      if (child.pid === undefined) resolve(error.message);
    });
  });
  signal.addEventListener('abort', kill);
  const lost = exit.then((how) => {
    throw new GatewayLost(`The gateway process ended before it listened (${how})`);
  });
  lost.catch(() => {});
  try {
    await Promise.race([lost, new Promise((resolve) => child.once('message', resolve))]);
    const { about, feed } = await Promise.race([lost, meetGateway(feedSocket, HELLO_WITHIN_MS)]);
    if (child.connected) child.disconnect();
    const record = child.pid === undefined ? undefined : recordOf(child.pid, feedSocket);
    if (!record) return await lost;
    return {
      kill,
      begin() {
        // Before it may listen: whatever becomes of this process then, the next one finds it.
        writeGatewayRecord(dataDir, record);
        feed.send({ type: 'listen' });
        return { record, about, feed, ended: () => exit };
      },
    };
  } catch (error) {
    kill();
    throw error;
  } finally {
    signal.removeEventListener('abort', kill);
  }
}

const LOOK_MS = 20;

/** Speaks with a gateway that another control process started. @throws Error when it does not answer */
export async function linkGateway(record: GatewayRecord): Promise<LinkedGateway> {
  const { about, feed } = await meetGateway(record.socket, HELLO_WITHIN_MS);
  return { record, about, feed, ended: () => gone(record) };
}

/** Resolves when the process is gone; it is nobody's child here, so it has to be looked for. */
async function gone(record: GatewayRecord): Promise<string> {
  while (isGatewayRunning(record)) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  rmSync(record.socket, { force: true });
  return 'gone';
}

const LAST_LINES = 8;

/** What a process said that died of a fault of its own. */
function lastLines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n').filter(Boolean).slice(0, LAST_LINES);
  } catch {
    return [];
  }
}

/** A process needs compiled code; when this file runs from source, as in tests, the build's copy is taken. */
function gatewayFile(): string {
  const url = import.meta.url.endsWith('.ts') ? '../dist/gateway/main.js' : './gateway/main.js';
  return fileURLToPath(new URL(url, import.meta.url));
}
