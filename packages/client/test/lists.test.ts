import { describe, expect, it } from 'vitest';
import { AgentRuntimeClient, type HTTPError } from '../src/index.ts';
import { type RecordedCall, recordingFetch, success } from './recording-fetch.ts';

const row = (number: number) => ({ agentRuntimeId: `r${number}` });
const rows = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => row(from + index));

/** A server of `pages`, each of them as its rows; asks for others give none. */
function serverOf(pages: object[][], more: object = {}) {
  const { fetch, calls } = recordingFetch(() => {
    const query = queryOf(calls.at(-1)!);
    const pageNumber = Number(query.pageNumber ?? 1);
    const items = pages[pageNumber - 1] ?? [];
    return success({
      items,
      total: pages.flat().length,
      pageNumber,
      pageSize: Number(query.pageSize ?? 50),
      ...more,
    });
  });
  const client = new AgentRuntimeClient({ baseUrl: 'https://runstead.example', apiKey: 'rsk_x', fetch });
  return { client, calls, asked: () => calls.map((call) => queryOf(call).pageNumber ?? '1') };
}

function queryOf({ url }: RecordedCall): Record<string, string> {
  return Object.fromEntries(new URL(url).searchParams);
}

async function collect<T>(iterable: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of iterable) all.push(item);
  return all;
}

describe('listAll', () => {
  it('reads pages of 50 until one is not full', async () => {
    const { client, calls, asked } = serverOf([rows(1, 50), rows(51, 100), rows(101, 120)]);
    const all = await client.listAll({ agentRuntimeName: 'x', searchMode: 'exact' });
    expect(all).toEqual(rows(1, 120));
    expect(asked()).toEqual(['1', '2', '3']);
    for (const call of calls) {
      expect(queryOf(call)).toMatchObject({ agentRuntimeName: 'x', searchMode: 'exact', pageSize: '50' });
    }
  });

  it('asks once more when the last page is full', async () => {
    const { client, asked } = serverOf([rows(1, 50)]);
    expect(await client.listAll()).toHaveLength(50);
    expect(asked()).toEqual(['1', '2']);
  });

  it('gives rows as their pages come, and reads no further than it is read', async () => {
    const { client, asked } = serverOf([rows(1, 50), rows(51, 100)]);
    for await (const { agentRuntimeId } of client.listAll()) if (agentRuntimeId === 'r50') break;
    expect(asked()).toEqual(['1']);
  });

  it('gives a row once that moved to the next page meanwhile', async () => {
    const { client } = serverOf([rows(1, 50), rows(50, 60)]);
    expect(await client.listAll()).toEqual(rows(1, 60));
  });

  it('leaves out rows without an id, and what is no row', async () => {
    const { client } = serverOf([
      [{ agentRuntimeName: 'x' }, row(1), null as never, 5 as never, { agentRuntimeId: '' }],
    ]);
    expect(await client.listAll()).toEqual([row(1)]);
  });

  it('ends where a server knows no page numbers', async () => {
    const { fetch, calls } = recordingFetch(() =>
      success({ items: rows(1, 50), total: 1000, pageNumber: 1, pageSize: 50 }),
    );
    const client = new AgentRuntimeClient({ baseUrl: 'https://runstead.example', apiKey: 'rsk_x', fetch });
    expect(await client.listAll()).toHaveLength(50);
    expect(calls).toHaveLength(2);
  });

  it('ends where full pages of rows without ids go on', async () => {
    const { fetch, calls } = recordingFetch(() =>
      success({ items: Array.from({ length: 50 }, () => ({})), total: 1e9, pageNumber: 1, pageSize: 50 }),
    );
    const client = new AgentRuntimeClient({ baseUrl: 'https://runstead.example', apiKey: 'rsk_x', fetch });
    expect(await client.listAll()).toEqual([]);
    expect(calls).toHaveLength(1);
  });

  it('takes smaller pages of a server for full where it says that they are', async () => {
    const { client } = serverOf([rows(1, 20), rows(21, 40), rows(41, 45)], { pageSize: 20 });
    expect(await client.listAll()).toHaveLength(45);
  });

  it('sends nothing before it is awaited or read, and is read once however often it is awaited', async () => {
    const { client, calls } = serverOf([rows(1, 3)]);
    const all = client.listAll();
    await new Promise(setImmediate);
    expect(calls).toEqual([]);
    expect(await all).toBe(await all);
    expect(await all.toArray()).toBe(await all);
    expect(calls).toHaveLength(1);
  });

  it.each(['pageNumber', 'pageSize'])('refuses %s: pages are its own affair', async (name) => {
    const { client, calls } = serverOf([rows(1, 3)]);
    const filter = { [name]: 2 } as object;
    await expect(client.listAll(filter)).rejects.toMatchObject({
      name: 'ValueError',
      message: `${name} cannot be given where all pages are read: ask for one page instead`,
    });
    await expect(collect(client.listAll(filter))).rejects.toMatchObject({ name: 'ValueError' });
    expect(calls).toEqual([]);
  });

  it('rejects with what a later page answers', async () => {
    let asked = 0;
    const { fetch } = recordingFetch(() =>
      ++asked === 1
        ? success({ items: rows(1, 50), total: 60, pageNumber: 1, pageSize: 50 })
        : Response.json({ code: 'Forbidden', message: 'Forbidden' }, { status: 403 }),
    );
    const client = new AgentRuntimeClient({ baseUrl: 'https://runstead.example', apiKey: 'rsk_x', fetch });
    await expect(client.listAll()).rejects.toMatchObject({ statusCode: 403 });
    asked = 0;
    expect(await client.listAll().catch((thrown) => (thrown as HTTPError).statusCode)).toBe(403);
    asked = 0;
    let settled = false;
    const all = client.listAll().finally(() => {
      settled = true;
    });
    await expect(all).rejects.toMatchObject({ statusCode: 403 });
    expect(settled).toBe(true);
  });
});

