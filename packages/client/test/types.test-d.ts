/** Compiled, not run (see package.test.ts): each line holds what a caller's compiler should say. */
import type OpenAI from 'openai';
import { codeFromFile, codeFromOss, type codeFromZipFile, zipFolder } from '../src/code-package.ts';
import {
  AgentRuntime,
  AgentRuntimeClient,
  type AgentRuntimeData,
  AgentRuntimeEndpoint,
  type AgentRuntimeEndpointData,
  type AgentRuntimeListInput,
  type AgentRuntimeVersion,
  type ApiPromise,
  type ChatCompletion,
  type ChatCompletionChunk,
  type ChatCompletionStream,
  type CodeConfigurationInput,
  type Config,
  HTTPError,
  type ListAll,
  type ListResult,
  type Logger,
  type OpenaiOptions,
  ResourceFailedError,
} from '../src/index.ts';
import * as sync from '../src/sync/index.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function holds<_T extends true>(): void {}

declare const stream: boolean;
declare const error: unknown;
declare const openaiMessages: OpenAI.Chat.ChatCompletionMessageParam[];
declare const openaiTools: OpenAI.Chat.ChatCompletionTool[];

export async function calls(): Promise<void> {
  new AgentRuntimeClient();
  const config: Config = { apiKey: 'rsk_x', timeout: 5, signal: AbortSignal.timeout(1), fetch };
  const client = new AgentRuntimeClient(config);

  const created = await client.create({
    agentRuntimeName: 'a',
    codeConfiguration: await codeFromFile('./a', { language: 'nodejs20' }),
  });
  holds<Equal<typeof created, AgentRuntime>>();
  holds<Equal<typeof created.status, AgentRuntime['status']>>();
  // @ts-expect-error a name is required
  await client.create({ codeConfiguration: {} });
  // @ts-expect-error languages are a closed set
  await client.create({ agentRuntimeName: 'a', codeConfiguration: { language: 'cobol' } });
  // @ts-expect-error no such field
  await client.update('id', { cpus: 1 });

  await client.update('id', { cpu: undefined, forceEvictInstances: true }, config);
  await client.get('id', config);
  await client.get('id', { agentRuntimeVersion: '1', timeout: 5 });
  const list = await client.list({ pageSize: 5 });
  holds<Equal<typeof list, ListResult<AgentRuntime>>>();
  const plain: AgentRuntime[] = list;
  const total: number = list.total + plain.length;

  const endpoint = await client.createEndpoint('id', { agentRuntimeEndpointName: 'e' });
  holds<Equal<typeof endpoint, AgentRuntimeEndpoint>>();
  await client.updateEndpoint('id', 'eid', { deleteScalingConfig: true });
  const versions = await client.listVersions('id', { pageNumber: total });
  holds<Equal<(typeof versions)[number], AgentRuntimeVersion>>();

  const messages = [{ role: 'user', content: 'Hi' }];
  const whole = await client.invokeOpenai('a', 'b', { messages });
  holds<Equal<typeof whole, ChatCompletion>>();
  const chunks = await client.invokeOpenai('a', undefined, { messages, stream: true });
  holds<Equal<typeof chunks, ChatCompletionStream>>();
  for await (const chunk of chunks) holds<Equal<typeof chunk, ChatCompletionChunk>>();
  const either = await client.invokeOpenai('a', undefined, { messages, stream });
  holds<Equal<typeof either, ChatCompletion | ChatCompletionStream>>();
  // @ts-expect-error messages are required
  await client.invokeOpenai('a', undefined, {});
  // What the openai package types fits.
  await client.invokeOpenai('a', undefined, { messages: openaiMessages, tools: openaiTools, temperature: 0 });
  await client.invokeOpenai('a', undefined, {
    messages: [{ role: 'assistant', content: null, reasoning_content: 'own field' }],
  });

  if (error instanceof HTTPError) {
    const status: number = error.statusCode;
    const code: string | undefined = error.errorCode;
    console.log(status, code);
  }
}

export async function answers(client: AgentRuntimeClient): Promise<void> {
  const call = client.get('id');
  holds<Equal<typeof call, ApiPromise<AgentRuntime>>>();
  const { data, response, requestId } = await call.withResponse();
  holds<Equal<typeof data, AgentRuntime>>();
  holds<Equal<typeof response, Response>>();
  holds<Equal<typeof requestId, string | undefined>>();
  holds<Equal<Awaited<ReturnType<typeof call.asResponse>>, Response>>();
  const stream = await client.invokeOpenai('a', undefined, { messages: [], stream: true }).withResponse();
  holds<Equal<typeof stream.data, ChatCompletionStream>>();
}

export async function lists(client: AgentRuntimeClient, input: AgentRuntimeListInput): Promise<void> {
  for await (const runtime of client.list(input)) holds<Equal<typeof runtime, AgentRuntime>>();
  const everything = client.listAll({ agentRuntimeName: 'a', workspaceName: 'w' });
  holds<Equal<typeof everything, ListAll<AgentRuntime>>>();
  const array = await everything;
  holds<Equal<typeof array, AgentRuntime[]>>();
  for await (const version of client.listAllVersions('id'))
    holds<Equal<typeof version, AgentRuntimeVersion>>();
  // @ts-expect-error pages are its own affair
  client.listAll({ pageNumber: 2 });
}

