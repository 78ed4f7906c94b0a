import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { environmentVariables } from '../src/config/environment.ts';
import { AgentRuntimeClient, type Config } from '../src/index.ts';
import { type RecordedCall, recordingFetch, success } from './recording-fetch.ts';

beforeEach(() => {
  for (const name of Object.values(environmentVariables).flat()) vi.stubEnv(name, '');
  vi.stubEnv('RUNSTEAD_DATA', '/nonexistent');
});
afterEach(() => vi.unstubAllEnvs());

const accessKey = { accessKeyId: 'testak', accessKeySecret: 'testsk' };

/** A cloud that knows no signatures on the data plane: only the tokens in `valid`, which it gives out in turn. */
function tokenCloud(
  config: Config = {},
  options: { valid?: Set<string>; give?: () => Response; refuse?: number } = {},
) {
  const valid = options.valid ?? new Set(['t1', 't2', 't3']);
  let given = 0;
  const give = options.give ?? (() => success({ accessToken: `t${++given}` }));
  const { fetch, calls } = recordingFetch(() => {
    const call = calls.at(-1)!;
    if (call.url.includes('/accessToken?')) return give();
    const token = call.headers['agentrun-access-token'];
    if (token !== undefined && valid.has(token)) return Response.json({ choices: [], token });
    return Response.json(
      { code: 'InvalidToken', message: 'no such token' },
      { status: options.refuse ?? 401 },
    );
  });
  const client = new AgentRuntimeClient({
    ...accessKey,
    accountId: '123',
    regionId: 'cn-beijing',
    fetch,
    ...config,
  });
  const invoke = (name = 'hello') => client.invokeOpenai(name, undefined, { messages: [] });
  return { client, calls, valid, invoke };
}

const kindOf = ({ url, headers }: RecordedCall) => {
  if (url.includes('/accessToken?')) return 'fetches a token';
  if (headers['agentrun-access-token'] !== undefined) return `token ${headers['agentrun-access-token']}`;
  return headers['agentrun-authorization'] === undefined ? 'open' : 'signed';
};

