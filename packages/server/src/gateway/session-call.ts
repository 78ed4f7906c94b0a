import { RunsteadError } from '@runstead/contract';
import {
  type Affinity,
  type CookieContent,
  type CookiePlace,
  cookieValues,
  type SessionOwner,
  sessionIdFault,
} from '../domain/affinity.ts';
import type { Session } from './session.ts';

/** What a call brings along to say which session it belongs to: an id, or cookies that may hold one, perhaps none. */
export type Presented = string | readonly string[];

/** One call of a session. */
export interface SessionCall {
  readonly owner: SessionOwner;
  /** Made by the caller, or for them. */
  readonly id: string;
  readonly alias: string;
  /** Undefined: the id came in a field. */
  readonly cookie: CookieUse | undefined;
  /** Fields of the answer, to which what is to be told is added. */
  readonly extras: string[];
  /** Undefined until one of its session's calls waits or is let in. */
  session: Session | undefined;
  /** As it was told last. */
  told: string | undefined;
}

export interface CookieUse {
  /** Where it is to go; asked only when one is set. */
  readonly place: () => CookiePlace;
  /** Undefined: there was none, or none that is good. */
  readonly came: CookieContent | undefined;
}

/**
 * Reads of a call's fields which session it may belong to.
 * @returns undefined: none
 * @throws RunsteadError ERR_BAD_REQUEST for a field that came twice, or an id that cannot be one
 */
export function presented(affinity: Affinity, fields: readonly string[]): Presented | undefined {
  if (affinity.by === 'nothing') return undefined;
  if (affinity.by === 'cookie') return platformCookies(fields);
  const id = singleField(fields, affinity.field);
  // A client that has nothing to say may still send the field.
  if (id === undefined || id === '') return undefined;
  const fault = sessionIdFault(id);
  if (fault === undefined) return id;
  throw new RunsteadError(
    'ERR_BAD_REQUEST',
    `${affinity.field} names the call's session and ${fault}; send another id`,
  );
}

function platformCookies(fields: readonly string[]): string[] {
  const values: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    if (isNamed(fields[at]!, 'cookie')) values.push(...cookieValues(fields[at + 1]!));
  }
  return values;
}

/** @throws RunsteadError when the field came more than once: which one counts nobody could tell */
function singleField(fields: readonly string[], name: string): string | undefined {
  let value: string | undefined;
  for (let at = 0; at < fields.length; at += 2) {
    if (!isNamed(fields[at]!, name)) continue;
    if (value !== undefined) {
      throw new RunsteadError(
        'ERR_BAD_REQUEST',
        `${name} may be sent only once; it names the call's session`,
      );
    }
    value = fields[at + 1]!;
  }
  return value;
}

function isNamed(spelled: string, name: string): boolean {
  return spelled.length === name.length && (spelled === name || spelled.toLowerCase() === name);
}
