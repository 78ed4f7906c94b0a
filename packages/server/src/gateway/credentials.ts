import { CONTROL_ALGORITHM, DATA_ALGORITHM, RunsteadError } from '@runstead/contract';
import { verifyAccessToken } from '../auth/access-token.ts';
import { verifyDataSignature } from '../auth/data-signature.ts';
import type { KeyRing } from '../auth/key-ring.ts';
import { type PlatformKey, reaches } from '../auth/keys.ts';
import type { RuntimeRoute } from '../feed/messages.ts';
import { PerFieldName } from '../http/field-names.ts';
import type { FieldSection } from '../http/fields.ts';
import { noSuchRuntime } from './choose.ts';
import { fieldValues } from './request-head.ts';

/** Who calls, as far as the data plane asks. */
export interface Principal {
  /** Undefined: anonymous, or known only to the agent. */
  keyId: string | undefined;
  /** Fields, in lower case, that carry a credential of the platform: they stop here. */
  consumed: ReadonlySet<string>;
}

/** What of a call says who makes it. */
export interface CallHead {
  method: string;
  target: string;
  fields: readonly string[];
  /** The Host field. */
  host: string;
}

export interface Door {
  keys: KeyRing;
  /** Whether runtimes without a `credentialName` take calls from anybody. */
  anonymousCalls: boolean;
  /** ms since 1970. */
  now: () => number;
}

const SIGNATURE_FIELD = 'agentrun-authorization';
const TOKEN_FIELD = 'agentrun-access-token';
/** Keys of either kind and access tokens, alone or behind a scheme's name: no other field than those above is asked for them, but some client may send one all the same. */
const ANY_KEY = /^\s*(?:\S+\s+)?(?:r[sc]k_|rat_[\w-]+\.)/i;
/** How requests to the platform are signed, and how calls are in a field of their own. */
const SIGNED = new RegExp(`^\\s*(?:${CONTROL_ALGORITHM}|${DATA_ALGORITHM})(?:\\s|$)`, 'i');
/** Platform keys: everything that begins like one must be one. */
const PLATFORM_BEARER = /^\s*bearer\s+(rsk_.*?)\s*$/is;
const CREDENTIAL_BEARER = /^\s*bearer\s+(rck_.*?)\s*$/is;
const ANY_BEARER = /^\s*bearer\s+(\S.*?)\s*$/is;
/** Never the agent's, whatever else was sent. */
const ALWAYS_CONSUMED: ReadonlySet<string> = new Set([SIGNATURE_FIELD, TOKEN_FIELD, 'x-acs-security-token']);

/**
 * Tells who calls a runtime, and whether it may (contract: data plane). A credential of a scheme that is the platform's
 * own is never taken for none: it must be good, also where none is needed. OpenAI clients always send some key, so any
 * other bearer belongs to the agent and passes.
 * @param runtime undefined: there is none of that name
 * @throws RunsteadError AccessDenied, InvalidAccessKeyId.NotFound, SignatureDoesNotMatch; ERR_NOT_FOUND for a runtime in a workspace that the key does not reach; ERR_BAD_REQUEST for a field sent twice
 */
export function authenticate(door: Door, call: CallHead, runtime: RuntimeRoute | undefined): Principal {
  const consumed = fieldsWithSecrets(call.fields);
  const signed = signer(door, call);
  if (!signed && needsSignature(call.host)) {
    throw new RunsteadError(
      'AccessDenied',
      `AccessDenied: calls to the host "${call.host}" must be signed (Agentrun-Authorization: AGENTRUN4-HMAC-SHA256 …)`,
    );
  }
  const tokenHolder = holderOfToken(door, call, runtime);
  const bearer = holderOfApiKey(door, call);
  // What one of them may not, another does not make up for.
  const key = signed ?? tokenHolder ?? bearer;
  if (key) {
    for (const presented of [signed, tokenHolder, bearer]) {
      const isForeign = presented && runtime && !reaches(presented.workspaces, runtime.workspaceId);
      if (isForeign) throw noSuchRuntime(runtime.name);
    }
    return { keyId: key.id, consumed };
  }
  if (!runtime) return { keyId: undefined, consumed };
  if (runtime.credentialName !== undefined) {
    const { keyId, header } = credentialOf(door, call, runtime, runtime.credentialName);
    return { keyId, consumed: consumed.has(header) ? consumed : new Set([...consumed, header]) };
  }
  requireNoBadCredential(door, call);
  if (door.anonymousCalls) return { keyId: undefined, consumed };
  throw new RunsteadError(
    'AccessDenied',
    'AccessDenied: this server takes no anonymous calls; send a key of this server as "Authorization: Bearer rsk_…", sign the call, or send an Agentrun-Access-Token',
  );
}

