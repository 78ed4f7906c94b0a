import { describe, expect, it } from 'vitest';
import { typescriptProblem } from './typescript.ts';

describe('typescriptProblem', () => {
  const old = [20, 20, 2];
  it.each([
    [[20, 20, 2], false],
    [[22, 17, 9], false],
    [[22, 18, 0], true],
    [[23, 5, 0], false],
    [[23, 6, 0], true],
    [[24, 0, 0], true],
  ])('Node %j runs TypeScript: %s', (nodeVersion, runs) => {
    const problem = typescriptProblem({ command: ['node', 'src/agent.ts'], nodeVersion });
    expect(problem === undefined).toBe(runs);
    if (!runs) expect(problem).toContain(`src/agent.ts is TypeScript, which Node ${nodeVersion.join('.')}`);
  });

  it.each([
    [['node', 'agent.ts']],
    [['node', '--enable-source-maps', 'agent.mts']],
    [['/usr/bin/node', '--env-file', '.env', 'agent.cts']],
  ])('sees it in %j', (command) => {
    expect(typescriptProblem({ command, nodeVersion: old })).toContain('22.18');
  });

  it.each([
    [['node', 'agent.js']],
    [['node', 'agent.mjs', 'prompts.ts']],
    [['node', '--import', 'tsx', 'agent.ts']],
    [['node', '--require=ts-node/register', 'agent.ts']],
    [['node', '--experimental-strip-types', 'agent.ts']],
    [['tsx', 'agent.ts']],
    [['sh', '-c', 'node agent.ts']],
    [['python3', 'main.py']],
    [[]],
  ])('has nothing to say about %j', (command) => {
    expect(typescriptProblem({ command, nodeVersion: old })).toBeUndefined();
  });

  it('leaves it to a loader in NODE_OPTIONS', () => {
    const question = { command: ['node', 'agent.ts'], nodeVersion: old };
    expect(typescriptProblem({ ...question, nodeOptions: '--import tsx' })).toBeUndefined();
    expect(typescriptProblem({ ...question, nodeOptions: '--max-old-space-size=64' })).toBeDefined();
  });

  it('says what would help', () => {
    const problem = typescriptProblem({ command: ['node', 'agent.ts'], nodeVersion: old });
    expect(problem).toMatch(/nodejs22.*build script.*compiled JavaScript/);
  });
});
