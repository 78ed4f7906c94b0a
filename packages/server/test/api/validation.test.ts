import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containerRuntime, openTestApi, runtimeAt, type TestApi } from './harness.ts';

let api: TestApi;
let id: string;
beforeAll(async () => {
  api = await openTestApi();
  ({ id } = await runtimeAt(api, 'READY'));
});
afterAll(() => api.close());

const NAME = '^[a-zA-Z][a-zA-Z0-9_-]{0,127}$';
const long = (length: number) => 'x'.repeat(length);
const cut = (length: number) => `"${long(length)}…`;

/** Field, value, and what is said of it; the rules hold for create and update alike. */
const rules: [Record<string, unknown>, string][] = [
  [{ agentRuntimeName: '1st' }, `agentRuntimeName must match ${NAME} (got "1st")`],
  [{ agentRuntimeName: 'a b' }, `agentRuntimeName must match ${NAME} (got "a b")`],
  [{ agentRuntimeName: 'a/b' }, `agentRuntimeName must match ${NAME} (got "a/b")`],
  [{ agentRuntimeName: 'a\n' }, `agentRuntimeName must match ${NAME} (got "a\\n")`],
  [{ agentRuntimeName: '' }, `agentRuntimeName must match ${NAME} (got "")`],
  [{ agentRuntimeName: long(129) }, `agentRuntimeName must match ${NAME} (got ${cut(79)})`],
  [{ agentRuntimeName: 7 }, 'agentRuntimeName must be a string (got 7)'],
  [{ artifactType: 'Zip' }, 'artifactType must be one of Code, Container (got "Zip")'],
  [{ description: long(257) }, `description must have at most 256 characters (got ${cut(79)})`],
  [{ cpu: 0.04 }, 'cpu must be at least 0.05 (got 0.04)'],
  [{ cpu: 16.1 }, 'cpu must be at most 16 (got 16.1)'],
  [{ cpu: '2' }, 'cpu must be a number (got "2")'],
  [{ memory: 127 }, 'memory must be at least 128 (got 127)'],
  [{ memory: 32_769 }, 'memory must be at most 32768 (got 32769)'],
  [{ memory: 512.5 }, 'memory must be an integer (got 512.5)'],
  [{ memory: true }, 'memory must be a number (got true)'],
  [{ port: 0 }, 'port must be at least 1 (got 0)'],
  [{ port: 65_536 }, 'port must be at most 65535 (got 65536)'],
  [{ port: [80] }, 'port must be a number (got a list)'],
  [{ diskSize: -1 }, 'diskSize must be at least 0 (got -1)'],
  [
    { sessionConcurrencyLimitPerInstance: 0 },
    'sessionConcurrencyLimitPerInstance must be at least 1 (got 0)',
  ],
  [
    { sessionConcurrencyLimitPerInstance: 201 },
    'sessionConcurrencyLimitPerInstance must be at most 200 (got 201)',
  ],
  [{ sessionIdleTimeoutSeconds: 59 }, 'sessionIdleTimeoutSeconds must be at least 60 (got 59)'],
  [{ sessionIdleTimeoutSeconds: 86_401 }, 'sessionIdleTimeoutSeconds must be at most 86400 (got 86401)'],
  [
    { sessionAffinityType: 'COOKIE' },
    'sessionAffinityType must be one of NONE, HEADER_FIELD, GENERATED_COOKIE (got "COOKIE")',
  ],
  [{ headerFieldName: 'a b' }, 'headerFieldName must be an HTTP field name (got "a b")'],
  [{ credentialName: '_x' }, 'credentialName must match ^[a-zA-Z][a-zA-Z0-9_-]{0,63}$ (got "_x")'],
  [{ disableOndemand: 'yes' }, 'disableOndemand must be true or false (got "yes")'],
  [{ systemTags: 'a,b' }, 'systemTags must be a list (got "a,b")'],
  [{ systemTags: ['a', 1] }, 'systemTags[1] must be a string (got 1)'],
  [
    { networkConfiguration: { vpcId: 'v-1' } },
    'networkConfiguration.vpcId must begin with "vpc-" (got "v-1")',
  ],
  [
    { networkConfiguration: { securityGroupId: 'x' } },
    'networkConfiguration.securityGroupId must begin with "sg-" (got "x")',
  ],
  [
    { networkConfiguration: { vswitchIds: ['vsw-1', 'sw'] } },
    'networkConfiguration.vswitchIds[1] must begin with "vsw-" (got "sw")',
  ],
  [
    { networkConfiguration: { networkMode: 'VPC' } },
    'networkConfiguration.networkMode must be one of PUBLIC, PRIVATE, PUBLIC_AND_PRIVATE (got "VPC")',
  ],
  [
    { networkConfiguration: { networkMode: 'PRIVATE' } },
    'networkConfiguration.vpcId is required when networkMode is PRIVATE or PUBLIC_AND_PRIVATE',
  ],
  [
    { networkConfiguration: { networkMode: 'PUBLIC_AND_PRIVATE' } },
    'networkConfiguration.vpcId is required when networkMode is PRIVATE or PUBLIC_AND_PRIVATE',
  ],
  ...(
    [
      ['initialDelaySeconds', -1, 'at least 0'],
      ['initialDelaySeconds', 301, 'at most 300'],
      ['periodSeconds', 0, 'at least 1'],
      ['periodSeconds', 301, 'at most 300'],
      ['timeoutSeconds', 0, 'at least 1'],
      ['timeoutSeconds', 61, 'at most 60'],
      ['failureThreshold', 0, 'at least 1'],
      ['successThreshold', 0, 'at least 1'],
      ['successThreshold', 11, 'at most 10'],
    ] as const
  ).map(([field, value, bound]): [Record<string, unknown>, string] => [
    { healthCheckConfiguration: { [field]: value } },
    `healthCheckConfiguration.${field} must be ${bound} (got ${value})`,
  ]),
  ...['health', '//evil.test/health', 'http://evil.test/', '/a b', '/ü', ''].map(
    (url): [Record<string, unknown>, string] => [
      { healthCheckConfiguration: { httpGetUrl: url } },
      'healthCheckConfiguration.httpGetUrl must be a path such as "/ready": a single "/" first, no "#" or "\\", ' +
        `everything unusual percent-encoded (got ${JSON.stringify(url)})`,
    ],
  ),
  [
    { protocolConfiguration: { type: 'A2A' } },
    'protocolConfiguration.type must be one of HTTP, MCP, SUPER_AGENT (got "A2A")',
  ],
  [
    { protocolConfiguration: { protocolSettings: [{ config: {} }] } },
    'protocolConfiguration.protocolSettings[0].config must be a string (got an object)',
  ],
  [
    { containerConfiguration: { image: '' } },
    'containerConfiguration.image must have at least 1 characters (got "")',
  ],
  [
    { containerConfiguration: { image: 'i', port: 0 } },
    'containerConfiguration.port must be at least 1 (got 0)',
  ],
  [
    { containerConfiguration: { image: 'i', imageRegistryType: 'GHCR' } },
    'containerConfiguration.imageRegistryType must be one of ACR, ACREE, CUSTOM (got "GHCR")',
  ],
  ...(['nasConfig', 'ossMountConfig'] as const).flatMap((field) =>
    [
      '',
      'models',
      './models',
      '../models',
      '/..',
      '/mnt/../etc',
      '/mnt/..',
      '/',
      '//',
      '/mnt/\0',
      '/mnt/a\nb',
    ].map((mountDir): [Record<string, unknown>, string] => [
      { [field]: { mountPoints: [{ mountDir: '/mnt/fine' }, { mountDir }] } },
      `${field}.mountPoints[1].mountDir must be an absolute path of a directory such as "/mnt/models", ` +
        `without ".." and control characters (got ${JSON.stringify(mountDir)})`,
    ]),
  ),
  [
    { ossMountConfig: { mountPoints: [{ mountDir: `/${long(4096)}` }] } },
    `ossMountConfig.mountPoints[0].mountDir must have at most 4096 characters (got "/${long(78)}…)`,
  ],
  [
    { codeConfiguration: { language: 'cobol' } },
    'codeConfiguration.language must be one of python3.10, python3.12, nodejs18, nodejs20, nodejs22, nodejs24, ' +
      'java8, java11, java17, custom (got "cobol")',
  ],
  [
    { codeConfiguration: { checksum: 'abc' } },
    'codeConfiguration.checksum must be an unsigned decimal CRC-64 (got "abc")',
  ],
  [{ codeConfiguration: { command: 'node a' } }, 'codeConfiguration.command must be a list (got "node a")'],
  [
    { codeConfiguration: { command: ['node', ''] } },
    'codeConfiguration.command[1] must have at least 1 characters (got "")',
  ],
];

