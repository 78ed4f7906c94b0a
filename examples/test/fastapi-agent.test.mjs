import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe } from 'vitest';
import { agentCases } from './agent-cases.mjs';
import { findPython, startProgram } from './child-process.mjs';

const source = fileURLToPath(new URL('../fastapi-agent', import.meta.url));
const python = findPython('3.10');

describe.runIf(python)('the fastapi agent', () => {
  let folder;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'fastapi-agent-'));
    const run = (file, ...args) => execFileSync(file, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    run(python, '-m', 'venv', join(folder, 'venv'));
    const quietly = ['--quiet', '--disable-pip-version-check', '--only-binary', ':all:'];
    run(join(folder, 'venv/bin/pip'), 'install', ...quietly, '-r', join(source, 'requirements.txt'));
  }, 120_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  agentCases({
    name: 'fastapi-agent',
    start: (env) => startProgram(join(folder, 'venv/bin/python'), ['-B', join(source, 'main.py')], env),
    question: 'How do returns work?',
    says: {
      content:
        'The handbook says: A dry boat comes back within 30 days for a full refund, a wet one within 14 days for ' +
        'store credit. Paddles and life jackets can be returned while their seal is unbroken. — the front desk',
      toolCalls: [{ name: 'read_handbook', arguments: '{"section":"returns"}' }],
    },
    signature: '— the front desk',
  });
});
