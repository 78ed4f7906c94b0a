import { describe, expect, it } from 'vitest';
import { createInterpreterFinder } from './find-interpreter.ts';

const major = Number(process.versions.node.split('.')[0]);
/** One that this machine's own Node is not. */
const other = major === 24 ? 22 : 24;

describe('a Node that agents name', () => {
  it('is provided when the machine has none of its major release', async () => {
    const asked: number[] = [];
    const find = createInterpreterFinder(async (wanted) => {
      asked.push(wanted);
      return { path: '/shelf/node', version: [wanted, 15, 1] };
    });
    const node = await find('node', `nodejs${other}`);
    if ('missing' in node) throw new Error(node.missing);
    if (node.path !== '/shelf/node') return expect(node.version[0]).toBe(other); // Installed here.
    expect(node).toEqual({ family: 'node', path: '/shelf/node', version: [other, 15, 1] });
    expect(asked).toEqual([other]);
  });

  it('is that of the machine for languages that are a floor, and for programs that name none', async () => {
    const find = createInterpreterFinder(async () => {
      throw new Error('nothing is to be provided');
    });
    for (const language of ['nodejs18', 'nodejs20', 'custom', 'python3.10'] as const)
      expect(await find('node', language)).toMatchObject({ family: 'node' });
  });

  it('is missing with the reason why it could not be provided', async () => {
    const find = createInterpreterFinder(async () => ({ missing: 'the registry could not be reached' }));
    const node = await find('node', `nodejs${other}`);
    // A newer one that is here will do.
    if (!('missing' in node)) return expect(node.version[0]).toBeGreaterThanOrEqual(other);
    expect(node.missing).toBe(
      `nodejs${other} is needed but not on this machine, and the registry could not be reached`,
    );
  });
});
