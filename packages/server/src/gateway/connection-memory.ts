import type { CustomDomain } from '../domain/custom-domains.ts';
import { isPrivateCall, type PrivateAccess } from '../domain/private-access.ts';
import type { FieldSection } from '../http/fields.ts';
import { forwardedFields, PASSED_ON, type Provenance, type ProxyTrust, provenance } from './forwarded.ts';
import { lines } from './headers.ts';
import { type Caller, checkHost, type HostPolicy } from './host-check.ts';
import type { RequestHead } from './request-head.ts';
import { type Resolved, resolve } from './resolve.ts';

/**
 * What was found out about the last request of a connection: the next one mostly asks for the same host and path, and
 * would be told the same.
 */
export class ConnectionMemory {
  #caller: Caller | undefined = undefined;
  #target: string | undefined = undefined;
  #domain: CustomDomain | undefined = undefined;
  #resolved: Resolved | undefined = undefined;
  #from: Provenance | undefined = undefined;
  #forwarded: string | undefined = undefined;
  #privateHost: string | undefined = undefined;
  #privateCaller: string | undefined = undefined;
  #isPrivate = false;

  /** @throws as `checkHost` */
  callerOf(policy: HostPolicy, head: RequestHead, section: FieldSection): Caller {
    const { host } = section;
    const isPage = section.has('origin');
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

  /** Where a request comes from. Of a peer whose word does not count that is the same every time. */
  provenanceOf(isTrusted: ProxyTrust, head: RequestHead, { host }: Caller): Provenance {
    if (this.#from !== undefined && this.#from.host === host) return this.#from;
    const from = provenance(isTrusted, head, host);
    if (isTrusted(head.peer)) return from;
    this.#from = from;
    this.#forwarded = undefined;
    return from;
  }

  /** What an agent is told of it. */
  forwardedLinesOf(from: Provenance): string {
    if (from !== this.#from) return lines(forwardedFields(from));
    // In one piece: kept as it was put together, it would hold every part of that.
    this.#forwarded ??= Buffer.from(lines(forwardedFields(from)), 'latin1').toString('latin1');
    return this.#forwarded;
  }

  /** A trusted proxy may vouch for an address, but not that a caller is on this machine: that only a connection proves. */
  isPrivate(
    access: PrivateAccess,
    section: FieldSection,
    { hostname }: Caller,
    { caller }: Provenance,
  ): boolean {
    if (PASSED_ON.some((name) => section.has(name)))
      return isPrivateCall(access, { host: hostname, peer: caller, isPassedOn: true });
    if (this.#privateHost !== hostname || this.#privateCaller !== caller) {
      this.#privateHost = hostname;
      this.#privateCaller = caller;
      this.#isPrivate = isPrivateCall(access, { host: hostname, peer: caller, isPassedOn: false });
    }
    return this.#isPrivate;
  }
}