describe.each(['CreateAgentRuntime', 'UpdateAgentRuntime'] as const)('%s', (operation) => {
  const ask = (fields: Record<string, unknown>) =>
    api.call(
      operation,
      operation === 'CreateAgentRuntime' ? { body: containerRuntime(fields) } : { id, body: fields },
    );

  it.each(rules)('refuses %j', async (fields, message) => {
    expect(await ask(fields)).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED', message });
  });

  it('names every offending field in one answer', async () => {
    const worst = new Map<string, [unknown, string]>();
    for (const [fields, message] of rules) {
      const [field] = Object.keys(fields) as [string];
      worst.set(field, [fields[field], message]);
    }
    const all = Object.fromEntries([...worst].map(([field, [value]]) => [field, value]));
    const answer = await ask(all);
    expect(answer).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED' });
    expect(answer.message.split('; ').sort()).toEqual(
      [...worst.values()].map(([, message]) => message).sort(),
    );
  });

  const ONE = 's3same';
  it.each([
    ['the value of a variable', { environmentVariables: { API_KEY: [ONE] } }, 'environmentVariables.API_KEY'],
    ['a number for a variable', { environmentVariables: { PIN: 53_000 } }, 'environmentVariables.PIN'],
    ['a value with NUL', { environmentVariables: { API_KEY: `${ONE}\0` } }, 'environmentVariables.API_KEY'],
    [
      'a value that slid into the name',
      { environmentVariables: { [`API_KEY=${ONE}`]: '' } },
      'environmentVariables.API_KEY',
    ],
    ['variables in one text', { environmentVariables: `API_KEY=${ONE}` }, 'environmentVariables'],
    ['variables in a list', { environmentVariables: [`API_KEY=${ONE}`] }, 'environmentVariables'],
    [
      'a password',
      { containerConfiguration: { image: 'i', registryConfig: { authConfig: { password: 53_000 } } } },
      'containerConfiguration.registryConfig.authConfig.password',
    ],
    [
      'user and password in one text',
      { containerConfiguration: { image: 'i', registryConfig: { authConfig: `me:${ONE}` } } },
      'containerConfiguration.registryConfig.authConfig',
    ],
    ['a licence key', { armsConfiguration: { armsLicenseKey: 53_000 } }, 'armsConfiguration.armsLicenseKey'],
    ['a licence key out of place', { armsConfiguration: ONE }, 'armsConfiguration'],
  ])('does not show %s', async (_name, fields: Record<string, unknown>, field) => {
    const answer = await ask(fields);
    expect(answer).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED' });
    expect(answer.message).toContain(`${field}`);
    expect(answer.text).not.toMatch(/s3same|53000/);
    expect(JSON.stringify(api.logged)).not.toMatch(/s3same|53000/);
  });

  it('stays readable when thousands of values are wrong', async () => {
    const answer = await ask({ systemTags: Array.from({ length: 5000 }, () => 7) });
    expect(answer.status).toBe(400);
    expect(answer.message).toMatch(/^systemTags\[0\] must be a string \(got 7\); .*; and \d+ more$/);
    expect(answer.message.length).toBeLessThan(10_000);
  });

  it('refuses a body that is nested without end', async () => {
    const depth = 100_000;
    const body = `{"nasConfig":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    const answer = await api.call(operation, operation === 'CreateAgentRuntime' ? { body } : { id, body });
    expect(answer).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED' });
    expect(answer.message).toMatch(/nested/);
  });
});

describe('CreateAgentRuntime requires', () => {
  it('CPU, memory and port, in the words clients know', async () => {
    const { cpu: _cpu, memory: _memory, port: _port, ...rest } = containerRuntime();
    expect(await api.call('CreateAgentRuntime', { body: rest })).toMatchObject({
      status: 400,
      code: 'ERR_VALIDATION_FAILED',
      message: 'CPU is required; Memory is required; Port is required',
    });
  });

  it('a name and an artifact type', async () => {
    expect(await api.call('CreateAgentRuntime', { body: {} })).toMatchObject({
      status: 400,
      code: 'ERR_VALIDATION_FAILED',
      message:
        'CPU is required; Memory is required; Port is required; agentRuntimeName is required; artifactType is required',
    });
  });
});

describe('UpdateAgentRuntime', () => {
  it('refuses a package without an entry, and changes nothing', async () => {
    const before = await api.store.getRuntime(id);
    const codeConfiguration = { zipFile: 'UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==' };
    const answer = await api.call('UpdateAgentRuntime', { id, body: { codeConfiguration } });
    expect(answer).toMatchObject({ status: 400, code: 'ERR_VALIDATION_FAILED' });
    expect(answer.message).toMatch(/^codeConfiguration\.command is required: the package has none of/);
    expect(await api.store.getRuntime(id)).toEqual(before);
  });

  it('refuses half a bucket', async () => {
    const body = { codeConfiguration: { ossObjectName: 'o' } };
    expect(await api.call('UpdateAgentRuntime', { id, body })).toMatchObject({
      status: 400,
      message: 'codeConfiguration.ossBucketName is required when the package lies in a bucket',
    });
  });

  it('refuses a forceEvictInstances that is no truth value', async () => {
    expect(await api.call('UpdateAgentRuntime', { id, body: { forceEvictInstances: 1 } })).toMatchObject({
      status: 400,
      message: 'forceEvictInstances must be true or false (got 1)',
    });
  });
});

describe('the edges of every range', () => {
  it.each([
    { cpu: 0.05, memory: 128, port: 1, sessionConcurrencyLimitPerInstance: 1, sessionIdleTimeoutSeconds: 60 },
    { cpu: 16, memory: 32_768, port: 65_535, sessionConcurrencyLimitPerInstance: 200 },
    { sessionIdleTimeoutSeconds: 86_400, description: long(256), diskSize: 0 },
    { agentRuntimeName: long(128) },
    { agentRuntimeName: 'Z' },
    { healthCheckConfiguration: { initialDelaySeconds: 300, periodSeconds: 300, timeoutSeconds: 60 } },
    { networkConfiguration: { networkMode: 'PRIVATE', vpcId: 'vpc-1' } },
  ])('are inside: %j', async (fields) => {
    const answer = await api.call('CreateAgentRuntime', { body: containerRuntime(fields) });
    expect(answer).toMatchObject({ status: 200, data: fields });
  });
});
