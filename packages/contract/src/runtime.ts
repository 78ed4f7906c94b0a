import { z } from 'zod';
import {
  BUCKET_NAME_PATTERN,
  CPU_RANGE,
  CREDENTIAL_NAME_PATTERN,
  DESCRIPTION_MAX_CHARACTERS,
  HEALTH_CHECK,
  MEMORY_RANGE,
  NAME_PATTERN,
  OBJECT_NAME_MAX_BYTES,
  PORT_RANGE,
  SESSION_CONCURRENCY_RANGE,
  SESSION_IDLE_RANGE,
} from './limits.ts';
import { objectNameFault } from './object-name.ts';

/** Models of agent runtimes (contract: data models). Everything is optional on the wire unless marked. */

const text = z.string();
const integer = z.int();
const within = (range: { min: number; max: number }) => integer.min(range.min).max(range.max);

export const ArtifactType = z.enum(['Code', 'Container']).meta({ id: 'ArtifactType' });

/** Values of `status`, for runtimes and endpoints alike (contract: status machine). */
export const ResourceStatus = z
  .enum(['CREATING', 'CREATE_FAILED', 'UPDATING', 'UPDATE_FAILED', 'READY', 'DELETING', 'DELETE_FAILED'])
  .meta({ id: 'ResourceStatus' });

export const Language = z
  .enum([
    'python3.10',
    'python3.12',
    'nodejs18',
    'nodejs20',
    'nodejs22',
    'nodejs24',
    'java8',
    'java11',
    'java17',
    'custom',
  ])
  .meta({ id: 'Language' });

const codeFields = {
  /** CRC-64/XZ of the package as an unsigned decimal string; see `crc64.ts`. */
  checksum: text.regex(/^[0-9]{1,20}$/, 'must be an unsigned decimal CRC-64').optional(),
  /** Program and arguments, one word each. Absent: found in the package. */
  command: z.array(text.min(1)).min(1).optional(),
  language: Language.optional(),
  ossBucketName: text.min(1).optional(),
  ossObjectName: text.min(1).optional(),
};

/** As it comes in: with the package itself. */
export const CodeConfigurationInput = z
  .object({
    ...codeFields,
    ossBucketName: text
      .regex(
        BUCKET_NAME_PATTERN,
        'must be a bucket name: 3 to 63 of a-z, 0-9, "-" and single "."; a letter or digit at both ends',
      )
      .optional(),
    ossObjectName: text
      .superRefine((name, { addIssue }) => {
        const message = objectNameFault(name);
        if (message !== undefined) addIssue({ code: 'custom', message });
      })
      .meta({ minLength: 1, maxLength: OBJECT_NAME_MAX_BYTES })
      .optional(),
    /** A ZIP archive in base64. */
    zipFile: text.optional(),
  })
  .meta({ id: 'CodeConfigurationInput' });

/** As it goes out: the package is not sent back. */
export const CodeConfiguration = z.object(codeFields).meta({ id: 'CodeConfiguration' });

export const RegistryConfig = z
  .object({
    authConfig: z.object({ userName: text.optional(), password: text.optional() }).optional(),
    certConfig: z.object({ insecure: z.boolean().optional(), rootCaCertBase64: text.optional() }).optional(),
    networkConfig: z
      .object({ vpcId: text.optional(), vSwitchId: text.optional(), securityGroupId: text.optional() })
      .optional(),
  })
  .meta({ id: 'RegistryConfig' });

export const ContainerConfiguration = z
  .object({
    acrInstanceId: text.optional(),
    command: z.array(text).optional(),
    image: text.min(1).optional(),
    imageRegistryType: z.enum(['ACR', 'ACREE', 'CUSTOM']).optional(),
    port: within(PORT_RANGE).optional(),
    registryConfig: RegistryConfig.optional(),
  })
  .meta({ id: 'ContainerConfiguration' });

export const HealthCheckConfiguration = z
  .object({
    failureThreshold: within(HEALTH_CHECK.failureThreshold).optional(),
    /** A path on the agent's own port, such as `/ready` or `/healthz?x=1`; asked byte for byte as it is given. */
    httpGetUrl: text
      .regex(
        /^\/(?!\/)(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?[\]]|%[0-9A-Fa-f]{2})*$/,
        'must be a path such as "/ready": a single "/" first, no "#" or "\\", everything unusual percent-encoded',
      )
      .max(1024)
      .optional(),
    initialDelaySeconds: within(HEALTH_CHECK.initialDelaySeconds).optional(),
    periodSeconds: within(HEALTH_CHECK.periodSeconds).optional(),
    successThreshold: within(HEALTH_CHECK.successThreshold).optional(),
    timeoutSeconds: within(HEALTH_CHECK.timeoutSeconds).optional(),
  })
  .meta({ id: 'HealthCheckConfiguration' });

