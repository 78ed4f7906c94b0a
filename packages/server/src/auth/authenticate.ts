import { RunsteadError } from '@runstead/contract';
import { findKey, type StoredKey } from './api-key.ts';

/** Who calls. */
export interface Principal {
  keyId: string;
}

/**
 * Who a control-plane request comes from, by its `Authorization` field.
 * @throws RunsteadError ERR_UNAUTHORIZED, saying which credential to send
 */
export function authenticate(authorization: string | undefined, keys: readonly StoredKey[]): Principal {
  const hint =
    'Send "Authorization: Bearer rsk_…"; the key of this machine lies in local-key.json of the data folder';
  if (authorization === undefined || authorization === '') {
    throw new RunsteadError('ERR_UNAUTHORIZED', `AccessDenied: no credential was sent. ${hint}`);
  }
  const bearer = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
  if (bearer === undefined) {
    // A first word alone may be the credential itself, sent without a scheme.
    const scheme = /^([\w-]{1,40}) /.exec(authorization)?.[1];
    const what =
      scheme === undefined
        ? 'the credential has no scheme'
        : /^bearer$/i.test(scheme)
          ? 'no single key follows "Bearer"'
          : `scheme "${scheme}" is not accepted here`;
    throw new RunsteadError('ERR_UNAUTHORIZED', `AccessDenied: ${what}. ${hint}`);
  }
  const key = findKey(bearer, keys);
  if (!key)
    throw new RunsteadError(
      'ERR_UNAUTHORIZED',
      `InvalidAccessKeyId.NotFound: the API key is not known. ${hint}`,
    );
  return { keyId: key.id };
}
