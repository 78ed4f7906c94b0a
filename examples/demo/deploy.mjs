import { codeFromFile } from '@runstead/client/code';
import { phase, say } from './print.mjs';

/** How often a status is asked for, in ms. */
const POLL_MS = 25;

/**
 * Creates a runtime from a folder, or updates the one with `id`, and waits until it is decided.
 * Prints each phase with its seconds: those of the client as measured here, those of the server as it recorded them.
 */
export async function deploy(
  client,
  server,
  { id, name, folder, language, command, mayFail = false, ...more },
) {
  const begun = performance.now();
  const code = await codeFromFile(folder, { language, command });
  const packed = performance.now();
  const input = { codeConfiguration: code, ...more };
  const sent = id
    ? await client.update(id, input)
    : await client.create({ agentRuntimeName: name, cpu: 1, memory: 512, port: 9000, ...input });
  const uploaded = performance.now();
  const runtime = await waitForRuntime(client, sent.agentRuntimeId);
  phase('pack', (packed - begun) / 1000);
  phase('upload', (uploaded - packed) / 1000);
  for (const event of await newestAttempt(server, sent.agentRuntimeId))
    phase(event.phase, event.durationMs / 1000);
  if (runtime.status === 'READY') {
    say(
      `${name} is READY as version ${runtime.agentRuntimeVersion}, ${((performance.now() - begun) / 1000).toFixed(1)} s in all`,
    );
  } else if (!mayFail) {
    throw new Error(`${name} is ${runtime.status}: ${runtime.statusReason}`);
  }
  return runtime;
}

export function waitForRuntime(client, id) {
  return decided(() => client.get(id));
}

export function waitForEndpoint(client, runtimeId, endpointId) {
  return decided(() => client.getEndpoint(runtimeId, endpointId));
}

async function decided(ask) {
  for (;;) {
    const resource = await ask();
    if (!/ING$/.test(resource.status)) return resource;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** What the server recorded of the last attempt, oldest phase first. */
async function newestAttempt(server, id) {
  const response = await fetch(`${server.url}/runstead/v1/runtimes/${id}/events`, {
    headers: { authorization: `Bearer ${server.apiKey}` },
  });
  const { data } = await response.json();
  const revision = Math.max(...data.items.map((event) => event.revision));
  return data.items.filter((event) => event.revision === revision && event.phase !== 'scale').reverse();
}
