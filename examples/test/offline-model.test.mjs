import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startOfflineModel } from '../offline-model/offline-model.mjs';
import { assemble, postChat, readEvents } from './chat-client.mjs';
import { findPython, startProgram } from './child-process.mjs';

const python = findPython();
const examples = fileURLToPath(new URL('..', import.meta.url));
const running = [];
const baseUrls = {};

beforeAll(async () => {
  const model = await startOfflineModel({ tokenDelayMs: 0 });
  baseUrls.javascript = model.baseUrl;
  running.push(model.close);
  if (!python) return;
  const program = await startProgram(python, ['-B', join(examples, 'offline-model/offline_model.py')], {
    OFFLINE_MODEL_TOKEN_DELAY_MS: '0',
  });
  baseUrls.python = program.firstLine.match(/http\S+/)[0];
  running.push(program.stop);
});

afterAll(() => Promise.all(running.map((stop) => stop())));

const tools = (...names) => names.map((name) => ({ type: 'function', function: { name } }));
const user = (content) => ({ role: 'user', content });
const system = (content) => ({ role: 'system', content });
const call = (id, name, given) => ({
  id,
  type: 'function',
  function: { name, arguments: JSON.stringify(given) },
});
const asked = (...calls) => ({ role: 'assistant', content: null, tool_calls: calls });
const result = (id, content) => ({ role: 'tool', tool_call_id: id, content });
const answer = (content) => ({ content, toolCalls: [], finishReason: 'stop' });
const asks = (...calls) => ({
  content: '',
  toolCalls: calls.map(([name, given]) => ({ name, arguments: JSON.stringify(given) })),
  finishReason: 'tool_calls',
});

const signed = system('You sell kayaks.\nSign every answer with: — Northwind Kayaks\nBe kind.');
const calculateCall = call('a', 'calculate', { expression: '2 * 345' });
const handbookCall = call('b', 'read_handbook', { section: 'opening-hours' });

const conversations = [
  {
    name: 'a sum, with a tool that computes',
    request: { messages: [user('what is 12 * (3 + 4)?')], tools: tools('calculate', 'read_handbook') },
    says: asks(['calculate', { expression: '12 * (3 + 4)' }]),
  },
  {
    name: 'a sum, with no tool that computes',
    request: { messages: [user('What is 1 + 1, hello?')], tools: tools('read_handbook') },
    says: answer('Hello! What can I do for you?'),
  },
  {
    name: 'tools that must not be used',
    request: { messages: [user('Hi, 1 + 1?')], tools: tools('calculate'), tool_choice: 'none' },
    says: answer('Hello! What can I do for you?'),
  },
  {
    name: 'two sections of the handbook',
    request: { messages: [user('Do you SHIP? And how do refunds work?')], tools: tools('read_handbook') },
    says: asks(['read_handbook', { section: 'returns' }], ['read_handbook', { section: 'shipping' }]),
  },
  {
    name: 'both tools at once',
    request: {
      messages: [user('When do you open, and what is 2 * 345?')],
      tools: tools('read_handbook', 'calculate'),
    },
    says: asks(['calculate', { expression: '2 * 345' }], ['read_handbook', { section: 'opening-hours' }]),
  },
  {
    name: 'both tools, the first one done, the second asked for',
    request: {
      messages: [user('When do you open, and what is 2 * 345?'), asked(calculateCall), result('a', '690')],
      tools: tools('read_handbook', 'calculate'),
      parallel_tool_calls: false,
    },
    says: asks(['read_handbook', { section: 'opening-hours' }]),
  },
  {
    name: 'the results of both tools, with a signature',
    request: {
      messages: [
        signed,
        user('When do you open, and what is 2 * 345?'),
        asked(calculateCall, handbookCall),
        result('b', 'From 9:00.\n  Not on Sundays.'),
        result('a', '690'),
      ],
      tools: tools('read_handbook', 'calculate'),
    },
    says: answer('2 * 345 = 690. The handbook says: From 9:00. Not on Sundays. — Northwind Kayaks'),
  },
  {
    name: 'a tool that failed',
    request: {
      messages: [
        user('1/0'),
        asked(call('a', 'calculate', { expression: '1/0' })),
        result('a', 'Error: Division by zero.\n Please fix your mistakes.'),
      ],
      tools: tools('calculate'),
    },
    says: answer('The tool calculate failed: Division by zero.'),
  },
  {
    name: 'a tool the script does not know',
    request: { messages: [user('hm'), asked(call('a', 'weather', {})), result('a', 'rain')] },
    says: answer('The tool weather answered: rain'),
  },
  {
    name: 'a new question after an answered one',
    request: {
      messages: [
        user('what is 2 * 345?'),
        asked(calculateCall),
        result('a', '690'),
        { role: 'assistant', content: '690.' },
        user('and 3 + 4?'),
      ],
      tools: tools('calculate'),
    },
    says: asks(['calculate', { expression: '3 + 4' }]),
  },
  {
    name: 'words to count, in typographic quotation marks',
    request: {
      messages: [user('How many words are in “größer als ein Boot 🛶”?')],
      tools: tools('word_count'),
    },
    says: asks(['word_count', { text: 'größer als ein Boot 🛶' }]),
  },
  {
    name: 'a question in parts, and a developer message',
    request: {
      messages: [
        { role: 'developer', content: [{ type: 'text', text: 'Sign every answer with: X' }] },
        user([
          { type: 'text', text: 'hey' },
          { type: 'image_url', image_url: { url: 'data:,' } },
        ]),
      ],
    },
    says: answer('Hello! What can I do for you? X'),
  },
  {
    name: 'something outside the script',
    request: { messages: [signed, user('Why is the sky {1} blue?')] },
    says: answer(
      'You said: "Why is the sky {1} blue?" This is the offline model, which knows only its script; ' +
        'set OPENAI_BASE_URL to ask a real one. — Northwind Kayaks',
    ),
  },
];

