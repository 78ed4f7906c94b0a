import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as main from '../src/index.ts';
import { CLIENT_VERSION } from '../src/transport/user-agent.ts';

const root = join(import.meta.dirname, '..');

/** Every module that a source file loads at run time, itself included; packages as they are written. */
function loadedBy(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  const text = readFileSync(file, 'utf8');
  for (const [, clause = '', specifier = ''] of text.matchAll(
    /^(?:import|export)\s([^;]*?)from '([^']+)'/gm,
  )) {
    if (clause.startsWith('type ')) continue;
    if (specifier.startsWith('.')) loadedBy(resolve(dirname(file), specifier), found);
    else found.add(specifier);
  }
  return found;
}

describe('the main entry', () => {
  it('loads neither a Node module nor the schemas', () => {
    const packages = [...loadedBy(join(root, 'src/index.ts'))].filter((name) => !name.startsWith('/'));
    expect(packages.sort()).toEqual([
      '#local-server',
      '@runstead/contract/paths',
      '@runstead/contract/signature',
    ]);
  });

  it('leaves for later what a short script does not need', () => {
    const files = [...loadedBy(join(root, 'src/index.ts'))].map((name) => name.split('/').at(-1));
    for (const late of ['sign.ts', 'chat-stream.ts', 'sse.ts', 'wait.ts', 'delete-endpoints.ts']) {
      expect(files).not.toContain(late);
    }
    expect(files).toContain('agent-runtime.ts');
  });

  it('exports exactly these names', () => {
    expect(Object.keys(main).sort()).toEqual([
      'AbortError',
      'AgentRunError',
      'AgentRuntime',
      'AgentRuntimeClient',
      'AgentRuntimeEndpoint',
      'ClientError',
      'ConnectionError',
      'DeleteResourceError',
      'HTTPError',
      'IncompleteStreamError',
      'InvalidResponseError',
      'ResourceAlreadyExistError',
      'ResourceFailedError',
      'ResourceNotExistError',
      'ServerError',
      'StreamError',
      'TimeoutError',
      'ValueError',
    ]);
  });

  it('names its version to servers', () => {
    expect(CLIENT_VERSION).toBe(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version);
  });

  it('shares its error classes with the code entry', () => {
    const script = `import { ValueError } from '@runstead/client';
      import { codeFromOss } from '@runstead/client/code';
      try { codeFromOss('', '') } catch (error) { process.stdout.write(String(error.constructor === ValueError)) }`;
    const options = { cwd: import.meta.dirname, encoding: 'utf8' } as const;
    expect(execFileSync(process.execPath, ['--input-type=module', '-e', script], options)).toBe('true');
  });
});

it('types hold: test/types.test-d.ts and the tests compile', { timeout: 60_000 }, () => {
  const tsc = join(root, '../../node_modules/.bin/tsc');
  expect(() =>
    execFileSync(tsc, ['-p', join(root, 'test')], { encoding: 'utf8', stdio: 'pipe' }),
  ).not.toThrow();
});
