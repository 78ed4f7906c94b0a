import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { extensions } from '../src/api/app.ts';
import { issueAccessToken } from '../src/auth/access-token.ts';
import { hashKey, KeyRing } from '../src/auth/key-ring.ts';
import type { CredentialKey, Key, PlatformKey, Workspaces } from '../src/auth/keys.ts';
import { Nonces } from '../src/auth/nonces.ts';
import { permissions } from '../src/auth/permissions.ts';
import {
  type Cell,
  type Cells,
  CREDENTIAL_TITLES,
  CREDENTIALS,
  type Credential,
  type DataAccess,
  dataAccess,
  operationCells,
  otherPaths,
  routesOf,
} from './access-table.ts';
import { ABSENT, openTestApi, type TestApi } from './api/harness.ts';
import { call, INVOKE, runtime, startAgent, startControl, startTestGateway } from './gateway/harness.ts';
import { headersOf, signControl, signData } from './signing.ts';

const WORKSPACE = '11111111-1111-4111-8111-111111111111';
const OTHER = '22222222-2222-4222-8222-222222222222';
const RAM_HOST = '123-ram.agents.test';

function keysFor(workspaces: Workspaces) {
  const key = (role: PlatformKey['role']): PlatformKey => ({
    kind: 'platform',
    id: role,
    sha256: hashKey(`rsk_${role}`),
    accessKeyId: `ak-${role}`,
    accessKeySecret: `secret-${role}`,
    role,
    workspaces,
  });
  const credential: CredentialKey = {
    kind: 'credential',
    id: 'partner',
    sha256: hashKey('rck_partner'),
    credentialName: 'partner',
    workspaces,
  };
  return { invoke: key('invoke'), deploy: key('deploy'), admin: key('admin'), credential };
}

type Keys = ReturnType<typeof keysFor>;

/** What a request with one kind of credential carries. */
function headersFor(
  credential: Credential,
  request: { method: string; path: string; host: string },
  { admin, invoke }: Keys,
): Record<string, string> {
  const bearer = (value: string) => ({ authorization: `Bearer ${value}` });
  switch (credential) {
    case 'none':
      return {};
    case 'acs3':
      return headersOf(signControl({ ...request, pair: admin }));
    case 'agentrun4':
      return headersOf(signData({ ...request, pair: invoke }));
    case 'token':
      return { 'agentrun-access-token': issueAccessToken(invoke, 'runtime-1', Date.now()) };
    case 'credential':
      return bearer('rck_partner');
    case 'other':
      return bearer('sk-of-the-agent');
    default:
      return bearer(`rsk_${credential}`);
  }
}

const cellsOf = (cells: Cells) => CREDENTIALS.map((credential) => [credential, cells[credential]] as const);

describe('docs/access.md', () => {
  // `npm run access-table` writes it anew.
  test('is what the tables say', async () => {
    const file = fileURLToPath(new URL('../../../docs/access.md', import.meta.url));
    await expect(written()).toMatchFileSnapshot(file);
  });
});

describe('on the control plane', () => {
  let api: TestApi;
  const keys = keysFor('all');
  beforeAll(async () => {
    const authentication = {
      keys: new KeyRing(Object.values(keys) as Key[]),
      nonces: undefined as never as Nonces,
      now: Date.now,
    };
    api = await openTestApi({ deps: { authentication } });
    authentication.nonces = await Nonces.open(api.store, Date.now());
  });
  afterAll(() => api.close());

  async function answerTo(credential: Credential, method: string, path: string): Promise<Cell> {
    const host = 'agents.test:7700';
    const { statusCode, body } = await api.app.inject({
      method: method as 'GET',
      url: path,
      headers: headersFor(credential, { method, path, host }, keys),
    });
    // Let in, but with an id of nothing or without a body.
    const isRefused = statusCode === 401 || statusCode === 403;
    return isRefused ? `${statusCode} ${(JSON.parse(body) as { code: string }).code}` : 'allowed';
  }

  test.each(routesOf(extensions).map((route) => [route.name, route] as const))('%s', async (name, route) => {
    const path = route.path.replace(/\{\w+\}/g, ABSENT);
    for (const [credential, cell] of cellsOf(operationCells(name))) {
      expect([credential, await answerTo(credential, route.method, path)]).toEqual([credential, cell]);
    }
  });

  test('/docs', async () => {
    for (const [credential, cell] of cellsOf(otherPaths['/docs']!)) {
      expect([credential, await answerTo(credential, 'GET', '/docs')]).toEqual([credential, cell]);
    }
  });
});

test('/health asks for nothing', async () => {
  const keys = keysFor('all');
  const controlSocket = await startControl((_, response) => response.end());
  const { port } = await startTestGateway({ controlSocket, keys: Object.values(keys) as Key[] });
  for (const [credential, cell] of cellsOf(otherPaths['/health']!)) {
    const request = { method: 'GET', path: '/health', host: `127.0.0.1:${port}` };
    const { status } = await call(port, '/health', { headers: headersFor(credential, request, keys) });
    expect([credential, status]).toEqual([credential, 200]);
    expect(cell).toBe('allowed');
  }
});

