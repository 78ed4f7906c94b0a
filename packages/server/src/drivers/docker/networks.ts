import { createHash } from 'node:crypto';
import { pathSegment } from '../process/log-shelf.ts';
import { LABEL } from './container-body.ts';
import { type Engine, EngineRefusal } from './engine.ts';

export type Networks = ReturnType<typeof createNetworks>;

/**
 * A network for each runtime that has containers: its instances see no neighbour, and nothing of this machine but what
 * listens on all addresses. It goes with the last of them, since engines have addresses for a few dozen only.
 * @param mark names the data folder
 */
export function createNetworks(engine: Engine, mark: string) {
  const users = new Map<string, number>();
  /** Making and removing one of the same name, in turn. */
  const turns = new Map<string, Promise<unknown>>();
  const nameOf = (runtimeId: string) => `runstead-${mark}-${pathSegment(runtimeId)}`;

  function inTurn<T>(name: string, work: () => Promise<T>): Promise<T> {
    const mine = (turns.get(name) ?? Promise.resolve()).then(work, work);
    const settled = mine.catch(() => {});
    turns.set(name, settled);
    void settled.then(() => {
      if (turns.get(name) === settled) turns.delete(name);
    });
    return mine;
  }

  return {
    /** For one more container; to be released whatever comes of it. @returns the network's name */
    take(runtimeId: string): Promise<string> {
      const name = nameOf(runtimeId);
      users.set(name, (users.get(name) ?? 0) + 1);
      return inTurn(name, async () => {
        await make(name, runtimeId);
        return name;
      });
    },

    /** For a container that is there already. */
    hold(runtimeId: string): void {
      const name = nameOf(runtimeId);
      users.set(name, (users.get(name) ?? 0) + 1);
    },

    /** A container is gone. */
    release(runtimeId: string): Promise<void> {
      const name = nameOf(runtimeId);
      const left = (users.get(name) ?? 1) - 1;
      if (left > 0) users.set(name, left);
      else users.delete(name);
      return inTurn(name, async () => {
        if (!users.has(name)) await remove(name);
      });
    },

    /** Removes those of ours that nobody uses. */
    async sweep(): Promise<void> {
      const filters = JSON.stringify({ label: [`${LABEL.data}=${mark}`] });
      const networks = await engine.ask<{ Name: string }[]>('GET', '/networks', { query: { filters } });
      for (const { Name: name } of networks)
        if (!users.has(name)) await inTurn(name, async () => void (users.has(name) || (await remove(name))));
    },
  };

  async function make(name: string, runtimeId: string): Promise<void> {
    const { isPodman } = await engine.facts();
    const body = {
      Name: name,
      Driver: 'bridge',
      CheckDuplicate: true,
      Labels: { [LABEL.data]: mark, [LABEL.runtime]: runtimeId },
      // Docker keeps networks apart by itself, and Podman those that ask for it. Podman counts its bridges, and two engines
      // of one machine would come to the same number.
      Options: isPodman
        ? { isolate: 'true', 'com.docker.network.bridge.name': bridgeName(name) }
        : { 'com.docker.network.bridge.enable_icc': 'false' },
    };
    try {
      await engine.ask('POST', '/networks/create', { body });
    } catch (error) {
      if (
        error instanceof EngineRefusal &&
        (error.status === 409 || /already (exists|used)/.test(error.message))
      )
        return;
      throw error;
    }
  }

  async function remove(name: string): Promise<void> {
    await engine.ask('DELETE', `/networks/${name}`).catch((error: unknown) => {
      // Gone, or in use by a container that is on its way out: the next sweep finds it.
      if (!(error instanceof EngineRefusal)) throw error;
    });
  }
}

/** Names of interfaces have 15 characters at most. */
function bridgeName(network: string): string {
  return `br-${createHash('sha256').update(network).digest('hex').slice(0, 12)}`;
}
