import { readFile } from 'node:fs/promises';
import { crc64 } from '@runstead/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { blobFile } from '../../src/artifacts/folders.ts';
import {
  codeRuntime,
  containerRuntime,
  freshName,
  openTestApi,
  type Runtime,
  runtimeAt,
  type TestApi,
  TIMESTAMP,
  workspaceIn,
  zip,
} from './harness.ts';

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
});
afterAll(() => api.close());

const create = (body: unknown, headers?: Record<string, string>) =>
  api.call<Runtime>('CreateAgentRuntime', { body, ...(headers && { headers }) });

/** Every field of the contract that is sent back, each with a value that is no default. */
const everything = {
  cpu: 0.5,
  memory: 512,
  port: 8123,
  diskSize: 10,
  description: 'Größe: ✓ 日本',
  credentialName: 'inbound_1',
  disableOndemand: false,
  disableSessionAffinity: true,
  sessionAffinityType: 'HEADER_FIELD',
  headerFieldName: 'x-session',
  edition: 'standard',
  enableSessionIsolation: true,
  environmentVariables: { MODE: 'test', EMPTY: '', QUOTED: '"a" \\ \n b' },
  executionRoleArn: 'acs:ram::1:role/agent',
  externalAgentEndpointUrl: 'https://agent.test/v1',
  healthCheckConfiguration: {
    failureThreshold: 4,
    httpGetUrl: '/ready?deep=1',
    initialDelaySeconds: 0,
    periodSeconds: 7,
    successThreshold: 2,
    timeoutSeconds: 5,
  },
  logConfiguration: { project: 'p', logstore: 'l' },
  nasConfig: {
    groupId: -1,
    userId: 0,
    mountPoints: [{ enableTLS: true, mountDir: '/mnt', serverAddr: 's:/' }],
  },
  ossMountConfig: {
    mountPoints: [{ bucketName: 'b', bucketPath: '/', endpoint: 'e', mountDir: '/oss', readOnly: true }],
  },
  networkConfiguration: {
    networkMode: 'PUBLIC_AND_PRIVATE',
    securityGroupId: 'sg-1',
    vpcId: 'vpc-1',
    vswitchIds: ['vsw-1', 'vsw-2'],
  },
  protocolConfiguration: {
    type: 'HTTP',
    protocolSettings: [{ type: 'openai', name: 'chat', config: '{"a":1}', path: '/v1' }],
    externalEndpoint: 'https://x.test',
  },
  sessionConcurrencyLimitPerInstance: 7,
  sessionIdleTimeoutSeconds: 61,
  systemTags: ['b', 'a'],
  resourceGroupId: 'rg-1',
};

