import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { environmentVariables } from '../src/config/environment.ts';
import {
  AgentRuntime,
  AgentRuntimeClient,
  AgentRuntimeEndpoint,
  type Config,
  type ResourceFailedError,
} from '../src/index.ts';
import { type RecordedCall, recordingFetch, success } from './recording-fetch.ts';

beforeEach(() => {
  for (const name of Object.values(environmentVariables).flat()) vi.stubEnv(name, '');
  vi.stubEnv('RUNSTEAD_DATA', '/nonexistent');
});
afterEach(() => vi.unstubAllEnvs());

const gone = () => Response.json({ code: 'ERR_NOT_FOUND', message: 'does not exist' }, { status: 404 });
const refusal = (status: number) => Response.json({ code: 'ERR_X', message: 'no' }, { status });

/** A server that answers as `answer` says; `asked` lists `GET /r1`, `DELETE /r1/endpoints/e1` … */
function serverThat(answer: (call: RecordedCall, asked: string) => Response, config: Config = {}) {
  const asked: string[] = [];
  const { fetch, calls } = recordingFetch(() => {
    const call = calls.at(-1)!;
    const { pathname } = new URL(call.url);
    const short = `${call.method} ${pathname.replace('/2025-09-10/agents/runtimes', '')}`;
    asked.push(short);
    return answer(call, short);
  });
  // Each its own: what is learned of a server is remembered by its origin.
  const baseUrl = `https://${crypto.randomUUID()}.example`;
  const settings: Config = { baseUrl, apiKey: 'rsk_x', fetch, ...config };
  return { settings, calls, asked };
}

/** One of these after the other, the last for ever. */
function inTurn(...answers: (() => Response)[]) {
  let next = 0;
  return () => answers[Math.min(next++, answers.length - 1)]!();
}
const status =
  (value: string | null | undefined, more: object = {}) =>
  () =>
    success({ agentRuntimeId: 'r1', agentRuntimeName: 'hello', status: value, ...more });

const LIST = { total: 0, pageNumber: 1, pageSize: 50 };

