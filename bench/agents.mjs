import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { codeFromFile } from '@runstead/client/code';

const EXAMPLES = fileURLToPath(new URL('../examples', import.meta.url));

/** The examples that work when deployed: folder, language, command. */
export const AGENTS = [
  { name: 'hello-http', language: 'nodejs20', command: ['node', 'server.mjs'] },
  { name: 'langgraph-agent', language: 'nodejs20', command: ['node', 'agent.mjs'] },
  { name: 'typescript-agent', language: 'nodejs20', command: ['node', 'dist/agent.js'] },
  { name: 'python-agent', language: 'python3.10', command: ['python3', 'main.py'] },
  { name: 'fastapi-agent', language: 'python3.10', command: ['python3', 'main.py'] },
];

/**
 * Copies an example to where it can be changed, as a person would who takes it as a start.
 * @returns the copy's folder
 */
export async function copyExample(name, parent) {
  const folder = join(parent, name);
  const filter = (file) => !/[\\/](?:node_modules|dist|__pycache__)$/.test(file);
  await cp(join(EXAMPLES, name), folder, { recursive: true, dereference: true, filter });
  return folder;
}

/** The code configurations of all of them, packed in `parent`: `{ name, codeConfiguration }`. */
export async function packAgents(parent) {
  const packed = [];
  for (const { name, language, command } of AGENTS) {
    const folder = await copyExample(name, parent);
    packed.push({ name, codeConfiguration: await codeFromFile(folder, { language, command }) });
  }
  return packed;
}
