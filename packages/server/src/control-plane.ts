import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { composeControl } from './compose.ts';
import type { Config } from './config.ts';
import type { Driver } from './drivers/driver.ts';
import { lockFolder } from './folder-lock.ts';
import { createLog } from './observe/log.ts';
import type { Store } from './store/store.ts';

/** The control plane's API on a unix socket, with nothing behind it. */
export interface ControlPlane {
  socketPath: string;
  apiKey: string;
  /** What the API reads and writes: thousands of runtimes are put in here, where thousands of deploys would take hours. */
  store: Store;
  close(): Promise<void>;
}

/**
 * Opens the control plane of a data folder without gateway, reconciler and agents: what is written is kept and answered
 * for, and nothing comes of it. For measuring the API by itself; a server is `startServer`.
 * @throws FolderInUse, MigrationError
 */
export async function openControlPlane(config: Readonly<Config>): Promise<ControlPlane> {
  const lock = lockFolder(config.dataDir);
  try {
    const control = await composeControl({
      config,
      driver: runsNothing,
      reconcile: false,
      log: createLog(config.logLevel, 'control'),
      publicUrl: () => config.publicUrl ?? 'http://127.0.0.1',
    });
    const run = join(config.dataDir, 'run');
    mkdirSync(run, { recursive: true, mode: 0o700 });
    const socketPath = join(run, 'alone.sock');
    await control.api.listen({ path: socketPath });
    return {
      socketPath,
      apiKey: control.apiKey,
      store: control.store,
      async close() {
        await control.close({ stopInstances: false });
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

const never = (): never => {
  throw new Error('a control plane without a reconciler runs nothing');
};

const runsNothing: Driver = {
  name: 'none',
  marks: {},
  start: never,
  stop: never,
  // Another server's instances are left alone: they are not this one's to end.
  adopt: async () => [],
  list: () => [],
  identify: never,
  probe: never,
  logTail: async () => [],
  forgetRuntime: async () => {},
  close: async () => {},
};
