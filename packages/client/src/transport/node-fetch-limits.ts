/**
 * Node's fetch gives up on an answer that stays silent for 300 s, before it begins or within it. Agents think longer,
 * and `timeout` and `readTimeout` are the limits here, so those two are switched off for our own calls.
 */

interface Dispatcher {
  dispatch(options: object, handler: object): boolean;
  isMockActive?: boolean;
}

/** Where Node's fetch (undici) keeps the dispatcher it uses, or the one an application has put there. */
const GLOBAL_DISPATCHER = Symbol.for('undici.globalDispatcher.1');

/**
 * To be merged into the options of the global fetch; empty where that is not Node's.
 * Every call still goes through the application's own dispatcher (a proxy, a mock, other certificates).
 */
export function withoutSilenceLimits(): object {
  // Asking for a class of fetch's makes Node load it; before that the dispatcher is not there yet.
  if (typeof Response !== 'function') return {};
  const found = (globalThis as { [GLOBAL_DISPATCHER]?: Dispatcher })[GLOBAL_DISPATCHER];
  if (typeof found?.dispatch !== 'function') return {};
  const dispatcher: Dispatcher = {
    dispatch: (options, handler) =>
      found.dispatch({ ...options, headersTimeout: 0, bodyTimeout: 0 }, handler),
    ...(found.isMockActive !== undefined && { isMockActive: found.isMockActive }),
  };
  return { dispatcher };
}