/** Whose presence needs a closer look. */
const CREDENTIAL_FIELDS: ReadonlySet<string> = new Set([...ALWAYS_CONSUMED, 'authorization']);
const mayProve = new PerFieldName((lower) => CREDENTIAL_FIELDS.has(lower));
/** What all keys and tokens have in them, wherever they stand. */
const KEY_PART = /r[sc]k_|rat_/i;
/** A bearer that is not ours: keys of ours have a `_`. */
const FOREIGN_BEARER = /^bearer [^_]*$/i;
const NOBODY: Principal = { keyId: undefined, consumed: ALWAYS_CONSUMED };

/**
 * What `authenticate` would say of a call that brings nothing of the platform's to a runtime that needs nothing, found out
 * from its names alone; undefined: look closer.
 */
export function anybody(
  door: Door,
  section: FieldSection,
  host: string,
  runtime: RuntimeRoute | undefined,
): Principal | undefined {
  const { text, names } = section;
  if (!door.anonymousCalls || !runtime || runtime.credentialName !== undefined) return undefined;
  let bearers = 0;
  for (const name of names) {
    if (!mayProve.of(name)) continue;
    if (name.lower !== AUTHORIZATION || ++bearers > 1 || !FOREIGN_BEARER.test(section.value(name.lower)!))
      return undefined;
  }
  if (needsSignature(host)) return undefined;
  return text.includes('_') && KEY_PART.test(text) ? undefined : NOBODY;
}

/**
 * Fields, in lower case and with hyphens, that stop here: those that are never the agent's, and those in which something
 * of the platform's was sent, whether it is needed here or not. Nearly always the former alone, which cost no set of
 * their own.
 */
function fieldsWithSecrets(fields: readonly string[]): ReadonlySet<string> {
  let found: Set<string> | undefined;
  for (let at = 0; at < fields.length; at += 2) {
    if (!isSecret(fields[at]!, fields[at + 1]!)) continue;
    found ??= new Set(ALWAYS_CONSUMED);
    found.add(fields[at]!.toLowerCase().replaceAll('_', '-'));
  }
  return found ?? ALWAYS_CONSUMED;
}

const AUTHORIZATION = 'authorization';

function isSecret(spelled: string, value: string): boolean {
  // What every key has in it, looked for first: most values need no more than this.
  if (value.includes('_') && ANY_KEY.test(value)) return true;
  if (spelled.length !== AUTHORIZATION.length || spelled.toLowerCase() !== AUTHORIZATION) return false;
  return SIGNED.test(value) || isKeyAsPassword(value);
}

/** Browsers that have shown the API's reference send its password to all paths beside it (RFC 7617 section 2.2). */
function isKeyAsPassword(authorization: string): boolean {
  const encoded = /^\s*basic\s+([A-Za-z0-9+/_=-]+)\s*$/i.exec(authorization)?.[1];
  return (
    encoded !== undefined && /(?:^|:)(?:r[sc]k|rat)_/i.test(Buffer.from(encoded, 'base64').toString('latin1'))
  );
}

/**
 * Before somebody is let in without a credential: what was sent of the platform's, and is not asked for here, must at
 * least be good.
 * @throws RunsteadError AccessDenied, InvalidAccessKeyId.NotFound
 */