export async function resources(): Promise<void> {
  const runtime = await AgentRuntime.create({
    agentRuntimeName: 'a',
    codeConfiguration: {},
    workspaceName: 'w',
  });
  // An object is what its fields are.
  const fields: AgentRuntimeData = runtime;
  const copy: AgentRuntimeData = { ...runtime };
  holds<Equal<typeof runtime.status, AgentRuntimeData['status']>>();
  const ready = await runtime.waitUntilReadyOrFailed({ onProgress: ({ status }) => console.log(status) });
  holds<Equal<typeof ready, AgentRuntime>>();
  const endpoint = await runtime.createEndpoint({ agentRuntimeEndpointName: 'e' }, { idempotencyKey: 'k' });
  holds<Equal<typeof endpoint, AgentRuntimeEndpoint>>();
  const endpointFields: AgentRuntimeEndpointData = endpoint;
  const completion = await endpoint.invokeOpenai({ messages: [] });
  holds<Equal<typeof completion, ChatCompletion>>();
  const chunks = await new AgentRuntime(fields).invokeOpenai('e', { messages: [], stream: true });
  holds<Equal<typeof chunks, ChatCompletionStream>>();
  await new AgentRuntimeEndpoint(endpointFields, { apiKey: 'rsk_x' }).deleteAndWaitUntilFinished({
    timeoutMs: 5,
  });
  // @ts-expect-error nothing of a runtime may be guessed
  copy.agentRuntimeNmae;
  if (error instanceof ResourceFailedError) console.log(error.statusReason, error.resource);
}

export function settings(client: AgentRuntimeClient): void {
  const logger: Logger = console;
  client.withConfig({ logger, logLevel: 'debug', maxRetries: 0, dangerouslyAllowBrowser: true });
  // @ts-expect-error one key for many calls
  client.withConfig({ idempotencyKey: 'k' });
  const options: OpenaiOptions = client.openai('hello');
  const forOpenai: ConstructorParameters<typeof OpenAI>[0] = options;
  console.log(forOpenai);
}

export async function packages(): Promise<void> {
  holds<Equal<Awaited<ReturnType<typeof codeFromZipFile>>, CodeConfigurationInput>>();
  const code: CodeConfigurationInput = codeFromOss('b', 'o', { language: 'python3.12' });
  // @ts-expect-error the language is required
  await codeFromFile('./a', {});
  const { zip, files } = await zipFolder('./a');
  console.log(code, zip.length, files[0]?.path);
}

export function blocking(): void {
  const client = new sync.AgentRuntimeClient({ apiKey: 'rsk_x', timeout: 5 });
  const created = client.create({ agentRuntimeName: 'a', codeConfiguration: {} });
  holds<Equal<typeof created, sync.AgentRuntime>>();
  holds<Equal<typeof created.status, AgentRuntime['status']>>();
  // @ts-expect-error a name is required here as well
  client.create({ codeConfiguration: {} });
  const page = client.list();
  holds<Equal<typeof page, ListResult<sync.AgentRuntime>>>();
  const rows = client.listAllVersions('id');
  holds<Equal<typeof rows, sync.Rows<AgentRuntimeVersion>>>();
  for (const row of sync.AgentRuntime.listAll()) holds<Equal<typeof row, sync.AgentRuntime>>();
  const endpoint = created.createEndpoint({ agentRuntimeEndpointName: 'e' });
  holds<Equal<typeof endpoint, sync.AgentRuntimeEndpoint>>();
  const same = created.waitUntilReadyOrFailed({ timeoutMs: 1 });
  holds<Equal<typeof same, sync.AgentRuntime>>();
  const gone = created.deleteAndWaitUntilFinished();
  holds<Equal<typeof gone, void>>();

  const messages = [{ role: 'user', content: 'Hi' }];
  const whole = client.invokeOpenai('a', undefined, { messages });
  holds<Equal<typeof whole, ChatCompletion>>();
  const chunks = created.invokeOpenai('Default', { messages, stream: true });
  holds<Equal<typeof chunks, sync.ChatStream>>();
  for (const chunk of endpoint.invokeOpenai({ messages, stream: true }))
    holds<Equal<typeof chunk, ChatCompletionChunk>>();
  const either = client.invokeOpenai('a', undefined, { messages, stream });
  holds<Equal<typeof either, ChatCompletion | sync.ChatStream>>();
  const key = client.request<{ keyId: string }>('GET', '/runstead/v1/keys/a');
  holds<Equal<typeof key, { keyId: string }>>();
  // @ts-expect-error no promises, and so no options for a library that gives them
  client.openai('a');
  // @ts-expect-error how objects are made inside
  sync.AgentRuntime.of({});
  const code: CodeConfigurationInput = sync.codeFromFile('./a', { language: 'nodejs20' });
  // @ts-expect-error nothing can be called while it waits
  sync.codeFromFile('./a', { language: 'nodejs20', onProgress() {} });
  console.log(code);
}