describe('a runtime', () => {
  const wire = {
    agentRuntimeId: 'r1',
    agentRuntimeName: 'hello',
    cpu: 2,
    environmentVariables: { A: 'b' },
    somethingNew: { kept: [1] },
  };

  it('has the fields of the wire, unknown ones too, and nothing else in its copies', async () => {
    const { settings } = serverThat(() => success(wire));
    const runtime = await new AgentRuntimeClient(settings).get('r1');
    expect(runtime).toBeInstanceOf(AgentRuntime);
    expect(runtime.agentRuntimeName).toBe('hello');
    expect({ ...runtime }).toStrictEqual(wire);
    expect(JSON.parse(JSON.stringify(runtime))).toStrictEqual(wire);
    expect(structuredClone({ ...runtime })).toStrictEqual(wire);
    expect(runtime.requestId).toBe('q1');
  });

  it('keeps its methods and its nature whatever fields a server sends', async () => {
    const hostile =
      '{"agentRuntimeId":"r1","refresh":"x","toString":1,"constructor":2,"__proto__":{"polluted":true}}';
    const { settings } = serverThat(() => new Response(`{"data":${hostile}}`));
    const runtime = await new AgentRuntimeClient(settings).get('r1');
    expect(runtime).toBeInstanceOf(AgentRuntime);
    expect((runtime as { polluted?: boolean }).polluted).toBeUndefined();
    expect(await runtime.refresh()).toBe(runtime);
    expect(Object.keys(runtime)).toEqual(['agentRuntimeId']);
  });

  it('is brought up to date by refresh: what went away goes, the id stays', async () => {
    const { settings } = serverThat(
      inTurn(status('UPDATE_FAILED', { statusReason: 'why' }), () => success({ status: 'READY' })),
    );
    const runtime = await AgentRuntime.getById('r1', settings);
    expect(runtime.statusReason).toBe('why');
    expect(await runtime.get()).toBe(runtime);
    expect({ ...runtime }).toStrictEqual({ agentRuntimeId: 'r1', status: 'READY' });
  });

  it('keeps its fields when it is deleted, though the answer has the id alone', async () => {
    const { settings } = serverThat(() => success({ agentRuntimeId: 'r1' }));
    const runtime = new AgentRuntime({ ...wire, status: 'READY' }, settings);
    expect(await runtime.delete()).toBe(runtime);
    expect({ ...runtime }).toStrictEqual({ ...wire, status: 'DELETING' });
  });

  it('goes on talking to the server and with the settings it came from, but not under the signal of one call', async () => {
    const first = serverThat(() => success(wire));
    const controller = new AbortController();
    const client = new AgentRuntimeClient({ baseUrl: 'https://elsewhere.example', apiKey: 'rsk_y' });
    const runtime = await client.get('r1', { ...first.settings, signal: controller.signal });
    controller.abort();
    await runtime.refresh();
    const endpoints = await runtime.listEndpoints();
    expect(endpoints).toEqual([]);
    expect(first.calls.map(({ headers }) => headers.authorization)).toEqual(Array(3).fill('Bearer rsk_x'));

    const second = serverThat(() => success(wire), { baseUrl: 'https://second.example' });
    await runtime.setConfig(second.settings).refresh();
    expect(second.calls[0]?.url).toMatch(/^https:\/\/second\.example/);
  });

  it.each<[string, (runtime: AgentRuntime) => PromiseLike<unknown>]>([
    ['refresh', (r) => r.refresh()],
    ['update', (r) => r.update({})],
    ['delete', (r) => r.delete()],
    ['listEndpoints', (r) => r.listEndpoints()],
    ['listAllVersions', (r) => r.listAllVersions()],
    ['invokeOpenai', (r) => r.invokeOpenai(undefined, { messages: [] })],
    ['waitUntilReadyOrFailed', (r) => r.waitUntilReadyOrFailed()],
    ['deleteAndWaitUntilFinished', (r) => r.deleteAndWaitUntilFinished()],
  ])('without an id cannot %s', async (_, call) => {
    const { settings, calls } = serverThat(() => success({}));
    await expect(call(new AgentRuntime({}, settings))).rejects.toMatchObject({
      name: 'ValueError',
      message: 'agentRuntimeId is required',
    });
    expect(calls).toEqual([]);
  });
});