describe('a signed call that is refused', () => {
  it.each([401, 403])('with %d is made once more with a token, on the plain host', async (refuse) => {
    const { calls, invoke } = tokenCloud({}, { refuse });
    expect(await invoke()).toMatchObject({ token: 't1' });
    expect(calls.map(kindOf)).toEqual(['signed', 'fetches a token', 'token t1']);
    expect(calls.map(({ url }) => new URL(url).host)).toEqual([
      '123-ram.agentrun-data.cn-beijing.aliyuncs.com',
      'agentrun.cn-beijing.aliyuncs.com',
      '123.agentrun-data.cn-beijing.aliyuncs.com',
    ]);
    expect(calls[1]).toMatchObject({
      method: 'GET',
      url: 'https://agentrun.cn-beijing.aliyuncs.com/2025-09-10/agents/accessToken?resourceType=runtime&resourceName=hello',
    });
    expect(calls[1]?.headers).toMatchObject({ 'x-acs-action': 'GetAccessToken' });
    expect(calls[2]?.headers).not.toHaveProperty('agentrun-authorization');
    expect(calls[2]?.body).toEqual(calls[0]?.body);
  });

  it('has its token in no message, also where the server quotes it', async () => {
    const quoted: Response[] = [];
    const { fetch } = recordingFetch(() => quoted.shift()!);
    quoted.push(
      Response.json({ message: 'no' }, { status: 401 }),
      success({ accessToken: 'fetched-token' }),
      Response.json({ message: 'fetched-token is not for this' }, { status: 403 }),
    );
    const client = new AgentRuntimeClient({ ...accessKey, baseUrl: 'https://old.example', fetch });
    await expect(client.invokeOpenai('hello', undefined, { messages: [] })).rejects.toThrow(
      '*** is not for this',
    );
  });

  it('has its token remembered for the runtime, and for no other', async () => {
    const { calls, invoke } = tokenCloud();
    await invoke('hello');
    await invoke('hello');
    await invoke('other');
    expect(calls.map(kindOf)).toEqual([
      'signed',
      'fetches a token',
      'token t1',
      'token t1',
      'signed',
      'fetches a token',
      'token t2',
    ]);
  });

  it('shares its token with clients of other settings, but not of another key', async () => {
    const { client, calls, invoke } = tokenCloud();
    await invoke();
    await client.withConfig({ timeout: 5000 }).invokeOpenai('hello', undefined, { messages: [] });
    const other = client.withConfig({ accessKeyId: 'otherak', accessKeySecret: 'othersk' });
    await other.invokeOpenai('hello', undefined, { messages: [] });
    expect(calls.slice(3).map(kindOf)).toEqual(['token t1', 'signed', 'fetches a token', 'token t2']);
  });

  it('fetches one new token when the one it has is refused', async () => {
    const { calls, valid, invoke } = tokenCloud();
    await invoke();
    valid.delete('t1');
    expect(await invoke()).toMatchObject({ token: 't2' });
    expect(calls.slice(3).map(kindOf)).toEqual(['token t1', 'fetches a token', 'token t2']);
  });

  it('is signed again where its token was refused and no other is to be had', async () => {
    let open = true;
    const give = () =>
      open ? success({ accessToken: 't1' }) : Response.json({ message: 'no' }, { status: 403 });
    const { calls, valid, invoke } = tokenCloud({}, { give });
    await invoke();
    valid.clear();
    open = false;
    await expect(invoke()).rejects.toMatchObject({ statusCode: 401 });
    await expect(invoke()).rejects.toMatchObject({ statusCode: 401 });
    expect(calls.slice(3).map(kindOf)).toEqual(['token t1', 'fetches a token', 'signed', 'fetches a token']);
  });

  it('uses the token that another call has fetched meanwhile', async () => {
    let letGo: (() => void) | undefined;
    const kinds: string[] = [];
    const doFetch = (async (url: string, init: RequestInit) => {
      const kind = kindOf({
        url,
        headers: Object.fromEntries(new Headers(init.headers)),
        method: '',
        body: '',
      });
      kinds.push(kind);
      if (kind === 'fetches a token') return success({ accessToken: 't1' });
      if (kind === 'token t1') return Response.json({ choices: [] });
      // The first signed call is refused only after the second one is done.
      if (kinds.length === 1) await new Promise<void>((resolve) => (letGo = resolve));
      return Response.json({ message: 'no' }, { status: 401 });
    }) as typeof fetch;
    const client = new AgentRuntimeClient({ ...accessKey, accountId: '123', fetch: doFetch });
    const invoke = () => client.invokeOpenai('hello', undefined, { messages: [] });
    const first = invoke();
    await expect.poll(() => letGo).toBeDefined();
    await invoke();
    letGo?.();
    await first;
    expect(kinds).toEqual(['signed', 'signed', 'fetches a token', 'token t1', 'token t1']);
  });

  it('is not made a third time, and keeps no token that was of no use', async () => {
    const { calls, invoke } = tokenCloud({}, { valid: new Set() });
    await expect(invoke()).rejects.toMatchObject({ name: 'ClientError', statusCode: 401 });
    expect(calls.map(kindOf)).toEqual(['signed', 'fetches a token', 'token t1']);
    await expect(invoke()).rejects.toMatchObject({ statusCode: 401 });
    expect(calls.slice(3).map(kindOf)).toEqual(['signed', 'fetches a token', 'token t2']);
  });

  it.each<[string, () => Response]>([
    ['refused', () => Response.json({ message: 'Forbidden' }, { status: 403 })],
    ['not known', () => new Response('nothing here', { status: 404 })],
    ['empty', () => success({ accessToken: '' })],
    ['missing', () => success({})],
    ['no text', () => success({ accessToken: 5 })],
    ['a page', () => new Response('<html>')],
  ])('throws its own refusal where the token is %s', async (_, give) => {
    const { calls, invoke } = tokenCloud({}, { give });
    await expect(invoke()).rejects.toMatchObject({
      statusCode: 401,
      message: 'no such token',
      errorCode: 'InvalidToken',
    });
    expect(calls.map(kindOf)).toEqual(['signed', 'fetches a token']);
  });

  it('by the agent itself stays refused', async () => {
    const { fetch, calls } = recordingFetch(() =>
      Response.json({ error: 'not you' }, { status: 403, headers: { 'x-runstead-error-origin': 'agent' } }),
    );
    const client = new AgentRuntimeClient({ ...accessKey, baseUrl: 'https://runstead.example', fetch });
    await expect(client.invokeOpenai('hello', undefined, { messages: [] })).rejects.toMatchObject({
      statusCode: 403,
      origin: 'agent',
    });
    expect(calls).toHaveLength(1);
  });

  it('ends with its signal while the token is fetched', async () => {
    const controller = new AbortController();
    const hanging = ((url: string) => {
      if (!url.includes('/accessToken?')) return Promise.resolve(new Response('no', { status: 401 }));
      controller.abort('enough');
      return new Promise(() => {});
    }) as typeof fetch;
    const client = new AgentRuntimeClient({ ...accessKey, accountId: '123', fetch: hanging });
    const { signal } = controller;
    await expect(client.invokeOpenai('hello', undefined, { messages: [], signal })).rejects.toMatchObject({
      name: 'AbortError',
      cause: 'enough',
    });
  });

  it('ends with its time while the token is fetched', async () => {
    const hanging = ((url: string) =>
      url.includes('/accessToken?')
        ? new Promise(() => {})
        : Promise.resolve(new Response('no', { status: 401 }))) as typeof fetch;
    const client = new AgentRuntimeClient({ ...accessKey, accountId: '123', fetch: hanging, timeout: 50 });
    await expect(client.invokeOpenai('hello', undefined, { messages: [] })).rejects.toMatchObject({
      name: 'TimeoutError',
      timeoutMs: 50,
    });
  });
});

