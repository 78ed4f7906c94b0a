import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pino from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { Driver, RunningInstance } from '../../src/drivers/driver.ts';
import { createProcessDriver } from '../../src/drivers/process/process-driver.ts';
import { agentSpec, get, hasPython, outerAddresses } from '../driver-cases.ts';
import { testBox } from '../secret-box.ts';

/** S5: agents are reached only through the gateway, whatever they bind. */

/**
 * Other addresses of this machine. Those that others reach it under, if there are any; 127.0.0.2 is one as well to
 * which a socket on all addresses answers and one on 127.0.0.1 does not.
 */
const OTHER_ADDRESSES = [...(process.platform === 'linux' ? ['127.0.0.2'] : []), ...outerAddresses()];

let dataDir: string;
const drivers: Driver[] = [];

function driverOf(loopbackOnly: boolean): Driver {
  const driver = createProcessDriver({
    box: () => testBox,
    dataDir,
    log: pino({ level: 'silent' }),
    logLimitBytes: 256 * 1024,
    accountId: '0000000000000000',
    region: 'cn-test',
    loopbackOnly,
  });
  drivers.push(driver);
  return driver;
}

const start = (
  driver: Driver,
  command: string[],
  environment: Record<string, string> = {},
): Promise<RunningInstance> =>
  driver.start(agentSpec(command, { environment }), {
    signal: new AbortController().signal,
    onExit: () => {},
  });

const refuses = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.on('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', () => resolve(true));
  });

const freePort = () => randomInt(10_000, 19_000);

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'runstead-outside-'));
});
afterEach(async () => {
  for (const driver of drivers.splice(0)) {
    await Promise.all(driver.list().map((it) => driver.stop(it.instanceId, { graceMs: 0 })));
    await driver.close();
  }
  rmSync(dataDir, { recursive: true, force: true });
});

/** The agent answers on its port, and on no other address of the machine is any of these ports open. */
async function isSheltered(instance: RunningInstance, ports: number[], what: string): Promise<void> {
  expect((await get(instance)).status, what).toBe(200);
  for (const port of [instance.port, ...ports]) {
    const isOpen = [await refuses('127.0.0.1', port), await refuses('::1', port)].includes(false);
    expect(isOpen, `${what}: port ${port} is open on loopback`).toBe(true);
    for (const host of OTHER_ADDRESSES) {
      expect(await refuses(host, port), `${what}: ${host} refuses port ${port}`).toBe(true);
    }
  }
}

