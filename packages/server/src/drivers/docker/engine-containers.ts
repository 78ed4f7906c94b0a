import { pathSegment } from '../process/log-shelf.ts';
import { LABEL } from './container-body.ts';
import { type Engine, EngineRefusal } from './engine.ts';

export interface ContainerState {
  Id: string;
  State: { Running: boolean; Status?: string; ExitCode: number; OOMKilled?: boolean; Pid?: number };
}

export interface ListedContainer {
  Id: string;
  Labels: Record<string, string | undefined>;
}

export type EngineContainers = ReturnType<typeof createEngineContainers>;

/**
 * The containers of a data folder, as its engine knows them.
 * @param mark names the data folder
 */
export function createEngineContainers(engine: Engine, mark: string) {
  return {
    nameOf: (instanceId: string) => `runstead-${mark}-${pathSegment(instanceId)}`,

    /** All that bear our mark, whatever their state. */
    list(): Promise<ListedContainer[]> {
      const filters = JSON.stringify({ label: [`${LABEL.data}=${mark}`] });
      return engine.ask('GET', '/containers/json', { query: { all: 'true', filters } });
    },

    /** Undefined: it is not there. */
    async inspect(container: string): Promise<ContainerState | undefined> {
      try {
        return await engine.ask<ContainerState>('GET', `/containers/${container}/json`);
      } catch (error) {
        if (error instanceof EngineRefusal && error.status === 404) return undefined;
        throw error;
      }
    },

    /** @returns false: it is not there, or does not run */
    signal(container: string, name: string): Promise<boolean> {
      return engine.ask('POST', `/containers/${container}/kill`, { query: { signal: name } }).then(
        () => true,
        (error: unknown) => {
          if (error instanceof EngineRefusal) return false;
          throw error;
        },
      );
    },

    /** By force, with the volumes that were made for it. */
    async remove(container: string): Promise<void> {
      await engine
        .ask('DELETE', `/containers/${container}`, { query: { force: 'true', v: 'true' } })
        .catch((error: unknown) => {
          if (!(error instanceof EngineRefusal) || error.status !== 404) throw error;
        });
    },
  };
}
