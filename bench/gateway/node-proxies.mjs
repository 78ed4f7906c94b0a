import { fileURLToPath } from 'node:url';
import { message } from './belongings.mjs';

/** Node packages that pass requests on, and `bare-relay`: sockets alone, without a look at what passes. */
export const PACKAGES = ['http-proxy-3', '@fastify/http-proxy', 'httpxy'];

/** @returns `{ pid, port }` */
export async function startNodeProxy(belongings, name, agentPort) {
  const file = name === 'bare-relay' ? 'bare-relay.mjs' : 'node-proxy.mjs';
  const child = belongings.fork(fileURLToPath(new URL(`processes/${file}`, import.meta.url)), [
    String(agentPort),
    name,
  ]);
  const { port } = await message(child, (said) => said.port !== undefined);
  return { pid: child.pid, port };
}