describe.skipIf(OTHER_ADDRESSES.length === 0)('an agent that binds all addresses', () => {
  describe('in Node', () => {
    const hosts: unknown[] = ['0.0.0.0', '::', '', '0', '::0', '::ffff:0.0.0.0', 'UNDEFINED', null];
    const cases: [string, string, (port: number) => unknown[]][] = [
      ...hosts.map((host): [string, string, (port: number) => unknown[]] => [
        `listen({ host: ${JSON.stringify(host)} })`,
        'main',
        (port) => [{ port, host }],
      ]),
      ['listen(port)', 'main', (port) => [port]],
      ['listen(port, "::")', 'main', (port) => [port, '::']],
      ['one socket for both families', 'main', (port) => [{ port, host: '::', ipv6Only: false }]],
      ['with reusePort', 'main', (port) => [{ port, host: '0.0.0.0', reusePort: true }]],
      ['exclusive', 'main', (port) => [{ port, host: '0.0.0.0', exclusive: true }]],
      ['through HTTP/2', 'http2', (port) => [{ port, extra: port !== 9000 }]],
      ['in a worker thread', 'thread', (port) => [port, '0.0.0.0']],
      ['in a child', 'child', (port) => [port, '0.0.0.0']],
    ];

    it.each(cases)(
      '%s is reached through loopback alone, on its own port and another',
      async (what, place, form) => {
        const extra = freePort();
        const forms = [form(extra), form(9000)].map((it) => JSON.stringify(it));
        const instance = await start(driverOf(true), ['node', 'everywhere.mjs', place, ...forms]);
        await isSheltered(instance, [extra], what);
        const addresses = (await (await get(instance)).json()) as { address: string; port: number }[];
        expect(addresses.map((it) => it.address)).toEqual(['127.0.0.1', '127.0.0.1']);
        expect(addresses.map((it) => it.port)).toEqual([extra, instance.port]);
      },
    );
  });

  describe.skipIf(!hasPython())('in Python', () => {
    it.each(
      ['socketserver', 'asyncio', 'fork'].flatMap((kind) =>
        (kind === 'asyncio' ? ['', '0.0.0.0', '::', 'None'] : ['', '0.0.0.0', '::']).map((host) => [
          kind,
          host,
        ]),
      ),
    )('%s on "%s" is reached through loopback alone, on its own port and another', async (kind, host) => {
      const extra = freePort();
      const instance = await start(driverOf(true), ['python3', 'everywhere.py', kind!, host!, String(extra)]);
      await isSheltered(instance, [extra], `${kind} on "${host}"`);
    });

    it.each([
      ['dual', '::'],
      ['reuseport', '0.0.0.0'],
    ])('a socket of the kind "%s" too', async (kind, host) => {
      const extra = freePort();
      const instance = await start(driverOf(true), ['python3', 'everywhere.py', kind, host, String(extra)]);
      await isSheltered(instance, [extra], kind);
    });

    it('libraries with sockets of their own are narrowed as well', async (context) => {
      const packages = mkdtempSync(join(tmpdir(), 'runstead-packages-'));
      onTestFinished(() => rmSync(packages, { recursive: true }));
      const pip = ['-m', 'pip', 'install', '--quiet', '--target', packages, 'gevent', 'eventlet'];
      const { status, stderr } = spawnSync('python3', pip, { encoding: 'utf8' });
      if (status !== 0) {
        console.warn(`skipped: gevent and eventlet cannot be installed: ${stderr}`);
        context.skip('gevent and eventlet cannot be installed');
      }
      for (const kind of ['gevent', 'eventlet']) {
        const extra = freePort();
        const environment = { PYTHONPATH: packages };
        const command = ['python3', 'everywhere.py', kind, '0.0.0.0', String(extra)];
        await isSheltered(await start(driverOf(true), command, environment), [extra], kind);
      }
    }, 120_000);
  });

  describe('as a program that no preload reaches', () => {
    const folder = mkdtempSync(join(tmpdir(), 'runstead-program-'));
    const source = fileURLToPath(new URL('../fixtures/programs/listens.c', import.meta.url));
    let program: string;
    let isCompiled = false;
    beforeAll(() => {
      program = join(folder, 'listens');
      isCompiled = spawnSync('cc', ['-o', program, source]).status === 0;
      if (!isCompiled) console.warn('no C compiler here: a Node without the preload plays the program');
    });
    afterAll(() => rmSync(folder, { recursive: true }));

    function command(...listens: [host: string, port: number][]): string[] {
      if (isCompiled) return [program, ...listens.flatMap(([host, port]) => [host, String(port)])];
      const forms = listens.map(([host, port]) => `'[{"port":${port || "'$PORT'"},"host":"${host}"}]'`);
      return ['sh', '-c', `NODE_OPTIONS= exec node everywhere.mjs main ${forms.join(' ')}`];
    }

    it.each([
      [
        '0.0.0.0',
        /^the process listens on 0\.0\.0\.0:\d+, .*past the gateway; it must listen on 127\.0\.0\.1$/,
      ],
      ['::', /^the process listens on \[::\]:\d+, .*past the gateway; it must listen on 127\.0\.0\.1$/],
    ])(
      'on %s is refused, with the reason, when the server itself is reachable from elsewhere',
      async (host, reason) => {
        await expect(start(driverOf(true), command([host, 0]))).rejects.toMatchObject({
          phase: 'probe',
          kind: 'cannot-start',
          message: expect.stringMatching(reason) as string,
        });
      },
    );

    it('on loopback is refused too if it opens another port to all', async () => {
      const extra = freePort();
      await expect(
        start(driverOf(true), command(['127.0.0.1', 0], ['0.0.0.0', extra])),
      ).rejects.toMatchObject({
        message: expect.stringContaining(`listens on 0.0.0.0:${extra}, where it can be reached`) as string,
      });
    });

    it('on loopback alone is taken', async () => {
      const instance = await start(driverOf(true), command(['127.0.0.1', 0]));
      await isSheltered(instance, [], 'the program');
    });

    it('is taken as it is when only this machine reaches the server', async () => {
      for (const host of ['0.0.0.0', '::']) {
        expect((await get(await start(driverOf(false), command([host, 0])))).status).toBe(200);
      }
    });
  });
});
