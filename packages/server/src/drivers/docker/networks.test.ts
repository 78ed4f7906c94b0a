import { expect, it } from 'vitest';
import { type Engine, EngineRefusal } from './engine.ts';
import { createNetworks } from './networks.ts';

/** What was asked, and an engine that refuses to make the networks it is told to. */
function engineOf() {
  const asked: string[] = [];
  const state = { refuses: false };
  const ask = async (method: string, path: string) => {
    asked.push(`${method} ${path}`);
    if (state.refuses) throw new EngineRefusal(500, 'no address is free');
  };
  const facts = async () => ({ isPodman: true, isRootless: false, cpus: 2, architecture: 'amd64' });
  return { engine: { ask, facts } as unknown as Engine, asked, state };
}

it('a network goes with the last of those that use it, also when one more could not have it', async () => {
  const { engine, asked, state } = engineOf();
  const networks = createNetworks(engine, 'mark');
  await networks.take('r');
  state.refuses = true;
  await expect(networks.take('r')).rejects.toThrow('no address is free');
  state.refuses = false;
  // Whoever asked for it gives it back, whatever came of it.
  await networks.release('r');
  expect(asked.filter((it) => it.startsWith('DELETE'))).toEqual([]);
  await networks.release('r');
  expect(asked.at(-1)).toBe('DELETE /networks/runstead-mark-r');
});
