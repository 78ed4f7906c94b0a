// The main job, end to end: folders become answering, versioned endpoints. Run it with `npm run demo`.
import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AgentRuntimeClient } from '@runstead/client';
import OpenAI from 'openai';
import { deploy, waitForEndpoint } from './deploy.mjs';
import { findPython } from './find-python.mjs';
import { note, phase, say, stream, title } from './print.mjs';
import { removeData } from './remove-data.mjs';
import { startServer } from './server-process.mjs';

const EXAMPLES = fileURLToPath(new URL('..', import.meta.url));
const CALLS = 50;

/** Tells the story once; without `once` the server then serves until Ctrl-C. Resolves to the exit code. */
export async function runDemo({ once }) {
  const folder = await mkdtemp(join(tmpdir(), 'runstead-demo-'));
  let server;
  try {
    title('1. A server');
    server = await startServer(join(folder, 'data'));
    say(`API and agents: ${server.url}   health: ${server.url}/health`);
    say(`data: ${server.data} (SQLite; removed at the end)`);
    const client = new AgentRuntimeClient({
      controlEndpoint: server.url,
      dataEndpoint: server.url,
      apiKey: server.apiKey,
    });
    await tellStory(client, server, folder);
    if (!once) {
      note('Serving until Ctrl-C.');
      await interrupted();
    }
    return 0;
  } catch (error) {
    console.error(`\ndemo failed: ${error.message}`);
    return 1;
  } finally {
    await server?.stop();
    await removeData(folder);
  }
}

async function tellStory(client, server, folder) {
  title('2. A LangGraph.js agent from a folder');
  const agentFolder = join(EXAMPLES, 'langgraph-agent');
  const agent = await deploy(client, server, {
    name: 'kayaks',
    folder: agentFolder,
    language: 'nodejs20',
    command: ['node', 'agent.mjs'],
    sessionConcurrencyLimitPerInstance: 8,
  });

  title('3. Ask it, streaming');
  await ask(client, 'kayaks', 'When do you open, and what is 12 * (3 + 4)?');

  title('4. A Python agent, called with the official openai package');
  const python = findPython();
  if (python) await pythonAgent(client, server);
  else note('skipped: no Python 3.10 or newer runs on this machine');

  title('5. A second version, a canary, promotion, rollback');
  await rollOut(client, server, agent, agentFolder, folder);

  title('6. An agent that cannot start');
  await deployBroken(client, server);

  title('7. Yours to try');
  const base = `${server.url}/agent-runtimes/kayaks/endpoints/Default/invocations/openai/v1`;
  console.log(`  curl -N ${base}/chat/completions -H 'content-type: application/json' \\`);
  console.log(`    -d '{"stream":true,"messages":[{"role":"user","content":"Do you ship?"}]}'`);
  console.log(`  OpenAI base URL: ${base}   (any key)`);
}

async function ask(client, name, question) {
  say(question);
  const begun = performance.now();
  const answer = await client.invokeOpenai(name, 'Default', {
    messages: [{ role: 'user', content: question }],
    stream: true,
  });
  const line = stream();
  let firstMs;
  const calls = new Map();
  for await (const chunk of answer) {
    firstMs ??= performance.now() - begun;
    const delta = chunk.choices[0]?.delta ?? {};
    for (const { index, function: part } of delta.tool_calls ?? []) {
      const call = calls.get(index) ?? { name: '', arguments: '' };
      call.name += part?.name ?? '';
      call.arguments += part?.arguments ?? '';
      calls.set(index, call);
    }
    if (delta.content) {
      for (const call of calls.values()) line.aside(`tool call: ${call.name}(${call.arguments})`);
      calls.clear();
      line.write(delta.content);
    }
  }
  line.end();
  if (line.text === '') throw new Error(`${name} gave an empty answer`);
  note(
    `first token after ${Math.round(firstMs)} ms, whole answer after ${Math.round(performance.now() - begun)} ms`,
  );
}