describe('each method of a runtime', () => {
  const rows: [string, (settings: Config) => PromiseLike<unknown>, string[]][] = [
    ['create', (s) => AgentRuntime.create({ agentRuntimeName: 'a', codeConfiguration: {} }, s), ['POST ']],
    ['deleteById', (s) => AgentRuntime.deleteById('r1', s), ['DELETE /r1']],
    ['updateById', (s) => AgentRuntime.updateById('r1', { cpu: 1 }, s), ['PUT /r1']],
    ['getById', (s) => AgentRuntime.getById('r1', s), ['GET /r1']],
    ['list', (s) => AgentRuntime.list({}, s), ['GET ']],
    ['listAll', (s) => AgentRuntime.listAll({}, s), ['GET ']],
    [
      'createEndpointById',
      (s) => AgentRuntime.createEndpointById('r1', { agentRuntimeEndpointName: 'e' }, s),
      ['POST /r1/endpoints'],
    ],
    [
      'deleteEndpointById',
      (s) => AgentRuntime.deleteEndpointById('r1', 'e1', s),
      ['DELETE /r1/endpoints/e1'],
    ],
    [
      'updateEndpointById',
      (s) => AgentRuntime.updateEndpointById('r1', 'e1', {}, s),
      ['PUT /r1/endpoints/e1'],
    ],
    ['getEndpointById', (s) => AgentRuntime.getEndpointById('r1', 'e1', s), ['GET /r1/endpoints/e1']],
    ['listEndpointsById', (s) => AgentRuntime.listEndpointsById('r1', {}, s), ['GET /r1/endpoints']],
    ['listAllEndpointsById', (s) => AgentRuntime.listAllEndpointsById('r1', {}, s), ['GET /r1/endpoints']],
    ['listVersionsById', (s) => AgentRuntime.listVersionsById('r1', {}, s), ['GET /r1/versions']],
    ['listAllVersionsById', (s) => AgentRuntime.listAllVersionsById('r1', s), ['GET /r1/versions']],
    ['publishVersionById', (s) => AgentRuntime.publishVersionById('r1', {}, s), ['POST /r1/versions']],
    ['delete', (s) => runtime(s).delete(), ['DELETE /r1']],
    ['update', (s) => runtime(s).update({ cpu: 1 }), ['PUT /r1']],
    ['get', (s) => runtime(s).get(), ['GET /r1']],
    [
      'createEndpoint',
      (s) => runtime(s).createEndpoint({ agentRuntimeEndpointName: 'e' }),
      ['POST /r1/endpoints'],
    ],
    ['deleteEndpoint', (s) => runtime(s).deleteEndpoint('e1'), ['DELETE /r1/endpoints/e1']],
    ['updateEndpoint', (s) => runtime(s).updateEndpoint('e1', {}), ['PUT /r1/endpoints/e1']],
    ['getEndpoint', (s) => runtime(s).getEndpoint('e1'), ['GET /r1/endpoints/e1']],
    ['listEndpoints', (s) => runtime(s).listEndpoints(), ['GET /r1/endpoints']],
    ['listAllEndpoints', (s) => runtime(s).listAllEndpoints(), ['GET /r1/endpoints']],
    ['listVersions', (s) => runtime(s).listVersions(), ['GET /r1/versions']],
    ['listAllVersions', (s) => runtime(s).listAllVersions(), ['GET /r1/versions']],
    ['publishVersion', (s) => runtime(s).publishVersion({ description: 'd' }), ['POST /r1/versions']],
    [
      'invokeOpenai',
      (s) => runtime(s).invokeOpenai(undefined, { messages: [] }),
      ['GET /r1', 'POST /agent-runtimes/hello/endpoints/Default/invocations/openai/v1/chat/completions'],
    ],
  ];
  const runtime = (settings: Config) => new AgentRuntime({ agentRuntimeId: 'r1' }, settings);

  it.each(rows)('%s', async (_, call, expected) => {
    const answer = { agentRuntimeId: 'r1', agentRuntimeName: 'hello', items: [], ...LIST };
    const { settings, asked } = serverThat(() => Response.json({ data: answer, choices: [] }));
    await call(settings);
    expect(asked).toEqual(expected);
  });
});