describe('CreateAgentRuntime answers', () => {
  it('at once in CREATING with the identity it made, and wakes the parts behind', async () => {
    const body = containerRuntime();
    const { status, data } = await create(body);
    expect(status).toBe(200);
    expect(data.agentRuntimeId).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(data).toEqual({
      ...body,
      agentRuntimeId: data.agentRuntimeId,
      workspaceId: (await api.store.defaultWorkspace()).id,
      agentRuntimeArn: `acs:agentrun:cn-hangzhou:0000000000000000:runtimes/${data.agentRuntimeId}`,
      status: 'CREATING',
      createdAt: data.createdAt,
      lastUpdatedAt: data.createdAt,
      networkConfiguration: { networkMode: 'PUBLIC' },
      sessionConcurrencyLimitPerInstance: 1,
      sessionIdleTimeoutSeconds: 3600,
    });
    expect(data.createdAt).toMatch(TIMESTAMP);
    expect(api.told.runtimes).toContain(data.agentRuntimeId);
    expect((await api.store.getRuntime(data.agentRuntimeId!))?.status).toBe('CREATING');
  });

  it('with everything that was sent, to the letter', async () => {
    const code = {
      checksum: '123',
      command: ['node', '-e', 'x y'],
      language: 'nodejs20',
      zipFile: await zip(),
    };
    const { status, headers, data } = await create(await codeRuntime(everything, code));
    expect(status).toBe(200);
    expect(headers['x-runstead-warning']).toBeUndefined();
    const { zipFile: _zipFile, ...kept } = code;
    expect(data).toMatchObject(everything);
    expect(data.environmentVariables).toEqual(everything.environmentVariables);
    expect(data.codeConfiguration).toEqual(kept);
  });

  it('with what a container has, its registry included', async () => {
    const containerConfiguration = {
      acrInstanceId: 'cri-1',
      command: ['serve'],
      image: 'registry.test/a@sha256:00',
      imageRegistryType: 'CUSTOM',
      port: 80,
      registryConfig: {
        authConfig: { userName: 'u', password: 'p' },
        certConfig: { insecure: false, rootCaCertBase64: 'eA==' },
        networkConfig: { vpcId: 'vpc-1', vSwitchId: 'vsw-1', securityGroupId: 'sg-1' },
      },
    };
    const { data } = await create(containerRuntime({ containerConfiguration }));
    expect(data.containerConfiguration).toEqual(containerConfiguration);
  });

  it('the same when it is asked again', async () => {
    const { data } = await create(await codeRuntime(everything));
    const again = await api.call('GetAgentRuntime', { id: data.agentRuntimeId! });
    expect(again.data).toEqual(data);
  });

  it('never with the package, which lies among the blobs under its digest', async () => {
    const zipFile = await zip({ 'main.py': 'print("in the package")' });
    const answer = await create(await codeRuntime({}, { zipFile }));
    expect(answer.text).not.toContain('zipFile');
    expect(answer.text).not.toContain(zipFile);
    const bytes = Buffer.from(zipFile, 'base64');
    const { spec } = (await api.store.getRuntime(answer.data.agentRuntimeId!))!;
    expect(spec.artifact).toEqual({
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      crc64: crc64(bytes),
      entry: { command: ['python3', 'main.py'], source: 'main.py' },
    });
    expect(await readFile(blobFile(api.folders, spec.artifact!.digest))).toEqual(bytes);
    expect(await api.incoming()).toEqual([]);
  });

  it('without fields that only go in', async () => {
    const armsConfiguration = { armsLicenseKey: 'licence-1', enableArms: true };
    const answer = await create(containerRuntime({ armsConfiguration, credentialId: 'c-1' }));
    expect(answer.status).toBe(200);
    expect(answer.text).not.toMatch(/arms|licence-1|credentialId/);
  });

  it('takes nulls for absent, at any depth', async () => {
    const nulls = Object.fromEntries(
      [
        'description',
        'environmentVariables',
        'healthCheckConfiguration',
        'systemTags',
        'codeConfiguration',
      ].map((field) => [field, null]),
    );
    const containerConfiguration = { image: 'i', command: null, registryConfig: { authConfig: null } };
    const answer = await create(
      containerRuntime({ ...nulls, networkConfiguration: null, containerConfiguration }),
    );
    expect(answer.status).toBe(200);
    expect(answer.text).not.toContain('null');
    for (const field of Object.keys(nulls)) expect(answer.data).not.toHaveProperty(field);
    expect(answer.data.networkConfiguration).toEqual({ networkMode: 'PUBLIC' });
  });

  it('leaves out objects that say nothing, as some clients take them for values', async () => {
    const body = await codeRuntime({
      environmentVariables: {},
      healthCheckConfiguration: {},
      logConfiguration: { project: null },
      networkConfiguration: {},
    });
    const answer = await create(body);
    expect(answer.status).toBe(200);
    expect(answer.text).not.toContain('{}');
    for (const field of ['environmentVariables', 'healthCheckConfiguration', 'logConfiguration']) {
      expect(answer.data).not.toHaveProperty(field);
    }
    // Only the package was sent, and that is not sent back.
    expect(answer.data).not.toHaveProperty('codeConfiguration');
    expect(answer.data.networkConfiguration).toEqual({ networkMode: 'PUBLIC' });
  });
});

