import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Log } from '../../../observe/log.ts';
import type { InstanceSpec } from '../../instance-spec.ts';
import type { Interpreter } from '../interpreters.ts';
import { pathSegment } from '../log-shelf.ts';
import type { View } from '../sandbox/view.ts';
import { guardHolds, isOfSomething, type KnownFiles, keepStart, removeKept } from './keep-start.ts';
import { type PackageRoot, packageRoots } from './package-roots.ts';

export const NODE_START_PRELOAD = fileURLToPath(
  new URL('../../../../assets/preload/node-start/boot.cjs', import.meta.url),
);

export interface NodeStartsOptions {
  /** `DATA/starts`: a record is `<runtimeId>/<key>`. */
  folder: string;
  /** The files that a folder was prepared with; undefined for one that is none of the server's. */
  packageFiles: (folder: string) => Promise<KnownFiles | undefined>;
  log: Log;
  /** How long a recorded agent may take to write its notes down. */
  patienceMs?: number;
}

/** What the start of one instance does with a record. */
export interface NodeStart {
  kind: 'play' | 'record';
  /** Added to the agent's environment. */
  variables: Record<string, string>;
  /** Folders of this machine that it has to see, under their own names. */
  readOnly: readonly string[];
  /** Once the instance has been healthy for the first time. Never throws. */
  ready(): Promise<void>;
  /** However the start ended, after `ready` if that was called. */
  over(): void;
}

/** What a recorded start has to know of how its agent sees the machine. */
export type NodeView = Pick<View, 'isConfined' | 'codeDir' | 'tmp'>;

/** The folder that an agent writes its notes into. */
const CLAIMS = 'runstead-start';

/** A record is begun so often at most in one run of the server, so that one which never comes about costs little. */
const TRIES = 3;
const LOOK_AGAIN_MS = 5;
/** Of one runtime: its versions may differ in command and environment, and old ones are called seldom. */
const KEPT_MAX = 20;
export type NodeStarts = ReturnType<typeof createNodeStarts>;

/**
 * The recorded starts of Node agents: makes one from the first start of a version, plays it at later ones. A record
 * belongs to one runtime, and to one package, install, Node, command and start-relevant environment.
 */
