/**
 * The shapes on the wire (contract: data models), as callers of this package see them. The contract derives the same
 * shapes from its schemas; they are written out here so that neither the schema library nor its types come along.
 * `test/wire.test-d.ts` holds the two equal: a field that is missing or differs does not compile.
 */

export type ArtifactType = 'Code' | 'Container';

/** Of runtimes and endpoints alike (contract: status machine). */
export type ResourceStatus =
  | 'CREATING'
  | 'CREATE_FAILED'
  | 'UPDATING'
  | 'UPDATE_FAILED'
  | 'READY'
  | 'DELETING'
  | 'DELETE_FAILED';

export type Language =
  | 'python3.10'
  | 'python3.12'
  | 'nodejs18'
  | 'nodejs20'
  | 'nodejs22'
  | 'nodejs24'
  | 'java8'
  | 'java11'
  | 'java17'
  | 'custom';

/** As it goes in: with the package itself. */
export interface CodeConfigurationInput {
  /** CRC-64/XZ of the package as an unsigned decimal string. */
  checksum?: string | undefined;
  /** Program and arguments, one word each. Absent: found in the package. */
  command?: string[] | undefined;
  language?: Language | undefined;
  ossBucketName?: string | undefined;
  ossObjectName?: string | undefined;
  /** A ZIP archive in base64. */
  zipFile?: string | undefined;
}

/** As it comes out: the package is not sent back. */
export interface CodeConfiguration {
  /** CRC-64/XZ of the package as an unsigned decimal string. */
  checksum?: string | undefined;
  /** Program and arguments, one word each. Absent: found in the package. */
  command?: string[] | undefined;
  language?: Language | undefined;
  ossBucketName?: string | undefined;
  ossObjectName?: string | undefined;
}

export interface RegistryConfig {
  authConfig?:
    | {
        userName?: string | undefined;
        password?: string | undefined;
      }
    | undefined;
  certConfig?:
    | {
        insecure?: boolean | undefined;
        rootCaCertBase64?: string | undefined;
      }
    | undefined;
  networkConfig?:
    | {
        vpcId?: string | undefined;
        vSwitchId?: string | undefined;
        securityGroupId?: string | undefined;
      }
    | undefined;
}

export interface ContainerConfiguration {
  acrInstanceId?: string | undefined;
  /** Program and arguments, one word each. Absent: found in the package. */
  command?: string[] | undefined;
  image?: string | undefined;
  imageRegistryType?: 'ACR' | 'ACREE' | 'CUSTOM' | undefined;
  /** The port the agent listens on. */
  port?: number | undefined;
  registryConfig?: RegistryConfig | undefined;
}

export interface HealthCheckConfiguration {
  failureThreshold?: number | undefined;
  /** A path on the agent's own port, such as `/ready` or `/healthz?x=1`; asked byte for byte as it is given. */
  httpGetUrl?: string | undefined;
  initialDelaySeconds?: number | undefined;
  periodSeconds?: number | undefined;
  successThreshold?: number | undefined;
  timeoutSeconds?: number | undefined;
}

export interface LogConfiguration {
  project?: string | undefined;
  logstore?: string | undefined;
}

export interface NetworkConfiguration {
  networkMode?: 'PUBLIC' | 'PRIVATE' | 'PUBLIC_AND_PRIVATE' | undefined;
  securityGroupId?: string | undefined;
  vpcId?: string | undefined;
  vswitchIds?: string[] | undefined;
}

export interface ProtocolSettings {
  A2AAgentCard?: string | undefined;
  a2aAgentCard?: string | undefined;
  a2aAgentCardUrl?: string | undefined;
  config?: string | undefined;
  headers?: string | undefined;
  inputBodyJsonSchema?: string | undefined;
  method?: string | undefined;
  name?: string | undefined;
  outputBodyJsonSchema?: string | undefined;
  path?: string | undefined;
  pathPrefix?: string | undefined;
  requestContentType?: string | undefined;
  responseContentType?: string | undefined;
  type?: string | undefined;
}

export interface ProtocolConfiguration {
  type?: 'HTTP' | 'MCP' | 'SUPER_AGENT' | undefined;
  protocolSettings?: ProtocolSettings[] | undefined;
  externalEndpoint?: string | undefined;
}

export interface NASConfig {
  groupId?: number | undefined;
  userId?: number | undefined;
  mountPoints?:
    | {
        enableTLS?: boolean | undefined;
        mountDir?: string | undefined;
        serverAddr?: string | undefined;
      }[]
    | undefined;
}

export interface OSSMountConfig {
  mountPoints?:
    | {
        bucketName?: string | undefined;
        bucketPath?: string | undefined;
        endpoint?: string | undefined;
        mountDir?: string | undefined;
        readOnly?: boolean | undefined;
      }[]
    | undefined;
}