describe('fields that are not known', () => {
  it('are passed over and named in a warning', async () => {
    const answer = await create(
      containerRuntime({
        memroy: 7,
        containerConfiguration: { image: 'i', imgae: 'j' },
        nasConfig: { mountPoints: [{ mountDir: '/a', mountDirr: '/b' }] },
      }),
    );
    expect(answer.status).toBe(200);
    expect(answer.headers['x-runstead-warning']).toBe(
      'ignored fields that are not known: containerConfiguration.imgae, memroy, nasConfig.mountPoints[0].mountDirr',
    );
    expect(answer.text).not.toMatch(/memroy|imgae|mountDirr/);
  });

  it('are no warning where any name is right', async () => {
    const answer = await create(containerRuntime({ environmentVariables: { ANY: 'thing' } }));
    expect(answer.headers['x-runstead-warning']).toBeUndefined();
  });

  it('cannot make the warning longer than a header field may be', async () => {
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`unknown-${i}-é\r\n`, i]));
    const answer = await create(containerRuntime(many));
    expect(answer.status).toBe(200);
    const warning = answer.headers['x-runstead-warning']!;
    expect(warning).toMatch(/^[\x20-\x7e]{1,2000}$/);
    expect(warning).toContain('unknown-0-');
    expect(warning).toMatch(/and \d+ more$/);
  });
});

describe('the package', () => {
  const CODE = { cpu: 1, memory: 2048, port: 9000, artifactType: 'Code' };
  const refused: [string, () => Promise<Record<string, unknown>>, string][] = [
    [
      'no codeConfiguration',
      async () => ({ ...CODE }),
      'codeConfiguration is required when artifactType is Code',
    ],
    [
      'a codeConfiguration of null',
      async () => ({ ...CODE, codeConfiguration: null }),
      'codeConfiguration is required when artifactType is Code',
    ],
    [
      'no package in it',
      async () => ({ ...CODE, codeConfiguration: { language: 'nodejs20' } }),
      'codeConfiguration.zipFile is required (or ossBucketName and ossObjectName)',
    ],
    [
      'a bucket without an object',
      async () => ({ ...CODE, codeConfiguration: { ossBucketName: 'agents' } }),
      'codeConfiguration.ossObjectName is required when the package lies in a bucket',
    ],
    [
      'an object without a bucket',
      async () => ({ ...CODE, codeConfiguration: { ossObjectName: 'o' } }),
      'codeConfiguration.ossBucketName is required when the package lies in a bucket',
    ],
    [
      'a main that is not there and that nothing makes',
      async () => ({
        ...CODE,
        codeConfiguration: { zipFile: await zip({ 'package.json': '{"main":"dist/index.js"}' }) },
      }),
      'codeConfiguration.command is required: the package has none of package.json scripts.start, ' +
        'package.json main, index.js, index.mjs, index.cjs, server.js, server.mjs, server.cjs, main.py, app.py',
    ],
    [
      'no command and nothing in the package that starts it',
      async () => ({ ...CODE, codeConfiguration: { zipFile: await zip({ 'readme.txt': '' }) } }),
      'codeConfiguration.command is required: the package has none of package.json scripts.start, ' +
        'package.json main, index.js, index.mjs, index.cjs, server.js, server.mjs, server.cjs, main.py, app.py',
    ],
    [
      'an empty command',
      async () => ({ ...CODE, codeConfiguration: { zipFile: await zip(), command: [] } }),
      'codeConfiguration.command must have at least 1 entries (got a list)',
    ],
    [
      'a package that is no base64',
      async () => ({ ...CODE, codeConfiguration: { zipFile: 'UEs*' } }),
      'codeConfiguration.zipFile must be a ZIP archive in base64: it has the character "*"',
    ],
    [
      'base64 that was cut off',
      async () => ({ ...CODE, codeConfiguration: { zipFile: 'UEsDB' } }),
      'codeConfiguration.zipFile must be a ZIP archive in base64: it ends within a group of four characters',
    ],
    [
      'a package that is no text',
      async () => ({ ...CODE, codeConfiguration: { zipFile: 7 } }),
      'codeConfiguration.zipFile must be a string (got 7)',
    ],
    [
      'a codeConfiguration that is no object',
      async () => ({ ...CODE, codeConfiguration: 'UEsDBA==' }),
      'codeConfiguration must be an object (got "UEsDBA==")',
    ],
    [
      'a container without configuration',
      async () => ({ ...CODE, artifactType: 'Container' }),
      'containerConfiguration.image is required when artifactType is Container',
    ],
    [
      'a container without an image',
      async () => ({ ...CODE, artifactType: 'Container', containerConfiguration: { command: ['a'] } }),
      'containerConfiguration.image is required when artifactType is Container',
    ],
  ];
  it.each(refused)('is refused with %s', async (_name, body, message) => {
    const name = freshName();
    const answer = await create({ ...(await body()), agentRuntimeName: name });
    expect(answer).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED', message });
    expect((await api.call<{ total: number }>('ListAgentRuntimes', { query: named(name) })).data.total).toBe(
      0,
    );
    expect(await api.incoming()).toEqual([]);
  });

  const accepted: [string, () => Promise<Record<string, unknown>>, string[] | undefined][] = [
    ['an entry of its own', async () => ({ zipFile: await zip({ 'server.js': '' }) }), ['node', 'server.js']],
    [
      'a start script',
      async () => ({ zipFile: await zip({ 'package.json': '{"scripts":{"start":"node src/a.js"}}' }) }),
      ['node', 'src/a.js'],
    ],
    [
      'a main that its build script is going to make',
      async () => ({
        zipFile: await zip({
          'package.json': '{"main":"./dist/index.js","scripts":{"build":"tsc"}}',
          'src/index.ts': '',
        }),
      }),
      ['node', 'dist/index.js'],
    ],
    [
      'a command beside it',
      async () => ({ zipFile: await zip({ 'run.sh': '' }), command: ['sh', 'run.sh'] }),
      undefined,
    ],
    ['line breaks in its base64', async () => ({ zipFile: wrapped(await zip()) }), ['node', 'index.mjs']],
    // What is wrong with these the deploy finds, and says in which phase.
    ['bytes that are no archive', async () => ({ zipFile: 'bm8gemlw' }), undefined],
    [
      'a checksum of other bytes',
      async () => ({ zipFile: await zip(), checksum: '1' }),
      ['node', 'index.mjs'],
    ],
    ['a bucket in its place', async () => ({ ossBucketName: 'agents', ossObjectName: 'o' }), undefined],
  ];
  it.each(accepted)('is accepted with %s', async (_name, code, command) => {
    const answer = await create(await codeRuntime({ codeConfiguration: await code() }));
    expect(answer).toMatchObject({ status: 200, data: { status: 'CREATING' } });
    const { spec } = (await api.store.getRuntime(answer.data.agentRuntimeId!))!;
    expect(spec.artifact?.entry?.command).toEqual(command);
  });
});

