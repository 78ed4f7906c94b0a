import type { HealthCheckConfiguration, Language } from '@runstead/contract';
import type { FixedImage, RegistryConfig } from './images.ts';

/** Everything a driver needs to run one instance. Plain values: a driver knows nothing of endpoints or weights. */
export interface InstanceSpec {
  /** A UUID, new for every start. */
  instanceId: string;
  runtimeId: string;
  runtimeName: string;
  /** The revision of the runtime this configuration came from: it names a version before that has a number. */
  revision: number;
  /** What is run instead of a package; `codeDir` is empty then, and an empty `command` leaves it to the image. */
  image?: FixedImage & { registry: RegistryConfig | undefined };
  /** Unpacked package with its dependencies in place; also the working directory. */
  codeDir: string;
  language: Language;
  /** Program and arguments. */
  command: string[];
  /** The port the agent believes it listens on; a listen on it is remapped to the instance's own. */
  port: number;
  /** The user's variables; the driver adds its own, which win. */
  environment: Record<string, string>;
  /**
   * Of these variables, those whose values are secrets whatever they are called: to be masked in logs, and never to be
   * seen in a list of processes. Absent: none.
   */
  secretVariables?: readonly string[];
  /** Directories of this machine that it may write to, each under its own name. Default: none. */
  mounts?: readonly string[];
  /** vCPU. */
  cpu: number;
  memoryMiB: number;
  healthCheck: HealthCheckConfiguration;
  /** How long the instance has to become ready. */
  startTimeoutMs: number;
}
