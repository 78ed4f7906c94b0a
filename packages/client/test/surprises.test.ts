import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { environmentVariables } from '../src/config/environment.ts';
import {
  AgentRuntime,
  AgentRuntimeClient,
  AgentRuntimeEndpoint,
  type Config,
  HTTPError,
} from '../src/index.ts';
import { listen } from './listen.ts';
import { type RecordedCall, recordingFetch, success } from './recording-fetch.ts';

/** Where other clients of this API surprise (contract: surprises and incompatibilities), and what this one does. */

beforeEach(() => {
  for (const name of Object.values(environmentVariables).flat()) vi.stubEnv(name, '');
  vi.stubEnv('RUNSTEAD_DATA', '/nonexistent');
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.useRealTimers();
});

const accessKey = { accessKeyId: 'testak', accessKeySecret: 'testsk', accountId: '123' };
const code = { agentRuntimeName: 'a', codeConfiguration: {} };
const messages = [{ role: 'user', content: 'Hi' }];

function clientWith(
  config: Config = {},
  answer: (call: RecordedCall) => Response = () => success({ agentRuntimeId: 'r1' }),
) {
  const { fetch, calls } = recordingFetch(() => answer(calls.at(-1)!));
  const settings = { fetch, ...(config.accessKeyId === undefined && { apiKey: 'rsk_x' }), ...config };
  const baseUrl =
    config.accessKeyId === undefined ? { baseUrl: `https://${crypto.randomUUID()}.example` } : {};
  const all = { ...baseUrl, ...settings };
  return { client: new AgentRuntimeClient(all), calls, settings: all };
}

describe('transport and credentials', () => {
  it('a control plane may be plain HTTP, and its scheme stays', async () => {
    const controlEndpoint = await listen((_request, response) => {
      response.end('{"data":{"agentRuntimeId":"r1"}}');
    });
    expect(await new AgentRuntimeClient({ ...accessKey, controlEndpoint }).get('r1')).toEqual({
      agentRuntimeId: 'r1',
    });
  });

  it('a proxy may rewrite accept and user-agent: they are not signed', async () => {
    const { client, calls } = clientWith(accessKey);
    await client.get('r1');
    const signed = /SignedHeaders=([^,]*)/.exec(calls[0]!.headers.authorization!)?.[1];
    expect(signed).toBe(
      'host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version',
    );
  });

  it('a token is used where one is set, and an access key signs on the -ram host where none is', async () => {
    const answer = () => Response.json({ choices: [] });
    const token = clientWith({ ...accessKey, token: 'tok' }, answer);
    await token.client.invokeOpenai('a', undefined, { messages });
    expect(new URL(token.calls[0]!.url).host).toBe('123.agentrun-data.cn-hangzhou.aliyuncs.com');
    expect(token.calls[0]?.headers['agentrun-access-token']).toBe('tok');
    const key = clientWith(accessKey, answer);
    await key.client.invokeOpenai('a', undefined, { messages });
    expect(new URL(key.calls[0]!.url).host).toBe('123-ram.agentrun-data.cn-hangzhou.aliyuncs.com');
    expect(key.calls[0]?.headers).not.toHaveProperty('agentrun-access-token');
  });

  it('a config of a call overrides what it gives and nothing else', async () => {
    const { client, calls } = clientWith({ ...accessKey, regionId: 'cn-beijing' });
    await client.get('r1', { timeout: 5000 });
    expect(new URL(calls[0]!.url).host).toBe('agentrun.cn-beijing.aliyuncs.com');
  });

  it('an empty environment variable counts as not set', async () => {
    vi.stubEnv('AGENTRUN_REGION', '');
    vi.stubEnv('FC_REGION', 'cn-shanghai');
    const { client, calls } = clientWith(accessKey);
    await client.get('r1');
    expect(new URL(calls[0]!.url).host).toBe('agentrun.cn-shanghai.aliyuncs.com');
  });

  it('a slow control plane has ten minutes, not ten seconds', async () => {
    vi.useFakeTimers();
    const never = (() => new Promise(() => {})) as unknown as typeof fetch;
    const { client } = clientWith({ fetch: never });
    let error: unknown;
    const call = client.get('r1').catch((thrown: unknown) => {
      error = thrown;
    });
    await vi.advanceTimersByTimeAsync(599_000);
    expect(error).toBeUndefined();
    await vi.advanceTimersByTimeAsync(2000);
    await call;
    expect(error).toMatchObject({ name: 'TimeoutError', timeoutMs: 600_000 });
  });
});