describe('a name', () => {
  it.each(['CREATING', 'CREATE_FAILED', 'READY', 'DELETING'] as const)(
    'that a runtime in %s has is taken',
    async (stage) => {
      const { name } = await runtimeAt(api, stage);
      expect(await create(containerRuntime({ agentRuntimeName: name }))).toMatchObject({
        status: 409,
        code: 'ERR_ALREADY_EXISTS',
        message: `AgentRuntime '${name}' already exists`,
      });
    },
  );

  it('is taken whatever the workspace, and told apart by case', async () => {
    const name = `Agent_${freshName()}`;
    const [a, b] = [await workspaceIn(api), await workspaceIn(api)];
    await create(containerRuntime({ agentRuntimeName: name, workspaceId: a }));
    const other = await create(containerRuntime({ agentRuntimeName: name, workspaceId: b }));
    expect(other.status).toBe(409);
    const lower = await create(containerRuntime({ agentRuntimeName: name.toLowerCase() }));
    expect(lower.status).toBe(200);
  });

  it('is free again once its runtime is gone', async () => {
    const { id, name } = await runtimeAt(api, 'READY');
    await api.store.removeRuntime(id);
    expect((await create(containerRuntime({ agentRuntimeName: name }))).status).toBe(200);
  });
});

const named = (agentRuntimeName: string) => ({ agentRuntimeName, searchMode: 'exact' });
const wrapped = (base64: string) => base64.replace(/.{20}/g, '$&\r\n');
