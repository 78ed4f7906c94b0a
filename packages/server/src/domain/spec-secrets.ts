import type { ContainerConfiguration, CreateAgentRuntimeInput } from '@runstead/contract';
import type { RuntimeSpec } from './runtime.ts';

type RegistryConfig = NonNullable<ContainerConfiguration['registryConfig']>;

/** The part of a configuration that nobody may read who only has the database: what agents get as secrets. */
export interface SpecSecrets {
  environmentVariables?: RuntimeSpec['environmentVariables'];
  authConfig?: RegistryConfig['authConfig'];
  armsConfiguration?: CreateAgentRuntimeInput['armsConfiguration'];
}

/** Fields that only go in stay in the configuration, beside those of the model. */
type Given = RuntimeSpec & Pick<SpecSecrets, 'armsConfiguration'>;

/** Parts a configuration in what may be read and what may not; `secrets` is undefined when there is nothing of these. */
export function takeSecrets(spec: RuntimeSpec): { open: RuntimeSpec; secrets: SpecSecrets | undefined } {
  const { environmentVariables, armsConfiguration, ...open }: Given = spec;
  const secrets: SpecSecrets = {};
  if (environmentVariables !== undefined) secrets.environmentVariables = environmentVariables;
  if (armsConfiguration !== undefined) secrets.armsConfiguration = armsConfiguration;
  const { authConfig, ...registryConfig } = open.containerConfiguration?.registryConfig ?? {};
  if (authConfig !== undefined) {
    secrets.authConfig = authConfig;
    open.containerConfiguration = { ...open.containerConfiguration, registryConfig };
  }
  return { open, secrets: Object.keys(secrets).length > 0 ? secrets : undefined };
}

/** The whole again. */
export function withSecrets(open: RuntimeSpec, { authConfig, ...secrets }: SpecSecrets): RuntimeSpec {
  const spec: Given = { ...open, ...secrets };
  if (authConfig !== undefined) {
    const { containerConfiguration } = open;
    spec.containerConfiguration = {
      ...containerConfiguration,
      registryConfig: { ...containerConfiguration?.registryConfig, authConfig },
    };
  }
  return spec;
}
