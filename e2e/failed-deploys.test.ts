import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentRuntimeCreateInput } from '@runstead/client';
import { codeFromFile } from '@runstead/client/code';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createInput, example, fixture, type RuntimeFields, untilSettled } from './harness/deploy.ts';
import { type Server, startServer } from './harness/server.ts';

/** Deploys that cannot succeed: each says in which phase it failed and why, and no two say the same. */

type Change = Partial<AgentRuntimeCreateInput>;
type Code = AgentRuntimeCreateInput['codeConfiguration'] & { zipFile: string };

const misbehave = async (how: string): Promise<Change> => ({
  environmentVariables: { MISBEHAVE: how },
  codeConfiguration: await codeFromFile(fixture('misbehaving'), {
    language: 'nodejs20',
    command: ['node', 'agent.mjs'],
  }),
});

const chatCode = async (change: (code: Code) => object): Promise<Change> => {
  const code = (await codeFromFile(fixture('chat-node'), { language: 'nodejs20' })) as Code;
  return { codeConfiguration: { ...code, ...change(code) } };
};

const truncated = (zip: string) => {
  const bytes = Buffer.from(zip, 'base64');
  return bytes.subarray(0, Math.floor(bytes.length / 2)).toString('base64');
};

/** Runs the change through a deploy. @returns what became of it, and after how many seconds that was known */
async function deployed(server: Server, change: Change): Promise<RuntimeFields & { seconds: number }> {
  const client = server.client();
  const begun = performance.now();
  const input = await createInput({ folder: fixture('chat-node') });
  const { agentRuntimeId } = await client.create({ ...input, ...change });
  const runtime = await untilSettled(client, agentRuntimeId!);
  return { ...runtime, seconds: (performance.now() - begun) / 1000 };
}

interface Case {
  what: string;
  change: () => Promise<Change>;
  /** What the reason must match; its first word is the phase. */
  reason: RegExp;
}

