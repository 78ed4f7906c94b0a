import { mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SecretBox } from '../../auth/secret-box.ts';
import { StartFailure } from '../driver.ts';
import type { InstanceSpec } from '../instance-spec.ts';
import type { LogShelf } from '../process/log-shelf.ts';
import type { PortPool } from '../process/port-pool.ts';
import { containerBody } from './container-body.ts';
import { notCreated } from './container-failure.ts';
import { type ContainerInstance, writeKept } from './container-instance.ts';
import { type Engine, EngineRefusal } from './engine.ts';
import type { EngineContainers } from './engine-containers.ts';
import type { ImageStore } from './image-store.ts';
import { linkedFolders } from './linked-folders.ts';
import type { Networks } from './networks.ts';
import type { Strays } from './sweep-containers.ts';
import type { WatchContainer } from './watch-container.ts';

/** What the start of a container depends on besides the instance. */
export interface StartSettings {
  images: ImageStore;
  /** Seals what is to be masked in logs, for a server started later. */
  box: () => SecretBox;
  /** Kept of each instance's log, here and, while this server is not there, in the engine. */
  logLimitBytes: number;
  accountId: string;
  region: string;
  /** The image that code of a language runs in; for specs without an image. */
  codeImages: Readonly<Record<string, string>>;
}

/** An engine that is to start many at once takes its time for each. */
const PATIENCE = { silenceMs: 120_000 };
/** A port that was free may be taken by the time the engine asks for it. */
const PORT_TRIES = 3;

/** How an instance's container is made and started. */
export function createContainerStart(
  settings: StartSettings,
  parts: {
    engine: Engine;
    containers: EngineContainers;
    networks: Networks;
    ports: PortPool;
    shelf: LogShelf;
    dataMark: string;
    logsDir: string;
    strays: Strays;
    watch: WatchContainer;
  },
) {
  const { engine, containers, networks, ports, shelf, strays, dataMark, logsDir } = parts;

  /**
   * What it makes, it notes on the instance before: whoever clears it away knows how far it has come.
   * @returns when the engine was told to start it, in ms of the monotonic clock
   * @throws StartFailure; the halt's reason
   */
  return async function startContainer(instance: ContainerInstance, spec: InstanceSpec): Promise<number> {
    const { halt, folder, container } = instance;
    const { signal } = halt;
    try {
      // First: what is left of others may hold what this one needs.
      await strays.sweep();
      const facts = await engine.facts();
      const image = await imageFor(spec, signal);
      signal.throwIfAborted();
      await rm(folder, { recursive: true, force: true });
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      mkdirSync(join(logsDir, spec.runtimeId), { recursive: true, mode: 0o700 });
      shelf.begin(spec);
      instance.hasNetwork = true;
      const network = await networks.take(spec.runtimeId);
      const linked = spec.image ? { folders: [], sitePackages: [] } : linkedFolders(spec.codeDir);
      for (let tried = 1; ; tried++) {
        signal.throwIfAborted();
        instance.port = await ports.take();
        const body = containerBody(spec, {
          image,
          network,
          hostPort: instance.port,
          dataMark,
          accountId: settings.accountId,
          region: settings.region,
          logLimitBytes: 2 * settings.logLimitBytes,
          facts,
          user: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
          linked: linked.folders,
          sitePackages: linked.sitePackages,
        });
        writeKept(instance);
        // From here on, whatever becomes of the answer.
        instance.mayExist = true;
        const id = await create(container, body);
        signal.throwIfAborted();
        const startedAt = performance.now();
        try {
          await engine.ask('POST', `/containers/${container}/start`, PATIENCE);
        } catch (error) {
          const isTaken =
            error instanceof EngineRefusal && /address already in use|port is already/.test(error.message);
          if (!isTaken || tried === PORT_TRIES) throw error;
          await containers.remove(container);
          ports.release(instance.port);
          continue;
        }
        await parts.watch(instance, id, settings.box());
        return startedAt;
      }
    } catch (error) {
      halt.signal.throwIfAborted();
      if (error instanceof StartFailure) throw error;
      if (error instanceof EngineRefusal) throw notCreated(spec.command[0], error.message);
      const { message } = error as Error;
      throw new StartFailure('start', 'cannot-start', message);
    }
  };

  /** @returns its id */
  async function create(name: string, body: object): Promise<string> {
    try {
      const call = { query: { name }, body, ...PATIENCE };
      return (await engine.ask<{ Id: string }>('POST', '/containers/create', call)).Id;
    } catch (error) {
      // Without its word it may make it yet, after all that is there has been cleared away.
      if (!(error instanceof EngineRefusal)) strays.expectLateOnes();
      throw error;
    }
  }

  /** @returns the name that the image has in the engine */
  async function imageFor(spec: InstanceSpec, signal: AbortSignal): Promise<string> {
    const { images } = settings;
    const onProgress = () => {};
    if (spec.image) return images.ensure(spec.image, spec.image.registry, { signal, onProgress });
    const name = settings.codeImages[spec.language];
    if (name === undefined) {
      throw new StartFailure(
        'start',
        'cannot-start',
        `no image is set for ${spec.language} to run in; name one with RUNSTEAD_CODE_IMAGES=${spec.language}=<image>`,
      );
    }
    const isThere = await engine.ask('GET', `/images/${name}/json`).then(
      () => true,
      (error: unknown) => {
        if (error instanceof EngineRefusal && error.status === 404) return false;
        throw error;
      },
    );
    if (isThere) return name;
    const fixed = await images.fix(name, undefined, { signal, onProgress });
    return images.ensure(fixed, undefined, { signal, onProgress });
  }
}
