import { afterAll, beforeAll, expect, it } from 'vitest';
import { assemble, postChat, readEvents } from './chat-client.mjs';

/**
 * What every example that answers chat completions does, asked over HTTP.
 * @param agent.name the model it shows itself as
 * @param agent.start starts it with these variables; its first line names the port
 * @param agent.question makes it use its tool once
 * @param agent.says what it answers then: content and tool calls
 * @param agent.signature what its answers end with
 */
export function agentCases({ name, start, question, says, signature }) {
  const asking = { messages: [{ role: 'user', content: question }] };
  let agent;
  let origin;
  let baseUrl;

  beforeAll(async () => {
    // A delay, so that the story of the last test is still being told when the signal comes.
    agent = await start({ PORT: '0', OPENAI_BASE_URL: '', OFFLINE_MODEL_TOKEN_DELAY_MS: '2' });
    origin = `http://127.0.0.1:${agent.firstLine.match(/port (\d+)/)[1]}`;
    baseUrl = `${origin}/openai/v1`;
  }, 120_000);

  afterAll(() => agent?.stop());

  it('says that it is healthy, and which model it is', async () => {
    expect(await (await fetch(`${origin}/health`)).json()).toEqual({ status: 'ok' });
    const { data } = await (await fetch(`${baseUrl}/models`)).json();
    expect(data.map((model) => model.id)).toEqual([name]);
  });

  it('runs its tool and answers, in one piece and as a stream', async () => {
    const whole = await (await postChat(baseUrl, { ...asking, temperature: 0.1 })).json();
    expect(whole.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: says.content } });
    expect(whole.choices[0].message.tool_calls.map((call) => call.function)).toEqual(says.toolCalls);
    const response = await postChat(baseUrl, { ...asking, stream: true });
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const events = await readEvents(response);
    expect(events.at(-1)).toBe('[DONE]');
    expect(assemble(events)).toEqual({ ...says, finishReason: 'stop' });
  });

  it('takes its own answer back as part of the conversation', async () => {
    const { choices } = await (await postChat(baseUrl, asking)).json();
    const messages = [...asking.messages, choices[0].message, { role: 'user', content: 'hello' }];
    const next = await (await postChat(baseUrl, { messages })).json();
    expect(next.choices[0].message.content).toBe(`Hello! What can I do for you? ${signature}`);
  });

  it.each([
    ['{', null],
    [{ messages: [] }, 'messages'],
    [{ messages: [{ role: 'boss', content: 'hello' }] }, 'messages'],
    [{ messages: [{ role: 'user', content: 7 }] }, 'messages'],
  ])('refuses %j', async (body, param) => {
    const response = await postChat(baseUrl, body);
    expect(response.status).toBe(400);
    expect((await response.json()).error).toMatchObject({ type: 'invalid_request_error', param });
  });

  it('refuses other paths', async () => {
    const response = await fetch(`${origin}/nowhere`);
    expect(response.status).toBe(404);
    expect((await response.json()).error).toMatchObject({ code: 'not_found' });
  });

  it('tells of a model that does not answer, before and without a stream', async () => {
    const lonely = await start({ PORT: '0', OPENAI_BASE_URL: 'http://127.0.0.1:1/v1' });
    try {
      const base = `http://127.0.0.1:${lonely.firstLine.match(/port (\d+)/)[1]}/openai/v1`;
      for (const stream of [false, true]) {
        const response = await postChat(base, { ...asking, stream });
        expect(response.status).toBe(502);
        expect((await response.json()).error).toMatchObject({ code: 'model_error' });
      }
    } finally {
      await lonely.stop();
    }
  });

  it('goes on after a client hangs up in the middle of a stream', async () => {
    const hangUp = new AbortController();
    const response = await fetch(`${baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ messages: [{ role: 'user', content: 'a story' }], stream: true }),
      signal: hangUp.signal,
    });
    await response.body.getReader().read();
    hangUp.abort();
    const next = await (await postChat(baseUrl, { messages: [{ role: 'user', content: 'hello' }] })).json();
    expect(next.choices[0].message.content).toContain('Hello!');
  });

  it('finishes the open answer on SIGTERM, and then ends well', async () => {
    const own = await start({ PORT: '0', OPENAI_BASE_URL: '', OFFLINE_MODEL_TOKEN_DELAY_MS: '2' });
    const base = `http://127.0.0.1:${own.firstLine.match(/port (\d+)/)[1]}/openai/v1`;
    const story = { messages: [{ role: 'user', content: 'Tell me a story' }], stream: true };
    const response = await postChat(base, story);
    const [code, events] = await Promise.all([own.stop(), readEvents(response)]);
    expect(events.at(-1)).toBe('[DONE]');
    expect(code).toBe(0);
  });
}
