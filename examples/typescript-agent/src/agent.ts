// The front door: an OpenAI-compatible server in front of the agent. Start reading here, then answer.ts.

import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { answer } from './answer.ts';
import { parseChatRequest, toChunks, toCompletion } from './chat-completion.ts';
import { describeError, NotFound } from './errors.ts';
import { connectModel } from './model.ts';

const NAME = 'typescript-agent'; // the model a client sees

const { model, description } = await connectModel(process.env);
const systemPrompt =
  process.env.SYSTEM_PROMPT ?? readFileSync(new URL('../prompt.md', import.meta.url), 'utf8');
const startedAt = Math.floor(Date.now() / 1000);

type Route = (request: IncomingMessage, response: ServerResponse) => Promise<void> | void;

const routes: Record<string, Route> = {
  'GET /health': (_request, response) => sendJson(response, 200, { status: 'ok' }),

  'GET /openai/v1/models': (_request, response) =>
    sendJson(response, 200, {
      object: 'list',
      data: [{ id: NAME, object: 'model', created: startedAt, owned_by: NAME }],
    }),

  'POST /openai/v1/chat/completions': async (request, response) => {
    const asked = parseChatRequest(await text(request));
    const name = asked.model ?? NAME;
    const hangUp = new AbortController();
    response.once('close', () => hangUp.abort());
    const deltas = answer({ model, systemPrompt, messages: asked.messages, signal: hangUp.signal });
    if (asked.stream) await stream(response, toChunks(name, deltas));
    else sendJson(response, 200, await toCompletion(name, deltas));
  },
};

const server = createServer((request, response) => {
  const route = `${request.method} ${request.url?.split('?')[0]}`;
  const serve = routes[route] ?? (() => Promise.reject(new NotFound(`There is no ${route} here.`)));
  Promise.resolve()
    .then(() => serve(request, response))
    .catch((error: unknown) => {
      if (response.destroyed) return; // nobody is left to read an answer
      const { status, body } = describeError(error);
      if (response.headersSent) response.end(`data: ${JSON.stringify(body)}\n\n`);
      else sendJson(response, status, body);
    });
});

/** An error before the first chunk can still become the status; a later one is the last event, without `[DONE]`. */
async function stream(response: ServerResponse, chunks: AsyncIterable<object>): Promise<void> {
  for await (const chunk of chunks) {
    if (!response.headersSent) {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    }
    response.write(`data: ${JSON.stringify(chunk)}\n\n`);
  }
  response.end('data: [DONE]\n\n');
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

server.listen(Number(process.env.PORT ?? 9000), '0.0.0.0', () => {
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : address;
  console.log(`The agent listens on port ${port} and asks ${description}.`);
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    server.close(() => process.exit(0));
    // That closed what was idle; a connection whose answer is still open would stay for 5 s after it.
    setInterval(() => server.closeIdleConnections(), 100);
  });
}