describe('what is certain is said at once, long before a start could time out', () => {
  let server: Server;
  const START_TIMEOUT_SECONDS = 60;
  beforeAll(async () => {
    server = await startServer({ env: { RUNSTEAD_START_TIMEOUT: `${START_TIMEOUT_SECONDS}s` } });
  });
  afterAll(() => server.dispose());

  const cases: Case[] = [
    {
      what: 'a checksum of other bytes',
      change: () => chatCode(() => ({ checksum: '12345' })),
      reason: /^fetch: .*checksum is 12345, but the package received has CRC-64 \d+/,
    },
    {
      what: 'an archive that was cut in half',
      change: () => chatCode(({ zipFile }) => ({ zipFile: truncated(zipFile), checksum: undefined })),
      reason: /^unpack: /,
    },
    {
      what: 'bytes that are no archive',
      change: () =>
        chatCode(() => ({
          zipFile: randomBytes(4096).toString('base64'),
          checksum: undefined,
          command: ['node', 'server.mjs'],
        })),
      reason: /^unpack: /,
    },
    {
      what: 'a file to run that is not in the package',
      change: () => chatCode(() => ({ command: ['node', 'not-there.mjs'] })),
      reason: /^start: exited with code 1 .*not-there\.mjs/,
    },
    {
      what: 'a program that is on no PATH',
      change: () => chatCode(() => ({ command: ['no-such-interpreter', 'server.mjs'] })),
      reason: /^start: the program "no-such-interpreter" is neither in the package nor on the PATH/,
    },
    {
      what: 'an agent that exits',
      change: () => misbehave('exit'),
      reason: /^start: exited with code 3 after .*last lines: no database: giving up/,
    },
    {
      what: 'an agent that throws',
      change: async () => ({
        codeConfiguration: await codeFromFile(example('broken-agent'), { language: 'nodejs20' }),
      }),
      reason: /^start: exited with code 1 after .*ORDERS_DATABASE_URL is not set/,
    },
    {
      what: 'an agent that is killed',
      change: () => misbehave('signal'),
      reason: /^start: killed by SIGKILL after .*last lines: about to be killed/,
    },
  ];

  test.each(cases)('$what', async ({ change, reason }) => {
    const runtime = await deployed(server, await change());
    expect(runtime.status).toBe('CREATE_FAILED');
    expect(runtime.statusReason).toMatch(reason);
    // The product's limit is 2 s after the crash; a test machine may be busy, but nothing waits for a timeout.
    expect(runtime.seconds).toBeLessThan(START_TIMEOUT_SECONDS / 3);
    expect(runtime.agentRuntimeVersion).toBeUndefined();
  });

  test('a language whose interpreter is not on this machine, with those that are', async (context) => {
    for (const language of ['python3.12', 'java17', 'java11'] as const) {
      const runtime = await deployed(
        server,
        await chatCode(() => ({ language, command: ['node', 'server.mjs'] })),
      );
      // This one is installed here: the next may not be.
      if (runtime.status === 'READY') continue;
      expect(runtime.status).toBe('CREATE_FAILED');
      expect(runtime.statusReason).toMatch(
        new RegExp(`^start: ${language.replace('.', '\\.')} is needed but not on this machine; found: `),
      );
      return;
    }
    console.warn(`skipped: ${context.task.name}: this machine has every interpreter`);
    context.skip();
  });

  test('the list shows the failed ones with their reasons, and a good deploy goes on working', async () => {
    const failed = await deployed(server, await misbehave('exit'));
    const good = await deployed(server, {});
    expect(good.status).toBe('READY');
    const listed = await server.client().list({ status: 'CREATE_FAILED', pageSize: 100 });
    expect(listed.find(({ agentRuntimeId }) => agentRuntimeId === failed.agentRuntimeId)).toMatchObject({
      status: 'CREATE_FAILED',
      statusReason: expect.stringContaining('exited with code 3'),
    });
  });

  test('a failed create can be mended by an update, and becomes version 1', async () => {
    const failed = await deployed(server, await misbehave('exit'));
    const { codeConfiguration } = await chatCode(() => ({}));
    await server.client().update(failed.agentRuntimeId, { codeConfiguration: codeConfiguration! });
    const mended = await untilSettled(server.client(), failed.agentRuntimeId);
    expect(mended).toMatchObject({ status: 'READY', agentRuntimeVersion: '1' });
    expect(mended.statusReason).toBeUndefined();
  });

  test('the values of secrets in the last lines are masked', async () => {
    const secret = randomBytes(12).toString('hex');
    const folder = await mkdtemp(join(tmpdir(), 'runstead-e2e-'));
    try {
      await writeFile(join(folder, 'index.mjs'), 'console.log(process.env.API_TOKEN); process.exit(4);');
      const codeConfiguration = await codeFromFile(folder, { language: 'nodejs20' });
      const runtime = await deployed(server, {
        codeConfiguration,
        environmentVariables: { API_TOKEN: secret },
      });
      expect(runtime.statusReason).toMatch(/exited with code 4 .*\*\*\*/);
      expect(runtime.statusReason).not.toContain(secret);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('an agent that runs but is not ready is given the start timeout', () => {
  let server: Server;
  beforeAll(async () => {
    server = await startServer({ env: { RUNSTEAD_START_TIMEOUT: '2s' } });
  });
  afterAll(() => server.dispose());

  const cases: Case[] = [
    {
      what: 'its port is never opened',
      change: () => misbehave('silent'),
      reason: /^probe: port 9000 was never opened within 2 s; .*last lines: still thinking/,
    },
    {
      what: 'its health check fails',
      change: async () => ({
        ...(await misbehave('unready')),
        healthCheckConfiguration: { httpGetUrl: '/ready' },
      }),
      reason: /^probe: GET \/ready answered HTTP 503 \(last of \d+ tries\) within 2 s/,
    },
  ];

  test.each(cases)('$what', async ({ change, reason }) => {
    const runtime = await deployed(server, await change());
    expect(runtime.status).toBe('CREATE_FAILED');
    expect(runtime.statusReason).toMatch(reason);
    expect(runtime.seconds).toBeGreaterThan(2);
    expect(await server.instances(runtime.agentRuntimeId)).toEqual([]);
  });
});
