import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import pino from 'pino';
import { createNodeShelf } from '../../src/artifacts/interpreters/node-shelf.ts';
import type { Interpreter } from '../../src/drivers/process/interpreters.ts';

/** Kept between runs: it is as large as a browser. */
export const SHELF = fileURLToPath(
  new URL('../../../../node_modules/.cache/runstead-nodes/', import.meta.url),
);

/**
 * A Node of a major release: this one, or one got from npm once for all tests.
 * @returns undefined, with the reason printed, when there is none to be had
 */
export async function modernNode(major: number): Promise<Interpreter | undefined> {
  const own = process.versions.node.split('.').map(Number);
  if (own[0] === major) return { family: 'node', version: own, path: process.execPath };
  mkdirSync(SHELF, { recursive: true });
  const shelf = createNodeShelf({
    folder: SHELF,
    nodeDir: undefined,
    timeoutMs: 100_000,
    freeSpaceReserveBytes: 0,
    marks: {},
    log: pino({ level: 'silent' }),
  });
  const found = await shelf.provide(major);
  await shelf.close();
  if (!('missing' in found)) return { family: 'node', ...found };
  console.warn(`skipped: ${found.missing}`);
  return undefined;
}
