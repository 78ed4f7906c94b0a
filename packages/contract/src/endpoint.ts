import { z } from 'zod';
import { DESCRIPTION_MAX_CHARACTERS, NAME_PATTERN, VERSION_PATTERN } from './limits.ts';
import { ResourceStatus } from './runtime.ts';

/** Models of runtime endpoints (contract: data models). */

const text = z.string();
const version = text.regex(VERSION_PATTERN, 'must be "LATEST" or an integer from 1');

export const VersionWeight = z
  .object({
    version: text,
    /** A share of new sessions: fractions of 1, or percents where any weight is over 1. */
    weight: z.number(),
  })
  .meta({ id: 'VersionWeight' });

export const RoutingConfiguration = z
  .object({ versionWeights: z.array(VersionWeight).optional() })
  .meta({ id: 'RoutingConfiguration' });

export const ScheduledPolicy = z
  .object({
    name: text.optional(),
    /** Such as `cron(0 8 * * ? *)`. */
    scheduleExpression: text.optional(),
    startTime: text.optional(),
    endTime: text.optional(),
    target: z.int().min(0).optional(),
    timeZone: text.optional(),
  })
  .meta({ id: 'ScheduledPolicy' });

export const ScalingConfig = z
  .object({
    minInstances: z.int().min(0).optional(),
    scheduledPolicies: z.array(ScheduledPolicy).optional(),
  })
  .meta({ id: 'ScalingConfig' });

export const ScalingStatus = z
  .object({
    currentError: text.optional(),
    currentInstances: z.int().optional(),
    minInstances: z.int().optional(),
    scheduledPolicies: z.array(ScheduledPolicy).optional(),
    targetInstances: z.int().optional(),
  })
  .meta({ id: 'ScalingStatus' });

const writable = {
  description: text.max(DESCRIPTION_MAX_CHARACTERS).optional(),
  disablePublicNetworkAccess: z.boolean().optional(),
  routingConfiguration: RoutingConfiguration.optional(),
  scalingConfig: ScalingConfig.optional(),
  targetVersion: version.optional(),
};

const endpointName = text.regex(NAME_PATTERN, `must match ${NAME_PATTERN.source}`);

export const CreateAgentRuntimeEndpointInput = z
  .object({ ...writable, agentRuntimeEndpointName: endpointName })
  .meta({ id: 'CreateAgentRuntimeEndpointInput' });

export const UpdateAgentRuntimeEndpointInput = z
  .object({
    ...writable,
    agentRuntimeEndpointName: endpointName.optional(),
    deleteScalingConfig: z.boolean().optional(),
  })
  .meta({ id: 'UpdateAgentRuntimeEndpointInput' });

export const AgentRuntimeEndpoint = z
  .object({
    agentRuntimeEndpointArn: text.optional(),
    agentRuntimeEndpointId: text.optional(),
    /** Case matters: `Default` is not `default`. */
    agentRuntimeEndpointName: text.optional(),
    agentRuntimeId: text.optional(),
    description: text.optional(),
    disablePublicNetworkAccess: z.boolean().optional(),
    endpointPublicUrl: text.optional(),
    routingConfiguration: RoutingConfiguration.optional(),
    scalingStatus: ScalingStatus.optional(),
    status: ResourceStatus.optional(),
    statusReason: text.optional(),
    targetVersion: text.optional(),
  })
  .meta({ id: 'AgentRuntimeEndpoint' });

export type VersionWeight = z.infer<typeof VersionWeight>;
export type RoutingConfiguration = z.infer<typeof RoutingConfiguration>;
export type ScheduledPolicy = z.infer<typeof ScheduledPolicy>;
export type ScalingConfig = z.infer<typeof ScalingConfig>;
export type ScalingStatus = z.infer<typeof ScalingStatus>;
export type CreateAgentRuntimeEndpointInput = z.infer<typeof CreateAgentRuntimeEndpointInput>;
export type UpdateAgentRuntimeEndpointInput = z.infer<typeof UpdateAgentRuntimeEndpointInput>;
export type AgentRuntimeEndpoint = z.infer<typeof AgentRuntimeEndpoint>;
