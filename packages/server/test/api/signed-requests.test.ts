import { readdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { type OperationName, operationPaths } from '@runstead/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Authentication, authenticate } from '../../src/auth/authenticate.ts';
import { hashKey, KeyRing } from '../../src/auth/key-ring.ts';
import { newKeySecrets } from '../../src/auth/key-secrets.ts';
import { Nonces } from '../../src/auth/nonces.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { testBox } from '../secret-box.ts';
import {
  type ControlRequest,
  EMPTY_SHA256,
  headersOf,
  isoSeconds,
  pythonStyle,
  type Signed,
  signControl,
  withField,
} from '../signing.ts';
import {
  ABSENT,
  type Answer,
  codeRuntime,
  containerRuntime,
  freshName,
  openTestApi,
  type Page,
  type Runtime,
  sendBytes,
  TEST_KEY,
  type TestApi,
} from './harness.ts';

let api: TestApi;
let authentication: Authentication;
beforeAll(async () => {
  authentication = { keys: new KeyRing([TEST_KEY]), nonces: undefined as never, now: Date.now };
  api = await openTestApi({ deps: { authentication } });
  authentication.nonces = await Nonces.open(api.store, Date.now());
});
afterAll(() => api.close());

const RUNTIMES = '/2025-09-10/agents/runtimes';
const JSON_TYPE = { 'content-type': 'application/json' };

function send<T = Record<string, unknown>>(request: Signed, body?: string): Promise<Answer<T>> {
  return api.send<T>({
    method: request.method,
    url: request.target,
    headers: headersOf(request),
    ...(body !== undefined && { body }),
  });
}

/** A signed call of an operation, as an official client sends it. */
function call<T = Record<string, unknown>>(operation: OperationName, rest: Partial<ControlRequest> = {}) {
  const { method, path } = operationPaths[operation];
  const { body } = rest;
  const request = signControl({
    method,
    path,
    ...rest,
    headers: { 'x-acs-action': operation, ...(body !== undefined && JSON_TYPE), ...rest.headers },
  });
  return send<T>(request, body as string | undefined);
}

const list = (rest: Partial<ControlRequest> = {}) => call<Page<Runtime>>('ListAgentRuntimes', rest);

/** Everything that a refused write must leave as it was. */
async function traces() {
  const { total } = await api.store.listRuntimes({}, { pageNumber: 1, pageSize: 1 });
  return {
    total,
    told: api.told.runtimes.length,
    incoming: await api.incoming(),
    blobs: await readdir(api.folders.blobs),
  };
}

describe('a signed request', () => {
  it.each([
    ['Node', {}],
    ['Python', { unsigned: pythonStyle }],
  ])('creates, lists and gets as %s clients sign it', async (_, style: Partial<ControlRequest>) => {
    const headers = { accept: 'application/json', 'user-agent': 'test/1' };
    const input = await codeRuntime();
    const body = JSON.stringify(input);
    const created = await call<Runtime>('CreateAgentRuntime', { ...style, headers, body });
    expect(created.status).toBe(200);
    const { agentRuntimeId: id = '', agentRuntimeName: name = '' } = created.data;
    const listed = await list({
      ...style,
      headers,
      query: `agentRuntimeName=${name}&searchMode=exact&status=`,
    });
    expect(listed.status).toBe(200);
    expect(listed.data.items.map((item) => item.agentRuntimeId)).toEqual([id]);
    const path = `${RUNTIMES}/${id}`;
    const got = await call<Runtime>('GetAgentRuntime', { ...style, headers, path });
    expect(got.data.agentRuntimeName).toBe(name);
    const gone = await call<Runtime>('DeleteAgentRuntime', { ...style, headers, path });
    expect(gone.data.status).toBe('DELETING');
  });

  it('leaves the key that signed it in the audit', async () => {
    const body = JSON.stringify(containerRuntime());
    const { requestId } = await call('CreateAgentRuntime', { body });
    const events = await api.store.listAuditEvents(5);
    expect(events.find((event) => event.requestId === requestId)).toMatchObject({
      keyId: 'tests',
      operation: 'CreateAgentRuntime',
      status: 200,
    });
  });

  it.each(['CreateAgentRuntime', 'CreateWorkspace', 'CreateKey'])(
    'with another body than was signed is refused, and %s changes nothing',
    async (operation) => {
      const path =
        operation === 'CreateKey' ? '/runstead/v1/keys' : operationPaths[operation as OperationName].path;
      const name = freshName();
      const given = {
        CreateAgentRuntime: await codeRuntime(),
        CreateWorkspace: { name },
        CreateKey: { role: 'admin' },
      }[operation]!;
      const body = JSON.stringify(given);
      const request = signControl({ method: 'POST', path, body, headers: JSON_TYPE });
      const before = await traces();
      for (const other of [`${body} `, body.replace('{', '{ '), '{}', '']) {
        const headers = headersOf(signControl({ method: 'POST', path, body, headers: JSON_TYPE }));
        const answer = await api.send({ method: 'POST', url: path, headers, body: other });
        expect(answer).toMatchObject({ status: 401, code: 'SignatureDoesNotMatch' });
        expect(answer.message).toMatch(/^SignatureDoesNotMatch: the body is not the one/);
      }
      expect(await traces()).toEqual(before);
      expect((await api.store.workspaceByName(name))?.name).toBeUndefined();
      expect(await api.store.keys()).toEqual([]);
      expect((await send(request, body)).status).toBe(200);
      for (const { id } of await api.store.keys()) await api.store.removeKey(id);
    },
  );

  it.each(['UpdateAgentRuntime', 'PublishRuntimeVersion', 'CreateAgentRuntimeEndpoint'] as const)(
    'with another body than was signed is refused by %s, too',
    async (operation) => {
      const { data } = await api.call<Runtime>('CreateAgentRuntime', { body: containerRuntime() });
      const { method, path } = operationPaths[operation];
      const target = path.replace('{agentRuntimeId}', data.agentRuntimeId!);
      const headers = { ...JSON_TYPE, 'idempotency-key': freshName() };
      const request = signControl({ method, path: target, body: '{"description":"a"}', headers });
      const revision = (await api.store.getRuntime(data.agentRuntimeId!))!.revision;
      const answer = await send(request, '{"description":"b"}');
      expect(answer).toMatchObject({ status: 401, code: 'SignatureDoesNotMatch' });
      expect((await api.store.getRuntime(data.agentRuntimeId!))!.revision).toBe(revision);
    },
  );

  it.each(['GET', 'DELETE'])('%s with a body that was not signed is refused', async (method) => {
    const { data } = await api.call<Runtime>('CreateAgentRuntime', { body: containerRuntime() });
    const path = `${RUNTIMES}/${data.agentRuntimeId}`;
    const before = await traces();
    const answer = await send(signControl({ method, path }), '{"a":1}');
    expect(answer).toMatchObject({ status: 401, code: 'SignatureDoesNotMatch' });
    expect(await traces()).toEqual(before);
    expect((await api.store.getRuntime(data.agentRuntimeId!))!.status).toBe('CREATING');
    // With the one that was signed it is passed over, as without a signature.
    const signed = signControl({ method, path, body: '{"a":1}', headers: JSON_TYPE });
    expect((await send(signed, '{"a":1}')).status).toBe(200);
  });

  it('whose hash is that of a body that does not come is refused, also in pieces', async () => {
    const signed = signControl({ method: 'GET', path: RUNTIMES, body: 'x' });
    expect((await send(signed)).code).toBe('SignatureDoesNotMatch');
    const socket = await api.socket();
    const empty = signControl({ method: 'DELETE', path: `${RUNTIMES}/${ABSENT}` });
    const fields = Object.entries(headersOf(empty)).map(([name, value]) => `${name}: ${value}`);
    const head = [`DELETE ${RUNTIMES}/${ABSENT} HTTP/1.1`, ...fields, 'transfer-encoding: chunked'];
    const answer = await sendBytes(socket, `${head.join('\r\n')}\r\n\r\n`, '1\r\nx\r\n', '0\r\n\r\n');
    expect(answer).toMatchObject({ status: 401, code: 'SignatureDoesNotMatch' });
  });

  it('that nobody signed leaves nothing behind, even when its body breaks off', async () => {
    const before = await traces();
    const wrong = signControl({
      method: 'POST',
      path: RUNTIMES,
      body: 'x',
      headers: { ...JSON_TYPE, 'content-length': '134217728' },
      pair: { accessKeyId: 'testak', accessKeySecret: 'wrong' },
    });
    const fields = Object.entries(headersOf(wrong)).map(([name, value]) => `${name}: ${value}`);
    const socket = connect(await api.socket());
    socket.write(`${[`POST ${RUNTIMES} HTTP/1.1`, ...fields].join('\r\n')}\r\n\r\n${'x'.repeat(100_000)}`);
    const text = await new Promise<string>((resolve) =>
      socket.once('data', (chunk) => resolve(String(chunk))),
    );
    socket.destroy();
    expect(text).toMatch(/^HTTP\/1\.1 401 /);
    expect(await traces()).toEqual(before);
  });
});

describe('nonces', () => {
  it('count once, also after a restart', async () => {
    const request = signControl({ method: 'GET', path: RUNTIMES });
    expect((await send(request)).status).toBe(200);
    const again = await send(request);
    expect(again).toMatchObject({ status: 401, code: 'SignatureDoesNotMatch' });
    expect(again.message).toMatch(/x-acs-signature-nonce was used before/);

    const restarted = openSqliteStore(api.folders.database, testBox);
    try {
      const own = { ...authentication, nonces: await Nonces.open(restarted, Date.now()) };
      await expect(authenticate(request, own)).rejects.toThrow(/was used before/);
      const later = { ...own, now: () => Date.now() + 14 * 60_000 };
      await expect(authenticate(request, later)).rejects.toThrow(/was used before/);
      await expect(authenticate(signControl({ method: 'GET', path: RUNTIMES }), own)).resolves.toMatchObject({
        keyId: 'tests',
      });
    } finally {
      await restarted.close();
    }
  });

  it('of two requests at once let one through', async () => {
    const request = signControl({ method: 'GET', path: RUNTIMES });
    const answers = await Promise.all(Array.from({ length: 20 }, () => send(request)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(19).fill(401)]);
  });

  it('are used up by a request whose body was another, too', async () => {
    const request = signControl({ method: 'POST', path: RUNTIMES, body: '{}', headers: JSON_TYPE });
    expect((await send(request, '{ }')).code).toBe('SignatureDoesNotMatch');
    expect((await send(request, '{}')).message).toMatch(/was used before/);
  });

  it('of requests that nobody signed are not kept: after a million of them there is none', async () => {
    const nonces = await Nonces.open(api.store, Date.now());
    const [size, stored] = [nonces.size, (await api.store.nonces(0)).length];
    const own = { ...authentication, nonces };
    const request = signControl({ method: 'GET', path: RUNTIMES, nonce: 'of-nobody' });
    const at = request.fields.indexOf('of-nobody');
    let refused = 0;
    // Wrongly signed each: the nonce is another one than was signed.
    for (let count = 0; count < 1_000_000; count++) {
      request.fields[at] = `bad-${count}`;
      await authenticate(request, own).catch(() => refused++);
    }
    expect(refused).toBe(1_000_000);
    expect(nonces.size).toBe(size);
    expect(await api.store.nonces(0)).toHaveLength(stored);
  }, 300_000);

  it('of one key are bounded: beyond that it is told to come again later, and other keys go on', async () => {
    const bounded = newKey('bounded');
    const other = newKey('other');
    const { keys, nonces } = authentication;
    Object.assign(authentication, {
      keys: new KeyRing([TEST_KEY, bounded, other]),
      nonces: await Nonces.open(api.store, Date.now(), 3),
    });
    try {
      for (let count = 0; count < 3; count++) expect((await list({ pair: bounded })).status).toBe(200);
      const answer = await list({ pair: bounded });
      expect(answer).toMatchObject({ status: 429, code: 'ERR_TOO_MANY_REQUESTS' });
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
      expect((await list({ pair: other })).status).toBe(200);
      // Its bearer is not bounded.
      const bearer = { authorization: `Bearer ${bounded.apiKey}` };
      expect((await api.call('ListAgentRuntimes', { headers: bearer })).status).toBe(200);
    } finally {
      Object.assign(authentication, { keys, nonces });
    }
  });

  it('that have expired are forgotten, in memory and on the disk, and not before', async () => {
    let now = Date.parse('2031-01-01T00:00:00Z');
    const nonces = await Nonces.open(api.store, now);
    const own = { ...authentication, nonces, now: () => now };
    const ahead = isoSeconds(now + 15 * 60_000);
    const request = signControl({ method: 'GET', path: RUNTIMES, date: ahead });
    await authenticate(request, own);
    now += 30 * 60_000;
    await expect(authenticate(request, own)).rejects.toThrow(/was used before/);
    expect(nonces.size).toBe(1);
    now += 61_000;
    const next = signControl({ method: 'GET', path: RUNTIMES, date: isoSeconds(now) });
    await authenticate(next, own);
    expect(nonces.size).toBe(1);
    await expect(authenticate(request, own)).rejects.toThrow(/more than 15 minutes away/);
    expect((await api.store.nonces(now)).map(({ nonce }) => nonce)).toEqual([
      headersOf(next)['x-acs-signature-nonce'],
    ]);
  });
});

/** A key for all workspaces whose nonces are its own. */
function newKey(id: string) {
  const { apiKey, ...pair } = newKeySecrets();
  const whole = { kind: 'platform', role: 'admin', workspaces: 'all' } as const;
  return { ...whole, ...pair, apiKey, id, sha256: hashKey(apiKey) };
}

describe('what a signed request says of itself', () => {
  it.each([
    ['x-acs-action', 'DeleteAgentRuntime'],
    ['x-acs-action', 'NoSuchOperation'],
    ['x-acs-action', 'listagentruntimes'],
    ['x-acs-version', '2025-09-11'],
  ])('must be what the path leads to: %s %j is refused', async (field, value) => {
    const answer = await list({ headers: { [field]: value } });
    expect(answer).toMatchObject({ status: 400, code: 'ERR_BAD_REQUEST' });
    expect(answer.message).toContain(`${field} must be`);
  });

  it('changed on the way is refused as not signed', async () => {
    const request = signControl({
      method: 'GET',
      path: RUNTIMES,
      headers: { 'x-acs-action': 'ListAgentRuntimes' },
    });
    const answer = await send(withField(request, 'x-acs-action', 'GetAgentRuntime'));
    expect(answer).toMatchObject({ status: 401, code: 'SignatureDoesNotMatch' });
  });

  it('is asked of nobody', async () => {
    const request = withoutVersion();
    expect((await send(request)).status).toBe(200);
  });
});

function withoutVersion(): Signed {
  const headers = { 'x-acs-version': '2025-09-10' };
  return signControl({
    method: 'GET',
    path: RUNTIMES,
    headers,
    unsigned: (name) => name !== 'host' && !/^x-acs-(date|sig|content)/.test(name),
  });
}

describe('what is no signature of this API', () => {
  it.each([
    [
      'two Authorization fields',
      ['authorization', 'Bearer rsk_of-the-tests', 'authorization', 'Bearer rsk_x'],
    ],
    [
      'a data-plane signature',
      ['authorization', 'AGENTRUN4-HMAC-SHA256 Credential=a,SignedHeaders=b,Signature=c'],
    ],
    [
      'another algorithm',
      ['authorization', `ACS3-HMAC-SM3 Credential=a,SignedHeaders=host,Signature=${EMPTY_SHA256}`],
    ],
    ['Basic', ['authorization', 'Basic cnNrX29mLXRoZS10ZXN0czo=']],
    ['only the other field', ['agentrun-authorization', 'sesame']],
    ['a key as a query', []],
  ])('%s is refused', async (_, fields) => {
    const request = { method: 'GET', target: `${RUNTIMES}?apiKey=rsk_of-the-tests`, fields };
    await expect(authenticate(request, authentication)).rejects.toMatchObject({ code: 'AccessDenied' });
    await expect(authenticate(request, authentication)).rejects.toThrow(/^(?!.*(?:sesame|rsk_x))/);
  });
});