describe('each method of an endpoint', () => {
  const endpoint = (settings: Config) =>
    new AgentRuntimeEndpoint({ agentRuntimeId: 'r1', agentRuntimeEndpointId: 'e1' }, settings);
  const rows: [string, (settings: Config) => PromiseLike<unknown>, string[]][] = [
    [
      'createById',
      (s) => AgentRuntimeEndpoint.createById('r1', { agentRuntimeEndpointName: 'e' }, s),
      ['POST /r1/endpoints'],
    ],
    ['deleteById', (s) => AgentRuntimeEndpoint.deleteById('r1', 'e1', s), ['DELETE /r1/endpoints/e1']],
    ['updateById', (s) => AgentRuntimeEndpoint.updateById('r1', 'e1', {}, s), ['PUT /r1/endpoints/e1']],
    ['getById', (s) => AgentRuntimeEndpoint.getById('r1', 'e1', s), ['GET /r1/endpoints/e1']],
    ['listById', (s) => AgentRuntimeEndpoint.listById('r1', {}, s), ['GET /r1/endpoints']],
    ['listAllById', (s) => AgentRuntimeEndpoint.listAllById('r1', {}, s), ['GET /r1/endpoints']],
    ['delete', (s) => endpoint(s).delete(), ['DELETE /r1/endpoints/e1']],
    ['update', (s) => endpoint(s).update({ description: 'd' }), ['PUT /r1/endpoints/e1']],
    ['get', (s) => endpoint(s).get(), ['GET /r1/endpoints/e1']],
    ['refresh', (s) => endpoint(s).refresh(), ['GET /r1/endpoints/e1']],
  ];

  it.each(rows)('%s', async (_, call, expected) => {
    const answer = { agentRuntimeEndpointId: 'e1', items: [], ...LIST };
    const { settings, asked } = serverThat(() => success(answer));
    await call(settings);
    expect(asked).toEqual(expected);
  });

  it('invokes the agent by the names of both, looking up what it does not know, once', async () => {
    const { settings, asked } = serverThat((_, path) =>
      Response.json({
        choices: [],
        data: path.includes('endpoints')
          ? { agentRuntimeEndpointId: 'e1', agentRuntimeEndpointName: 'prod' }
          : { agentRuntimeId: 'r1', agentRuntimeName: 'hello' },
      }),
    );
    const prod = endpoint(settings);
    await prod.invokeOpenai({ messages: [] });
    await prod.invokeOpenai({ messages: [] });
    const invocation = 'POST /agent-runtimes/hello/endpoints/prod/invocations/openai/v1/chat/completions';
    expect(asked).toEqual(['GET /r1', 'GET /r1/endpoints/e1', invocation, invocation]);
  });

  it('of a runtime that knows its name needs no look-up', async () => {
    const { settings, asked } = serverThat(() =>
      Response.json({
        choices: [],
        data: { agentRuntimeEndpointId: 'e1', agentRuntimeEndpointName: 'prod' },
      }),
    );
    const runtime = new AgentRuntime({ agentRuntimeId: 'r1', agentRuntimeName: 'hello' }, settings);
    await (await runtime.getEndpoint('e1')).invokeOpenai({ messages: [] });
    expect(asked).toHaveLength(2);
  });

  it('lacks a name to invoke by where the server gives none', async () => {
    const { settings } = serverThat(() => success({}));
    await expect(endpoint(settings).invokeOpenai({ messages: [] })).rejects.toMatchObject({
      name: 'ValueError',
      message: 'agentRuntimeName is required',
    });
  });
});

