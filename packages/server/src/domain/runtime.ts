import type {
  AgentRuntime,
  ArtifactType,
  CodeConfiguration,
  CreateAgentRuntimeInput,
  UpdateAgentRuntimeInput,
} from '@runstead/contract';
import { SESSION_CONCURRENCY_DEFAULT, SESSION_IDLE_DEFAULT } from '@runstead/contract';

/**
 * What a runtime is meant to be: the caller's fields with defaults filled in. The package itself is not here, only its
 * digest; so two specs are compared by value however often a client resends a field.
 */
export type RuntimeSpec = Omit<
  AgentRuntime,
  | 'agentRuntimeArn'
  | 'agentRuntimeId'
  | 'agentRuntimeName'
  | 'agentRuntimeVersion'
  | 'artifactType'
  | 'codeConfiguration'
  | 'cpu'
  | 'createdAt'
  | 'lastUpdatedAt'
  | 'memory'
  | 'port'
  | 'status'
  | 'statusReason'
  | 'workspaceId'
> & {
  artifactType: ArtifactType;
  cpu: number;
  memory: number;
  port: number;
  codeConfiguration?: CodeConfiguration | undefined;
  /** The code package or the image by content; absent until one that lies elsewhere has been fetched. */
  artifact?: Artifact | undefined;
};

export interface Artifact {
  /** Hex SHA-256 of the package's bytes, its name in the blob folder; of an image's manifest. */
  digest: string;
  /** CRC-64/XZ of the bytes as received, decimal; to be compared with the checksum the caller gave. `0` for an image. */
  crc64: string;
  /** Set for images alone: where it is to be had for ever, `registry.example/team/agent@sha256:…`. */
  image?: string | undefined;
  /** What starts the agent, found in the package; used when the caller gave no command. */
  entry?: Entry | undefined;
}

export interface Entry {
  command: string[];
  /** The file or script that decided it, such as `package.json scripts.start`. */
  source: string;
}

/** Fields that only describe a runtime: changing them alone needs no new version. */
const DESCRIPTIVE = [
  'description',
  'systemTags',
  'credentialName',
  'resourceGroupId',
] as const satisfies readonly (keyof RuntimeSpec)[];

/** The desired configuration of a new runtime. */
export function createSpec(input: CreateAgentRuntimeInput, artifact: Artifact | undefined): RuntimeSpec {
  const { agentRuntimeName: _name, workspaceId: _workspaceId, codeConfiguration, ...rest } = input;
  return normalised({
    ...rest,
    codeConfiguration: codeConfiguration && withoutPackage(codeConfiguration),
    // A package that comes with an image is not what is run.
    artifact: input.artifactType === 'Container' ? undefined : artifact,
  });
}

/** What holds where the caller says nothing. */
const DEFAULTS = {
  networkConfiguration: { networkMode: 'PUBLIC' },
  sessionConcurrencyLimitPerInstance: SESSION_CONCURRENCY_DEFAULT,
  sessionIdleTimeoutSeconds: SESSION_IDLE_DEFAULT,
} as const satisfies Partial<RuntimeSpec>;

/** One form for every way to say the same: without what says nothing, and with defaults. */
function normalised(spec: RuntimeSpec): RuntimeSpec {
  return { ...DEFAULTS, ...meaningful(spec) };
}

/**
 * Merges an update onto the desired configuration: a field that is absent stays, one that is given replaces the old
 * value whole, and an empty object takes it away. The artifact type never changes; a code configuration that brings no
 * package keeps the old one, and an image that is named again is looked for again.
 */