export interface ArmsConfiguration {
  armsLicenseKey?: string | undefined;
  enableArms?: boolean | undefined;
}

/** What a caller may set of a runtime, beside its name and what it is made of. */
interface RuntimeSettings {
  description?: string | undefined;
  /** vCPU. */
  cpu?: number | undefined;
  /** MiB. */
  memory?: number | undefined;
  diskSize?: number | undefined;
  /** The port the agent listens on. */
  port?: number | undefined;
  containerConfiguration?: ContainerConfiguration | undefined;
  credentialName?: string | undefined;
  disableOndemand?: boolean | undefined;
  disableSessionAffinity?: boolean | undefined;
  sessionAffinityType?: 'NONE' | 'HEADER_FIELD' | 'GENERATED_COOKIE' | undefined;
  headerFieldName?: string | undefined;
  edition?: string | undefined;
  enableSessionIsolation?: boolean | undefined;
  environmentVariables?: Record<string, string> | undefined;
  executionRoleArn?: string | undefined;
  externalAgentEndpointUrl?: string | undefined;
  healthCheckConfiguration?: HealthCheckConfiguration | undefined;
  logConfiguration?: LogConfiguration | undefined;
  nasConfig?: NASConfig | undefined;
  ossMountConfig?: OSSMountConfig | undefined;
  networkConfiguration?: NetworkConfiguration | undefined;
  protocolConfiguration?: ProtocolConfiguration | undefined;
  sessionConcurrencyLimitPerInstance?: number | undefined;
  sessionIdleTimeoutSeconds?: number | undefined;
  systemTags?: string[] | undefined;
  workspaceId?: string | undefined;
}

export interface CreateAgentRuntimeInput extends RuntimeSettings {
  /** vCPU. */
  cpu: number;
  /** MiB. */
  memory: number;
  /** The port the agent listens on. */
  port: number;
  agentRuntimeName: string;
  artifactType: ArtifactType;
  codeConfiguration?: CodeConfigurationInput | undefined;
  armsConfiguration?: ArmsConfiguration | undefined;
  /** Deprecated. */
  credentialId?: string | undefined;
  /** Deprecated. */
  resourceGroupId?: string | undefined;
}

export interface UpdateAgentRuntimeInput extends RuntimeSettings {
  agentRuntimeName?: string | undefined;
  artifactType?: ArtifactType | undefined;
  codeConfiguration?: CodeConfigurationInput | undefined;
  armsConfiguration?: ArmsConfiguration | undefined;
  /** Stop running instances at once in place of draining them. */
  forceEvictInstances?: boolean | undefined;
}

export interface AgentRuntime extends RuntimeSettings {
  agentRuntimeArn?: string | undefined;
  agentRuntimeId?: string | undefined;
  agentRuntimeName?: string | undefined;
  /** `"1"`, `"2"` …; absent before the first healthy version. */
  agentRuntimeVersion?: string | undefined;
  artifactType?: ArtifactType | undefined;
  codeConfiguration?: CodeConfiguration | undefined;
  /** ISO 8601 with fractional seconds and a zone. */
  createdAt?: string | undefined;
  lastUpdatedAt?: string | undefined;
  status?: ResourceStatus | undefined;
  statusReason?: string | undefined;
  /** Deprecated. */
  resourceGroupId?: string | undefined;
}

export interface AgentRuntimeVersion {
  agentRuntimeArn?: string | undefined;
  agentRuntimeId?: string | undefined;
  agentRuntimeName?: string | undefined;
  /** `"1"`, `"2"` …; absent before the first healthy version. */
  agentRuntimeVersion?: string | undefined;
  description?: string | undefined;
  lastUpdatedAt?: string | undefined;
}

export interface PublishRuntimeVersionInput {
  description?: string | undefined;
  publisher?: string | undefined;
}

export interface VersionWeight {
  version: string;
  /** A share of new sessions: fractions of 1, or percents where any weight is over 1. */
  weight: number;
}

export interface RoutingConfiguration {
  versionWeights?: VersionWeight[] | undefined;
}

export interface ScheduledPolicy {
  name?: string | undefined;
  /** Such as `cron(0 8 * * ? *)`. */
  scheduleExpression?: string | undefined;
  startTime?: string | undefined;
  endTime?: string | undefined;
  target?: number | undefined;
  timeZone?: string | undefined;
}

export interface ScalingConfig {
  minInstances?: number | undefined;
  scheduledPolicies?: ScheduledPolicy[] | undefined;
}

export interface ScalingStatus {
  currentError?: string | undefined;
  currentInstances?: number | undefined;
  minInstances?: number | undefined;
  scheduledPolicies?: ScheduledPolicy[] | undefined;
  targetInstances?: number | undefined;
}

