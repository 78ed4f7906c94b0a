import { getAccessToken } from '../access-token.ts';
import type { Caller } from '../caller.ts';
import type { Config } from '../config/config.ts';
import { readError } from './answer.ts';
import { authorizeData } from './authorize.ts';
import type { CallClock } from './call-clock.ts';
import { type CallSettings, identityOf } from './call-settings.ts';
import { discard, type WireRequest } from './exchange.ts';

/** Whom a call to an agent is made for, and to which. */
export interface AgentCall {
  caller: Caller;
  /** Of this call, over the caller's. */
  config: Config | undefined;
  settings: CallSettings;
  runtimeName: string;
}

/**
 * One request to an agent. Servers of the older kind know no signatures, only access tokens: where a signed call is
 * refused, a token is fetched and the call is made once more with it; from then on the runtime's calls use the token,
 * until that is refused.
 * @param exchange sends; used for each request
 * @returns any answer, the refusal too
 */
export async function sendToAgent(
  call: AgentCall,
  unsigned: WireRequest,
  clock: CallClock,
  exchange: (request: WireRequest) => Promise<Response>,
): Promise<Response> {
  const { settings, caller, runtimeName } = call;
  const { target, headers } = settings;
  const send = async (token: string | undefined) => {
    if (token !== undefined && !settings.secrets.includes(token)) settings.secrets.push(token);
    const request =
      token === undefined
        ? await authorizeData(unsigned, target)
        : { ...unsigned, headers: { ...unsigned.headers, 'agentrun-access-token': token } };
    // Once more: the caller's own word stands above the credential's headers too.
    Object.assign(request.headers, headers);
    return exchange(request);
  };
  const ownCredential = Object.keys(headers).some((name) =>
    /authorization$|^agentrun-access-token$/.test(name),
  );
  if (target.credential.kind !== 'accessKey' || ownCredential) return send(undefined);

  const { tokens } = caller.memory;
  const key = `${identityOf(settings)} ${runtimeName}`;
  const used = tokens.get(key);
  const response = await send(used);
  if (!isRefusal(response)) return response;
  // Another call may have fetched one in the meantime.
  const newer = tokens.get(key);
  if (newer === used) tokens.delete(key);
  const token = newer !== undefined && newer !== used ? newer : await fetchToken(call, clock);
  if (token === undefined) return response;
  discard(response);
  const second = await send(token);
  if (!isRefusal(second)) tokens.set(key, token);
  return second;
}

/** What an agent itself refuses stays refused. Other servers than Runstead do not say who it was. */
function isRefusal(response: Response): boolean {
  const { status, headers } = response;
  return (status === 401 || status === 403) && headers.get('x-runstead-error-origin') !== 'agent';
}

/** `undefined` where there is none to be had; then the refusal is what the caller should read. */
async function fetchToken(
  { caller, config, settings, runtimeName }: AgentCall,
  clock: CallClock,
): Promise<string | undefined> {
  // The call's own time goes on; where none runs, the token has as much as a call has.
  const timeout = Number.isFinite(clock.remainingMs) ? Number.POSITIVE_INFINITY : settings.timeoutMs;
  try {
    const timed = { ...config, timeout, signal: clock.signal };
    const { accessToken } = await clock.race(getAccessToken(caller, { resourceName: runtimeName }, timed));
    settings.log.info(() => `the signed call to ${runtimeName} was refused: an access token is used instead`);
    return accessToken;
  } catch (error) {
    if (clock.reason !== undefined) throw clock.reason;
    settings.log.warn(() => `no access token for ${runtimeName}: ${(error as Error).message}`);
    return undefined;
  }
}

/** The error of an answer that is no success. */
export async function agentRefusal(
  response: Response,
  url: URL,
  clock: CallClock,
  secrets: readonly string[],
): Promise<Error> {
  // Only the platform's own word counts about what exists: an agent's 404 is about a path of the agent.
  const fromAgent = response.headers.get('x-runstead-error-origin') !== 'platform';
  return readError(response, url, clock, { fromAgent, secrets });
}
