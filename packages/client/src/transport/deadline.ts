import type { Caller } from '../caller.ts';
import type { Config } from '../config/config.ts';
import { TimeoutError } from '../errors.ts';
import { resolveCall } from './call-settings.ts';

/**
 * For calls that consist of several requests: gives the settings of the next one, with what is left of the time.
 * @throws ValueError; the returned function TimeoutError
 */
export function callDeadline(caller: Caller, config: Config | undefined): () => Config {
  const { timeoutMs } = resolveCall('control', caller.config, config);
  const endsAtMs = performance.now() + timeoutMs;
  return () => {
    const timeout = endsAtMs - performance.now();
    if (timeout > 0) return { ...config, timeout };
    throw new TimeoutError(`the call was not done within ${timeoutMs} ms`, timeoutMs);
  };
}
