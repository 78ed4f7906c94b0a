import type { ExtractJob, ExtractResult } from './extract.ts';
import type { InspectResult } from './inspect.ts';
import type { Usage } from './measure.ts';
import type { UnpackJob } from './unpack.ts';

/** The jobs of the package thread: what goes in, what comes out. */
export interface Jobs {
  extract: { input: ExtractJob; value: ExtractResult };
  /** Path of a package. */
  inspect: { input: string; value: InspectResult };
  unpack: { input: UnpackJob; value: undefined };
  /** Path of a folder. */
  measure: { input: string; value: Usage };
  settle: { input: SettleJob; value: undefined };
}

/** Brings a folder to the disk. */
export interface SettleJob {
  folder: string;
  /** Nothing in it is to be written any more. */
  readOnly: boolean;
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
