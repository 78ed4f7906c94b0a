import { createHash, randomUUID } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Crc64 } from '@runstead/contract/crc64';
import { COMMAND_REQUIRED } from '../../domain/entry.ts';
import { PhaseFailure } from '../../domain/failure.ts';
import {
  type Artifact,
  checksumFault,
  type ObjectPlace,
  type RuntimeSpec,
  startCommand,
} from '../../domain/runtime.ts';
import type { DataFolders } from '../folders.ts';
import type { PackageIntake } from '../intake.ts';
import { shown } from '../zip-bytes.ts';
import { openLocalObject } from './local-bucket.ts';
import { notFetched, type OpenObject } from './open-object.ts';
import { brokenOff, openS3Object, type S3Settings } from './s3-bucket.ts';

export interface PackageFetcherOptions {
  folders: DataFolders;
  intake: PackageIntake;
  /** Where buckets lie that have no folder in the data folder; absent: nowhere. */
  s3: S3Settings | undefined;
  /** Largest package. */
  limitBytes: number;
  /** For one package, from first to last. */
  timeoutMs: number;
  /** How long the store may keep silent. Default 30 s. */
  silenceMs?: number;
}

export interface FetchedPackage {
  artifact: Artifact;
  /** Lets the package go again unless something refers to it by now. */
  release(): void;
}

/**
 * Fetches a package from its bucket into the blob folder, by way of the disk.
 * @throws PhaseFailure, or the signal's reason; nothing is left then
 */
export type FetchPackage = (
  place: ObjectPlace,
  spec: RuntimeSpec,
  signal: AbortSignal,
) => Promise<FetchedPackage>;

const SILENCE_MS = 30_000;

export function createPackageFetcher(options: PackageFetcherOptions): FetchPackage {
  const { folders, intake, limitBytes } = options;
  return async (place, spec, outerSignal) => {
    const patience = createPatience(outerSignal, options, place);
    const file = join(folders.incoming, `${randomUUID()}.zip`);
    try {
      const source = await openObject(place, options, patience.signal);
      const received = await receive(source, file, place, limitBytes, patience).finally(source.close);
      // It is here; whatever the package thread has to do first is not the store's delay.
      patience.end();
      const fault = checksumFault(spec, received.crc64);
      if (fault !== undefined) throw notFetched(fault);
      const { artifact, packageReadable, release } = await intake.keep(file, received);
      // One that cannot be read is left to unpacking, which says why.
      if (packageReadable && !startCommand({ ...spec, artifact })) {
        release();
        throw notFetched(COMMAND_REQUIRED);
      }
      return { artifact, release };
    } catch (error) {
      await rm(file, { force: true });
      // Whatever a reader or writer made of it, this is why it was told to stop.
      patience.signal.throwIfAborted();
      throw withoutPath(error);
    } finally {
      patience.end();
    }
  };
}

/** The system's own faults by their code alone: their messages show the server's folders. */
function withoutPath(error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined || error instanceof PhaseFailure) return error;
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return notFetched(
    full ? "no space is left on the server's disk" : `the server could not keep the package: ${code}`,
    error,
  );
}

/** A folder in the data folder goes first, and hides a bucket of that name in the store. */
async function openObject(
  place: ObjectPlace,
  { folders, s3 }: PackageFetcherOptions,
  signal: AbortSignal,
): Promise<OpenObject> {
  const local = await openLocalObject(folders.buckets, place);
  if (local) return local;
  if (s3) return openS3Object(s3, place, signal);
  throw notFetched(
    `bucket ${shown(place.bucket)} is not there: the server's operator can make a folder of that name in the data folder's buckets, or configure an object store (RUNSTEAD_S3_ENDPOINT); or send the package as codeConfiguration.zipFile`,
  );
}

/** Writes an object to a file, flushed, and hashes it on the way; no more of it is ever in memory than one piece. */
async function receive(
  source: OpenObject,
  file: string,
  place: ObjectPlace,
  limitBytes: number,
  patience: Patience,
): Promise<{ digest: string; crc64: string }> {
  if ((source.size ?? 0) > limitBytes) throw tooLarge(place, limitBytes, source.size);
  const sha256 = createHash('sha256');
  const crc64 = new Crc64();
  let bytes = 0;
  const target = await open(file, 'wx', 0o600);
  try {
    for await (const piece of source.bytes) {
      bytes += piece.length;
      if (bytes > limitBytes) throw tooLarge(place, limitBytes);
      sha256.update(piece);
      crc64.update(piece);
      await target.appendFile(piece);
      patience.signal.throwIfAborted();
      patience.heard();
    }
    if (source.size !== undefined && bytes !== source.size) throw brokenOff(place, bytes, source.size);
    await source.complete();
    await target.sync();
  } finally {
    await target.close();
  }
  return { digest: sha256.digest('hex'), crc64: crc64.digest() };
}

function tooLarge({ object }: ObjectPlace, limitBytes: number, size?: number) {
  const seen = size === undefined ? '' : ` (${size} bytes)`;
  return notFetched(`object ${shown(object)}${seen} is larger than the limit of ${limitBytes} bytes`);
}

interface Patience {
  /** Aborts with a PhaseFailure when it has run out, else with the outer signal. */
  signal: AbortSignal;
  /** Something has come. */
  heard(): void;
  end(): void;
}

function createPatience(
  outer: AbortSignal,
  { timeoutMs, silenceMs = SILENCE_MS }: PackageFetcherOptions,
  { object }: ObjectPlace,
): Patience {
  const own = new AbortController();
  const giveUp = (message: string) => () => own.abort(notFetched(message));
  const total = setTimeout(
    giveUp(`object ${shown(object)} was not here after ${seconds(timeoutMs)}; that is the limit`),
    timeoutMs,
  );
  const silence = setTimeout(giveUp(`the object store sent nothing for ${seconds(silenceMs)}`), silenceMs);
  return {
    signal: AbortSignal.any([outer, own.signal]),
    heard: () => void silence.refresh(),
    end() {
      clearTimeout(total);
      clearTimeout(silence);
    },
  };
}

function seconds(ms: number): string {
  return `${ms / 1000} s`;
}
