/** Compiled, not run (see package.test.ts): every shape this package writes out is the contract's. */
import type * as contract from '@runstead/contract';
import type * as wire from '../src/wire.ts';

/** One level deeper each time, so that an interface and what a schema infers are compared field by field. */
type Plain<T> = T extends readonly (infer Item)[]
  ? Plain<Item>[]
  : T extends object
    ? { [Field in keyof T]: Plain<T[Field]> }
    : T;
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Equal<A, B> = Same<Plain<A>, Plain<B>>;
function holds<_T extends true>(): void {}

export function shapes(): void {
  holds<Equal<wire.ArtifactType, contract.ArtifactType>>();
  holds<Equal<wire.ResourceStatus, contract.ResourceStatus>>();
  holds<Equal<wire.Language, contract.Language>>();
  holds<Equal<wire.CodeConfigurationInput, contract.CodeConfigurationInput>>();
  holds<Equal<wire.CodeConfiguration, contract.CodeConfiguration>>();
  holds<Equal<wire.RegistryConfig, contract.RegistryConfig>>();
  holds<Equal<wire.ContainerConfiguration, contract.ContainerConfiguration>>();
  holds<Equal<wire.HealthCheckConfiguration, contract.HealthCheckConfiguration>>();
  holds<Equal<wire.LogConfiguration, contract.LogConfiguration>>();
  holds<Equal<wire.NetworkConfiguration, contract.NetworkConfiguration>>();
  holds<Equal<wire.ProtocolSettings, contract.ProtocolSettings>>();
  holds<Equal<wire.ProtocolConfiguration, contract.ProtocolConfiguration>>();
  holds<Equal<wire.NASConfig, contract.NASConfig>>();
  holds<Equal<wire.OSSMountConfig, contract.OSSMountConfig>>();
  holds<Equal<wire.ArmsConfiguration, contract.ArmsConfiguration>>();
  holds<Equal<wire.CreateAgentRuntimeInput, contract.CreateAgentRuntimeInput>>();
  holds<Equal<wire.UpdateAgentRuntimeInput, contract.UpdateAgentRuntimeInput>>();
  holds<Equal<wire.AgentRuntime, contract.AgentRuntime>>();
  holds<Equal<wire.AgentRuntimeVersion, contract.AgentRuntimeVersion>>();
  holds<Equal<wire.PublishRuntimeVersionInput, contract.PublishRuntimeVersionInput>>();
  holds<Equal<wire.VersionWeight, contract.VersionWeight>>();
  holds<Equal<wire.RoutingConfiguration, contract.RoutingConfiguration>>();
  holds<Equal<wire.ScheduledPolicy, contract.ScheduledPolicy>>();
  holds<Equal<wire.ScalingConfig, contract.ScalingConfig>>();
  holds<Equal<wire.ScalingStatus, contract.ScalingStatus>>();
  holds<Equal<wire.CreateAgentRuntimeEndpointInput, contract.CreateAgentRuntimeEndpointInput>>();
  holds<Equal<wire.UpdateAgentRuntimeEndpointInput, contract.UpdateAgentRuntimeEndpointInput>>();
  holds<Equal<wire.AgentRuntimeEndpoint, contract.AgentRuntimeEndpoint>>();
  holds<Equal<wire.ErrorCode, contract.ErrorCode>>();
  holds<Equal<wire.PageInput, contract.PageInput>>();
  holds<Equal<wire.AgentRuntimeListInput, contract.AgentRuntimeListInput>>();
  holds<Equal<wire.AgentRuntimeEndpointListInput, contract.AgentRuntimeEndpointListInput>>();
  holds<Equal<wire.AgentRuntimeVersionListInput, contract.AgentRuntimeVersionListInput>>();
  holds<Equal<wire.Page<string>, contract.Page<string>>>();
  holds<Equal<wire.CreateWorkspaceInput, contract.CreateWorkspaceInput>>();
  holds<Equal<wire.UpdateWorkspaceInput, contract.UpdateWorkspaceInput>>();
  holds<Equal<wire.Workspace, contract.Workspace>>();
  holds<Equal<wire.WorkspacePage<string>, contract.WorkspacePage<string>>>();
}
