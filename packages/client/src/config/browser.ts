import { ValueError } from '../errors.ts';
import type { Credential } from './target.ts';

/** A page with a document. Workers of the edge have neither; those of a page get what the page gives them. */
function isBrowser(): boolean {
  const { window, navigator } = globalThis as { window?: { document?: unknown }; navigator?: unknown };
  return window?.document !== undefined && navigator !== undefined;
}

/** @throws ValueError for a key in a page, where everybody who opens it could take it */
export function refuseKeysInBrowsers({ kind }: Credential): void {
  if ((kind !== 'apiKey' && kind !== 'accessKey') || !isBrowser()) return;
  const setting = kind === 'apiKey' ? 'apiKey' : 'accessKeyId and accessKeySecret';
  throw new ValueError(
    `${setting} would be open to everybody who opens this page: call through a server of your own, or give the page a ` +
      'token (getAccessToken); dangerouslyAllowBrowser: true if everybody may have the key',
  );
}