describe('on the data plane', () => {
  test.each(dataAccess.map((access) => [access.title, access] as const))('%s', async (_, access) => {
    const keys = keysFor(access.reach === 'own' ? [WORKSPACE] : [OTHER]);
    const agent = await startAgent((request, response) => response.end(JSON.stringify(request.rawHeaders)));
    const { port } = await startTestGateway({
      runtimes: [
        runtime({
          workspaceId: WORKSPACE,
          serves: [{ instances: [agent], slots: 50 }],
          ...(access.credentialName !== undefined && { credentialName: access.credentialName }),
        }),
      ],
      keys: Object.values(keys) as Key[],
      settings: { anonymousCalls: access.anonymousCalls, allowHosts: [RAM_HOST] },
    });
    const host = access.host === '-ram' ? RAM_HOST : `127.0.0.1:${port}`;
    for (const [credential, cell] of cellsOf(access.cells)) {
      const headers = headersFor(credential, { method: 'GET', path: INVOKE, host }, keys);
      const { status, body } = await call(port, INVOKE, { headers: { ...headers, host } });
      const answer =
        status === 200
          ? 'allowed'
          : `${status} ${(JSON.parse(body) as { error: { code: string } }).error.code}`;
      expect([credential, answer]).toEqual([credential, cell]);
      // Whatever lets in stops at the gateway.
      if (status === 200) expect(body).not.toMatch(/rsk_|rck_|rat_|Signature=/);
    }
  });
});

function written(): string {
  const head = ['', ...CREDENTIALS.map((credential) => CREDENTIAL_TITLES[credential])];
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const row = (title: string, cells: Cells) =>
    line([title, ...cellsOf(cells).map(([, cell]) => (cell === 'allowed' ? 'yes' : cell))]);
  const table = (first: string, rows: string[]) => [
    line([first, ...head.slice(1)]),
    line(head.map(() => '---')),
    ...rows,
  ];
  const global = routesOf(extensions).filter(({ name }) => permissions[name].global);
  const writes = routesOf(extensions).filter(({ name }) => permissions[name].writes);
  const names = (routes: typeof global) => routes.map(({ name }) => `\`${name}\``).join(', ');
  const data = (access: DataAccess) => row(access.title, access.cells);
  return `${[
    '# Who may do what',
    '',
    'Written by `npm run access-table` from the table of permissions and that of the gateway; a test holds every cell against',
    'them. `yes`: let in; else the answer, its status and code. What keys, signatures and tokens are, [the server’s',
    'documentation](server.md#access) says.',
    '',
    '## The control plane',
    '',
    ...table('route', [
      ...routesOf(extensions).map(({ name, method, path }) =>
        row(`\`${name}\`<br>\`${method} ${path}\``, operationCells(name)),
      ),
      ...Object.entries(otherPaths).map(([path, cells]) => row(`\`GET ${path}\``, cells)),
    ]),
    '',
    'An ACS3 signature may what its key may. A signature that does not hold is answered 401 `SignatureDoesNotMatch`, an access key',
    'that is not known, has expired or was revoked 401 `InvalidAccessKeyId.NotFound`; a nonce counts once.',
    '',
    'Keys of some workspaces: what lies in others is answered 404, as if it were not there, and lists leave it out. A workspace',
    'that is named in a body, or beside a secret, is answered 400 `ERR_VALIDATION_FAILED`, as one that does not exist. These are not',
    `within a workspace, and answered 403 \`NoPermission\` whatever the role: ${names(global)}.`,
    '',
    'Keys of role `invoke` see which environment variables and registry passwords a runtime has, but `***` for their values.',
    '',
    `These leave an audit event, refused or not: ${names(writes)}.`,
    '',
    '## Calls to runtimes',
    '',
    '`ANY /agent-runtimes/{runtimeName}/endpoints/{endpointName}/invocations/…`, upgrades to WebSocket included. An `rck_…` key is one',
    'of the credential that the runtime names.',
    '',
    ...table('what is called', dataAccess.map(data)),
    '',
    'Whatever is the platform’s stops at the gateway, needed or not: `rsk_…` and `rck_…` in any field, signatures, access tokens. Any',
    'other bearer is the agent’s, and passes.',
    '',
    'A credential of the platform that is no good is never taken for none: an `rsk_…` or `rck_…` that is not known, has expired or was',
    'revoked is answered 401 `InvalidAccessKeyId.NotFound` (an `rck_…` 401 `AccessDenied` where a credential is needed), a token for',
    'another runtime, of a revoked key or of more than a day ago 401 `AccessDenied`. An empty `Agentrun-Access-Token` and an empty',
    '`Bearer` are none. Of several credentials each must be good.',
  ].join('\n')}\n`;
}
