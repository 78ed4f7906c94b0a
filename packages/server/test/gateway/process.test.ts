import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pino from 'pino';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type ConfigInput, loadConfig } from '../../src/config.ts';
import { bootId, isAlive, startTicksOf } from '../../src/drivers/process/processes.ts';
import type { UpMessage } from '../../src/feed/messages.ts';
import { planListeners } from '../../src/gateway/listen-plan.ts';
import { type GatewayProcessSettings, SETTINGS_VARIABLE } from '../../src/gateway/settings.ts';
import { type GatewayProcess, startGatewayProcess } from '../../src/gateway-process.ts';
import { readGatewayRecord, writeGatewayRecord } from '../../src/gateway-record.ts';
import { waitFor } from '../wait-for.ts';
import { call, SETTINGS } from './harness.ts';

/** The gateway as a process of its own, as control processes start it, take it over and end it. */

let data: string;
beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-gateway-'));
  data = join(folder, 'data');
  mkdirSync(join(data, 'run'), { recursive: true });
  onTestFinished(() => {
    const record = readGatewayRecord(data);
    if (record && isAlive(record)) process.kill(record.pid, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
});

interface Control extends GatewayProcess {
  /** Everything the gateway said since it was attached. */
  said: UpMessage[];
  /** Each line of either log. */
  logged: string[];
  /** How often a gateway was attached. */
  attached(): number;
}

/** What of a control process has to do with its gateway. It is never killed: another one just comes. */
async function startControl(config: ConfigInput = {}): Promise<Control> {
  const loaded = loadConfig({ dataDir: data, port: 0, logLevel: 'info', ...config }, {});
  const said: UpMessage[] = [];
  const logged: string[] = [];
  let attached = 0;
  const gateway = await startGatewayProcess({
    config: loaded,
    plan: planListeners(loaded),
    certificate: undefined,
    controlSocket: join(data, 'run', 'control.sock'),
    log: pino({ level: 'info' }, { write: (line) => logged.push(line) }),
    writeLog: (line) => logged.push(line),
    attach: async (feed) => {
      attached++;
      feed.onMessage((message) => said.push(message));
      feed.send({ type: 'snapshot', sequence: 1, runtimes: [], keys: [] });
      await waitFor('the routes to be in force', () =>
        said.some((message) => message.type === 'installed' && message.sequence === 1),
      );
    },
  });
  onTestFinished(() => gateway.close(0));
  return { ...gateway, said, logged, attached: () => attached };
}

/** A control process that is killed once its gateway serves. @returns that gateway */
async function killedControl(config: ConfigInput = {}): Promise<{ pid: number; port: number }> {
  const program = fileURLToPath(new URL('control-process.mjs', import.meta.url));
  const child = spawn(process.execPath, [program, data, JSON.stringify(config)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [found] = (await once(child, 'message')) as [{ pid: number; port: number }];
  child.kill('SIGKILL');
  await once(child, 'exit');
  return found;
}

const isRunning = (pid: number) => startTicksOf(pid) !== undefined;
const health = async (port: number) => (await call(port, '/health')).json() as { status: string };

describe('a gateway whose control process was killed', () => {
  test('lives, and is taken over by the next one, which it tells where it listens', async () => {
    const { pid, port } = await killedControl();
    expect(isRunning(pid)).toBe(true);
    const next = await startControl();
    expect([next.pid(), next.port]).toEqual([pid, port]);
    expect(await health(port)).toEqual({ status: 'ok' });
    expect(next.logged.some((line) => line.includes('the control process is gone; calls go on'))).toBe(true);
    // Whoever has taken it over can end it, and leaves no trace.
    await next.close(0);
    expect(isRunning(pid)).toBe(false);
    expect(readdirSync(join(data, 'run'))).toEqual(['gateway.err']);
  });

  test('is also taken over on the very port that it has', async () => {
    const { pid, port } = await killedControl();
    expect((await startControl({ port })).pid()).toBe(pid);
  });

  test('ends by itself when nobody comes, and leaves no file', async () => {
    const { pid, port } = await killedControl({ gatewayWaitMs: 50 });
    await waitFor('the gateway to be gone', () => !isRunning(pid));
    await expect(call(port, '/health')).rejects.toThrow(/ECONNREFUSED/);
    expect(readdirSync(join(data, 'run')).filter((name) => name.endsWith('.sock'))).toEqual([]);
    const next = await startControl();
    expect(next.pid()).not.toBe(pid);
  });

  test.each(['SIGTERM', 'SIGINT'] as const)('ends at %s', async (signal) => {
    const { pid, port } = await killedControl();
    await waitFor('it to notice', async () => (await health(port)).status === 'degraded');
    process.kill(pid, signal);
    await waitFor('the gateway to be gone', () => !isRunning(pid));
  });

  test.each([
    ['another setting', { queueLength: 7 }],
    ['another level of its log', { logLevel: 'warn' }],
    ['another host', { host: '::1' }],
  ] satisfies [string, ConfigInput][])('is replaced for %s', async (_what, config) => {
    const { pid, port } = await killedControl();
    const next = await startControl({ port, ...config });
    expect(next.pid()).not.toBe(pid);
    expect(next.port).toBe(port);
    await waitFor('the old one to be gone', () => !isRunning(pid));
    expect(readGatewayRecord(data)?.pid).toBe(next.pid());
  });

  test('is replaced when it does not answer', async () => {
    const { pid, port } = await killedControl();
    process.kill(pid, 'SIGSTOP');
    const next = await startControl({ port });
    expect(next.pid()).not.toBe(pid);
    expect(isRunning(pid)).toBe(false);
    expect(await health(next.port)).toEqual({ status: 'ok' });
  });

  test('serves on when the next one cannot listen where it wants to', async () => {
    const { pid, port } = await killedControl();
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void other.close());
    const taken = (other.address() as { port: number }).port;
    await expect(startControl({ port: taken })).rejects.toThrow(
      /^Cannot listen on .*: the address is in use/,
    );
    await waitFor('it to be left', async () => (await health(port)).status === 'degraded');
    expect((await startControl({ port })).pid()).toBe(pid);
  });
});

describe('a gateway that runs', () => {
  test('writes to no pipe and no terminal of its control process, and its log goes up the feed', async () => {
    const control = await startControl();
    expect(control.logged.some((line) => JSON.parse(line).process === 'gateway')).toBe(true);
    if (!existsSync('/proc/self/fd')) return;
    const targets = [0, 1, 2].map((fd) => readlinkSync(`/proc/${control.pid()}/fd/${fd}`));
    expect(targets).toEqual(['/dev/null', '/dev/null', join(data, 'run', 'gateway.err')]);
    // A session of its own: neither Ctrl-C nor the end of a terminal reaches it.
    const fields = readFileSync(`/proc/${control.pid()}/stat`, 'latin1').split(') ')[1]!.split(' ');
    expect(Number(fields[3])).toBe(control.pid());
  });

  test('that is killed is followed by another on the same port, at once', async () => {
    const control = await startControl();
    const pid = control.pid()!;
    process.kill(pid, 'SIGKILL');
    await waitFor('another gateway', () => control.attached() === 2);
    expect(control.pid()).not.toBe(pid);
    expect(await health(control.port)).toEqual({ status: 'ok' });
    expect(control.logged.some((line) => line.includes('SIGKILL'))).toBe(true);
    expect(readGatewayRecord(data)?.pid).toBe(control.pid());
  });

  test('that was taken over and is killed is followed by another, too', async () => {
    const { pid, port } = await killedControl();
    const control = await startControl();
    process.kill(pid, 'SIGKILL');
    await waitFor('another gateway', () => control.attached() === 2);
    expect(await health(port)).toEqual({ status: 'ok' });
  });

  test('ignores signals that its control process is to act on', async () => {
    const control = await startControl();
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(control.pid()!, signal);
    expect(await health(control.port)).toEqual({ status: 'ok' });
    await control.close(0);
    expect(isRunning(control.pid()!)).toBe(false);
  });
});

describe('S3: never signal a stranger', () => {
  test('whose number stands in the record of a gateway', async () => {
    const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
    onTestFinished(() => void stranger.kill('SIGKILL'));
    await once(stranger, 'spawn');
    const pid = stranger.pid!;
    const socket = join(data, 'run', 'gateway-00000000.sock');
    const forged = [
      { pid, startTicks: '1', bootId: bootId(), socket },
      { pid, startTicks: startTicksOf(pid)!, bootId: 'of another boot', socket },
    ];
    for (const record of forged) {
      writeGatewayRecord(data, record);
      const control = await startControl();
      expect(control.pid()).not.toBe(pid);
      await control.close(0);
      expect(isRunning(pid)).toBe(true);
    }
  });

  test.each(['', '{', '[]', '{"pid":1}', '{"pid":-1,"startTicks":"1","bootId":"1","socket":"/etc/passwd"}'])(
    'a record that reads %j stands for no gateway',
    async (text) => {
      writeFileSync(join(data, 'run', 'gateway.json'), text);
      expect(readGatewayRecord(data)).toBeUndefined();
    },
  );
});

describe('a gateway that has just been started', () => {
  /** The bare program. */
  function startProgram(): ChildProcess {
    const settings: GatewayProcessSettings = {
      ...SETTINGS,
      controlSocket: '/nobody.sock',
      feedSocket: join(data, 'run', 'gateway-11111111.sock'),
      settingsDigest: '',
      logLevel: 'silent',
    };
    const file = fileURLToPath(new URL('../../dist/gateway/main.js', import.meta.url));
    const child = spawn(process.execPath, [file], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, [SETTINGS_VARIABLE]: JSON.stringify(settings) },
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    return child;
  }

  test('listens nowhere before its control process has come, and ends with that', async () => {
    const gateway = startProgram();
    expect(await once(gateway, 'message')).toEqual(['ready', undefined]);
    gateway.disconnect();
    expect(await once(gateway, 'exit')).toEqual([0, null]);
    expect(readdirSync(join(data, 'run'))).toEqual([]);
  });

  test('ends when its control process was killed before it had loaded', async () => {
    const gateway = startProgram();
    gateway.disconnect();
    expect(await once(gateway, 'exit')).toEqual([0, null]);
  });
});