export function mergeSpec(
  current: RuntimeSpec,
  input: UpdateAgentRuntimeInput,
  artifact: Artifact | undefined,
): RuntimeSpec {
  const {
    agentRuntimeName: _name,
    artifactType: _artifactType,
    workspaceId: _workspaceId,
    forceEvictInstances: _evict,
    codeConfiguration,
    ...rest
  } = input;
  const merged = { ...current, ...defined(rest) } as RuntimeSpec;
  const isContainer = current.artifactType === 'Container';
  if (isContainer && rest.containerConfiguration) merged.artifact = undefined;
  if (codeConfiguration && isContainer) merged.codeConfiguration = withoutPackage(codeConfiguration);
  else if (codeConfiguration) {
    merged.codeConfiguration = withoutPackage(codeConfiguration);
    if (artifact) merged.artifact = artifact;
    else if (codeConfiguration.ossBucketName !== undefined) merged.artifact = undefined;
    else {
      // No package came with it: the old one stays, with what says where it came from.
      const { checksum, ossBucketName, ossObjectName } = current.codeConfiguration ?? {};
      merged.codeConfiguration = defined({
        language: current.codeConfiguration?.language,
        checksum,
        ossBucketName,
        ossObjectName,
        ...merged.codeConfiguration,
      } as CodeConfiguration);
    }
  }
  return normalised(merged);
}

/** Whether both would run the same: then an update needs neither restart nor version. */
export function runsTheSame(a: RuntimeSpec, b: RuntimeSpec): boolean {
  return canonicalJson(runningPart(a)) === canonicalJson(runningPart(b));
}

/** What decides how the agent runs: the artifact by its digest, not by how it was described. */
function runningPart(spec: RuntimeSpec): object {
  const part: Record<string, unknown> = { ...spec, artifact: spec.artifact?.digest };
  for (const field of DESCRIPTIVE) delete part[field];
  if (spec.codeConfiguration) {
    part.codeConfiguration = {
      ...spec.codeConfiguration,
      checksum: undefined,
      ossBucketName: undefined,
      ossObjectName: undefined,
    };
  }
  return part;
}

function withoutPackage(code: NonNullable<CreateAgentRuntimeInput['codeConfiguration']>): CodeConfiguration {
  const { zipFile: _zipFile, ...rest } = code;
  return defined(rest);
}

/** A copy without fields that are undefined, so that they stay absent in answers and comparisons. */
export function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as T;
}

/** A copy without fields that are undefined or empty objects: to clients the two say the same. */
export function meaningful<T extends object>(value: T): T {
  const says = (item: unknown) =>
    item !== null && typeof item === 'object' && !Array.isArray(item)
      ? Object.keys(item).length > 0
      : item !== undefined;
  return Object.fromEntries(Object.entries(value).filter(([, item]) => says(item))) as T;
}

/** JSON with keys in one order, so that equal values give equal texts. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    item !== null && typeof item === 'object' && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

/** An object in a bucket. */
export interface ObjectPlace {
  bucket: string;
  object: string;
}

/** Where the package has still to be fetched from; undefined when it is here, or lies in no bucket. */
export function placeToFetch({ artifact, codeConfiguration }: RuntimeSpec): ObjectPlace | undefined {
  const { ossBucketName: bucket, ossObjectName: object } = codeConfiguration ?? {};
  return artifact || bucket === undefined || object === undefined ? undefined : { bucket, object };
}

/** The name of the image that has still to be fixed to what it stands for now; undefined when it is, or for code. */
export function imageToFix({
  artifactType,
  artifact,
  containerConfiguration,
}: RuntimeSpec): string | undefined {
  if (artifactType !== 'Container' || artifact?.image !== undefined) return undefined;
  return containerConfiguration?.image ?? '';
}

/** What is wrong with the checksum that the caller gave, seeing that of the package received. */
export function checksumFault(
  { artifactType, codeConfiguration }: RuntimeSpec,
  crc64: string,
): string | undefined {
  if (artifactType === 'Container') return undefined;
  const { checksum } = codeConfiguration ?? {};
  return checksum === undefined || BigInt(checksum) === BigInt(crc64)
    ? undefined
    : `codeConfiguration.checksum is ${checksum}, but the package received has CRC-64 ${crc64}`;
}

/** The program that starts the agent: the caller's command, else what was found in the package. */
export function startCommand(spec: RuntimeSpec): string[] | undefined {
  return spec.codeConfiguration?.command ?? spec.artifact?.entry?.command;
}
