import type { Interpreter } from './interpreters.ts';

/** V8's own choice where there is memory enough. */
const MOST_MIB = 16;
const PART_OF_MEMORY = 32;
/** The first that is known to take the option from its environment. */
const SINCE_NODE = 20;

/**
 * How much room Node is to give each half of V8's young generation. By itself it takes a 512th part of the memory that it may
 * have, so that an instance of 512 MiB collects its garbage dozens of times while it loads its modules; in the same
 * program started by hand, on a machine with memory to spare, it does so a few times. It is room, not memory that is
 * taken: what is not needed is given back.
 * @param memoryMiB of the instance
 * @returns the option; undefined: Node chooses
 */
export function youngGenerationOption(memoryMiB: number, node: Interpreter | undefined): string | undefined {
  if ((node?.version[0] ?? 0) < SINCE_NODE) return undefined;
  const sizeMiB = Math.min(MOST_MIB, Math.floor(memoryMiB / PART_OF_MEMORY));
  return sizeMiB < 1 ? undefined : `${OPTION}=${sizeMiB}`;
}

const OPTION = '--max-semi-space-size';
/** The same in NODE_OPTIONS, where it is the first. */
export const YOUNG_GENERATION_OPTION = new RegExp(`^${OPTION}=\\d+ `);
