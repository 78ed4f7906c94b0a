import { ValueError } from './errors.ts';
import type { CreateAgentRuntimeEndpointInput, CreateAgentRuntimeInput } from './wire.ts';

/** What the client fills in on create (contract: defaults injected on the wire). Updates send only what was given. */

type Defaulted = 'artifactType' | 'cpu' | 'memory' | 'port';

export type AgentRuntimeCreateInput = Omit<CreateAgentRuntimeInput, Defaulted> & {
  [Field in Defaulted]?: CreateAgentRuntimeInput[Field] | undefined;
};

export type AgentRuntimeEndpointCreateInput = CreateAgentRuntimeEndpointInput;

/** @throws ValueError where neither code nor a container is given */
export function withRuntimeDefaults(input: AgentRuntimeCreateInput): CreateAgentRuntimeInput {
  return {
    ...input,
    artifactType: input.artifactType ?? inferArtifactType(input),
    networkConfiguration: input.networkConfiguration ?? { networkMode: 'PUBLIC' },
    cpu: input.cpu ?? 2,
    memory: input.memory ?? 4096,
    port: input.port ?? 9000,
  };
}

function inferArtifactType(input: AgentRuntimeCreateInput): 'Code' | 'Container' {
  if (input.codeConfiguration) return 'Code';
  if (input.containerConfiguration) return 'Container';
  throw new ValueError('either codeConfiguration or containerConfiguration is required');
}

export function withEndpointDefaults(
  endpoint: AgentRuntimeEndpointCreateInput,
): CreateAgentRuntimeEndpointInput {
  if (endpoint.targetVersion || weightsCoverAll(endpoint)) return endpoint;
  return { ...endpoint, targetVersion: 'LATEST' };
}

/** Weights are fractions of 1, or percents where any is over 1. 0.1 + 0.2 + 0.7 is a little under 1. */
function weightsCoverAll({ routingConfiguration }: AgentRuntimeEndpointCreateInput): boolean {
  const weights = (routingConfiguration?.versionWeights ?? []).map(({ weight }) => weight);
  const whole = weights.some((weight) => weight > 1) ? 100 : 1;
  return weights.reduce((sum, weight) => sum + weight, 0) >= whole - 1e-9;
}
