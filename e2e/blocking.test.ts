import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fixture, uniqueName } from './harness/deploy.ts';
import { ownEnvironment, type Server, startServer } from './harness/server.ts';

/** Each operation as docs/client.md names it, in both forms, against the shipped server with an agent that really runs. */

let server: Server;

beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.dispose());

interface Row {
  python: string;
  promise: string;
  blocking: string;
}

/** The rows of the operations table, as it stands in the documentation. */
function documented(): Row[] {
  const text = readFileSync(new URL('../docs/client.md', import.meta.url), 'utf8');
  const rows = text.matchAll(
    /^\| `(\w+)_async` \| `await client\.(\w+)\(.*?\)` \| `(\w+)` \| `client\.(\w+)\(…\)` \|/gm,
  );
  return [...rows].map(([, awaited, promise, python, blocking]) => {
    expect(awaited).toBe(python);
    return { python: python!, promise: promise!, blocking: blocking! };
  });
}

/**
 * One program for both forms: `_` stands for `await` in the one and for nothing in the other. Prints, for each Python name,
 * what its step saw.
 */
const PROGRAM = `
  const [folder, name] = process.argv.slice(1);
  const seen = {};
  const client = new AgentRuntimeClient({ timeout: 60_000 });
  const messages = [{ role: 'user', content: 'there' }];
  const codeConfiguration = _ codeFromFile(folder, { language: 'nodejs20' });

  const created = _ client.create({ agentRuntimeName: name, codeConfiguration, cpu: 1, memory: 512 });
  seen.create = [created instanceof AgentRuntime, created.status];
  const id = created.agentRuntimeId;
  _ created.waitUntilReadyOrFailed({ timeoutMs: 120_000 });
  seen.get = [(_ client.get(id)).status, (_ client.get(id, { agentRuntimeVersion: '1' })).agentRuntimeVersion];
  seen.list = [(_ client.list({ agentRuntimeName: name })).total, (_ client.list({ agentRuntimeName: 'none-such' })).length];
  seen.list_versions = (_ client.listVersions(id)).map(({ agentRuntimeVersion }) => agentRuntimeVersion);

  const endpoint = _ client.createEndpoint(id, { agentRuntimeEndpointName: 'canary' });
  seen.create_endpoint = [endpoint instanceof AgentRuntimeEndpoint, endpoint.targetVersion];
  _ endpoint.waitUntilReadyOrFailed();
  const endpointId = endpoint.agentRuntimeEndpointId;
  seen.get_endpoint = (_ client.getEndpoint(id, endpointId)).agentRuntimeEndpointName;
  seen.update_endpoint = (_ client.updateEndpoint(id, endpointId, { description: 'new' })).description;
  seen.list_endpoints = (_ client.listEndpoints(id, { endpointName: 'canary' })).total;

  const whole = _ client.invokeOpenai(name, 'canary', { messages });
  let streamed = '';
  for _ (const chunk of _ client.invokeOpenai(name, undefined, { messages, stream: true }))
    streamed += chunk.choices[0]?.delta.content ?? '';
  seen.invoke_openai = [whole.choices[0].message.content.trim(), streamed.trim()];
  for _ (const chunk of _ created.invokeOpenai('Default', { messages, stream: true })) break;

  _ client.updateEndpoint(id, endpointId, { description: 'for the wait' });
  _ endpoint.waitUntilReadyOrFailed();
  _ client.deleteEndpoint(id, endpointId);
  seen.delete_endpoint = _ gone(() => client.getEndpoint(id, endpointId));

  const updated = _ client.update(id, { environmentVariables: { GREETING: 'new' } });
  _ updated.waitUntilReadyOrFailed({ timeoutMs: 120_000 });
  seen.update = [updated.agentRuntimeVersion, (_ created.invokeOpenai('Default', { messages })).choices[0].message.content.trim()];
  const all = []; for _ (const row of AgentRuntime.listAll({ agentRuntimeName: name })) all.push(row.agentRuntimeId === id);
  seen.delete = [all, (_ client.delete(id)).status, _ gone(() => client.get(id))];
  console.log(JSON.stringify(seen));`;

const GONE = `
  _function gone(look) {
    for (;;) {
      try { _ look(); } catch (error) {
        return [error instanceof ResourceNotExistError, error instanceof main.ResourceNotExistError, error.statusCode, error.errorCode];
      }
    }
  }`;

async function run(form: 'promise' | 'blocking'): Promise<Record<string, unknown>> {
  const isPromise = form === 'promise';
  const imports = isPromise
    ? `import { codeFromFile } from '@runstead/client/code'; import * as client_ from '@runstead/client';`
    : `import * as client_ from '@runstead/client/sync'; const { codeFromFile } = client_;`;
  const program = (PROGRAM + GONE)
    .replace('_function', isPromise ? 'async function' : 'function')
    .replaceAll(/(?<=[\s([])_ (?=[(\w])/g, isPromise ? 'await ' : '');
  const script = `${imports}
    import * as main from '@runstead/client';
    const { AgentRuntime, AgentRuntimeClient, AgentRuntimeEndpoint, ResourceNotExistError } = client_;
    ${program}`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '-e', script, fixture('chat-node'), uniqueName(form)],
    {
      cwd: import.meta.dirname,
      env: { ...ownEnvironment(), RUNSTEAD_BASE_URL: server.url, RUNSTEAD_API_KEY: server.apiKey },
      timeout: 170_000,
    },
  );
  return JSON.parse(stdout);
}

const notThere = [true, true, 404, 'ERR_NOT_FOUND'];
const expected: Record<string, unknown> = {
  create: [true, 'CREATING'],
  delete: [[true], 'DELETING', notThere],
  update: ['2', 'new: there'],
  get: ['READY', '1'],
  list: [1, 0],
  create_endpoint: [true, 'LATEST'],
  delete_endpoint: notThere,
  update_endpoint: 'new',
  get_endpoint: 'canary',
  list_endpoints: 1,
  list_versions: ['1'],
  invoke_openai: ['hello: there', 'hello: there'],
};

describe('every operation that the documentation names', () => {
  test('is the same method in both forms, and there are twelve', () => {
    const rows = documented();
    expect(rows.map(({ python }) => python).sort()).toEqual(Object.keys(expected).sort());
    for (const { python, promise, blocking } of rows) {
      expect(promise).toBe(python.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()));
      expect(blocking).toBe(promise);
      expect(PROGRAM).toContain(`client.${blocking}(`);
    }
  });

  test.each(['promise', 'blocking'] as const)('works in its %s form', async (form) => {
    expect(await run(form)).toEqual(expected);
  });
});
