export type { AccessToken, AccessTokenInput } from './access-token.ts';
export { AgentRuntime } from './agent-runtime.ts';
export { AgentRuntimeClient, type RequestOptions } from './agent-runtime-client.ts';
export { AgentRuntimeEndpoint } from './agent-runtime-endpoint.ts';
export type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionStream,
  ChatMessage,
  ChatToolCall,
  ChatUsage,
  FinishReason,
  InvokeOpenaiRequest,
} from './chat-completion.ts';
export type { Config, CreateConfig, Logger, LogLevel } from './config/config.ts';
export type { AgentRuntimeCreateInput, AgentRuntimeEndpointCreateInput } from './defaults.ts';
export {
  AbortError,
  AgentRunError,
  ClientError,
  ConnectionError,
  type ConnectionErrorOptions,
  DeleteResourceError,
  HTTPError,
  type HTTPErrorOptions,
  IncompleteStreamError,
  InvalidResponseError,
  ResourceAlreadyExistError,
  ResourceFailedError,
  ResourceNotExistError,
  type ResourceReference,
  type SeenResource,
  ServerError,
  StreamError,
  type StreamErrorOptions,
  TimeoutError,
  ValueError,
} from './errors.ts';
export type { ListAll, ListPromise, ListResult } from './lists.ts';
export type { OpenaiOptions } from './openai-options.ts';
export type { GetAgentRuntimeConfig } from './operations.ts';
export type { ApiPromise, WithResponse } from './transport/api-promise.ts';
export type { DeleteOptions, WaitOptions } from './wait.ts';
export type {
  AgentRuntime as AgentRuntimeData,
  AgentRuntimeEndpoint as AgentRuntimeEndpointData,
  AgentRuntimeEndpointListInput,
  AgentRuntimeVersion,
  AgentRuntimeVersionListInput,
  ArmsConfiguration,
  ArtifactType,
  CodeConfiguration,
  CodeConfigurationInput,
  ContainerConfiguration,
  CreateWorkspaceInput as WorkspaceCreateInput,
  ErrorCode,
  HealthCheckConfiguration,
  Language,
  LogConfiguration,
  NASConfig,
  NetworkConfiguration,
  OSSMountConfig,
  PageInput,
  ProtocolConfiguration,
  ProtocolSettings,
  PublishRuntimeVersionInput,
  RegistryConfig,
  ResourceStatus,
  RoutingConfiguration,
  ScalingConfig,
  ScalingStatus,
  ScheduledPolicy,
  UpdateAgentRuntimeEndpointInput as AgentRuntimeEndpointUpdateInput,
  UpdateAgentRuntimeInput as AgentRuntimeUpdateInput,
  UpdateWorkspaceInput as WorkspaceUpdateInput,
  VersionWeight,
  Workspace,
  WorkspaceListInput,
} from './wire.ts';
export type {
  AgentRuntimeListFilter,
  AgentRuntimeListRequest as AgentRuntimeListInput,
  WorkspaceName,
} from './workspace-names.ts';
