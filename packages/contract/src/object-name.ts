import { OBJECT_NAME_MAX_BYTES } from './limits.ts';

/**
 * Why a text can be the name of no package in any bucket: stores refuse such names, or software on the way takes them
 * for another path. Undefined when it may be one; what a store holds, only asking tells.
 */
export function objectNameFault(name: string): string | undefined {
  if (name === '') return 'must not be empty';
  const bytes = new TextEncoder().encode(name).length;
  if (bytes > OBJECT_NAME_MAX_BYTES) {
    return `must have at most ${OBJECT_NAME_MAX_BYTES} bytes in UTF-8; these are ${bytes}`;
  }
  if (/\p{Cc}/u.test(name)) return 'must not contain control characters';
  if (/\p{Cs}/u.test(name)) return 'must not contain half a character (a lone surrogate)';
  if (name.includes('\\')) return 'must not contain a backslash; folders are separated by "/"';
  if (name.startsWith('/')) return 'must not begin with "/"; it is relative to its bucket';
  if (name.endsWith('/')) return 'must not end with "/"; it is to name an object, not a folder';
  if (/(?:^|\/)\.{1,2}(?:\/|$)/.test(name)) return 'must not have "." or ".." between slashes';
  return undefined;
}