export interface CreateAgentRuntimeEndpointInput {
  description?: string | undefined;
  disablePublicNetworkAccess?: boolean | undefined;
  routingConfiguration?: RoutingConfiguration | undefined;
  scalingConfig?: ScalingConfig | undefined;
  targetVersion?: string | undefined;
  /** Case matters: `Default` is not `default`. */
  agentRuntimeEndpointName: string;
}

export interface UpdateAgentRuntimeEndpointInput {
  description?: string | undefined;
  disablePublicNetworkAccess?: boolean | undefined;
  routingConfiguration?: RoutingConfiguration | undefined;
  scalingConfig?: ScalingConfig | undefined;
  targetVersion?: string | undefined;
  /** Case matters: `Default` is not `default`. */
  agentRuntimeEndpointName?: string | undefined;
  deleteScalingConfig?: boolean | undefined;
}

export interface AgentRuntimeEndpoint {
  agentRuntimeEndpointArn?: string | undefined;
  agentRuntimeEndpointId?: string | undefined;
  /** Case matters: `Default` is not `default`. */
  agentRuntimeEndpointName?: string | undefined;
  agentRuntimeId?: string | undefined;
  description?: string | undefined;
  disablePublicNetworkAccess?: boolean | undefined;
  endpointPublicUrl?: string | undefined;
  routingConfiguration?: RoutingConfiguration | undefined;
  scalingStatus?: ScalingStatus | undefined;
  status?: ResourceStatus | undefined;
  statusReason?: string | undefined;
  targetVersion?: string | undefined;
}

/** Values of `errorCode`, as a Runstead server sends them. */
export type ErrorCode =
  | 'ERR_VALIDATION_FAILED'
  | 'ERR_BAD_REQUEST'
  | 'ERR_RUNTIME_NOT_READY'
  | 'ERR_WORKSPACE_IN_USE'
  | 'AccessDenied'
  | 'InvalidAccessKeyId.NotFound'
  | 'SignatureDoesNotMatch'
  | 'Forbidden'
  | 'NoPermission'
  | 'ERR_NOT_FOUND'
  | 'ERR_METHOD_NOT_ALLOWED'
  | 'ERR_ALREADY_EXISTS'
  | 'ERR_IDEMPOTENCY_CONFLICT'
  | 'ERR_PAYLOAD_TOO_LARGE'
  | 'ERR_UNSUPPORTED_MEDIA_TYPE'
  | 'ERR_TOO_MANY_REQUESTS'
  | 'ERR_INTERNAL_SERVER_ERROR'
  | 'ERR_AGENT_UNREACHABLE'
  | 'ERR_UNAVAILABLE'
  | 'ERR_VERSION_FAILED'
  | 'ERR_AGENT_TIMEOUT'
  | 'ERR_INSUFFICIENT_STORAGE';

/** What a caller passes for a list. */
export interface PageInput {
  /** From 1. */
  pageNumber?: number;
  /** At most 100. */
  pageSize?: number;
}

export interface AgentRuntimeListInput extends PageInput {
  agentRuntimeName?: string;
  /** How the name is matched. Default `fuzzy`: contained, letter case aside. */
  searchMode?: 'exact' | 'fuzzy';
  /** One status, or several joined by commas. */
  status?: string;
  /** All of these, joined by commas. */
  systemTags?: string;
  workspaceId?: string;
  /** Any of these, joined by commas. */
  workspaceIds?: string;
}

export interface AgentRuntimeEndpointListInput extends PageInput {
  endpointName?: string;
  /** How the name is matched. Default `fuzzy`: contained, letter case aside. */
  searchMode?: 'exact' | 'fuzzy';
}

export type AgentRuntimeVersionListInput = PageInput;

/** The `data` of every list. */
export interface Page<T> {
  items: T[];
  total: number;
  pageNumber: number;
  pageSize: number;
}

export interface CreateWorkspaceInput {
  /** Unique, and for good: an update cannot change it. */
  name: string;
  description?: string | undefined;
  /** Kept and shown; lists can select by it. */
  resourceGroupId?: string | undefined;
}

export interface UpdateWorkspaceInput {
  description?: string | undefined;
}

export interface Workspace {
  workspaceId?: string | undefined;
  workspaceArn?: string | undefined;
  name?: string | undefined;
  description?: string | undefined;
  /** Where runtimes are whose creator named no workspace; there is always exactly one. */
  isDefault?: boolean | undefined;
  resourceGroupId?: string | undefined;
  /** ISO 8601 with fractional seconds and a zone. */
  createdAt?: string | undefined;
  updatedAt?: string | undefined;
}

export interface WorkspaceListInput extends PageInput {
  /** Contained in the name, letter case aside. */
  name?: string;
  /** Exactly this. */
  resourceGroupId?: string;
}

/** The `data` of the list of workspaces, whose array has another name. */
export interface WorkspacePage<T> extends Omit<Page<T>, 'items'> {
  workspaces: T[];
}