export function createNodeStarts(options: NodeStartsOptions) {
  const { folder, packageFiles, log, patienceMs = 3000 } = options;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const tries = new Map<string, number>();
  const recording = new Set<string>();
  const keeping = new Map<Promise<void>, { runtimeId: string; halt: AbortController }>();

  const ofRuntime = (runtimeId: string) => join(folder, pathSegment(runtimeId));

  return {
    /**
     * What to do for an instance that is about to be started; undefined: nothing, it starts plainly.
     * @param instanceFolder exists; what is needed on the way is put there
     * @param view how the agent sees this machine
     */
    async begin(
      spec: InstanceSpec,
      node: Interpreter,
      instanceFolder: string,
      view: NodeView,
    ): Promise<NodeStart | undefined> {
      if (!hasHooks(node.version)) return undefined;
      try {
        const roots = packageRoots(spec.codeDir, view.isConfined ? view.codeDir : undefined);
        const key = keyOf(spec, node, roots);
        const kept = join(ofRuntime(spec.runtimeId), key);
        if (existsSync(kept)) {
          if (guardHolds(kept)) return view.isConfined ? playConfined(kept) : play(kept, instanceFolder);
          log.debug(
            { agentRuntimeId: spec.runtimeId },
            'files of the package have changed; its start is recorded anew',
          );
        }
        const begun = tries.get(kept) ?? 0;
        if (begun >= TRIES || recording.has(kept)) return undefined;
        const files = await Promise.all(roots.map(({ host }) => packageFiles(host)));
        if (files.some((it) => it === undefined)) return undefined;
        tries.set(kept, begun + 1);
        return record({ spec, node, kept, roots, files: files as KnownFiles[], instanceFolder, view });
      } catch (error) {
        log.warn({ err: error, agentRuntimeId: spec.runtimeId }, 'a recorded start could not be looked for');
        return undefined;
      }
    },

    /** Resolves when nothing is being written down. */
    async settled(): Promise<void> {
      await Promise.all(keeping.keys());
    },

    /** Removes the records of a runtime. */
    async forget(runtimeId: string): Promise<void> {
      const own = [...keeping].filter(([, it]) => it.runtimeId === runtimeId);
      for (const [, { halt }] of own) halt.abort(new Error('the runtime is being removed'));
      await Promise.all(own.map(([work]) => work));
      const all = ofRuntime(runtimeId);
      for (const name of list(all)) removeKept(join(all, name));
      rmSync(all, { recursive: true, force: true });
    },

    /** Removes what a crash left half-made, and records of packages that are gone. Before anything is started. */
    sweep(): void {
      for (const runtimeId of list(folder)) {
        for (const name of list(join(folder, runtimeId)))
          if (name.endsWith('.tmp')) removeKept(join(folder, runtimeId, name));
        tidy(runtimeId);
      }
    },

    async close(): Promise<void> {
      for (const { halt } of keeping.values()) halt.abort(new Error('the server stops'));
      await Promise.all(keeping.keys());
    },
  };

  /** Removes records of packages that are gone, and the oldest of too many. */
  function tidy(runtimeId: string): void {
    const all = list(ofRuntime(runtimeId))
      .filter((name) => !name.endsWith('.tmp'))
      .map((name) => join(ofRuntime(runtimeId), name));
    const [kept, gone] = [all.filter(isOfSomething), all.filter((it) => !isOfSomething(it))];
    const madeAt = (it: string) => statSync(join(it, 'guard.json')).mtimeMs;
    const newest = kept.map((it) => ({ it, at: madeAt(it) })).sort((a, b) => b.at - a.at);
    for (const it of [...gone, ...newest.slice(KEPT_MAX).map((old) => old.it)]) removeKept(it);
  }

  function play(kept: string, instanceFolder: string): NodeStart {
    // Node writes what the cache lacks into its folder when it exits, and root is not asked for rights. So the way there
    // is the instance's own, and gone once it has started.
    const way = join(instanceFolder, 'cache');
    symlinkSync(join(kept, 'cache'), way);
    const close = () => rmSync(way, { force: true });
    return {
      kind: 'play',
      variables: { RUNSTEAD_NODE_START: `play:${kept}`, RUNSTEAD_NODE_CACHE: way },
      readOnly: [],
      ready: async () => close(),
      over: close,
    };
  }

  /** In the sandbox nobody can write to what is only shown, root or not. */
  function playConfined(kept: string): NodeStart {
    return {
      kind: 'play',
      variables: { RUNSTEAD_NODE_START: `play:${kept}`, RUNSTEAD_NODE_CACHE: join(kept, 'cache') },
      readOnly: [kept],
      ready: async () => {},
      over: () => {},
    };
  }

  function record(about: {
    spec: InstanceSpec;
    node: Interpreter;
    kept: string;
    roots: readonly PackageRoot[];
    files: readonly KnownFiles[];
    instanceFolder: string;
    view: NodeView;
  }): NodeStart {
    const { spec, kept, roots, view } = about;
    const { runtimeId } = spec;
    recording.add(kept);
    const own = realpathSync(about.instanceFolder);
    const claims = view.isConfined ? join(own, 'tmp', CLAIMS) : join(own, CLAIMS);
    const claimsSeen = view.isConfined ? join(view.tmp, CLAIMS) : claims;
    mkdirSync(claims, { mode: 0o700 });
    const packages = roots.map(({ seen }) => seen);
    writeFileSync(join(claims, 'order.json'), JSON.stringify({ packageRoots: packages }), { mode: 0o600 });

    const keep = async (signal: AbortSignal) => {
      try {
        const node = `v${about.node.version.join('.')}`;
        mkdirSync(ofRuntime(runtimeId), { recursive: true, mode: 0o700 });
        const count = await keepStart({
          claimFolder: claims,
          target: kept,
          roots,
          files: about.files,
          node,
          signal,
        });
        log.debug({ agentRuntimeId: runtimeId, modules: count }, 'a start was recorded');
        tidy(runtimeId);
      } catch (error) {
        if (!signal.aborted) {
          const reason = (error as Error).message;
          log.warn(
            { agentRuntimeId: runtimeId, reason },
            'a start could not be recorded; the next ones are plain',
          );
        }
      } finally {
        recording.delete(kept);
        rmSync(claims, { recursive: true, force: true });
      }
    };

    let isKept = false;
    return {
      kind: 'record',
      variables: { RUNSTEAD_NODE_START: `record:${claimsSeen}` },
      readOnly: [],
      async ready() {
        try {
          // Another program than Node runs the package, or one in between has emptied the environment.
          if (!existsSync(join(claims, 'claimed'))) return;
          writeFileSync(join(claims, 'flush'), '');
          const end = performance.now() + patienceMs;
          while (!existsSync(join(claims, 'done'))) {
            if (performance.now() > end) {
              log.warn({ agentRuntimeId: runtimeId }, 'an agent was too busy to write its start down');
              return;
            }
            await delay(LOOK_AGAIN_MS);
          }
          isKept = true;
          const halt = new AbortController();
          const work = keep(halt.signal).finally(() => keeping.delete(work));
          keeping.set(work, { runtimeId, halt });
        } catch (error) {
          log.warn({ err: error, agentRuntimeId: runtimeId }, 'a start could not be recorded');
        }
      },
      over() {
        if (!isKept) recording.delete(kept);
      },
    };
  }
}

/** Whether a Node has synchronous module hooks (`module.registerHooks`). */
function hasHooks([major = 0, minor = 0]: readonly number[]): boolean {
  return major >= 24 || (major === 22 && minor >= 15);
}

/** Everything that decides what a start looks up and how V8 compiles it. */
function keyOf(spec: InstanceSpec, node: Interpreter, roots: readonly PackageRoot[]): string {
  const { command, environment } = spec;
  const relevant = Object.entries(environment)
    .filter(([name]) => name.startsWith('NODE_'))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const parts = [
    1,
    [node.version, node.path, process.platform, process.arch],
    roots,
    command,
    relevant,
    linkTarget(join(spec.codeDir, 'node_modules')),
  ];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);
}

function linkTarget(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
