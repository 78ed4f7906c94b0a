import type { Call } from './call.ts';
import { isVisible } from './ids.ts';

/** A runtime is looked at so often while something of it is followed. */
const AGAIN_MS = 2000;

/**
 * For answers that take long: whether the caller may still have them.
 * @returns asks; the answer is why not, in a sentence
 */
export function createStandingCheck(
  { deps, principal }: Pick<Call, 'deps' | 'principal'>,
  runtimeId: string,
): () => Promise<string | undefined> {
  let askAtMs = performance.now() + AGAIN_MS;
  return async () => {
    const key = deps.authentication.keys.byId(principal.keyId);
    if (!key) return 'The key is not valid any more';
    if (performance.now() < askAtMs) return undefined;
    askAtMs = performance.now() + AGAIN_MS;
    const runtime = await deps.store.getRuntime(runtimeId);
    return runtime && isVisible({ principal: { ...principal, workspaces: key.workspaces } }, runtime)
      ? undefined
      : 'The runtime does not exist any more';
  };
}
