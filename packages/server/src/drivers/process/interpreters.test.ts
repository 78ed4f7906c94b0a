import { realpathSync } from 'node:fs';
import type { Language } from '@runstead/contract';
import { describe, expect, it } from 'vitest';
import {
  chooseInterpreter,
  type Family,
  findInterpreters,
  type Interpreter,
  missingInterpreter,
  wantedBy,
} from './interpreters.ts';

function machine(...list: string[]): Interpreter[] {
  return list.map((entry) => {
    const [family, version] = entry.split(' ') as [Family, string];
    return { family, version: version.split('.').map(Number), path: `/opt/${family}-${version}` };
  });
}

describe('the interpreter for a language', () => {
  it.each<[Language, string[], string | undefined]>([
    ['python3.10', ['python 3.12.1', 'python 3.10.13', 'python 3.11.7'], '/opt/python-3.10.13'],
    ['python3.10', ['python 3.13.0', 'python 3.11.7'], '/opt/python-3.11.7'],
    ['python3.10', ['python 3.11.2', 'python 3.11.7'], '/opt/python-3.11.7'],
    ['python3.12', ['python 3.11.7', 'python 2.7.18'], undefined],
    ['python3.10', ['python 4.11.0'], undefined],
    ['nodejs18', ['node 24.1.0', 'node 20.20.2', 'node 22.3.0'], '/opt/node-20.20.2'],
    ['nodejs20', ['node 20.1.0', 'node 20.20.2'], '/opt/node-20.20.2'],
    ['nodejs22', ['node 20.20.2'], undefined],
    ['java8', ['java 25.0.1', 'java 17.0.9'], '/opt/java-17.0.9'],
    ['java17', ['java 11.0.2'], undefined],
  ])('%s among %j is %s', (language, there, expected) => {
    expect(chooseInterpreter(wantedBy(language)!, machine(...there))?.path).toBe(expected);
  });

  it('is none for a custom one', () => {
    expect(wantedBy('custom')).toBeUndefined();
  });

  it('is named when it is missing, with what is there', () => {
    expect(missingInterpreter('python3.12', machine('python 3.11.7'))).toBe(
      'python3.12 is needed but not on this machine; found: python 3.11.7 (/opt/python-3.11.7). ' +
        'Install it or choose another language',
    );
    expect(missingInterpreter('java11', [])).toContain('found: none');
  });
});

it("finds the server's own Node under its real path, and asks only once", async () => {
  const found = await findInterpreters('node');
  expect(found[0]).toEqual({
    family: 'node',
    version: process.versions.node.split('.').map(Number),
    path: realpathSync(process.execPath),
  });
  expect(await findInterpreters('node')).toBe(found);
});
