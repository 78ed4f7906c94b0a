import { expect, it } from 'vitest';
import { type Engine, EngineRefusal } from './engine.ts';
import { createNetworks } from './networks.ts';

interface NewNetwork {
  Name: string;
  Options: Record<string, string>;
}

/** What was asked, and an engine that refuses to make the networks it is told to. */
function engineOf() {
  const asked: string[] = [];
  const bodies: NewNetwork[] = [];
  const state = { refuses: false };
  const ask = async (method: string, path: string, { body }: { body?: NewNetwork } = {}) => {
    asked.push(`${method} ${path}`);
    if (body) bodies.push(body);
    if (state.refuses) throw new EngineRefusal(500, 'no address is free');
  };
  const facts = async () => ({ isPodman: true, isRootless: false, cpus: 2, architecture: 'amd64' });
  return { engine: { ask, facts } as unknown as Engine, asked, bodies, state };
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

it('a network has a bridge that no other one has, of whatever data folder or engine', async () => {
  const { engine, bodies } = engineOf();
  for (const mark of ['mark', 'other'])
    for (const runtimeId of ['r', 's']) await createNetworks(engine, mark).take(runtimeId);
  const bridges = bodies.map(({ Options }) => Options['com.docker.network.bridge.name']!);
  expect(new Set(bridges).size).toBe(4);
  for (const it of bridges) expect(it).toMatch(/^br-[0-9a-f]{12}$/);
});
