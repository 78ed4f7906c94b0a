import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';

/**
 * Variables that make clients trust the local authority. Most of them replace what a client trusts otherwise, and the
 * same shell has to reach the internet as before: so they name a bundle of both.
 */

/** `SSL_CERT_FILE`: Python's ssl, aiohttp, httpx, Go, Ruby; `REQUESTS_CA_BUNDLE`: requests; `CURL_CA_BUNDLE`: curl. */
const REPLACING = ['SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE'] as const;
/** Adds to what Node trusts. */
const ADDING = 'NODE_EXTRA_CA_CERTS';

/** Where systems keep what they trust: Debian, Red Hat, SUSE, Alpine and macOS and BSD. */
export const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

export interface TrustOptions {
  caFile: string;
  dataDir: string;
  env: Record<string, string | undefined>;
  note: (text: string) => void;
  systemBundles?: readonly string[];
}

/** Writes the bundles and tells the variables. */
export function trustVariables(options: TrustOptions): Record<string, string> {
  const { caFile, dataDir, note } = options;
  const authority = readFileSync(caFile, 'utf8');
  const run = join(dataDir, 'run');
  const bundle = join(run, 'ca-bundle.pem');
  const base = trustedOtherwise(options);
  write(bundle, base.name, base.text, authority);
  note(`${REPLACING.join(', ')} name ${bundle}: ${base.name}, and the local authority.`);

  const forNode = givenBefore(ADDING, options);
  const nodeBundle = forNode ? join(run, 'ca-node.pem') : caFile;
  if (forNode) write(nodeBundle, forNode.name, forNode.text, authority);
  return { ...Object.fromEntries(REPLACING.map((name) => [name, bundle])), [ADDING]: nodeBundle };
}

interface Certificates {
  /** Where they are from, for people and for the next time. */
  name: string;
  text: string;
}

const NODE_ROOTS = 'the certificates that Node brings along';

function trustedOtherwise(options: TrustOptions): Certificates {
  for (const name of REPLACING) {
    const given = givenBefore(name, options);
    if (given) return given;
  }
  for (const file of options.systemBundles ?? SYSTEM_BUNDLES) {
    const text = certificatesIn(file);
    if (text !== undefined) return { name: file, text };
  }
  return { name: NODE_ROOTS, text: `${rootCertificates.join('\n')}\n` };
}

/** What a variable named before it ever named a bundle of ours. */
function givenBefore(variable: string, { env, caFile, note }: TrustOptions): Certificates | undefined {
  let file = env[variable];
  if (!file || file === caFile) return undefined;
  const origin = originOf(file);
  if (origin !== undefined) file = origin;
  if (file === NODE_ROOTS) return undefined;
  const text = certificatesIn(file);
  if (text !== undefined) return { name: file, text };
  note(`${variable} names ${file}, which is no file of certificates that can be read; it is passed over.`);
  return undefined;
}

const MARK = '# Made by "runstead env" from: ';

function originOf(file: string): string | undefined {
  const [first = ''] = (readText(file) ?? '').split('\n', 1);
  return first.startsWith(MARK) ? first.slice(MARK.length) : undefined;
}

function certificatesIn(file: string): string | undefined {
  const text = readText(file);
  return text?.includes('-----BEGIN CERTIFICATE-----') ? text : undefined;
}

/** Undefined also for a folder, which some of these variables may name. */
function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function write(file: string, origin: string, base: string, authority: string): void {
  mkdirSync(join(file, '..'), { recursive: true, mode: 0o700 });
  const fresh = `${file}.${process.pid}.tmp`;
  writeFileSync(fresh, `${MARK}${origin}\n${authority}\n${base}`, { mode: 0o644 });
  chmodSync(fresh, 0o644);
  renameSync(fresh, file);
}
