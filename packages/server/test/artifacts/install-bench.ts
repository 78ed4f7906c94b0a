import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { basename, join } from 'node:path';
import { crc64 } from '@runstead/contract/crc64';
import { afterAll, afterEach, beforeEach, expect } from 'vitest';
import { blobFile } from '../../src/artifacts/folders.ts';
import type { ProgramFamily } from '../../src/artifacts/install/guard.ts';
import type { FindInterpreter, InstallLimit } from '../../src/artifacts/install/kept-install.ts';
import type { InstallRules } from '../../src/artifacts/install/rules.ts';
import { type Prepared, prepare } from '../../src/artifacts/prepare.ts';
import { PhaseFailure } from '../../src/domain/failure.ts';
import type { Artifact, RuntimeSpec } from '../../src/domain/runtime.ts';
import { findInterpreter } from '../../src/drivers/process/find-interpreter.ts';
import { trackProgram } from '../../src/drivers/process/program-family.ts';
import { createStartLimit } from '../../src/reconcile/start-limit.ts';
import { specOf } from '../store-cases.ts';
import { type ArtifactBench, halfMade, openBench, packageOf, RULES } from './bench.ts';

export type Files = Record<string, string | Buffer>;

export interface PreparingOptions {
  timeoutMs?: number;
  signal?: AbortSignal;
  spec?: Partial<RuntimeSpec>;
  findInterpreter?: FindInterpreter;
  limit?: InstallLimit;
  rules?: Partial<InstallRules>;
  artifact?: Partial<Artifact>;
  onOutput?: (lines: readonly string[]) => void;
  /** How programs that run strangers' code are started. Default: as they are. */
  confine?: NonNullable<ProgramFamily['confine']>;
}

export type InstallBench = ReturnType<typeof openInstallBench>;

/**
 * Prepares packages as the server does. One data folder for all tests of a file, so that caches are filled once; each
 * test has a runtime of its own.
 */
export function openInstallBench({ dataDir }: { dataDir?: string | undefined } = {}) {
  const bench: ArtifactBench = openBench(dataDir);
  const limit = createStartLimit(2);
  let runtimes = 0;
  let runtimeId = '';
  const nextRuntime = () => {
    const before = runtimeId;
    runtimeId = `r${++runtimes}`;
    return before;
  };
  beforeEach(() => {
    nextRuntime();
  });
  afterEach(() => expect(halfMade(bench.folders)).toEqual([]));
  afterAll(() => bench.dispose());

  /** The installs of the test's runtime. */
  const installs = () => {
    const folder = join(bench.folders.deps, runtimeId);
    return existsSync(folder) ? readdirSync(folder) : [];
  };

  async function preparing(files: Files, options: PreparingOptions = {}): Promise<string> {
    return (await starting(files, options)).codeDir;
  }

  /** Prepares a package; gives the folder and the command to start it. */
  async function starting(files: Files, options: PreparingOptions = {}): Promise<Prepared> {
    const zip = await packageOf(files);
    const digest = createHash('sha256').update(zip).digest('hex');
    const blob = blobFile(bench.folders, digest);
    // Another start of the same package may be reading it.
    if (!existsSync(blob)) writeFileSync(blob, zip);
    return prepare({
      folders: bench.folders,
      thread: bench.thread,
      runtimeId,
      spec: specOf({ ...options.spec, artifact: { digest, crc64: crc64(zip), ...options.artifact } }),
      limitBytes: 100_000_000,
      limitEntries: 5000,
      installTimeoutMs: options.timeoutMs ?? 60_000,
      findInterpreter: options.findInterpreter ?? findInterpreter,
      installLimit: options.limit ?? limit,
      installRules: { ...RULES, ...options.rules },
      trackProgram: (marks) => ({
        ...trackProgram(marks),
        ...(options.confine && { confine: options.confine }),
      }),
      marks: { RUNSTEAD_DATA_MARK: basename(bench.dataDir) },
      onOutput: options.onOutput ?? (() => {}),
      signal: options.signal ?? new AbortController().signal,
      onPhase: () => {},
    });
  }

  return {
    ...bench,
    preparing,
    starting,
    installs,
    runtimeId: () => runtimeId,
    nextRuntime,
    /** The folder of the test's runtime's only install. */
    install: () => {
      expect(installs()).toHaveLength(1);
      return join(bench.folders.deps, runtimeId, installs()[0]!);
    },
    runtimeFolder: () => join(bench.folders.deps, runtimeId),

    /** Prepares what cannot be installed; gives the reason, once it is clear that it tells nothing of the server's folders. */
    async failure(files: Files, options?: PreparingOptions): Promise<PhaseFailure> {
      const error = await preparing(files, options).catch((reason: unknown) => reason);
      if (!(error instanceof PhaseFailure)) throw error;
      expect(error.phase).toBe('install');
      expect(installs()).toEqual([]);
      expect([error.message, ...error.lastLines].join('\n')).not.toContain(bench.dataDir);
      return error;
    },

    /** Processes at work in the installs of the test's runtime that have a text in their command line (Linux). */
    processesWith(text: string): { pid: number; environment: string }[] {
      return readdirSync('/proc').flatMap((name) => {
        if (!/^\d+$/.test(name)) return [];
        try {
          if (!readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(text)) return [];
          if (readlinkSync(`/proc/${name}/cwd`).startsWith(join(bench.folders.deps, runtimeId))) {
            return [{ pid: Number(name), environment: readFileSync(`/proc/${name}/environ`, 'utf8') }];
          }
        } catch {
          // It ended while it was looked at.
        }
        return [];
      });
    },
  };
}

/** A registry that counts who asks, and answers as a test wants. */
export async function openRegistry(answer: 'nothing' | 404) {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    requests.push(request.url!);
    if (answer === 404) response.writeHead(404).end('{"error":"not found"}');
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Sets variables of this process, the "server", for as long as some work takes. */
export async function withEnvironment<T>(
  variables: Record<string, string | undefined>,
  work: () => Promise<T>,
): Promise<T> {
  const set = (values: Record<string, string | undefined>) => {
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
  const before = Object.fromEntries(Object.keys(variables).map((name) => [name, process.env[name]]));
  set(variables);
  try {
    return await work();
  } finally {
    set(before);
  }
}
