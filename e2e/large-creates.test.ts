import { randomFillSync } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { deploy, example, uniqueName, untilSettled } from './harness/deploy.ts';
import { callContinuously, callEcho } from './harness/load.ts';
import { type Server, startServerForTest } from './harness/server.ts';
import { storedZip } from './harness/stored-zip.ts';

/** S1: no call to an agent waits for an upload, its hashing or its unpacking. */

const CREATES = 8;
/**
 * As base64 in JSON 40 MiB. S1 speaks of 120 MiB (a package of 90): with that this passes too, but takes 43 s on two
 * idle cores in place of 15, too long for a suite that is run all the time.
 */
const PACKAGE_BYTES = 30 * 1024 * 1024;
/** A multiple of 3, so that pieces can be encoded one by one. */
const PIECE_BYTES = 3 * 1024 * 1024;

/** Writes a package of incompressible bytes and one small agent, as base64. */
async function writePackage(file: string): Promise<void> {
  const server = `require('node:http').createServer((_, r) => r.end('ok')).listen(process.env.PORT, '127.0.0.1');`;
  const ballast = randomFillSync(Buffer.allocUnsafe(PACKAGE_BYTES));
  const zip = storedZip({ 'server.js': Buffer.from(server), 'ballast.bin': ballast });
  function* pieces() {
    for (let at = 0; at < zip.length; at += PIECE_BYTES)
      yield zip.toString('base64', at, Math.min(zip.length, at + PIECE_BYTES));
  }
  await pipeline(pieces, createWriteStream(file));
}

/** A create whose package is read from the disk as it is sent. */
async function createFrom(server: Server, file: string): Promise<{ status: number; body: string }> {
  const input = {
    agentRuntimeName: uniqueName('large'),
    artifactType: 'Code',
    cpu: 1,
    memory: 512,
    port: 9000,
    codeConfiguration: { language: 'nodejs20', command: ['node', 'server.js'], zipFile: '' },
  };
  const [before, after] = JSON.stringify(input).split(/(?<="zipFile":")/) as [string, string];
  const length = before.length + (await stat(file)).size + after.length;
  return new Promise((resolve, reject) => {
    const sent = request(
      `${server.url}/2025-09-10/agents/runtimes`,
      {
        method: 'POST',
        agent: false,
        headers: {
          authorization: `Bearer ${server.apiKey}`,
          'content-type': 'application/json',
          'content-length': length,
        },
      },
      (answer) => {
        text(answer).then((body) => resolve({ status: answer.statusCode!, body }), reject);
      },
    );
    sent.on('error', reject);
    sent.write(before);
    const upload = createReadStream(file, { highWaterMark: 1024 * 1024 });
    upload.on('end', () => sent.end(after));
    upload.pipe(sent, { end: false });
  });
}

describe('large creates', () => {
  test(`${CREATES} of 40 MiB side by side: every one is answered, and no call at concurrency 8 fails`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'runstead-e2e-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, 'package.base64');
    await writePackage(file);
    const server = await startServerForTest();
    const runtime = await deploy(server.client(), {
      folder: example('hello-http'),
      command: ['node', 'server.mjs'],
      sessionConcurrencyLimitPerInstance: 8,
    });
    const url = server.invocationUrl(runtime.agentRuntimeName);
    let isOver = false;
    const load = callContinuously(
      8,
      () => isOver,
      (number) => callEcho(url, number),
    );
    const answers = await Promise.all(Array.from({ length: CREATES }, () => createFrom(server, file)));
    const created = answers.map(({ status, body }) => {
      expect(status, body).toBe(200);
      return (JSON.parse(body) as { data: { agentRuntimeId: string } }).data.agentRuntimeId;
    });
    // Unpacking and starting, too, happen beside the calls.
    for (const id of created) {
      expect(await untilSettled(server.client(), id)).toMatchObject({ status: 'READY' });
    }
    isOver = true;
    const { calls, failures } = await load;
    expect(failures).toEqual([]);
    expect(calls).toBeGreaterThan(100);
  });

  test('a body above the limit is refused with 413 and the limit, and the server goes on', async () => {
    const server = await startServerForTest({ env: { RUNSTEAD_BODY_LIMIT: '1MiB' } });
    const folder = await mkdtemp(join(tmpdir(), 'runstead-e2e-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, 'package.base64');
    await pipeline(function* () {
      yield 'A'.repeat(2 * 1024 * 1024);
    }, createWriteStream(file));
    const { status, body } = await createFrom(server, file);
    expect(status).toBe(413);
    expect(body).toContain(String(1024 * 1024));
    expect(await server.client().list()).toHaveLength(0);
  });
});