describe('no token is fetched', () => {
  it('for a token that was given, which is used as it is', async () => {
    const { calls, invoke } = tokenCloud({ token: 'mine' });
    await expect(invoke()).rejects.toMatchObject({ statusCode: 401 });
    expect(calls.map(kindOf)).toEqual(['token mine']);
    expect(new URL(calls[0]!.url).host).toBe('123.agentrun-data.cn-beijing.aliyuncs.com');
  });

  it('for a Runstead key', async () => {
    const { calls, invoke } = tokenCloud({ apiKey: 'rsk_x', baseUrl: 'https://runstead.example' });
    await expect(invoke()).rejects.toMatchObject({ statusCode: 401 });
    expect(calls).toHaveLength(1);
  });

  it.each(['Authorization', 'Agentrun-Access-Token'])('beside an own %s header', async (name) => {
    const { calls, invoke } = tokenCloud({ headers: { [name]: 'own' } });
    await expect(invoke()).rejects.toMatchObject({ statusCode: 401 });
    expect(calls).toHaveLength(1);
  });

  it('after other errors', async () => {
    const { calls, invoke } = tokenCloud({}, { refuse: 404 });
    await expect(invoke()).rejects.toMatchObject({ statusCode: 404 });
    expect(calls).toHaveLength(1);
  });
});

it.each(['', '  '])('an empty token (%j) counts as none: the call is signed', async (token) => {
  const { calls, invoke } = tokenCloud({ token });
  await invoke();
  expect(kindOf(calls[0]!)).toBe('signed');
});

describe('getAccessToken', () => {
  it.each([
    [{ resourceName: 'hello' }, 'resourceType=runtime&resourceName=hello'],
    [{ resourceType: 'sandbox', resourceId: 's 1' }, 'resourceType=sandbox&resourceId=s%201'],
  ])('%o', async (input, query) => {
    const { client, calls } = tokenCloud();
    expect(await client.getAccessToken(input)).toEqual({ accessToken: 't1' });
    expect(new URL(calls[0]!.url).search).toBe(`?${query}`);
  });

  it.each([{}, { resourceName: '' }, { resourceName: 'a', resourceId: 'b' }])('refuses %o', async (input) => {
    const { client, calls } = tokenCloud();
    await expect(client.getAccessToken(input)).rejects.toMatchObject({
      name: 'ValueError',
      message: 'give either resourceName or resourceId',
    });
    expect(calls).toEqual([]);
  });
});
