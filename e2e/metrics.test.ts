import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deploy, example, type Runtime } from './harness/deploy.ts';
import { type Server, startServer } from './harness/server.ts';
import { waitFor } from './harness/wait-for.ts';

/** What a whole server tells of its calls: /metrics through both processes, and the record of calls in its file. */

let server: Server;
let runtime: Runtime;
const folder = mkdtempSync(join(tmpdir(), 'runstead-metrics-'));
const accessLog = join(folder, 'access.log');

beforeAll(async () => {
  server = await startServer({
    env: { RUNSTEAD_ACCESS_LOG: 'all' },
    args: ['--access-log-file', accessLog],
  });
  runtime = await deploy(server.client(), {
    folder: example('hello-http'),
    command: ['node', 'server.mjs'],
  });
});
afterAll(async () => {
  await server?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const say = () => fetch(server.invocationUrl(runtime.agentRuntimeName)).then((answer) => answer.text());
async function metrics(): Promise<string> {
  const answer = await fetch(`${server.url}/metrics`, {
    headers: { authorization: `Bearer ${server.apiKey}` },
  });
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toContain('version=0.0.4');
  return answer.text();
}
const answered = (count: number) =>
  `runstead_calls_total{runtime="${runtime.agentRuntimeName}",outcome="answered",status="2xx"} ${count}\n`;

test('calls are counted as they end, and stand in the record', async () => {
  for (let time = 0; time < 3; time++) await say();
  const text = await metrics();
  expect(text).toContain(answered(3));
  expect(text).toContain('runstead_gateway_up 1\n');
  expect(text).toMatch(/^runstead_instances\{state="ready"\} 1$/m);
  expect(text).toMatch(/^runstead_process_cpu_seconds_total\{process="gateway"\} \d/m);
  const lines = () => readFileSync(accessLog, 'utf8').trimEnd().split('\n');
  await waitFor('the record of three calls', () => lines().length === 3);
  const { agentRuntimeId, agentRuntimeName } = runtime;
  for (const line of lines())
    expect(JSON.parse(line)).toMatchObject({ agentRuntimeId, agentRuntimeName, outcome: 'answered' });
});

test('a gateway that takes another’s place begins anew', async () => {
  process.kill(server.gatewayPid()!, 'SIGKILL');
  await waitFor('the next gateway', async () => {
    const text = await metrics().catch(() => '');
    return text.includes('runstead_gateway_up 1\n') && !text.includes('runstead_calls_total');
  });
  await say();
  expect(await metrics()).toContain(answered(1));
});
