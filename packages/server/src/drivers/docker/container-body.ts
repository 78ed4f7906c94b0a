import type { InstanceSpec } from '../instance-spec.ts';
import type { EngineFacts } from './engine.ts';

/** On what we make in the engine, in labels: whose it is, and what for. */
export const LABEL = {
  data: 'runstead.data',
  instance: 'runstead.instance',
  runtime: 'runstead.runtime',
  revision: 'runstead.revision',
} as const;

/** Where a package is seen in a container. */
export const CODE = '/code';

const PIDS_MAX = 512;
const IMAGE_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface ContainerSurroundings {
  /** The name that the image has in the engine. */
  image: string;
  network: string;
  /** On 127.0.0.1 of this machine. */
  hostPort: number;
  /** Names the data folder. */
  dataMark: string;
  accountId: string;
  region: string;
  /** Kept by the engine of what a container has written, in bytes; it may be twice that. */
  logLimitBytes: number;
  facts: EngineFacts;
  /** Of the server's: code in a container is to be readable to who runs it. */
  user: { uid: number; gid: number };
  /** Folders outside of the package that links in it lead to. */
  linked: readonly string[];
  /** Those of them with Python packages. */
  sitePackages: readonly string[];
}

/**
 * What the engine is asked to create for an instance. Nothing of the machine is in it but the package, read-only, and
 * the directories that the operator has made available: no capability, no way to gain one, the engine's own seccomp
 * profile, namespaces of its own, and a network that its runtime shares with nobody.
 */
export function containerBody(spec: InstanceSpec, around: ContainerSurroundings) {
  const { facts } = around;
  const port = `${spec.port}/tcp`;
  const isCode = spec.image === undefined;
  const memory = spec.memoryMiB * 1024 * 1024;
  return {
    Image: around.image,
    // What is given replaces what the image would start, its entry point included; nothing given: the image decides.
    ...(spec.command.length > 0 && { Entrypoint: spec.command.slice(0, 1), Cmd: spec.command.slice(1) }),
    ...(isCode && {
      WorkingDir: CODE,
      // In an engine without root, root in the container is the user who runs it, and nobody else may read the code.
      User: facts.isRootless ? '0:0' : `${around.user.uid}:${around.user.gid}`,
    }),
    Env: Object.entries(containerEnvironment(spec, around)).map(([name, value]) => `${name}=${value}`),
    ExposedPorts: { [port]: {} },
    Labels: {
      [LABEL.data]: around.dataMark,
      [LABEL.instance]: spec.instanceId,
      [LABEL.runtime]: spec.runtimeId,
      [LABEL.revision]: String(spec.revision),
    },
    HostConfig: {
      // Reaps what the agent's children leave behind, and passes signals on to programs that expect no pid 1.
      Init: true,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      PidsLimit: PIDS_MAX,
      Memory: memory,
      // No swap on top.
      MemorySwap: memory,
      // Engines refuse more processors than there are.
      NanoCpus: Math.round(Math.min(spec.cpu, facts.cpus) * 1e9),
      NetworkMode: around.network,
      IpcMode: 'private',
      CgroupnsMode: 'private',
      PortBindings: { [port]: [{ HostIp: '127.0.0.1', HostPort: String(around.hostPort) }] },
      LogConfig: {
        Type: 'json-file',
        Config: {
          'max-size': `${Math.max(64, Math.ceil(around.logLimitBytes / 1024))}k`,
          // Podman keeps one file, and knows no such option.
          ...(!facts.isPodman && { 'max-file': '2' }),
        },
      },
      // Not `Binds`, whose parts are told apart by colons that a path may hold.
      Mounts: [
        ...(isCode
          ? [mount(spec.codeDir, CODE, true), ...around.linked.map((it) => mount(it, it, true))]
          : []),
        ...(spec.mounts ?? []).map((it) => mount(it, it, false)),
      ],
      ...(isCode && { Tmpfs: { '/tmp': 'rw,nosuid,nodev,mode=1777' } }),
    },
  };
}

/**
 * The variables of an agent in a container, on top of its image's. What the platform promises wins over the user's.
 * Not the mark of the data folder: by that, the processes of this machine are told from each other.
 */
function containerEnvironment(
  spec: InstanceSpec,
  { accountId, region, sitePackages }: Pick<ContainerSurroundings, 'accountId' | 'region' | 'sitePackages'>,
): Record<string, string> {
  const { RUNSTEAD_DATA_MARK: _, ...user } = spec.environment;
  const port = String(spec.port);
  const pythonPath = [`${CODE}/python`, '/opt/python', CODE, ...sitePackages];
  return {
    ...(spec.image === undefined && { LANG: 'C.UTF-8', PYTHONUNBUFFERED: '1' }),
    ...user,
    ...(spec.image === undefined && {
      // The image's own programs first, as on the machine; the package's folder last, for launchers of its own.
      PATH: `${CODE}/node_modules/.bin:${IMAGE_PATH}:${CODE}/.venv/bin:${CODE}`,
      HOME: '/tmp',
      TMPDIR: '/tmp',
      PYTHONPATH: [...pythonPath, ...(user.PYTHONPATH ? [user.PYTHONPATH] : [])].join(':'),
    }),
    FC_ACCOUNT_ID: accountId,
    FC_REGION: region,
    PORT: port,
    FC_SERVER_PORT: port,
    FC_CUSTOM_LISTEN_PORT: port,
    RUNSTEAD_INSTANCE_ID: spec.instanceId,
    RUNSTEAD_RUNTIME_ID: spec.runtimeId,
  };
}

function mount(source: string, target: string, readOnly: boolean) {
  return { Type: 'bind', Source: source, Target: target, ReadOnly: readOnly };
}
