import { randomHex } from './random-hex.ts';

/** The field that carries a call's id on every answer; the gateway makes it, the control process repeats it. */
export const REQUEST_ID_HEADER = 'x-acs-request-id';

/** The last digits of an id, from a table: cheaper than to write a number out. */
const BLOCK = 4096;
const LAST_DIGITS = Array.from({ length: BLOCK }, (_, at) => at.toString(16).padStart(3, '0'));
/** Of the number in the last group, all but those digits. */
const BLOCK_DIGITS = 9;

/**
 * Makes ids with the shape of a random UUID (RFC 9562 version 4): a start that is random for each maker, and a number.
 * They repeat neither within a process nor across restarts, but whoever has one can guess the next: they name calls and
 * open nothing.
 * @returns makes the next id; 2^48 of them differ
 */
export function requestIds(random: (bytes: number) => string = randomHex): () => string {
  const [a, b, c, d] = [random(4), random(2), random(2).slice(1), random(2).slice(1)];
  const start = `${a}-${b}-4${c}-8${d}-`;
  let block = 0;
  let next = BLOCK;
  let prefix = '';
  return () => {
    if (next === BLOCK) {
      prefix = start + (block++).toString(16).padStart(BLOCK_DIGITS, '0');
      next = 0;
    }
    return prefix + LAST_DIGITS[next++];
  };
}

export const newRequestId: () => string = requestIds();