describe('what is sent', () => {
  it('an update sends what was given: size, port and pinned version stay as they are', async () => {
    const { client, calls, settings } = clientWith();
    await client.update('r1', { description: 'd' });
    await new AgentRuntime({ agentRuntimeId: 'r1', cpu: 4 }, settings).update({ description: 'd' });
    await client.updateEndpoint('r1', 'e1', { description: 'd' });
    expect(calls.map(({ body }) => body)).toEqual(Array(3).fill({ description: 'd' }));
  });

  it('a create has cpu, memory and port, without which it is refused', async () => {
    const { client, calls } = clientWith();
    await client.create(code);
    expect(calls[0]?.body).toMatchObject({ cpu: 2, memory: 4096, port: 9000 });
  });

  it('the default endpoint is Default, and the case of names stays', async () => {
    const { client, calls } = clientWith({}, () => Response.json({ choices: [] }));
    await client.invokeOpenai('Hello', undefined, { messages });
    await client.invokeOpenai('hello', 'default', { messages });
    expect(calls.map(({ url }) => new URL(url).pathname.split('/').slice(2, 5))).toEqual([
      ['Hello', 'endpoints', 'Default'],
      ['hello', 'endpoints', 'default'],
    ]);
  });

  it('weights go as they are given: fractions or percents', async () => {
    const { client, calls } = clientWith();
    for (const weight of [0.2, 20]) {
      const routingConfiguration = { versionWeights: [{ version: '2', weight }] };
      await client.updateEndpoint('r1', 'e1', { targetVersion: '1', routingConfiguration });
      expect(calls.at(-1)?.body).toEqual({ targetVersion: '1', routingConfiguration });
    }
  });

  it('switches keep their spelling, on create and on update', async () => {
    const { client, calls } = clientWith();
    const networkConfiguration = { networkMode: 'PRIVATE' as const, vpcId: 'vpc-1', vswitchIds: ['vsw-1'] };
    await client.create({ ...code, networkConfiguration });
    await client.update('r1', { networkConfiguration });
    expect(calls.map(({ body }) => (body as { networkConfiguration: object }).networkConfiguration)).toEqual([
      networkConfiguration,
      networkConfiguration,
    ]);
  });

  it('fields that other clients cannot send are sent', async () => {
    const { client, calls } = clientWith();
    const input = {
      disableOndemand: true,
      sessionAffinityType: 'HEADER_FIELD' as const,
      headerFieldName: 'x-s',
      armsConfiguration: { enableArms: true },
      forceEvictInstances: true,
      diskSize: 512,
      protocolConfiguration: { type: 'HTTP' as const, protocolSettings: [{ a2aAgentCardUrl: 'u' }] },
    };
    await client.update('r1', input);
    expect(calls[0]?.body).toEqual(input);
    await client.publishVersion('r1', { description: 'd', publisher: 'p' });
    expect(calls[1]).toMatchObject({ method: 'POST', body: { description: 'd', publisher: 'p' } });
    expect(calls[1]?.headers['x-acs-action']).toBe('PublishRuntimeVersion');
  });

  it('a list of workspaces is asked for with numbers as text, and read from its own name', async () => {
    const { client, calls } = clientWith({}, ({ url }) =>
      success(
        url.includes('/workspaces') ? { workspaces: [{ workspaceId: 'w1', name: 'w' }] } : { items: [] },
      ),
    );
    await client.list({ workspaceName: 'w' });
    expect(new URL(calls[0]!.url).search).toBe('?name=w&pageNumber=1&pageSize=50');
    expect(new URL(calls[1]!.url).search).toBe('?workspaceId=w1');
  });
});

