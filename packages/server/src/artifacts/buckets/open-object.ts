import { PhaseFailure } from '../../domain/failure.ts';

/** An object of a bucket that has been opened: its bytes, to be read once. */
export interface OpenObject {
  /** As they come; each piece is to be used before the next one is asked for. */
  bytes: AsyncIterable<Buffer>;
  /** Bytes, where the source tells them beforehand. */
  size: number | undefined;
  /**
   * After the last byte.
   * @throws PhaseFailure when what was read was never the object as a whole
   */
  complete(): Promise<void>;
  /** Lets go of it, read or not. */
  close(): Promise<void>;
}

/** A package that could not be had from its bucket; the message goes to whoever deployed it. */
export function notFetched(message: string, cause?: unknown): PhaseFailure {
  return new PhaseFailure('fetch', message, [], { cause });
}