describe('waitUntilReadyOrFailed', () => {
  const runtime = (settings: Config) => new AgentRuntime({ agentRuntimeId: 'r1', status: 'READY' }, settings);
  const soon = { intervalMs: 1 };

  it('looks before it judges, until the status is final', async () => {
    const { settings, asked } = serverThat(inTurn(status('CREATING'), status('CREATING'), status('READY')));
    const seen: unknown[] = [];
    const object = runtime(settings);
    const result = await object.waitUntilReadyOrFailed({
      ...soon,
      onProgress: (now) => seen.push(now.status),
    });
    expect(result).toBe(object);
    expect(seen).toEqual(['CREATING', 'CREATING', 'READY']);
    expect(asked).toHaveLength(3);
  });

  it.each(['READY', 'ACTIVE', '', null, undefined])('ends at %j', async (value) => {
    const { settings, asked } = serverThat(status(value));
    await runtime(settings).waitUntilReadyOrFailed(soon);
    expect(asked).toHaveLength(1);
  });

  it.each(['CREATE_FAILED', 'UPDATE_FAILED', 'DELETE_FAILED', 'FAILED'])(
    'throws at %s, with the reason',
    async (value) => {
      const { settings } = serverThat(status(value, { statusReason: 'npm ci ended with 1' }));
      const object = runtime(settings);
      const error = await object.waitUntilReadyOrFailed(soon).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        name: 'ResourceFailedError',
        message: `AgentRuntime 'r1' failed: ${value}: npm ci ended with 1`,
        status: value,
        statusReason: 'npm ci ended with 1',
        resourceType: 'AgentRuntime',
        resourceId: 'r1',
      });
      expect((error as ResourceFailedError).resource).toBe(object);
    },
  );

  it('gives the failure back where it is told to', async () => {
    const { settings } = serverThat(status('CREATE_FAILED'));
    const result = await runtime(settings).waitUntilReadyOrFailed({ ...soon, throwOnFailure: false });
    expect(result.status).toBe('CREATE_FAILED');
  });

  it('ends at its time where the status is nothing that a status can be', async () => {
    const { settings } = serverThat(() => success({ agentRuntimeId: 'r1', status: { odd: true } }));
    const wait = runtime(settings).waitUntilReadyOrFailed({ intervalMs: 5, timeoutMs: 30 });
    await expect(wait).rejects.toMatchObject({ name: 'TimeoutError' });
  });

  it('shows no environment where its error is printed', async () => {
    const { settings } = serverThat(status('CREATE_FAILED', { environmentVariables: { KEY: 'hunter2' } }));
    const error = await runtime(settings)
      .waitUntilReadyOrFailed(soon)
      .catch((thrown: unknown) => thrown);
    const { inspect } = await import('node:util');
    expect(inspect(error)).toContain('CREATE_FAILED');
    expect(inspect(error) + JSON.stringify(error)).not.toContain('hunter2');
  });

  it('ends at its time, and says what it last saw', async () => {
    const { settings } = serverThat(status('CREATING', { statusReason: 'installing' }));
    await expect(
      runtime(settings).waitUntilReadyOrFailed({ intervalMs: 5, timeoutMs: 60 }),
    ).rejects.toMatchObject({
      name: 'TimeoutError',
      timeoutMs: 60,
      message: "AgentRuntime 'r1' was not ready within 60 ms; last seen: CREATING: installing",
    });
  });

  it('ends at its time although a request hangs', async () => {
    const never = (() => new Promise(() => {})) as unknown as typeof fetch;
    const { settings } = serverThat(status('CREATING'));
    const object = runtime({ ...settings, fetch: never });
    await expect(object.waitUntilReadyOrFailed({ timeoutMs: 30 })).rejects.toMatchObject({
      name: 'TimeoutError',
      message: "AgentRuntime 'r1' was not ready within 30 ms; last seen: READY",
    });
  });

  it.each(['of the wait', 'of the object', 'of the call'])('ends with the signal %s', async (whose) => {
    const controller = new AbortController();
    const { settings } = serverThat(status('CREATING'));
    const { signal } = controller;
    const object = runtime({ ...settings, ...(whose === 'of the object' && { signal }) });
    const options = {
      ...soon,
      ...(whose === 'of the wait' && { signal }),
      onProgress: () => controller.abort('why'),
    };
    const config = whose === 'of the call' ? { signal } : {};
    await expect(object.waitUntilReadyOrFailed(options, config)).rejects.toMatchObject({
      name: 'AbortError',
      cause: 'why',
    });
  });

  it('says that the resource is gone when it is deleted meanwhile', async () => {
    const { settings } = serverThat(inTurn(status('CREATING'), gone));
    await expect(runtime(settings).waitUntilReadyOrFailed(soon)).rejects.toMatchObject({
      name: 'ResourceNotExistError',
      message: "AgentRuntime 'r1' does not exist",
    });
  });

  it('looks on while a server is away for a moment, and not while it stays away', async () => {
    const away = () => refusal(503);
    const back = serverThat(inTurn(status('CREATING'), away, away, status('READY')), { maxRetries: 0 });
    await runtime(back.settings).waitUntilReadyOrFailed(soon);
    const stays = serverThat(inTurn(status('CREATING'), away), { maxRetries: 0 });
    await expect(runtime(stays.settings).waitUntilReadyOrFailed(soon)).rejects.toMatchObject({
      statusCode: 503,
    });
    expect(stays.asked).toHaveLength(4);
  });

  it('ends with what it may not look at', async () => {
    const { settings, asked } = serverThat(() => refusal(403));
    await expect(runtime(settings).waitUntilReadyOrFailed(soon)).rejects.toMatchObject({ statusCode: 403 });
    expect(asked).toHaveLength(1);
  });

  it('ends with what onProgress throws', async () => {
    const { settings } = serverThat(status('CREATING'));
    const onProgress = () => {
      throw new RangeError('mine');
    };
    await expect(runtime(settings).waitUntilReadyOrFailed({ ...soon, onProgress })).rejects.toThrow(
      RangeError,
    );
  });

  it.each([0, -1, Number.NaN])('refuses %d as a time', async (value) => {
    const { settings } = serverThat(status('READY'));
    for (const name of ['timeoutMs', 'intervalMs']) {
      await expect(runtime(settings).waitUntilReadyOrFailed({ [name]: value })).rejects.toMatchObject({
        name: 'ValueError',
        message: expect.stringContaining(name),
      });
    }
  });

  it('waits for endpoints too', async () => {
    const { settings, asked } = serverThat(inTurn(status('UPDATING'), status('READY')));
    const endpoint = new AgentRuntimeEndpoint(
      { agentRuntimeId: 'r1', agentRuntimeEndpointId: 'e1' },
      settings,
    );
    await endpoint.waitUntilReadyOrFailed(soon);
    expect(asked).toEqual(['GET /r1/endpoints/e1', 'GET /r1/endpoints/e1']);
  });
});

