import {
  AgentRuntime,
  type AgentRuntimeClient,
  ResourceFailedError,
  ResourceNotExistError,
} from '@runstead/client';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createInput, fixture, uniqueName } from './harness/deploy.ts';
import { type Server, startServer } from './harness/server.ts';

/** Resource objects and waiters of the client, against the shipped server. */

let server: Server;
let client: AgentRuntimeClient;

beforeAll(async () => {
  server = await startServer();
  client = server.client();
});
afterAll(() => server.dispose());

const messages = [{ role: 'user' as const, content: 'there' }];

test('a runtime is created, waited for, called in every way, and deleted with what lies under it', async () => {
  const seen = new Set<string | undefined>();
  const runtime = await client.create(await createInput({ folder: fixture('chat-node') }));
  expect(runtime.status).toBe('CREATING');
  await runtime.waitUntilReadyOrFailed({ onProgress: ({ status }) => seen.add(status) });
  expect(runtime).toMatchObject({ status: 'READY', agentRuntimeVersion: '1' });
  expect(seen).toContain('READY');

  const endpoint = await runtime.createEndpoint({ agentRuntimeEndpointName: 'prod' });
  await endpoint.waitUntilReadyOrFailed();
  const names = (await runtime.listAllEndpoints()).map((one) => one.agentRuntimeEndpointName);
  expect(names).toEqual(['prod']);

  const answers = [
    await runtime.invokeOpenai(undefined, { messages }),
    await endpoint.invokeOpenai({ messages }),
    await new OpenAI(client.openai(runtime.agentRuntimeName!)).chat.completions.create({
      model: 'any',
      messages,
    }),
  ];
  const [first, ...others] = answers.map(({ choices }) => choices[0]?.message.content);
  expect(first).toBeTruthy();
  expect(others).toEqual([first, first]);

  await endpoint.deleteAndWaitUntilFinished();
  await expect(endpoint.refresh()).rejects.toBeInstanceOf(ResourceNotExistError);
  await runtime.deleteAndWaitUntilFinished();
  await expect(runtime.refresh()).rejects.toBeInstanceOf(ResourceNotExistError);
  expect(runtime.agentRuntimeName).toBeTruthy();
});

test('a runtime that cannot start ends its wait with the reason', async () => {
  const input = await createInput({ folder: fixture('chat-node'), command: ['node', 'no-such-file.mjs'] });
  const runtime = await client.create(input);
  const error = await runtime.waitUntilReadyOrFailed().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ResourceFailedError);
  expect(error).toMatchObject({
    status: 'CREATE_FAILED',
    statusReason: expect.stringContaining('no-such-file'),
  });
  await runtime.deleteAndWaitUntilFinished();
});

test('every runtime is listed, whatever the size of pages', async () => {
  const prefix = uniqueName('many');
  const inputs = await Promise.all(
    ['a', 'b', 'c'].map((letter) =>
      createInput({ folder: fixture('chat-node'), agentRuntimeName: `${prefix}-${letter}` }),
    ),
  );
  const runtimes = await Promise.all(inputs.map((input) => client.create(input)));
  const listed: (string | undefined)[] = [];
  for await (const { agentRuntimeName } of client.list({ agentRuntimeName: prefix, pageSize: 2 })) {
    listed.push(agentRuntimeName);
  }
  expect(listed.sort()).toEqual(['a', 'b', 'c'].map((letter) => `${prefix}-${letter}`));
  const all = await client.listAll({ agentRuntimeName: prefix });
  expect(all.every((runtime) => runtime instanceof AgentRuntime)).toBe(true);
  await Promise.all(runtimes.map((runtime) => runtime.deleteAndWaitUntilFinished()));
  expect(await client.listAll({ agentRuntimeName: prefix })).toEqual([]);
});
