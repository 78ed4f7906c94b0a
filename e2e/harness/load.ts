import { setTimeout as delay } from 'node:timers/promises';

/** Calls made side by side, and what became of them. */
export interface LoadResult {
  calls: number;
  /** One text for each call that did not succeed. */
  failures: string[];
}

/**
 * Calls again and again, `concurrency` at a time, until `enough`. A call fails by throwing; all others go on.
 * @param enough asked before every call, with how many there were
 * @param pauseMs between two of a caller: without one the callers take all of a small machine, and what is tested under
 * their load waits for them
 */
export async function callContinuously(
  concurrency: number,
  enough: (calls: number) => boolean,
  call: (number: number) => Promise<void>,
  { pauseMs = 0 } = {},
): Promise<LoadResult> {
  const result: LoadResult = { calls: 0, failures: [] };
  const worker = async () => {
    while (!enough(result.calls)) {
      const number = result.calls++;
      try {
        await call(number);
      } catch (error) {
        result.failures.push(`call ${number}: ${describe(error)}`);
      }
      if (pauseMs > 0) await delay(pauseMs);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return result;
}

/** GET or POST with a text of its own that must come back. */
export async function callEcho(url: string, number: number): Promise<void> {
  const body = `call-${number}`;
  const response = await fetch(`${url}/echo/${number}`, { method: 'POST', body });
  const text = await response.text();
  if (!response.ok) throw new Error(`HTTP ${response.status} ${text}`);
  const answer = JSON.parse(text) as { path: string; body: string };
  if (answer.body !== body || answer.path !== `/echo/${number}`)
    throw new Error(`the answer of another: ${text}`);
}

/** fetch hides what happened in the cause. */
function describe(error: unknown): string {
  const { message, cause } = error as Error & { cause?: Error };
  return cause ? `${message}: ${cause.message}` : message;
}