describe('deleteAndWaitUntilFinished', () => {
  const runtime = (settings: Config) => new AgentRuntime({ agentRuntimeId: 'r1' }, settings);
  const soon = { intervalMs: 1 };

  it('deletes once and looks until it is gone', async () => {
    const { settings, asked } = serverThat(
      inTurn(status('DELETING'), status('DELETING'), status('DELETING'), gone),
    );
    const seen: unknown[] = [];
    await runtime(settings).deleteAndWaitUntilFinished({
      ...soon,
      onProgress: (now) => seen.push(now.status),
    });
    expect(asked).toEqual(['DELETE /r1', 'GET /r1', 'GET /r1', 'GET /r1']);
    expect(seen).toEqual(['DELETING', 'DELETING']);
  });

  it('is content with what is gone already', async () => {
    const { settings, asked } = serverThat(gone);
    await runtime(settings).deleteAndWaitUntilFinished(soon);
    expect(asked).toEqual(['DELETE /r1']);
  });

  it.each(['READY', 'DELETE_FAILED', null])('throws at %j, which is no way out', async (value) => {
    const { settings } = serverThat(inTurn(status('DELETING'), status(value, { statusReason: 'stuck' })));
    await expect(runtime(settings).deleteAndWaitUntilFinished(soon)).rejects.toMatchObject({
      name: 'DeleteResourceError',
      message: `AgentRuntime 'r1' is not being deleted: ${value ?? 'no status'}: stuck`,
      statusReason: 'stuck',
      resourceId: 'r1',
    });
  });

  it('throws what refuses the delete', async () => {
    const { settings, asked } = serverThat(() => refusal(403));
    await expect(runtime(settings).deleteAndWaitUntilFinished(soon)).rejects.toMatchObject({
      statusCode: 403,
    });
    expect(asked).toEqual(['DELETE /r1']);
  });

  it('ends at its time', async () => {
    const { settings } = serverThat(status('DELETING'));
    const wait = runtime(settings).deleteAndWaitUntilFinished({ intervalMs: 5, timeoutMs: 60 });
    await expect(wait).rejects.toMatchObject({
      name: 'TimeoutError',
      message: "AgentRuntime 'r1' was not gone within 60 ms; last seen: DELETING",
    });
  });
});

