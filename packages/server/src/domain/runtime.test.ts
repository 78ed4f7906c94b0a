import type { CreateAgentRuntimeInput, UpdateAgentRuntimeInput } from '@runstead/contract';
import { describe, expect, it } from 'vitest';
import {
  type Artifact,
  canonicalJson,
  createSpec,
  defined,
  meaningful,
  mergeSpec,
  type RuntimeSpec,
  runsTheSame,
  startCommand,
} from './runtime.ts';

const OLD: Artifact = { digest: 'old', crc64: '1', entry: { command: ['node', 'old.js'], source: 'old.js' } };
const NEW: Artifact = { digest: 'new', crc64: '2' };
const INPUT: CreateAgentRuntimeInput = {
  agentRuntimeName: 'a',
  artifactType: 'Code',
  cpu: 1,
  memory: 512,
  port: 9000,
  codeConfiguration: { zipFile: 'UEs=', language: 'nodejs20', checksum: '1' },
};
const SPEC: RuntimeSpec = createSpec(INPUT, OLD);

describe('createSpec', () => {
  it('fills in what the caller left open, and keeps neither name nor package', () => {
    expect(SPEC).toEqual({
      artifactType: 'Code',
      cpu: 1,
      memory: 512,
      port: 9000,
      networkConfiguration: { networkMode: 'PUBLIC' },
      sessionConcurrencyLimitPerInstance: 1,
      sessionIdleTimeoutSeconds: 3600,
      codeConfiguration: { language: 'nodejs20', checksum: '1' },
      artifact: OLD,
    });
  });

  it('keeps what the caller said over the defaults', () => {
    const said = {
      networkConfiguration: { networkMode: 'PRIVATE', vpcId: 'vpc-1' },
      sessionConcurrencyLimitPerInstance: 9,
      sessionIdleTimeoutSeconds: 60,
    } as const;
    expect(createSpec({ ...INPUT, ...said }, OLD)).toMatchObject(said);
  });

  it('has no field for what was not said, however that was put', () => {
    const spec = createSpec(
      { ...INPUT, description: undefined, environmentVariables: {}, codeConfiguration: { zipFile: 'UEs=' } },
      undefined,
    );
    for (const field of ['description', 'environmentVariables', 'codeConfiguration', 'artifact']) {
      expect(spec).not.toHaveProperty(field);
    }
  });
});

describe('mergeSpec', () => {
  const code = (codeConfiguration: UpdateAgentRuntimeInput['codeConfiguration'], artifact?: Artifact) =>
    mergeSpec(SPEC, { codeConfiguration }, artifact);

  const cases: [string, RuntimeSpec, Partial<RuntimeSpec>][] = [
    ['nothing', mergeSpec(SPEC, {}, undefined), {}],
    ['a field', mergeSpec(SPEC, { cpu: 4, description: undefined }, undefined), { cpu: 4 }],
    ['another type', mergeSpec(SPEC, { artifactType: 'Container' }, undefined), {}],
    [
      'a name and an eviction',
      mergeSpec(SPEC, { agentRuntimeName: 'b', forceEvictInstances: true }, undefined),
      {},
    ],
    [
      'a container beside the code',
      mergeSpec(SPEC, { containerConfiguration: { image: 'i' } }, undefined),
      { containerConfiguration: { image: 'i' } },
    ],
    [
      'a command for the same package',
      code({ command: ['node', 'x'] }),
      { codeConfiguration: { language: 'nodejs20', checksum: '1', command: ['node', 'x'] } },
    ],
    ['a code configuration that is empty', code({}), {}],
    [
      'a new package, which brings its own description',
      code({ zipFile: 'UEs=', command: ['x'] }, NEW),
      { codeConfiguration: { command: ['x'] }, artifact: NEW },
    ],
  ];
  it.each(cases)('merges %s', (_name, merged, change) => {
    expect(merged).toEqual({ ...SPEC, ...change });
  });

  it('replaces a value whole and takes away what is given as empty', () => {
    const before: RuntimeSpec = { ...SPEC, environmentVariables: { A: '1' }, nasConfig: { userId: 1 } };
    const merged = mergeSpec(before, { environmentVariables: { B: '2' }, nasConfig: {} }, undefined);
    expect(merged.environmentVariables).toEqual({ B: '2' });
    expect(merged).not.toHaveProperty('nasConfig');
  });

  it('falls back to the default where that is what is taken away', () => {
    const before: RuntimeSpec = { ...SPEC, networkConfiguration: { networkMode: 'PRIVATE', vpcId: 'vpc-1' } };
    expect(mergeSpec(before, { networkConfiguration: {} }, undefined)).toEqual(SPEC);
  });

  it('lets a bucket take the place of a package, and a package that of a bucket', () => {
    const inBucket = code({ ossBucketName: 'b', ossObjectName: 'o' });
    expect(inBucket.codeConfiguration).toEqual({ ossBucketName: 'b', ossObjectName: 'o' });
    expect(inBucket).not.toHaveProperty('artifact');
    const kept = mergeSpec(inBucket, { codeConfiguration: { command: ['x'] } }, undefined);
    expect(kept.codeConfiguration).toEqual({ ossBucketName: 'b', ossObjectName: 'o', command: ['x'] });
    const back = mergeSpec(inBucket, { codeConfiguration: { zipFile: 'UEs=', command: ['x'] } }, NEW);
    expect(back).toMatchObject({ codeConfiguration: { command: ['x'] }, artifact: NEW });
  });

  it('changes neither of what it is given', () => {
    const before = structuredClone(SPEC);
    const input: UpdateAgentRuntimeInput = {
      codeConfiguration: { zipFile: 'UEs=' },
      environmentVariables: {},
    };
    const asked = structuredClone(input);
    mergeSpec(SPEC, input, NEW);
    expect([SPEC, input]).toEqual([before, asked]);
  });
});

