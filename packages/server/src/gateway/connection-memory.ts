import type { CustomDomain } from '../domain/custom-domains.ts';
import { isPrivateCall, type PrivateAccess } from '../domain/private-access.ts';
import { type Caller, checkHost, type HostPolicy } from './host-check.ts';
import { fieldValues, type RequestHead } from './request-head.ts';
import { type Resolved, resolve } from './resolve.ts';

/** What proxies say of themselves. None has to, so that its absence proves nothing. */
const PASSED_ON = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'];

/**
 * What was found out about the last request of a connection: the next one mostly asks for the same host and path, and
 * would be told the same.
 */
export class ConnectionMemory {
  #caller: Caller | undefined = undefined;
  #target: string | undefined = undefined;
  #domain: CustomDomain | undefined = undefined;
  #resolved: Resolved | undefined = undefined;
  #privateHost: string | undefined = undefined;
  #isPrivate = false;

  /** @throws as `checkHost` */
  callerOf(policy: HostPolicy, head: RequestHead, host: string | undefined): Caller {
    const isPage = fieldValues(head.fields, 'origin').length > 0;
    if (!isPage && this.#caller !== undefined && this.#caller.host === host) return this.#caller;
    const caller = checkHost(policy, head);
    if (!isPage) this.#caller = caller;
    return caller;
  }

  resolve(target: string, domain: CustomDomain | undefined): Resolved {
    if (this.#resolved !== undefined && this.#target === target && this.#domain === domain)
      return this.#resolved;
    this.#target = target;
    this.#domain = domain;
    this.#resolved = resolve(target, domain);
    return this.#resolved;
  }

  isPrivate(access: PrivateAccess, { fields, peer }: RequestHead, { hostname }: Caller): boolean {
    const isPassedOn = PASSED_ON.some((name) => fieldValues(fields, name).length > 0);
    if (isPassedOn) return isPrivateCall(access, { host: hostname, peer, isPassedOn });
    if (this.#privateHost !== hostname) {
      this.#privateHost = hostname;
      this.#isPrivate = isPrivateCall(access, { host: hostname, peer, isPassedOn });
    }
    return this.#isPrivate;
  }
}
