import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { SecretBox } from '../../auth/secret-box.ts';
import type { Log } from '../../observe/log.ts';
import { StartFailure } from '../driver.ts';
import type { InstanceSpec } from '../instance-spec.ts';
import { agentEnvironment, agentPath, chosenInterpreters, PRELOADS, resolveCommand } from './environment.ts';
import { type FindInterpreter, findInterpreter } from './find-interpreter.ts';
import { findInterpreters, wantedBy } from './interpreters.ts';
import { keepSpec, type LaunchInput, launch, makeFolder } from './launch.ts';
import { doorsOf, easeJoining, openGroups, setShares } from './limits/control-groups.ts';
import { holdWaiting } from './limits/hold-waiting.ts';
import { closeGroupsOf } from './limits/instance-groups.ts';
import { type Limits, NICENESS, processorsFor, shareAtStart } from './limits/limits.ts';
import type { LogKeeper } from './log-keeper.ts';
import type { LogShelf } from './log-shelf.ts';
import { NODE_START_PRELOAD, type NodeStarts } from './node-start/node-starts.ts';
import type { Born, QuickStarts } from './pool/quick-starts.ts';
import type { PortPool } from './port-pool.ts';
import { explained, type Instance, keptOf } from './process-instance.ts';
import { HOSTS } from './readiness.ts';
import type { Sandbox } from './sandbox/sandbox.ts';
import { confinedView, plainView, type View } from './sandbox/view.ts';

/** What the start of an instance depends on besides the instance. */
export interface StartSettings {
  /** Seals what is to be masked in logs, for a server started later. Asked for when first needed. */
  box: () => SecretBox;
  accountId: string;
  region: string;
  /** Keeps agents to themselves. Default: they see what the server sees, and `sandboxState` says why. */
  confinedBy?: Sandbox;
  /** Default: agents may take what there is. */
  limits?: Limits;
  /** Default: what is on this machine. */
  findInterpreter?: FindInterpreter;
  /** Default: every start is a plain one. */
  nodeStarts?: NodeStarts;
  /** For tests: hears of each step of a start, so that the server can be killed there. */
  onStep?: (step: 'prepared' | 'spawned' | 'ready', pid?: number) => void;
}

/** How an instance's processes are started. */
export function createProcessStart(
  options: StartSettings,
  parts: {
    dataDir: string;
    dataMark: string;
    logsDir: string;
    binDir: string;
    ports: PortPool;
    shelf: LogShelf;
    logs: LogKeeper;
    quickStarts: QuickStarts;
    log: Log;
  },
) {
  const { limits } = options;
  const { dataDir, dataMark, logsDir, binDir, ports, shelf, logs, quickStarts, log } = parts;

  /**
   * What it makes, it notes on the instance: whoever clears it away knows how far it has come.
   * @returns when the wrapper was spawned, in ms of the monotonic clock
   * @throws StartFailure; the halt's reason
   */
  return async function startProcess(instance: Instance, spec: InstanceSpec): Promise<number> {
    const { halt, folder } = instance;
    if (limits?.ownGroup !== undefined) easeJoining(limits.ownGroup);
    try {
      const chosen = await chosenInterpreters(spec, options.findInterpreter ?? findInterpreter);
      const path = agentPath(spec, binDir, chosen);
      const [program, ...words] = resolveCommand(spec, path) as [string, ...string[]];
      const view = await viewFor(instance, spec, path[0]!);
      halt.signal.throwIfAborted();
      instance.port = await ports.take();
      halt.signal.throwIfAborted();
      const { accountId, region } = options;
      // Nobody else's: an instance of this id is not known, and `adopt` has cleared the rest.
      rmSync(folder, { recursive: true, force: true });
      if (limits) {
        instance.groups = openGroups(limits.places, spec.instanceId, shareAtStart(limits, spec));
      }
      makeFolder(folder, keptOf(instance));
      const isNode = wantedBy(spec.language)?.family === 'node';
      if (chosen.node && isNode)
        instance.nodeStart = await options.nodeStarts?.begin(spec, chosen.node, folder, view);
      halt.signal.throwIfAborted();
      const nodeStart = instance.nodeStart && {
        preload: NODE_START_PRELOAD,
        variables: instance.nodeStart.variables,
      };
      const around = { view, port: instance.port, accountId, region, dataMark, path, nodeStart };
      const environment = agentEnvironment(spec, around);
      const shown = instance.nodeStart?.readOnly ?? [];
      mkdirSync(join(logsDir, spec.runtimeId), { recursive: true, mode: 0o700 });
      shelf.begin(spec);
      options.onStep?.('prepared');
      const spawnedAt = performance.now();
      const { instanceId, runtimeId, revision, startedAt, port } = instance;
      const record = { instanceId, runtimeId, revision, host: HOSTS[0]!, port, startedAt };
      const sharesCpu = limits !== undefined && limits.places.cpu === undefined;
      const input = {
        folder,
        spec,
        command: [view.pathOf(program), ...words],
        program,
        environment,
        boundary: view.boundary(shown),
        view,
        shown,
        doors: doorsOf(instance.groups),
        ...(sharesCpu && { niceness: NICENESS, processors: processorsFor(instanceId, spec.cpu) }),
        record,
        log: instance.log,
        box: options.box(),
      };
      const launched =
        (await quickStarts.launch(input, { onBorn: (born) => holdBorn(instance, spec, born, input) })) ??
        (await launch({ ...input, environment: quickStarts.observed(input) }));
      logs.begin(instance);
      instance.leader = launched.leader;
      instance.bornAs = launched.bornAs;
      instance.detach = () => launched.detach();
      instance.ended = launched.ended.then((ending) => {
        instance.ending = explained(instance, ending);
        return instance.ending;
      });
      options.onStep?.('spawned', launched.leader.pid);
      return spawnedAt;
    } catch (error) {
      halt.signal.throwIfAborted();
      if (error instanceof StartFailure) throw error;
      throw new StartFailure('start', 'cannot-start', whyNotStarted(error as NodeJS.ErrnoException));
    }
  };

  /** Holds what waited, and is about to become the instance, to its limits. */
  function holdBorn(instance: Instance, spec: InstanceSpec, { pid, groups }: Born, input: LaunchInput): void {
    holdWaiting(pid, groups ? { ...input, doors: [] } : input);
    if (!limits || !groups) return;
    setShares(limits.places, groups, shareAtStart(limits, spec));
    const unused = instance.groups;
    // On disk before anything of the agent runs: a server that dies now finds out where it is.
    keepSpec(instance.folder, { ...keptOf(instance), groups });
    instance.groups = groups;
    void closeGroupsOf({ groups: unused, instanceId: instance.instanceId }, log);
  }

  async function viewFor(instance: Instance, spec: InstanceSpec, links: string): Promise<View> {
    const { folder, runtimeId } = instance;
    const { codeDir, mounts = [] } = spec;
    if (!options.confinedBy) return plainView({ codeDir, folder });
    const interpreters = (await findInterpreters('python')).map((it) => it.path);
    const surroundings = {
      runtimeId,
      codeDir,
      folder,
      links,
      interpreters,
      mounts,
      assets: PRELOADS,
      dataDir,
    };
    return confinedView(options.confinedBy, surroundings);
  }
}

function whyNotStarted({ code = '', message }: NodeJS.ErrnoException): string {
  return ['ENOSPC', 'EDQUOT'].includes(code)
    ? 'no space is left on the disk of the data folder; make room there'
    : message;
}
