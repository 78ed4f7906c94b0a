import { randomUUID } from 'node:crypto';
import type { OperationName } from '@runstead/contract';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { endpointAt, openTestApi, runtimeAt, type TestApi } from './harness.ts';

let api: TestApi;
let runtimeId: string;
let made = 0;
beforeEach(async () => {
  api = await openTestApi();
  ({ id: runtimeId } = await runtimeAt(api, 'READY'));
});
afterEach(() => api.close());

/** One of the lists whose items come and go, with ways to make one and to take one away. */
interface Kind {
  operation: OperationName;
  items: 'items' | 'workspaces';
  idField: string;
  /** Of every list here: what selects only the items the test makes. */
  query: Record<string, string>;
  create(): Promise<string>;
  remove(id: string): Promise<unknown>;
}

const at = () => new Date().toISOString();
const spec = { artifactType: 'Container' as const, cpu: 1, memory: 512, port: 9000 };

const kinds: Kind[] = [
  {
    operation: 'ListAgentRuntimes',
    items: 'items',
    idField: 'agentRuntimeId',
    query: { agentRuntimeName: 'walked' },
    create: async () =>
      (await api.store.createRuntime({ id: randomUUID(), name: `walked-${++made}`, spec, at: at() })).id,
    remove: (id) => api.store.removeRuntime(id),
  },
  {
    operation: 'ListAgentRuntimeEndpoints',
    items: 'items',
    idField: 'agentRuntimeEndpointId',
    query: {},
    create: () => endpointAt(api, runtimeId, `walked-${++made}`),
    remove: (id) => api.store.removeEndpoint(id),
  },
  {
    operation: 'ListWorkspaces',
    items: 'workspaces',
    idField: 'workspaceId',
    query: { name: 'walked' },
    create: async () =>
      (await api.store.createWorkspace({ id: randomUUID(), name: `walked-${++made}`, at: at() })).id,
    remove: (id) => api.store.removeWorkspace(id),
  },
];

describe.each(kinds)('a walk through $operation', ({ operation, items, idField, query, create, remove }) => {
  const page = async (pageNumber: number, pageSize: number) => {
    const { status, data } = await api.call<Record<string, unknown>>(operation, {
      id: runtimeId,
      query: { ...query, pageNumber: String(pageNumber), pageSize: String(pageSize) },
    });
    expect(status).toBe(200);
    expect(data).toMatchObject({ pageNumber, pageSize });
    const ids = (data[items] as Record<string, string>[]).map((item) => item[idField]!);
    return { ids, total: data.total as number };
  };

  /** As clients walk: from page 1 until one is shorter than asked for. */
  const walk = async (pageSize: number, between: (ids: string[]) => Promise<void> = async () => {}) => {
    const seen: string[] = [];
    for (let pageNumber = 1; ; pageNumber++) {
      const { ids } = await page(pageNumber, pageSize);
      seen.push(...ids);
      if (ids.length < pageSize) return seen;
      await between(ids);
    }
  };

  const createMany = async (count: number) => {
    const ids: string[] = [];
    for (let i = 0; i < count; i++) ids.push(await create());
    return ids;
  };

  it('that takes away what it has read meets every item, and each of them once', async () => {
    const all = await createMany(11);
    const seen = await walk(3, async (ids) => {
      for (const id of ids) await remove(id);
    });
    expect(seen).toHaveLength(11);
    expect(seen.sort()).toEqual(all.sort());
  });

  it('misses nothing that was there throughout, while others create and delete', async () => {
    const random = seeded(20_260_102);
    const others = await createMany(30);
    const stay = new Set<string>();
    for (const id of others) if (random() < 0.5) stay.add(id);
    const passing = others.filter((id) => !stay.has(id));
    for (let round = 0; round < 5; round++) {
      const seen = await walk(4, async () => {
        const gone = passing.splice(Math.floor(random() * passing.length), 1)[0];
        if (gone !== undefined) await remove(gone);
        if (random() < 0.5) passing.push(await create());
      });
      expect([...stay].filter((id) => !seen.includes(id))).toEqual([]);
    }
  });

  it('misses nothing beside another walk of the same list', async () => {
    const stay = new Set(await createMany(12));
    const passing = await createMany(12);
    for (const id of await createMany(6)) stay.add(id);
    const churn = async () => {
      const gone = passing.pop();
      if (gone !== undefined) await remove(gone);
    };
    const walks = await Promise.all([walk(4, churn), walk(4, churn), walk(4, churn)]);
    for (const seen of walks) expect([...stay].filter((id) => !seen.includes(id))).toEqual([]);
  });

  it('after another, with deletions in between, sees each item once and in order', async () => {
    const all = (await createMany(9)).reverse();
    await walk(2);
    for (const id of all.splice(0, 3)) await remove(id);
    const before = await walk(50);
    expect(before).toHaveLength(6);
    expect(await walk(2)).toEqual(before);
  });

  it('may be left, and taken up at any page: that one is counted', async () => {
    await createMany(7);
    const whole = await walk(50);
    expect((await page(3, 2)).ids).toEqual(whole.slice(4, 6));
    expect((await page(2, 2)).ids).toEqual(whole.slice(2, 4));
    expect((await page(9, 2)).ids).toEqual([]);
  });

  it('is told how many items there are at each page', async () => {
    const all = await createMany(5);
    expect((await page(1, 2)).total).toBe(5);
    await remove(all[4]!);
    expect((await page(2, 2)).total).toBe(4);
    await create();
    await create();
    expect((await page(3, 2)).total).toBe(6);
  });
});

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
