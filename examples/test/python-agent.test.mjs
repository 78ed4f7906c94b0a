import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { assemble, postChat, readEvents } from './chat-client.mjs';
import { findPython, startProgram } from './child-process.mjs';

const python = findPython();

describe.runIf(python)('the python agent', () => {
  const counting = { messages: [{ role: 'user', content: 'How many words are in "a kayak is a boat"?' }] };
  const counted = '"a kayak is a boat" has 5 words. — your editor';
  let agent;
  let origin;
  let baseUrl;

  beforeAll(async () => {
    const main = fileURLToPath(new URL('../python-agent/main.py', import.meta.url));
    // A delay, so that the story of the last test is still being told when the signal comes.
    const env = { PORT: '0', OPENAI_BASE_URL: '', OFFLINE_MODEL_TOKEN_DELAY_MS: '2' };
    agent = await startProgram(python, ['-B', main], env);
    origin = `http://127.0.0.1:${agent.firstLine.match(/port (\d+)/)[1]}`;
    baseUrl = `${origin}/openai/v1`;
  });

  afterAll(() => agent?.stop());

  it('says that it is healthy, and which model it is', async () => {
    expect(await (await fetch(`${origin}/health`)).json()).toEqual({ status: 'ok' });
    const { data } = await (await fetch(`${baseUrl}/models`)).json();
    expect(data.map((model) => model.id)).toEqual(['python-agent']);
  });

  it('runs its tool and answers, in one piece and as a stream', async () => {
    const whole = await (await postChat(baseUrl, { ...counting, temperature: 0.1 })).json();
    expect(whole.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: counted } });
    const events = await readEvents(await postChat(baseUrl, { ...counting, stream: true }));
    expect(events.at(-1)).toBe('[DONE]');
    expect(assemble(events)).toEqual({
      content: counted,
      toolCalls: [{ name: 'word_count', arguments: '{"text":"a kayak is a boat"}' }],
      finishReason: 'stop',
    });
  });

  it('takes its own answer back as part of the conversation', async () => {
    const { choices } = await (await postChat(baseUrl, counting)).json();
    const messages = [...counting.messages, choices[0].message, { role: 'user', content: 'hello' }];
    const next = await (await postChat(baseUrl, { messages })).json();
    expect(next.choices[0].message.content).toBe('Hello! What can I do for you? — your editor');
  });

  it('refuses what it does not understand', async () => {
    const response = await postChat(baseUrl, { messages: [{ role: 'boss', content: 'hello' }] });
    expect(response.status).toBe(400);
    expect((await response.json()).error).toMatchObject({ type: 'invalid_request_error', param: 'messages' });
    expect((await fetch(`${origin}/nowhere`)).status).toBe(404);
  });

  it('finishes the open answer on SIGTERM, and then ends well', async () => {
    const story = { messages: [{ role: 'user', content: 'Tell me a story' }], stream: true };
    const response = await postChat(baseUrl, story);
    const [code, events] = await Promise.all([agent.stop(), readEvents(response)]);
    expect(events.at(-1)).toBe('[DONE]');
    expect(code).toBe(0);
  });
});