describe('what comes back', () => {
  it('scaling comes as scalingStatus, and is kept', async () => {
    const scalingStatus = { currentInstances: 1, minInstances: 1 };
    const { client, calls } = clientWith({}, () => success({ agentRuntimeEndpointId: 'e1', scalingStatus }));
    const endpoint = await client.updateEndpoint('r1', 'e1', { scalingConfig: { minInstances: 1 } });
    expect(calls[0]?.body).toEqual({ scalingConfig: { minInstances: 1 } });
    expect(endpoint.scalingStatus).toEqual(scalingStatus);
  });

  it('unknown values of known fields are kept as they are', async () => {
    const wire = {
      agentRuntimeId: 'r1',
      status: 'PAUSED',
      artifactType: 'Wasm',
      createdAt: '2026-01-02T03:04:05Z',
    };
    const { client } = clientWith({}, () => success(wire));
    expect({ ...(await client.get('r1')) }).toEqual(wire);
  });

  it.each([
    [404, 'gone', 'ResourceNotExistError'],
    [409, 'taken', 'ResourceAlreadyExistError'],
    [400, 'a already exists', 'ResourceAlreadyExistError'],
  ])(
    '%d "%s" is told by its status, whatever its text, and is an HTTPError',
    async (status, message, name) => {
      const { client } = clientWith({}, () =>
        Response.json({ code: 'X', message, requestId: 'q' }, { status }),
      );
      const error = await client.list().then(undefined, (thrown: unknown) => thrown);
      expect(error).toMatchObject({ name, statusCode: status, requestId: 'q', errorCode: 'X' });
      expect(error).toBeInstanceOf(HTTPError);
    },
  );

  it.each(['READY', 'ACTIVE'])('an endpoint that is %s is waited for no longer', async (status) => {
    const { settings, calls } = clientWith({}, () => success({ status }));
    const endpoint = new AgentRuntimeEndpoint(
      { agentRuntimeId: 'r1', agentRuntimeEndpointId: 'e1' },
      settings,
    );
    await endpoint.waitUntilReadyOrFailed();
    expect(calls).toHaveLength(1);
  });

  it("an endpoint's invokeOpenai works, and is awaited once", async () => {
    const { settings } = clientWith({}, () =>
      Response.json({ choices: [], data: { agentRuntimeName: 'hello' } }),
    );
    const data = { agentRuntimeId: 'r1', agentRuntimeEndpointId: 'e1', agentRuntimeEndpointName: 'prod' };
    const answer = await new AgentRuntimeEndpoint(data, settings).invokeOpenai({ messages });
    expect(answer.choices).toEqual([]);
  });
});

describe('deleting and listing', () => {
  it('a delete wipes nothing of the object', async () => {
    const { settings } = clientWith();
    const runtime = new AgentRuntime({ agentRuntimeId: 'r1', agentRuntimeName: 'a', cpu: 4 }, settings);
    await runtime.delete();
    expect({ ...runtime }).toEqual({
      agentRuntimeId: 'r1',
      agentRuntimeName: 'a',
      cpu: 4,
      status: 'DELETING',
    });
  });

  it('a second delete is as good as the first', async () => {
    const { settings } = clientWith({}, () => success({ agentRuntimeId: 'r1', status: 'DELETING' }));
    const runtime = new AgentRuntime({ agentRuntimeId: 'r1' }, settings);
    await runtime.delete();
    expect((await runtime.delete()).status).toBe('DELETING');
  });

  it('a runtime that turns out to stay is no endless wait', async () => {
    const { settings } = clientWith({}, () => success({ agentRuntimeId: 'r1', status: 'READY' }));
    const runtime = new AgentRuntime({ agentRuntimeId: 'r1' }, settings);
    await expect(runtime.deleteAndWaitUntilFinished()).rejects.toMatchObject({ name: 'DeleteResourceError' });
  });

  it('a delete that waits for endpoints ends at its time', async () => {
    const items = [{ agentRuntimeEndpointId: 'e1', status: 'DELETING' }];
    const { settings } = clientWith({ ...accessKey, timeout: 50 }, () => success({ items }));
    const runtime = new AgentRuntime({ agentRuntimeId: 'r1' }, settings);
    await expect(runtime.delete()).rejects.toMatchObject({ name: 'TimeoutError' });
  });

  it('a waiter asks with the settings of its object', async () => {
    const { settings, calls } = clientWith({ headers: { 'x-own': 'yes' } }, () =>
      success({ status: 'READY' }),
    );
    await new AgentRuntime({ agentRuntimeId: 'r1' }, settings).waitUntilReadyOrFailed();
    expect(calls[0]?.headers).toMatchObject({ authorization: 'Bearer rsk_x', 'x-own': 'yes' });
  });

  it('versions of a page that was named are not asked for again and again', async () => {
    const items = Array.from({ length: 50 }, (_, index) => ({ agentRuntimeVersion: String(index) }));
    const { client, calls } = clientWith({}, () =>
      success({ items, total: 50, pageNumber: 1, pageSize: 50 }),
    );
    let count = 0;
    for await (const _ of client.listVersions('r1', { pageNumber: 1, pageSize: 50 })) count++;
    expect([count, calls.length]).toEqual([50, 2]);
  });
});
