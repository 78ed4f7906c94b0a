import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deploy, example, type Runtime } from './harness/deploy.ts';
import { pythonOrSkip, registryOrSkip } from './harness/requirements.ts';
import { type Server, startServer } from './harness/server.ts';

/** The examples that are real agents, called as most people will: with the official `openai` package. */

let server: Server;

beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.dispose());

interface Heard {
  content: string;
  pieces: number;
  toolCalls: { name: string; arguments: string }[];
  finishReason: string | null | undefined;
}

/** Asks with streaming and puts the answer together. */
async function ask(runtime: Runtime, question: string): Promise<Heard> {
  const openai = new OpenAI({
    baseURL: `${server.invocationUrl(runtime.agentRuntimeName)}/openai/v1`,
    apiKey: 'any-key',
    maxRetries: 0,
  });
  const stream = await openai.chat.completions.create({
    model: runtime.agentRuntimeName,
    messages: [{ role: 'user', content: question }],
    stream: true,
  });
  const heard: Heard = { content: '', pieces: 0, toolCalls: [], finishReason: undefined };
  for await (const { choices } of stream) {
    const [choice] = choices;
    if (!choice) continue;
    if (choice.delta.content) heard.pieces++;
    heard.content += choice.delta.content ?? '';
    heard.finishReason = choice.finish_reason ?? heard.finishReason;
    for (const { index, function: part } of choice.delta.tool_calls ?? []) {
      heard.toolCalls[index] ??= { name: '', arguments: '' };
      heard.toolCalls[index].name += part?.name ?? '';
      heard.toolCalls[index].arguments += part?.arguments ?? '';
    }
  }
  return heard;
}

describe('the LangGraph agent', () => {
  test('streams its answer, and its tool call can be seen', async (context) => {
    registryOrSkip(context);
    const runtime = await deploy(server.client(), {
      folder: example('langgraph-agent'),
      command: ['node', 'agent.mjs'],
    });
    const heard = await ask(runtime, 'what is 12 * (3 + 4)?');
    expect(heard.toolCalls).toMatchObject([{ name: 'calculate' }]);
    expect(JSON.parse(heard.toolCalls[0]!.arguments)).toEqual({ expression: '12 * (3 + 4)' });
    expect(heard.content).toContain('84');
    expect(heard.pieces).toBeGreaterThan(3);
    expect(heard.finishReason).toBe('stop');
  });
});

describe('the Python agent', () => {
  test('streams its answer through the same package', async (context) => {
    pythonOrSkip(context);
    const runtime = await deploy(server.client(), {
      folder: example('python-agent'),
      language: 'python3.10',
      command: ['python3', 'main.py'],
    });
    const heard = await ask(runtime, 'How many words are in "the quick brown fox"?');
    expect(heard.content).toContain('has 4 words');
    expect(heard.pieces).toBeGreaterThan(1);
    expect(heard.finishReason).toBe('stop');
  });
});

describe('the TypeScript agent', () => {
  test('is deployed as its sources, built by the server, and streams its answer', async (context) => {
    registryOrSkip(context);
    const runtime = await deploy(server.client(), { folder: example('typescript-agent') });
    const heard = await ask(runtime, 'How many words are in "the quick brown fox"?');
    expect(heard.toolCalls).toMatchObject([{ name: 'word_count' }]);
    expect(heard.content).toContain('has 4 words');
    expect(heard.pieces).toBeGreaterThan(1);
    expect(heard.finishReason).toBe('stop');
  });
});

describe('the FastAPI agent', () => {
  test('gets its requirements as wheels and streams its answer', async (context) => {
    pythonOrSkip(context);
    registryOrSkip(context);
    const runtime = await deploy(server.client(), {
      folder: example('fastapi-agent'),
      language: 'python3.10',
      command: ['python3', 'main.py'],
    });
    const heard = await ask(runtime, 'Do you ship?');
    expect(heard.toolCalls).toMatchObject([{ name: 'read_handbook' }]);
    expect(JSON.parse(heard.toolCalls[0]!.arguments)).toEqual({ section: 'shipping' });
    expect(heard.content).toContain('Accessories are shipped');
    expect(heard.pieces).toBeGreaterThan(3);
    expect(heard.finishReason).toBe('stop');
  });
});
