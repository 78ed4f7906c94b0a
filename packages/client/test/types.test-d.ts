/** Compiled, not run (see package.test.ts): each line holds what a caller's compiler should say. */
import type OpenAI from 'openai';
import { codeFromFile, codeFromOss, type codeFromZipFile, zipFolder } from '../src/code-package.ts';
import {
  type AgentRuntime,
  AgentRuntimeClient,
  type AgentRuntimeEndpoint,
  type AgentRuntimeVersion,
  type ChatCompletion,
  type ChatCompletionChunk,
  type ChatCompletionStream,
  type CodeConfigurationInput,
  type Config,
  HTTPError,
  type ListResult,
} from '../src/index.ts';

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

export async function packages(): Promise<void> {
  holds<Equal<Awaited<ReturnType<typeof codeFromZipFile>>, CodeConfigurationInput>>();
  const code: CodeConfigurationInput = codeFromOss('b', 'o', { language: 'python3.12' });
  // @ts-expect-error the language is required
  await codeFromFile('./a', {});
  const { zip, files } = await zipFolder('./a');
  console.log(code, zip.length, files[0]?.path);
}