export const LogConfiguration = z
  .object({ project: text.optional(), logstore: text.optional() })
  .meta({ id: 'LogConfiguration' });

export const NetworkConfiguration = z
  .object({
    networkMode: z.enum(['PUBLIC', 'PRIVATE', 'PUBLIC_AND_PRIVATE']).optional(),
    securityGroupId: text.regex(/^sg-/, 'must begin with "sg-"').optional(),
    vpcId: text.regex(/^vpc-/, 'must begin with "vpc-"').optional(),
    vswitchIds: z.array(text.regex(/^vsw-/, 'must begin with "vsw-"')).optional(),
  })
  .refine(
    (network) =>
      network.networkMode === undefined || network.networkMode === 'PUBLIC' || network.vpcId !== undefined,
    { path: ['vpcId'], message: 'is required when networkMode is PRIVATE or PUBLIC_AND_PRIVATE' },
  )
  .meta({ id: 'NetworkConfiguration' });

export const ProtocolSettings = z
  .object({
    A2AAgentCard: text.optional(),
    a2aAgentCard: text.optional(),
    a2aAgentCardUrl: text.optional(),
    config: text.optional(),
    headers: text.optional(),
    inputBodyJsonSchema: text.optional(),
    method: text.optional(),
    name: text.optional(),
    outputBodyJsonSchema: text.optional(),
    path: text.optional(),
    pathPrefix: text.optional(),
    requestContentType: text.optional(),
    responseContentType: text.optional(),
    type: text.optional(),
  })
  .meta({ id: 'ProtocolSettings' });

export const ProtocolConfiguration = z
  .object({
    type: z.enum(['HTTP', 'MCP', 'SUPER_AGENT']).optional(),
    protocolSettings: z.array(ProtocolSettings).optional(),
    externalEndpoint: text.optional(),
  })
  .meta({ id: 'ProtocolConfiguration' });

