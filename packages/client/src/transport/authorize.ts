import { API_VERSION } from '@runstead/contract/paths';
import type { Target } from '../config/target.ts';
import type { WireRequest } from './exchange.ts';

/** Loaded when it is needed: whoever has a Runstead key signs nothing. */
const signing = () => import('./sign.ts');

/** The request as it goes to the control plane: with the credential, however that is shown. */
export async function authorizeControl(
  request: WireRequest,
  action: string | undefined,
  { credential }: Target,
): Promise<WireRequest> {
  const headers = {
    ...request.headers,
    'x-acs-version': API_VERSION,
    ...(action !== undefined && { 'x-acs-action': action }),
  };
  if (credential.kind === 'apiKey') {
    return { ...request, headers: { ...headers, authorization: `Bearer ${credential.apiKey}` } };
  }
  if (credential.kind !== 'accessKey') return { ...request, headers };
  // Encoded here, once: what is hashed is what is sent.
  const body = new TextEncoder().encode((request.body as string | undefined) ?? '');
  const { signControlRequest } = await signing();
  const signed = await signControlRequest({ ...request, headers }, credential, {
    body,
    date: new Date(),
    nonce: crypto.randomUUID().replaceAll('-', ''),
  });
  return { ...request, headers: signed, ...(request.body !== undefined && { body }) };
}

/** The request as it goes to the data plane. Without a credential it goes as it is: agents may be open to everybody. */
export async function authorizeData(
  request: WireRequest,
  { credential, regionId }: Target,
): Promise<WireRequest> {
  const { headers } = request;
  if (credential.kind === 'apiKey') {
    return { ...request, headers: { ...headers, authorization: `Bearer ${credential.apiKey}` } };
  }
  if (credential.kind === 'accessToken') {
    return { ...request, headers: { ...headers, 'agentrun-access-token': credential.token } };
  }
  if (credential.kind === 'none') return request;
  const url = signedHost(request.url);
  // As the official clients do: the content type is not signed here.
  const { 'content-type': contentType, ...signable } = headers;
  const { signDataRequest } = await signing();
  const signed = await signDataRequest({ ...request, url, headers: signable }, credential, {
    regionId,
    date: new Date(),
  });
  return { ...request, url, headers: { ...signed, ...(contentType && { 'content-type': contentType }) } };
}

/** The cloud takes signed calls on hosts of their own: `123.agentrun-data.…` → `123-ram.agentrun-data.…`. */
function signedHost(url: URL): URL {
  if (!url.host.includes('.agentrun-data.') && !url.host.includes('.funagent-data-pre.')) return url;
  const signed = new URL(url);
  const [account, ...domain] = url.hostname.split('.');
  if (account !== undefined && !account.endsWith('-ram'))
    signed.hostname = [`${account}-ram`, ...domain].join('.');
  return signed;
}