describe('runsTheSame', () => {
  const same: [string, Partial<RuntimeSpec>][] = [
    ['a description', { description: 'x' }],
    ['tags', { systemTags: ['x'] }],
    ['the inbound credential', { credentialName: 'c' }],
    ['the resource group', { resourceGroupId: 'r' }],
    ['how the same bytes were described', { artifact: { digest: 'old', crc64: '9' } }],
    ['a checksum', { codeConfiguration: { language: 'nodejs20', checksum: '77' } }],
    [
      'the place that the same bytes came from',
      { codeConfiguration: { language: 'nodejs20', ossBucketName: 'b', ossObjectName: 'o' } },
    ],
    ['the order of fields', { codeConfiguration: { checksum: '1', language: 'nodejs20' } }],
  ];
  it.each(same)('does not mind another %s', (_name, change) => {
    expect(runsTheSame(SPEC, { ...SPEC, ...change })).toBe(true);
  });

  const other: [string, Partial<RuntimeSpec>][] = [
    ['other bytes', { artifact: NEW }],
    ['more CPU', { cpu: 2 }],
    ['another port', { port: 9001 }],
    ['a variable', { environmentVariables: { A: '1' } }],
    ['a command', { codeConfiguration: { language: 'nodejs20', checksum: '1', command: ['x'] } }],
    ['a health check', { healthCheckConfiguration: { httpGetUrl: '/x' } }],
    ['another order of words in a list', { protocolConfiguration: { protocolSettings: [{ type: 'b' }] } }],
  ];
  it.each(other)('sees %s', (_name, change) => {
    expect(runsTheSame(SPEC, { ...SPEC, ...change })).toBe(false);
  });

  it('sees the order of a list', () => {
    const words = (command: string[]): RuntimeSpec => ({ ...SPEC, codeConfiguration: { command } });
    expect(runsTheSame(words(['a', 'b']), words(['b', 'a']))).toBe(false);
  });

  it('holds for a client that sends back all it was told', () => {
    const { artifact: _artifact, ...told } = SPEC;
    expect(runsTheSame(SPEC, mergeSpec(SPEC, told, undefined))).toBe(true);
  });
});

describe('startCommand', () => {
  it("is the caller's, else the package's, else none", () => {
    expect(startCommand({ ...SPEC, codeConfiguration: { command: ['mine'] } })).toEqual(['mine']);
    expect(startCommand(SPEC)).toEqual(['node', 'old.js']);
    expect(startCommand({ ...SPEC, artifact: NEW })).toBeUndefined();
  });
});

describe('defined and meaningful', () => {
  const value = { a: undefined, b: null, c: {}, d: [], e: '', f: 0, g: false, h: { i: {} } };
  it('leave out what is undefined', () => {
    expect(Object.keys(defined(value))).toEqual(['b', 'c', 'd', 'e', 'f', 'g', 'h']);
  });
  it('leave out what is empty, the latter alone', () => {
    expect(Object.keys(meaningful(value))).toEqual(['b', 'd', 'e', 'f', 'g', 'h']);
  });
});

describe('canonicalJson', () => {
  it('does not depend on the order of keys at any depth, but on that of lists', () => {
    expect(canonicalJson({ b: [{ d: 1, c: 2 }], a: null })).toBe('{"a":null,"b":[{"c":2,"d":1}]}');
    expect(canonicalJson([2, 1])).toBe('[2,1]');
  });
});