describe('deleting a runtime where the server does not delete its endpoints', () => {
  const accessKey = { apiKey: undefined, accessKeyId: 'testak', accessKeySecret: 'testsk' };

  /** The cloud: endpoints linger for two looks after their delete; a runtime with endpoints cannot go. */
  function cloud(endpoints: string[], features?: string) {
    const lingering = new Map(endpoints.map((id) => [id, Number.POSITIVE_INFINITY]));
    const server = serverThat((call, path) => {
      const endpoint = /^DELETE \/r1\/endpoints\/(.+)$/.exec(path)?.[1];
      if (endpoint !== undefined) {
        lingering.set(endpoint, 2);
        return success({ agentRuntimeEndpointId: endpoint });
      }
      if (path === 'GET /r1/endpoints') {
        const items = [...lingering.keys()].map((id) => ({ agentRuntimeEndpointId: id, status: 'DELETING' }));
        for (const [id, looks] of lingering)
          looks === 0 ? lingering.delete(id) : lingering.set(id, looks - 1);
        const page = Number(new URL(call.url).searchParams.get('pageNumber'));
        const answer = success({ ...LIST, items: items.slice((page - 1) * 50, page * 50) });
        if (features !== undefined) answer.headers.set('x-runstead-features', features);
        return answer;
      }
      if (path === 'DELETE /r1' && lingering.size === 0) return success({ agentRuntimeId: 'r1' });
      return refusal(400);
    }, accessKey);
    return server;
  }

  it.each([1, 2, 60])(
    'deletes its %d endpoints, waits until they are gone, then deletes the runtime',
    async (count) => {
      const ids = Array.from({ length: count }, (_, index) => `e${index}`);
      const { settings, asked } = cloud(ids);
      await new AgentRuntime({ agentRuntimeId: 'r1' }, settings).delete();
      const deletes = asked.filter((path) => path.startsWith('DELETE'));
      expect(deletes).toEqual([...ids.map((id) => `DELETE /r1/endpoints/${id}`), 'DELETE /r1']);
      expect(asked.at(-1)).toBe('DELETE /r1');
    },
  );

  it('by its id as well', async () => {
    const { settings, asked } = cloud(['e1']);
    const runtime = await AgentRuntime.deleteById('r1', settings);
    expect(runtime.agentRuntimeId).toBe('r1');
    expect(asked.at(-1)).toBe('DELETE /r1');
  });

  it('leaves that to a server which says that it is a Runstead', async () => {
    const { settings, asked } = cloud([], 'idempotency-key');
    await AgentRuntime.deleteById('r1', settings);
    expect(asked).toEqual(['GET /r1/endpoints', 'DELETE /r1']);
  });

  it('ends at its time where they stay', async () => {
    const stays = serverThat(
      () => success({ ...LIST, items: [{ agentRuntimeEndpointId: 'e1', status: 'DELETING' }] }),
      { ...accessKey, timeout: 100 },
    );
    await expect(AgentRuntime.deleteById('r1', stays.settings)).rejects.toMatchObject({
      name: 'TimeoutError',
      message: "AgentRuntime 'r1' was not without endpoints within 100 ms; last seen: 1 endpoints are left",
    });
    expect(stays.asked).not.toContain('DELETE /r1');
  });

  it('says which endpoint cannot go', async () => {
    const failed = { agentRuntimeEndpointId: 'e1', status: 'DELETE_FAILED', statusReason: 'in use' };
    const { settings } = serverThat(() => success({ ...LIST, items: [failed] }), accessKey);
    await expect(AgentRuntime.deleteById('r1', settings)).rejects.toMatchObject({
      name: 'DeleteResourceError',
      message: "AgentRuntimeEndpoint 'r1/e1' is not being deleted: DELETE_FAILED: in use",
    });
  });

  it('lets the runtime say itself that it does not exist', async () => {
    const { settings } = serverThat(gone, accessKey);
    await expect(AgentRuntime.deleteById('r1', settings)).rejects.toMatchObject({
      name: 'ResourceNotExistError',
      resourceId: 'r1',
    });
  });
});
