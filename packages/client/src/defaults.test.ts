import { describe, expect, it } from 'vitest';
import { withEndpointDefaults, withRuntimeDefaults } from './defaults.ts';
import { ValueError } from './errors.ts';

describe('withRuntimeDefaults', () => {
  it('fills in what is missing', () => {
    expect(withRuntimeDefaults({ agentRuntimeName: 'a', codeConfiguration: {} })).toEqual({
      agentRuntimeName: 'a',
      codeConfiguration: {},
      artifactType: 'Code',
      networkConfiguration: { networkMode: 'PUBLIC' },
      cpu: 2,
      memory: 4096,
      port: 9000,
    });
  });

  it('leaves what is given', () => {
    const input = {
      agentRuntimeName: 'a',
      artifactType: 'Container' as const,
      codeConfiguration: {},
      networkConfiguration: { networkMode: 'PRIVATE' as const, vpcId: 'vpc-1' },
      cpu: 0.5,
      memory: 128,
      port: 1,
    };
    expect(withRuntimeDefaults(input)).toEqual(input);
  });

  it('infers the artifact: code before container, else an error', () => {
    const both = { agentRuntimeName: 'a', codeConfiguration: {}, containerConfiguration: {} };
    expect(withRuntimeDefaults(both).artifactType).toBe('Code');
    const container = { agentRuntimeName: 'a', containerConfiguration: { image: 'i' } };
    expect(withRuntimeDefaults(container).artifactType).toBe('Container');
    expect(() => withRuntimeDefaults({ agentRuntimeName: 'a' })).toThrow(ValueError);
  });
});

describe('withEndpointDefaults', () => {
  const weights = (...values: number[]) => ({
    agentRuntimeEndpointName: 'e',
    routingConfiguration: {
      versionWeights: values.map((weight, i) => ({ version: String(i + 1), weight })),
    },
  });

  it.each([
    ['nothing given', { agentRuntimeEndpointName: 'e' }, 'LATEST'],
    ['a target', { agentRuntimeEndpointName: 'e', targetVersion: '3' }, '3'],
    ['a part in fractions', weights(0.2, 0.3), 'LATEST'],
    ['all in fractions', weights(0.1, 0.2, 0.7), undefined],
    ['one version with weight 1', weights(1), undefined],
    ['a part in percent', weights(90), 'LATEST'],
    ['all in percent', weights(90, 10), undefined],
    ['no weights', weights(), 'LATEST'],
  ])('%s', (_, endpoint, targetVersion) => {
    expect(withEndpointDefaults(endpoint).targetVersion).toBe(targetVersion);
  });
});
