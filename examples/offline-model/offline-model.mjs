// A scripted, OpenAI-compatible model: an agent that talks to it needs no network and no key, and hears the
// same answer every time. script.json holds all it can say; offline_model.py reads the same script.

import { randomUUID } from 'node:crypto';
import { readFileSync, realpathSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const script = JSON.parse(readFileSync(new URL('./script.json', import.meta.url), 'utf8'));
const ROLES = ['system', 'developer', 'user', 'assistant', 'tool'];
// Some patterns take time quadratic in the text, so a pasted book must not stall the process of the agent.
const MAX_QUESTION_LENGTH = 2000;
const ARGUMENT_PIECE_LENGTH = 6;

/**
 * Serves `POST {baseUrl}/chat/completions` and `GET {baseUrl}/models` until `close()` is called. The server
 * does not keep the process alive by itself.
 * `tokenDelayMs` is the pause before each token of a stream; 0 means none.
 */
export async function startOfflineModel(options) {
  const { server, baseUrl } = await listen(options);
  server.unref();
  server.on('connection', (socket) => socket.unref());
  return {
    baseUrl,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function listen({
  port = 0,
  host = '127.0.0.1',
  tokenDelayMs = Number(process.env.OFFLINE_MODEL_TOKEN_DELAY_MS ?? 15),
} = {}) {
  const server = createServer((request, response) => {
    route(request, response, tokenDelayMs).catch((error) => sendError(response, error));
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return { server, baseUrl: `http://${host}:${server.address().port}/v1` };
}

// --- What the model says -------------------------------------------------------------------------------

function reply({ messages, tools, tool_choice: toolChoice, parallel_tool_calls: parallel }) {
  const lastUser = messages.findLastIndex((message) => message.role === 'user');
  const question = textOf(messages[lastUser]).slice(0, MAX_QUESTION_LENGTH);
  const made = callsMade(messages.slice(lastUser + 1));
  const offered = toolChoice === 'none' ? [] : (tools ?? []).map((tool) => tool.function?.name);
  const open = callsWanted(question, offered).filter(
    (call) => !made.some((other) => isSameCall(call, other)),
  );
  if (open.length > 0) {
    return { content: null, toolCalls: parallel === false ? open.slice(0, 1) : open };
  }
  const answer = made.length > 0 ? made.map(describeResult).join(' ') : plainAnswer(question);
  return { content: sign(answer, messages), toolCalls: [] };
}

function callsWanted(question, offered) {
  const wanted = [];
  for (const [name, { ask }] of Object.entries(script.tools)) {
    if (!offered.includes(name)) continue;
    for (const rule of ask) {
      for (const match of question.matchAll(new RegExp(rule.pattern, 'gi'))) {
        const filled = Object.entries(rule.arguments).map(([key, value]) => [key, fill(value, match)]);
        const call = { name, arguments: Object.fromEntries(filled) };
        if (!wanted.some((other) => isSameCall(call, other))) wanted.push(call);
      }
    }
  }
  return wanted;
}

function callsMade(messages) {
  const results = new Map();
  for (const message of messages) {
    if (message.role === 'tool') results.set(message.tool_call_id, textOf(message));
  }
  return messages
    .flatMap((message) => message.tool_calls ?? [])
    .map((call) => ({
      name: call.function.name,
      arguments: JSON.parse(call.function.arguments),
      result: results.get(call.id).replace(/[ \t\r\n]+/g, ' '),
    }));
}

const isSameCall = (a, b) => a.name === b.name && JSON.stringify(a.arguments) === JSON.stringify(b.arguments);

function describeResult({ name, arguments: given, result }) {
  const failed = result.match(new RegExp(script.failedTool.pattern, 'i'));
  if (failed) return fill(script.failedTool.answer, { ...failed, tool: name });
  return fill(script.tools[name]?.answer ?? script.unknownTool, { ...given, tool: name, result });
}

function plainAnswer(question) {
  const rule = script.answers.find(({ pattern }) => new RegExp(pattern, 'i').test(question));
  return fill(rule?.answer ?? script.otherwise, { question });
}

// Makes a changed system prompt visible in the answers.
function sign(answer, messages) {
  const system = messages.filter(({ role }) => role === 'system' || role === 'developer').map(textOf);
  const signature = system.join('\n').match(new RegExp(script.signature, 'im'));
  return signature ? `${answer} ${signature[1].trim()}` : answer;
}

const fill = (template, values) => template.replace(/\{([a-z0-9]+)\}/g, (_, name) => values[name] ?? '');

function textOf(message) {
  const content = message?.content ?? [];
  const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : content;
  const texts = parts.filter((part) => part.type === 'text').map((part) => part.text);
  return texts.join('\n').trim();
}

// --- How it is said over HTTP --------------------------------------------------------------------------

class ApiError extends Error {
  constructor(status, message, { param = null, code = null, headers = {} } = {}) {
    super(message);
    Object.assign(this, { status, param, code, headers });
  }
}

async function route(request, response, tokenDelayMs) {
  const [pathname] = request.url.split('?');
  const routes = {
    '/v1/chat/completions': { method: 'POST', serve: serveCompletion },
    '/v1/models': { method: 'GET', serve: serveModels },
  };
  const found = routes[pathname];
  if (!found) throw new ApiError(404, `There is no ${pathname} here.`, { code: 'not_found' });
  if (request.method !== found.method) {
    throw new ApiError(405, `${pathname} takes ${found.method}, not ${request.method}.`, {
      code: 'method_not_allowed',
      headers: { allow: found.method },
    });
  }
  await found.serve(request, response, tokenDelayMs);
}

function serveModels(_request, response) {
  const model = { id: script.model, object: 'model', created: 0, owned_by: 'offline' };
  sendJson(response, 200, { object: 'list', data: [model] });
}

async function serveCompletion(request, response, tokenDelayMs) {
  const body = await readRequest(request);
  const { content, toolCalls } = reply(body);
  const calls = toolCalls.map((call, index) => ({
    // The length of the conversation makes an id unique in it, and the same in every run.
    id: `call_${body.messages.length}_${index}`,
    type: 'function',
    function: { name: call.name, arguments: JSON.stringify(call.arguments) },
  }));
  const deltas = [...deltasOf(content, calls)];
  const completion = {
    id: `chatcmpl-${randomUUID()}`,
    created: Math.floor(Date.now() / 1000),
    model: body.model ?? script.model,
    finishReason: calls.length > 0 ? 'tool_calls' : 'stop',
    usage: usageOf(body.messages, deltas.length - 1),
  };
  if (body.stream) {
    const includeUsage = body.stream_options?.include_usage === true;
    await stream(response, completion, deltas, { includeUsage, tokenDelayMs });
    return;
  }
  const message = { role: 'assistant', content, ...(calls.length > 0 && { tool_calls: calls }) };
  sendJson(response, 200, {
    id: completion.id,
    object: 'chat.completion',
    created: completion.created,
    model: completion.model,
    choices: [{ index: 0, message, finish_reason: completion.finishReason }],
    usage: completion.usage,
  });
}

async function stream(response, completion, deltas, { includeUsage, tokenDelayMs }) {
  const { id, created, model, finishReason, usage } = completion;
  const send = (choices, fields) => {
    const chunk = { id, object: 'chat.completion.chunk', created, model, choices, ...fields };
    response.write(`data: ${JSON.stringify(chunk)}\n\n`);
  };
  // Like the original: with usage asked for, every chunk has the field, and only the last one a value.
  const noUsage = includeUsage ? { usage: null } : {};
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  for (const [position, delta] of deltas.entries()) {
    if (position > 0 && tokenDelayMs > 0) await delay(tokenDelayMs);
    if (response.destroyed) return; // the client hung up
    send([{ index: 0, delta, finish_reason: null }], noUsage);
  }
  send([{ index: 0, delta: {}, finish_reason: finishReason }], noUsage);
  if (includeUsage) send([], { usage });
  response.end('data: [DONE]\n\n');
}

function* deltasOf(content, calls) {
  yield { role: 'assistant', content: content === null ? null : '' };
  for (const token of content?.match(/[^ ]+ *| +/g) ?? []) yield { content: token };
  for (const [index, { id, type, function: called }] of calls.entries()) {
    yield { tool_calls: [{ index, id, type, function: { name: called.name, arguments: '' } }] };
    for (let start = 0; start < called.arguments.length; start += ARGUMENT_PIECE_LENGTH) {
      const piece = called.arguments.slice(start, start + ARGUMENT_PIECE_LENGTH);
      yield { tool_calls: [{ index, function: { arguments: piece } }] };
    }
  }
}

// A word counts as a token: no tokenizer is worth a dependency here.
function usageOf(messages, completionTokens) {
  const words = messages.flatMap((message) => textOf(message).match(/[^ ]+/g) ?? []);
  return {
    prompt_tokens: words.length,
    completion_tokens: completionTokens,
    total_tokens: words.length + completionTokens,
  };
}

async function readRequest(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  let body;
  try {
    body = JSON.parse(Buffer.concat(pieces).toString('utf8'));
  } catch {
    throw new ApiError(400, 'The body is not valid JSON.');
  }
  checkMessages(body?.messages);
  return body;
}

// As strict as the real API about tool calls, so that an agent's mistake shows before it meets that.
function checkMessages(messages) {
  const refuse = (message) => {
    throw new ApiError(400, message, { param: 'messages' });
  };
  if (!Array.isArray(messages) || messages.length === 0) refuse('messages must be a non-empty array.');
  const unanswered = new Set();
  for (const [position, message] of messages.entries()) {
    const at = `messages[${position}]`;
    if (!ROLES.includes(message?.role)) refuse(`The role of ${at} must be one of ${ROLES.join(', ')}.`);
    if (!isContent(message.content)) refuse(`The content of ${at} must be a text or a list of parts.`);
    if (message.role === 'tool') {
      if (!unanswered.delete(message.tool_call_id)) refuse(`${at} answers no tool call before it.`);
    } else if (unanswered.size > 0) {
      refuse(`${at} comes before every tool call is answered.`);
    }
    for (const call of message.tool_calls ?? []) {
      if (!isJsonObject(call?.function?.arguments)) refuse(`A tool call of ${at} has no JSON arguments.`);
      unanswered.add(call.id);
    }
  }
  if (unanswered.size > 0) refuse('The last tool calls are not answered.');
}

const isContent = (content) =>
  content == null ||
  typeof content === 'string' ||
  (Array.isArray(content) && content.every((part) => typeof part?.type === 'string'));

function isJsonObject(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

function sendJson(response, status, body, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

function sendError(response, error) {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { status = 500, message, param = null, code = null, headers } = error;
  const type = status < 500 ? 'invalid_request_error' : 'server_error';
  sendJson(response, status, { error: { message, type, param, code } }, headers);
}

// --- Run by itself: node offline-model.mjs [--port N] --------------------------------------------------

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { port: { type: 'string', default: '0' } } });
  const { baseUrl } = await listen({ port: Number(values.port) });
  console.log(`The offline model answers at ${baseUrl}`);
}
