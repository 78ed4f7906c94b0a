import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AgentRuntimeClient } from '@runstead/client';
import { codeFromFile } from '@runstead/client/code';
import { waitForRuntime } from '../examples/demo/deploy.mjs';
import { removeData } from '../examples/demo/remove-data.mjs';
import { startServer } from '../examples/demo/server-process.mjs';

const EXAMPLES = fileURLToPath(new URL('../examples', import.meta.url));

/**
 * Starts a server on a temporary folder for the time of a measurement.
 * @param prepare given the data folder before the server starts
 */
export async function withServer(measure, env = {}, prepare = async () => {}) {
  const folder = await mkdtemp(join(tmpdir(), 'runstead-bench-'));
  await prepare(join(folder, 'data'));
  const server = await startServer(join(folder, 'data'), env);
  try {
    const client = new AgentRuntimeClient({
      controlEndpoint: server.url,
      dataEndpoint: server.url,
      apiKey: server.apiKey,
      // A measurement sees each answer as it is.
      maxRetries: 0,
    });
    return await measure({ server, client, folder });
  } finally {
    await server.stop();
    await removeData(folder);
  }
}

/** The code configuration of an example. */
export function example(name, command) {
  return codeFromFile(join(EXAMPLES, name), { language: 'nodejs20', command });
}

/** Creates a runtime of `hello-http` and waits until it serves. */
export async function deployHello(client, name, more = {}) {
  const created = await client.create({
    agentRuntimeName: name,
    codeConfiguration: await example('hello-http', ['node', 'server.mjs']),
    cpu: 1,
    memory: 256,
    port: 9000,
    ...more,
  });
  const runtime = await waitForRuntime(client, created.agentRuntimeId);
  if (runtime.status !== 'READY') throw new Error(`${name} is ${runtime.status}: ${runtime.statusReason}`);
  return runtime;
}

/** Where the calls of a runtime go. */
export function callUrl(server, name) {
  return `${server.url}/agent-runtimes/${name}/endpoints/Default/invocations/`;
}

/** The instances that run now, of one runtime or of all: `/runstead/v1/instances`. */
export async function instancesOf(server, agentRuntimeId = '') {
  const { items } = await extension(server, `instances?agentRuntimeId=${agentRuntimeId}`);
  return items;
}

/** What the server recorded of the newest attempt at a runtime, oldest phase first. */
export async function newestAttempt(server, agentRuntimeId) {
  const { items } = await extension(server, `runtimes/${agentRuntimeId}/events`);
  const revision = Math.max(...items.map((event) => event.revision));
  return items.filter((event) => event.revision === revision && event.phase !== 'scale').reverse();
}

async function extension(server, path) {
  const response = await fetch(`${server.url}/runstead/v1/${path}`, {
    headers: { authorization: `Bearer ${server.apiKey}` },
  });
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status} ${await response.text()}`);
  return (await response.json()).data;
}