describe.each([
  ['javascript', true],
  ['python', Boolean(python)],
])('the offline model in %s', (language, isAvailable) => {
  const post = (body) => postChat(baseUrls[language], body);

  it.runIf(isAvailable).each(conversations)('answers: $name', async ({ request, says }) => {
    const whole = await (await post(request)).json();
    const [{ message, finish_reason: finishReason }] = whole.choices;
    expect({
      content: message.content ?? '',
      toolCalls: (message.tool_calls ?? []).map((made) => made.function),
      finishReason,
    }).toEqual(says);
    const events = await readEvents(await post({ ...request, stream: true }));
    expect(assemble(events)).toEqual(says);
  });

  it.runIf(isAvailable)('frames a streamed answer as the API does', async () => {
    const response = await post({ model: 'some-model', messages: [user('hello')], stream: true });
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const events = await readEvents(response);
    expect(events.at(-1)).toBe('[DONE]');
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event));
    for (const key of ['id', 'created', 'model', 'object']) {
      expect(new Set(chunks.map((chunk) => chunk[key])).size, `one ${key} in all chunks`).toBe(1);
    }
    expect(chunks[0]).toMatchObject({ object: 'chat.completion.chunk', model: 'some-model' });
    expect(chunks[0].choices).toEqual([
      { index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null },
    ]);
    expect(chunks.slice(1, -1).map((chunk) => chunk.choices[0].delta.content)).toEqual(
      'Hello! |What |can |I |do |for |you?'.split('|'),
    );
    expect(chunks.at(-1).choices).toEqual([{ index: 0, delta: {}, finish_reason: 'stop' }]);
    expect(chunks.every((chunk) => !('usage' in chunk))).toBe(true);
  });

  it.runIf(isAvailable)('spreads a tool call over several chunks', async () => {
    const request = { messages: [user('1 + 2 and 3 * 4')], tools: tools('calculate'), stream: true };
    const events = await readEvents(await post(request));
    const deltas = events.slice(1, -2).map((event) => JSON.parse(event).choices[0].delta.tool_calls[0]);
    const first = { type: 'function', function: { name: 'calculate', arguments: '' } };
    const opening = deltas.filter((delta) => delta.id);
    expect(opening).toEqual([
      { index: 0, id: 'call_1_0', ...first },
      { index: 1, id: 'call_1_1', ...first },
    ]);
    expect(deltas.filter((delta) => delta.index === 0).length).toBeGreaterThan(3);
  });

  it.runIf(isAvailable)('reports usage at the end of a stream only when asked to', async () => {
    const request = {
      messages: [user('hello there')],
      stream: true,
      stream_options: { include_usage: true },
    };
    const events = await readEvents(await post(request));
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event));
    expect(chunks.at(-1).choices).toEqual([]);
    expect(chunks.at(-1).usage).toEqual({ prompt_tokens: 2, completion_tokens: 7, total_tokens: 9 });
    expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
  });

  it.runIf(isAvailable)('lists its model', async () => {
    const { data } = await (await fetch(`${baseUrls[language]}/models`)).json();
    expect(data.map((model) => model.id)).toEqual(['offline-model']);
  });

  it.runIf(isAvailable).each([
    ['{', null, 'The body is not valid JSON.'],
    [[], 'messages', 'messages must be a non-empty array.'],
    [{ messages: [] }, 'messages', 'messages must be a non-empty array.'],
    [{ messages: [{ role: 'boss', content: '' }] }, 'messages', /^The role of messages\[0\] must be one of/],
    [{ messages: [{ role: 'user', content: 7 }] }, 'messages', /^The content of messages\[0\] must be/],
    [{ messages: [user('x'), asked(calculateCall)] }, 'messages', 'The last tool calls are not answered.'],
    [
      { messages: [user('x'), asked(calculateCall), user('y')] },
      'messages',
      'messages[2] comes before every tool call is answered.',
    ],
    [{ messages: [user('x'), result('a', '1')] }, 'messages', 'messages[1] answers no tool call before it.'],
    [
      { messages: [asked({ id: 'a', function: { name: 'f', arguments: '[' } }), result('a', '1')] },
      'messages',
      'A tool call of messages[0] has no JSON arguments.',
    ],
  ])('refuses %j', async (body, param, message) => {
    const response = await post(body);
    expect(response.status).toBe(400);
    const { error } = await response.json();
    expect(error).toMatchObject({ type: 'invalid_request_error', param, code: null });
    expect(error.message).toMatch(message);
  });

  it.runIf(isAvailable)('refuses other paths and methods', async () => {
    const missing = await fetch(`${baseUrls[language]}/embeddings`, { method: 'POST', body: '{}' });
    expect(missing.status).toBe(404);
    expect((await missing.json()).error.code).toBe('not_found');
    const wrong = await fetch(`${baseUrls[language]}/chat/completions`);
    expect(wrong.status).toBe(405);
    expect(wrong.headers.get('allow')).toBe('POST');
    expect((await wrong.json()).error.code).toBe('method_not_allowed');
  });

  it.runIf(isAvailable)('goes on after a client hangs up in the middle of a stream', async () => {
    const hangUp = new AbortController();
    const response = await fetch(`${baseUrls[language]}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ messages: [user('a story')], stream: true }),
      signal: hangUp.signal,
    });
    await response.body.getReader().read();
    hangUp.abort();
    const next = await (await post({ messages: [user('hello')] })).json();
    expect(next.choices[0].message.content).toBe('Hello! What can I do for you?');
  });
});

describe('the offline model beside an agent', () => {
  it('runs through the links in the folder of the agent', async () => {
    const program = await startProgram('node', [join(examples, 'langgraph-agent/offline-model.mjs')]);
    expect(program.firstLine).toMatch(/^The offline model answers at http:\/\/127\.0\.0\.1:\d+\/v1$/);
    await program.stop();
  });

  it('runs in a deployed folder, where the links have become files', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'deployed-'));
    try {
      for (const file of ['offline-model.mjs', 'script.json']) {
        await cp(join(examples, 'langgraph-agent', file), join(folder, file), { dereference: true });
      }
      const deployed = await import(pathToFileURL(join(folder, 'offline-model.mjs')).href);
      const model = await deployed.startOfflineModel();
      const { data } = await (await fetch(`${model.baseUrl}/models`)).json();
      expect(data).toHaveLength(1);
      await model.close();
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('does not keep the process of the agent alive', async () => {
    const source = `
      import { startOfflineModel } from ${JSON.stringify(join(examples, 'offline-model/offline-model.mjs'))};
      const { baseUrl } = await startOfflineModel();
      await fetch(baseUrl + '/models').then((response) => response.text());
      console.log('done');
    `;
    const program = await startProgram('node', ['--input-type=module', '--eval', source]);
    expect(program.firstLine).toBe('done');
    expect(await program.ended).toBe(0);
  });
});