/** Where an agent finds what is mounted: the one thing about a mount that can be told wrong by looking at it. */
const mountDir = text
  .regex(
    /^\/(?!\/*$)(?!(?:.*\/)?\.\.(?:\/|$))[^\x00-\x1f\x7f]*$/,
    'must be an absolute path of a directory such as "/mnt/models", without ".." and control characters',
  )
  .max(4096);

export const NASConfig = z
  .object({
    groupId: integer.optional(),
    userId: integer.optional(),
    mountPoints: z
      .array(
        z.object({
          enableTLS: z.boolean().optional(),
          mountDir: mountDir.optional(),
          serverAddr: text.optional(),
        }),
      )
      .optional(),
  })
  .meta({ id: 'NASConfig' });

export const OSSMountConfig = z
  .object({
    mountPoints: z
      .array(
        z.object({
          bucketName: text.optional(),
          bucketPath: text.optional(),
          endpoint: text.optional(),
          mountDir: mountDir.optional(),
          readOnly: z.boolean().optional(),
        }),
      )
      .optional(),
  })
  .meta({ id: 'OSSMountConfig' });

export const ArmsConfiguration = z
  .object({ armsLicenseKey: text.optional(), enableArms: z.boolean().optional() })
  .meta({ id: 'ArmsConfiguration' });

/** What a caller may set, apart from the artifact; every field optional, as updates have it. */
const writable = {
  description: text.max(DESCRIPTION_MAX_CHARACTERS).optional(),
  /** vCPU. */
  cpu: z.number().min(CPU_RANGE.min).max(CPU_RANGE.max).optional(),
  /** MiB. */
  memory: within(MEMORY_RANGE).optional(),
  diskSize: integer.min(0).optional(),
  /** The port the agent listens on. */
  port: within(PORT_RANGE).optional(),
  containerConfiguration: ContainerConfiguration.optional(),
  credentialName: text
    .regex(CREDENTIAL_NAME_PATTERN, `must match ${CREDENTIAL_NAME_PATTERN.source}`)
    .optional(),
  disableOndemand: z.boolean().optional(),
  disableSessionAffinity: z.boolean().optional(),
  sessionAffinityType: z.enum(['NONE', 'HEADER_FIELD', 'GENERATED_COOKIE']).optional(),
  headerFieldName: text
    .regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, 'must be an HTTP field name')
    .max(128)
    .optional(),
  edition: text.optional(),
  enableSessionIsolation: z.boolean().optional(),
  environmentVariables: z
    .record(
      text.regex(/^[^=\x00]+$/, 'must be a variable name without "="'),
      text.regex(/^[^\x00]*$/, 'must not contain NUL'),
    )
    .optional(),
  executionRoleArn: text.optional(),
  externalAgentEndpointUrl: text.optional(),
  healthCheckConfiguration: HealthCheckConfiguration.optional(),
  logConfiguration: LogConfiguration.optional(),
  nasConfig: NASConfig.optional(),
  ossMountConfig: OSSMountConfig.optional(),
  networkConfiguration: NetworkConfiguration.optional(),
  protocolConfiguration: ProtocolConfiguration.optional(),
  sessionConcurrencyLimitPerInstance: within(SESSION_CONCURRENCY_RANGE).optional(),
  sessionIdleTimeoutSeconds: within(SESSION_IDLE_RANGE).optional(),
  systemTags: z.array(text).optional(),
  workspaceId: text.optional(),
};

const runtimeName = text.regex(NAME_PATTERN, `must match ${NAME_PATTERN.source}`);

export const CreateAgentRuntimeInput = z
  .object({
    ...writable,
    agentRuntimeName: runtimeName,
    artifactType: ArtifactType,
    codeConfiguration: CodeConfigurationInput.optional(),
    cpu: writable.cpu.unwrap(),
    memory: writable.memory.unwrap(),
    port: writable.port.unwrap(),
    armsConfiguration: ArmsConfiguration.optional(),
    /** Deprecated. */
    credentialId: text.optional(),
    /** Deprecated. */
    resourceGroupId: text.optional(),
  })
  .meta({ id: 'CreateAgentRuntimeInput' });

export const UpdateAgentRuntimeInput = z
  .object({
    ...writable,
    agentRuntimeName: runtimeName.optional(),
    artifactType: ArtifactType.optional(),
    codeConfiguration: CodeConfigurationInput.optional(),
    armsConfiguration: ArmsConfiguration.optional(),
    /** Stop running instances at once in place of draining them. */
    forceEvictInstances: z.boolean().optional(),
  })
  .meta({ id: 'UpdateAgentRuntimeInput' });

export const AgentRuntime = z
  .object({
    ...writable,
    agentRuntimeArn: text.optional(),
    agentRuntimeId: text.optional(),
    agentRuntimeName: text.optional(),
    /** `"1"`, `"2"` …; absent before the first healthy version. */
    agentRuntimeVersion: text.optional(),
    artifactType: ArtifactType.optional(),
    codeConfiguration: CodeConfiguration.optional(),
    /** ISO 8601 with fractional seconds and a zone. */
    createdAt: text.optional(),
    lastUpdatedAt: text.optional(),
    status: ResourceStatus.optional(),
    statusReason: text.optional(),
    resourceGroupId: text.optional(),
  })
  .meta({ id: 'AgentRuntime' });

export const AgentRuntimeVersion = z
  .object({
    agentRuntimeArn: text.optional(),
    agentRuntimeId: text.optional(),
    agentRuntimeName: text.optional(),
    /** An integer from 1, as a string. */
    agentRuntimeVersion: text.optional(),
    description: text.optional(),
    lastUpdatedAt: text.optional(),
  })
  .meta({ id: 'AgentRuntimeVersion' });

export const PublishRuntimeVersionInput = z
  .object({ description: text.max(DESCRIPTION_MAX_CHARACTERS).optional(), publisher: text.optional() })
  .meta({ id: 'PublishRuntimeVersionInput' });

export type ArtifactType = z.infer<typeof ArtifactType>;
export type ResourceStatus = z.infer<typeof ResourceStatus>;
export type Language = z.infer<typeof Language>;
export type CodeConfigurationInput = z.infer<typeof CodeConfigurationInput>;
export type CodeConfiguration = z.infer<typeof CodeConfiguration>;
export type RegistryConfig = z.infer<typeof RegistryConfig>;
export type ContainerConfiguration = z.infer<typeof ContainerConfiguration>;
export type HealthCheckConfiguration = z.infer<typeof HealthCheckConfiguration>;
export type LogConfiguration = z.infer<typeof LogConfiguration>;
export type NetworkConfiguration = z.infer<typeof NetworkConfiguration>;
export type ProtocolSettings = z.infer<typeof ProtocolSettings>;
export type ProtocolConfiguration = z.infer<typeof ProtocolConfiguration>;
export type NASConfig = z.infer<typeof NASConfig>;
export type OSSMountConfig = z.infer<typeof OSSMountConfig>;
export type ArmsConfiguration = z.infer<typeof ArmsConfiguration>;
export type CreateAgentRuntimeInput = z.infer<typeof CreateAgentRuntimeInput>;
export type UpdateAgentRuntimeInput = z.infer<typeof UpdateAgentRuntimeInput>;
export type AgentRuntime = z.infer<typeof AgentRuntime>;
export type AgentRuntimeVersion = z.infer<typeof AgentRuntimeVersion>;
export type PublishRuntimeVersionInput = z.infer<typeof PublishRuntimeVersionInput>;
