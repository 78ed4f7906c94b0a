import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ErrorCode, errorTable } from '@runstead/contract';
import { describe, expect, it } from 'vitest';
import { httpErrorFrom } from '../src/errors.ts';
import * as main from '../src/index.ts';
import { DEFAULT_RETRY_POLICY, retryDelay } from '../src/transport/retry.ts';

/** The contract's table of errors, the classes and the documentation say the same. */

const doc = readFileSync(join(import.meta.dirname, '../../../docs/client.md'), 'utf8');
const codes = Object.keys(errorTable) as ErrorCode[];

function errorOf(code: ErrorCode) {
  const message = code === 'ERR_ALREADY_EXISTS' ? 'x already exists' : 'm';
  return httpErrorFrom({ statusCode: errorTable[code].status, message, errorCode: code, fromApi: true });
}

describe('each code of the contract', () => {
  const rows = [...doc.matchAll(/^\| `([\w.]+)` \| (\d+) \| `(\w+)` \| (yes|no) \|$/gm)].map(
    ([, code = '', status, name, again]) => ({ code, status: Number(status), name, again }),
  );

  it('stands in the documentation with its status, its class, and whether its call is made again', () => {
    const expected = codes.map((code) => {
      const error = errorOf(code);
      const again = retryDelay(error, 0, 'safe', DEFAULT_RETRY_POLICY, 0) === undefined ? 'no' : 'yes';
      return { code, status: error.statusCode, name: error.name, again };
    });
    expect(rows).toEqual(expected);
  });

  it.each(codes)('%s is not made again where the contract says that it stays', (code) => {
    const again = retryDelay(errorOf(code), 0, 'safe', DEFAULT_RETRY_POLICY, 0) !== undefined;
    expect(again && !errorTable[code].retryable).toBe(false);
  });
});

describe('each class', () => {
  /** Name → parent, read from the drawing in the documentation. */
  function drawn(): Record<string, string | undefined> {
    const drawing = doc.slice(doc.indexOf('```\nAgentRunError'));
    const parents: Record<string, string | undefined> = {};
    const path: string[] = [];
    for (const [, indent = '', name = ''] of drawing.slice(4).matchAll(/^([│├└─ ]*)([A-Z]\w+Error)\b/gm)) {
      const depth = indent.length / 3;
      path.splice(depth);
      parents[name] = path.at(-1);
      path.push(name);
    }
    return parents;
  }

  it('that is exported stands in the documentation, under its parent', () => {
    const exported = Object.entries(main).filter(([name]) => name.endsWith('Error'));
    const expected = exported.map(([name, errorClass]) => {
      const parent = Object.getPrototypeOf(errorClass) as { name: string };
      return [name, parent.name === 'Error' ? undefined : parent.name];
    });
    expect(drawn()).toEqual(Object.fromEntries(expected));
  });
});
