// The front door: an OpenAI-compatible server in front of the graph. Start reading here, then graph.mjs.

import { readFileSync } from 'node:fs';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { parseChatRequest } from './chat-request.mjs';
import { buildGraph } from './graph.mjs';
import { connectModel } from './model.mjs';
import { describeError } from './openai-error.mjs';
import { answerDeltas, toCompletion, toEventStream } from './openai-stream.mjs';

const NAME = 'langgraph-agent'; // the model a client sees

const { model, description } = await connectModel(process.env);
const systemPrompt =
  process.env.SYSTEM_PROMPT ?? readFileSync(new URL('./prompt.md', import.meta.url), 'utf8');
const graph = buildGraph({ model, systemPrompt });
const startedAt = Math.floor(Date.now() / 1000);

const app = new Hono();

app.get('/health', (c) => c.json({ status: 'ok' }));

app.get('/openai/v1/models', (c) =>
  c.json({
    object: 'list',
    data: [{ id: NAME, object: 'model', created: startedAt, owned_by: NAME }],
  }),
);

app.post('/openai/v1/chat/completions', async (c) => {
  const request = parseChatRequest(await c.req.text());
  const name = request.model ?? NAME;
  // The signal fires when the client hangs up; the graph then stops, and with it the call to the model.
  const deltas = answerDeltas(graph, request.messages, c.req.raw.signal);
  if (!request.stream) return c.json(await toCompletion(name, deltas));
  return c.body(await toEventStream(name, deltas), 200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
  });
});

app.notFound((c) => {
  const message = `There is no ${c.req.method} ${c.req.path} here.`;
  return c.json({ error: { message, type: 'invalid_request_error', param: null, code: 'not_found' } }, 404);
});

app.onError((error, c) => {
  const { status, body } = describeError(error);
  return c.json(body, status);
});

const server = serve(
  { fetch: app.fetch, hostname: '0.0.0.0', port: Number(process.env.PORT ?? 9000) },
  (address) => console.log(`The agent listens on port ${address.port} and asks ${description}.`),
);

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => {
    server.close(() => process.exit(0));
    // That closed what was idle; a connection whose answer is still open would stay for 5 s after it.
    setInterval(() => server.closeIdleConnections(), 100);
  });
}
