import type { ExtractJob, ExtractResult } from './extract.ts';
import type { InspectResult } from './inspect.ts';
import type { UnpackJob } from './unpack.ts';

/** The jobs of the package thread: what goes in, what comes out. */
export interface Jobs {
  extract: { input: ExtractJob; value: ExtractResult };
  /** Path of a package. */
  inspect: { input: string; value: InspectResult };
  unpack: { input: UnpackJob; value: undefined };
}

export interface Order {
  id: number;
  job: keyof Jobs;
  input: unknown;
}

export interface Answer {
  id: number;
  value?: unknown;
  error?: { refused: boolean; message: string; stack: string };
}
