import { RunsteadError } from '@runstead/contract';
import type { Caller } from './host-check.ts';

/**
 * What agents answer may be a page. Under a host that also serves the platform it would be of the platform's own origin:
 * it could call the API with what the browser keeps for it, read the API's pages, and place a service worker in front of
 * them. There, pages of agents get an origin of their own each time (docs/decisions/0029).
 */

/** Without `allow-same-origin`: that would be the host's own origin again. */
const CONFINED: readonly string[] = ['content-security-policy', 'sandbox allow-scripts allow-forms'];
const FREE: readonly string[] = [];

/**
 * Fields for every answer of an agent: on all of them, since what a browser shows as a page is its own decision, in which
 * a missing type, SVG, XML and answers of errors may count as one. A policy of the agent's own stays beside it, and a
 * browser keeps to both.
 */
export function pageFields({ agentsOnly }: Caller): readonly string[] {
  return agentsOnly ? FREE : CONFINED;
}

/** For whatever else is asked for where agents have a host to themselves. */
export function onlyAgentsHere(host: string): RunsteadError {
  return new RunsteadError(
    'ERR_NOT_FOUND',
    `Nothing but calls to agents is served under the host "${host}"; ask for it under another host of this server`,
  );
}
