import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe } from 'vitest';
import { agentCases } from './agent-cases.mjs';
import { startProgram } from './child-process.mjs';

const source = fileURLToPath(new URL('../typescript-agent', import.meta.url));

/** Built in a copy: two runs at once do not disturb each other, and no build of another day is tested. */
describe('the typescript agent', () => {
  let folder;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'typescript-agent-'));
    const filter = (file) => !/\/(?:node_modules|dist)$/.test(file);
    cpSync(source, folder, { recursive: true, dereference: true, filter });
    for (const args of [
      ['ci', '--no-audit', '--no-fund'],
      ['run', 'build'],
    ]) {
      execFileSync('npm', args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
    }
  }, 120_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  agentCases({
    name: 'typescript-agent',
    start: (env) => startProgram('node', [join(folder, 'dist/agent.js')], env),
    question: 'How many words are in "a kayak is a boat"?',
    says: {
      content: '"a kayak is a boat" has 5 words. — your proofreader',
      toolCalls: [{ name: 'word_count', arguments: '{"text":"a kayak is a boat"}' }],
    },
    signature: '— your proofreader',
  });
});