function requireNoBadCredential({ keys }: Door, { fields }: CallHead): void {
  const value = single(fields, 'authorization') ?? '';
  if (SIGNED.test(value)) {
    throw new RunsteadError(
      'AccessDenied',
      `AccessDenied: calls to runtimes are signed in the field Agentrun-Authorization (${DATA_ALGORITHM} …), not in Authorization`,
    );
  }
  const apiKey = CREDENTIAL_BEARER.exec(value)?.[1];
  if (apiKey !== undefined && !keys.credentialKey(apiKey)) {
    throw new RunsteadError(
      'InvalidAccessKeyId.NotFound',
      'InvalidAccessKeyId.NotFound: the key of a credential is not known here, has expired or was revoked; this runtime needs none',
    );
  }
}

/** `123-ram.agentrun-data.…`: the cloud takes only signed calls on such hosts, and so do we (contract: access modes). */
function needsSignature(host: string): boolean {
  const dot = host.indexOf('.');
  return dot > 3 && host.slice(dot - 4, dot).toLowerCase() === '-ram';
}

function signer({ keys, now }: Door, call: CallHead): PlatformKey | undefined {
  const value = single(call.fields, SIGNATURE_FIELD);
  return value ? verifyDataSignature(call, value, keys, now()) : undefined;
}

function holderOfToken(
  { keys, now }: Door,
  { fields }: CallHead,
  runtime: RuntimeRoute | undefined,
): PlatformKey | undefined {
  // Clients that could not get one send the field empty.
  const token = single(fields, TOKEN_FIELD)?.trim();
  if (!token) return undefined;
  const key = verifyAccessToken(token, runtime?.runtimeId, keys, now());
  if (key) return key;
  throw new RunsteadError(
    'AccessDenied',
    'AccessDenied: the Agentrun-Access-Token is not good for this runtime: it is for another one, is more than a day old, or its key was revoked; ask for a new one (GetAccessToken)',
  );
}

function holderOfApiKey({ keys }: Door, { fields }: CallHead): PlatformKey | undefined {
  const value = single(fields, AUTHORIZATION);
  const apiKey = value === undefined ? undefined : PLATFORM_BEARER.exec(value)?.[1];
  if (apiKey === undefined) return undefined;
  const key = keys.byApiKey(apiKey);
  if (key) return key;
  throw new RunsteadError(
    'InvalidAccessKeyId.NotFound',
    'InvalidAccessKeyId.NotFound: the API key is not known here, has expired or was revoked; send a key of this server as ' +
      '"Authorization: Bearer rsk_…", or none',
  );
}

/** @returns the id of the credential's key that was sent, and in which field */
function credentialOf(
  { keys }: Door,
  { fields }: CallHead,
  runtime: RuntimeRoute,
  credentialName: string,
): { keyId: string; header: string } {
  let presented = false;
  for (const header of keys.credentialHeaders(credentialName)) {
    const value = single(fields, header)?.trim();
    const apiKey = header === 'authorization' ? ANY_BEARER.exec(value ?? '')?.[1] : value;
    if (!apiKey) continue;
    presented = true;
    const key = keys.credentialKey(apiKey);
    const fits =
      key?.credentialName === credentialName &&
      (key.headerName ?? 'authorization') === header &&
      reaches(key.workspaces, runtime.workspaceId);
    if (!fits) continue;
    return { keyId: key.id, header };
  }
  throw new RunsteadError(
    'AccessDenied',
    `AccessDenied: ${presented ? 'the API key is not one of' : 'this runtime needs an API key of'} the credential "${credentialName}" (runstead keys create --credential ${credentialName})`,
  );
}

/** With two of them the one that is checked might not be the one that is read further on. */
function single(fields: readonly string[], name: string): string | undefined {
  const values = fieldValues(fields, name);
  if (values.length > 1) throw new RunsteadError('ERR_BAD_REQUEST', `${name} may be sent only once`);
  return values[0];
}