async function pythonAgent(client, server) {
  await deploy(client, server, {
    name: 'words',
    folder: join(EXAMPLES, 'python-agent'),
    language: 'python3.10',
    command: ['python3', 'main.py'],
  });
  const openai = new OpenAI({
    baseURL: `${server.url}/agent-runtimes/words/endpoints/Default/invocations/openai/v1`,
    apiKey: 'any-key',
  });
  const question = 'How many words are in "the quick brown fox"?';
  say(question);
  const answer = await openai.chat.completions.create({
    model: 'words',
    messages: [{ role: 'user', content: question }],
    stream: true,
  });
  const line = stream();
  for await (const chunk of answer) line.write(chunk.choices[0]?.delta?.content ?? '');
  line.end();
  if (line.text === '') throw new Error('the Python agent gave an empty answer');
}

async function rollOut(client, server, agent, agentFolder, folder) {
  const changed = join(folder, 'kayaks-2');
  await cp(agentFolder, changed, {
    recursive: true,
    dereference: true,
    filter: (file) => !/node_modules/.test(file),
  });
  const prompt = join(changed, 'prompt.md');
  await writeFile(
    prompt,
    (await readFile(prompt, 'utf8')).replace(
      /Sign every answer with:.*/,
      'Sign every answer with: (version two)',
    ),
  );
  const updated = await deploy(client, server, {
    id: agent.agentRuntimeId,
    name: 'kayaks',
    folder: changed,
    language: 'nodejs20',
    command: ['node', 'agent.mjs'],
  });
  say(`version ${updated.agentRuntimeVersion} is the newest; version 1 is kept`);

  const canary = await client.createEndpoint(agent.agentRuntimeId, {
    agentRuntimeEndpointName: 'canary',
    targetVersion: '1',
    routingConfiguration: { versionWeights: [{ version: '2', weight: 0.2 }] },
  });
  await waitForEndpoint(client, agent.agentRuntimeId, canary.agentRuntimeEndpointId);
  await count(client, 'endpoint canary, weights 0.8 / 0.2');

  const point = async (targetVersion, what) => {
    await client.updateEndpoint(agent.agentRuntimeId, canary.agentRuntimeEndpointId, {
      targetVersion,
      routingConfiguration: { versionWeights: [] },
    });
    await waitForEndpoint(client, agent.agentRuntimeId, canary.agentRuntimeEndpointId);
    const split = await count(client, what);
    if (split[targetVersion] !== CALLS) throw new Error(`${what}: some calls went elsewhere`);
  };
  await point('2', 'promoted to version 2');
  await point('1', 'rolled back to version 1');
}

/** Makes the calls and says which versions answered, by what their prompts make them sign with. */
async function count(client, what) {
  const split = { 1: 0, 2: 0 };
  const one = async () => {
    const { choices } = await client.invokeOpenai('kayaks', 'canary', {
      messages: [{ role: 'user', content: 'hello' }],
    });
    split[choices[0].message.content.includes('(version two)') ? 2 : 1]++;
  };
  const worker = async (calls) => {
    for (let i = 0; i < calls; i++) await one();
  };
  await Promise.all(Array.from({ length: 5 }, () => worker(CALLS / 5)));
  say(`${what}: ${CALLS} calls → version 1: ${split[1]}, version 2: ${split[2]}`);
  return split;
}

async function deployBroken(client, server) {
  const begun = performance.now();
  const broken = await deploy(client, server, {
    name: 'broken',
    folder: join(EXAMPLES, 'broken-agent'),
    language: 'nodejs20',
    command: ['node', 'agent.mjs'],
    mayFail: true,
  });
  const seconds = (performance.now() - begun) / 1000;
  if (broken.status !== 'CREATE_FAILED') throw new Error(`the broken agent is ${broken.status}`);
  const [reason, lines = ''] = broken.statusReason.split('; last lines: ');
  say(`${broken.status}: ${reason}`);
  for (const line of lines.split(' | ')) console.log(`    | ${line}`);
  phase('known', seconds);
  if (!/exited with code 1/.test(reason) || !/ORDERS_DATABASE_URL/.test(lines))
    throw new Error('the true reason is missing');
  if (seconds > 2) throw new Error('it took over two seconds to know');
}

function interrupted() {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, resolve);
  });
}
