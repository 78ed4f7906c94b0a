import { describe, expect, it } from 'vitest';
import type { RuntimeSpec } from './runtime.ts';
import { takeSecrets, withSecrets } from './spec-secrets.ts';

const plain: RuntimeSpec = {
  artifactType: 'Container',
  cpu: 1,
  memory: 512,
  port: 9000,
  systemTags: ['a'],
  containerConfiguration: { image: 'registry.test/agent:1' },
};
const authConfig = { userName: 'name-of-a-user', password: 'word-of-a-user' };

const cases: Record<string, object> = {
  nothing: {},
  variables: { environmentVariables: { NAME: 'value-of-a-variable' } },
  'no variables, said so': { environmentVariables: {} },
  'a licence key': { armsConfiguration: { enableArms: true, armsLicenseKey: 'key-of-a-licence' } },
  'a password of a registry': {
    containerConfiguration: { image: 'i', registryConfig: { authConfig } },
  },
  'a password beside certificates': {
    containerConfiguration: {
      image: 'i',
      registryConfig: { authConfig, certConfig: { insecure: true } },
    },
    environmentVariables: { NAME: 'value-of-a-variable' },
  },
  'certificates alone': { containerConfiguration: { registryConfig: { certConfig: { insecure: true } } } },
};

describe('secrets of a configuration', () => {
  it.each(Object.entries(cases))('are all taken out, and the whole comes together again: %s', (_, fields) => {
    const spec = { ...plain, ...fields } as RuntimeSpec;
    const before = structuredClone(spec);
    const { open, secrets } = takeSecrets(spec);
    expect(JSON.stringify(open)).not.toMatch(/-of-a-/);
    expect(open.systemTags).toEqual(['a']);
    expect(withSecrets(open, secrets ?? {})).toEqual(before);
    // What was given is not touched.
    expect(spec).toEqual(before);
  });

  it('are none where there are none', () => {
    expect(takeSecrets(plain)).toEqual({ open: plain, secrets: undefined });
  });
});
