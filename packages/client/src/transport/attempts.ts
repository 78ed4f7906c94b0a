import type { CallClock } from './call-clock.ts';
import type { CallSettings } from './call-settings.ts';
import { type Repetition, retryDelay } from './retry.ts';

/**
 * Makes a call as often as its policy and its nature allow. The time limit is that of all attempts together: where it
 * would end within the pause, the last error is thrown at once.
 * @param repetition asked after each attempt, which may have taught what the server can do
 */
export async function withRetries<T>(
  { method, url }: { method: string; url: URL },
  { retry, log }: CallSettings,
  clock: CallClock,
  repetition: () => Repetition,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let retries = 0; ; retries++) {
    try {
      return await attempt();
    } catch (error) {
      const delayMs = retryDelay(error, retries, repetition(), retry, Math.random());
      if (delayMs === undefined || delayMs >= clock.remainingMs || clock.reason !== undefined) throw error;
      log.retry(method, url, error, delayMs, retries + 1, retry.maxRetries);
      await clock.pause(delayMs);
    }
  }
}