describe('other lists of everything', () => {
  it('endpoints by their id', async () => {
    const items = [{ agentRuntimeEndpointId: 'a' }, { agentRuntimeEndpointId: 'a' }, {}];
    const { client, calls } = serverOf([items]);
    expect(await client.listAllEndpoints('r1', { endpointName: 'x' })).toEqual([
      { agentRuntimeId: 'r1', agentRuntimeEndpointId: 'a' },
    ]);
    expect(calls[0]?.url).toContain('/runtimes/r1/endpoints?endpointName=x&pageNumber=1&pageSize=50');
  });

  it('versions by their version', async () => {
    const items = [
      { agentRuntimeVersion: 'LATEST' },
      { agentRuntimeVersion: '1' },
      { agentRuntimeVersion: '1' },
    ];
    const { client, calls } = serverOf([items]);
    expect(await client.listAllVersions('r1')).toEqual(items.slice(0, 2));
    expect(calls[0]?.url).toContain('/runtimes/r1/versions?pageNumber=1&pageSize=50');
  });
});

describe('list in for await', () => {
  it('gives every row, from the page asked for on, in pages of the size asked for', async () => {
    const { client, asked } = serverOf([rows(1, 2), rows(3, 4), rows(5, 5)]);
    expect(await collect(client.list({ pageNumber: 2, pageSize: 2 }))).toEqual(rows(3, 5));
    expect(asked()).toEqual(['2', '3']);
  });

  it('sends the first page once, with what was given', async () => {
    const { client, calls } = serverOf([rows(1, 3)]);
    expect(await collect(client.list({ status: 'READY' }))).toEqual(rows(1, 3));
    expect(calls.map(queryOf)).toEqual([{ status: 'READY' }]);
  });

  it('of a page alone gives that page', async () => {
    const { client, calls } = serverOf([rows(1, 50), rows(51, 60)]);
    const page = await client.list();
    expect([page.length, page.total]).toEqual([50, 60]);
    expect(calls).toHaveLength(1);
  });

  it('versions of a full page that was asked for do not go round for ever', async () => {
    const items = Array.from({ length: 50 }, (_, index) => ({ agentRuntimeVersion: String(index + 1) }));
    const { client, asked } = serverOf([items]);
    expect(await collect(client.listVersions('r1', { pageNumber: 1 }))).toHaveLength(50);
    expect(asked()).toEqual(['1', '2']);
  });
});
