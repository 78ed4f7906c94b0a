import { startEngine } from '../../../../bench/container-engine.mjs';
import { engineAddresses } from '../../src/domain/engine-address.ts';
import { createEngine, type Engine } from '../../src/drivers/docker/engine.ts';

export { engineMissing, nodeArchive } from '../../../../bench/container-engine.mjs';

/** An engine of the test's own: a service of Podman on a socket and a storage that nobody else knows. */
export interface TestEngine {
  engine: Engine;
  socket: string;
  /** Ends the service; what runs in containers runs on. */
  stop(): Promise<void>;
  /** Starts it again. */
  start(): Promise<void>;
  /** Calls the program on the same storage. */
  podman(...args: string[]): Promise<string>;
  /** Ends everything in it and removes it. */
  dispose(): Promise<void>;
}

/** @param options.trustedCa a file with the certificates of the only authorities that it trusts */
export async function startPodman(options: { trustedCa?: string } = {}): Promise<TestEngine> {
  const service = await startEngine(options);
  return { ...service, engine: createEngine(engineAddresses(service.socket, {})) };
}
