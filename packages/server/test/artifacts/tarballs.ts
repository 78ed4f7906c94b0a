import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export type TarballFiles = Record<string, string | Buffer>;
export type Tarballs = Awaited<ReturnType<typeof openTarballs>>;

interface LockManifest {
  name: string;
  version: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

/** How often a slow registry sends a piece, and how much of an archive that is. */
const PIECE_MS = 50;
const PIECES = 60;

/**
 * A registry with the tarballs of some packages of version 1.0.0, on loopback.
 * @param slow those that come slowly, over some three seconds
 */
export async function openTarballs(packages: Record<string, TarballFiles>, slow: readonly string[] = []) {
  const archives = new Map(Object.entries(packages).map(([name, files]) => [name, tarball(files)]));
  const requests: string[] = [];
  const answer = (path: string, response: ServerResponse) => {
    const name = /^\/(\w+)-1\.0\.0\.tgz$/.exec(path)?.[1] ?? '';
    const archive = archives.get(name);
    if (archive === undefined) response.writeHead(404).end('{"error":"not found"}');
    else if (slow.includes(name)) sendSlowly(archive, response);
    else response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(archive);
  };
  const server = createServer((request, response) => {
    requests.push(request.url!);
    answer(request.url!, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  return {
    requests,
    /** A package-lock.json of a manifest whose dependencies are here. */
    lock(manifest: LockManifest, { checksums = true }: { checksums?: boolean } = {}): string {
      const { dependencies = {}, devDependencies = {} } = manifest;
      const entry = (name: string) => ({
        version: '1.0.0',
        resolved: `${url}/${name}-1.0.0.tgz`,
        ...(checksums && { integrity: integrityOf(archives.get(name)!) }),
        ...(name in devDependencies && { dev: true }),
        ...manifestOf(packages[name]!),
      });
      return JSON.stringify({
        name: manifest.name,
        version: manifest.version,
        lockfileVersion: 3,
        requires: true,
        packages: {
          '': { name: manifest.name, version: manifest.version, dependencies, devDependencies },
          ...Object.fromEntries(
            [...Object.keys(dependencies), ...Object.keys(devDependencies)].map((name) => [
              `node_modules/${name}`,
              entry(name),
            ]),
          ),
        },
      });
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function sendSlowly(archive: Buffer, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/octet-stream' });
  const size = Math.ceil(archive.length / PIECES);
  let sent = 0;
  const timer = setInterval(() => {
    response.write(archive.subarray(sent, sent + size));
    sent += size;
    if (sent < archive.length) return;
    clearInterval(timer);
    response.end();
  }, PIECE_MS);
  response.on('close', () => clearInterval(timer));
}

/** What npm writes into a lockfile of a package's manifest. */
function manifestOf(files: TarballFiles): object {
  const { bin, scripts } = JSON.parse(String(files['package.json'])) as {
    bin?: object;
    scripts?: Record<string, string>;
  };
  const hasInstallScript = ['preinstall', 'install', 'postinstall'].some((name) => scripts?.[name]);
  return { ...(bin && { bin }), ...(hasInstallScript && { hasInstallScript }) };
}

export function integrityOf(archive: Buffer): string {
  return `sha512-${createHash('sha512').update(archive).digest('base64')}`;
}

/** Files as a package for npm, by the system's tar. */
export function tarball(files: TarballFiles, root = 'package'): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-tarball-'));
  try {
    for (const [name, content] of Object.entries(files)) {
      const path = join(folder, root, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, content, { mode: name.startsWith('bin') ? 0o755 : 0o644 });
    }
    execFileSync('tar', ['-czf', 'archive.tgz', root], { cwd: folder });
    return readFileSync(join(folder, 'archive.tgz'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
