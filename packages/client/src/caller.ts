import { type Config, type CreateConfig, mergeConfigs } from './config/config.ts';

/** On whose behalf a call is made: settings, and what was learned on the way. Clients and resource objects have one. */
export interface Caller {
  readonly config: Config;
  readonly memory: CallerMemory;
}

/** Names come from outside in any number: the oldest goes. */
class BoundedMap<K, V> extends Map<K, V> {
  static readonly MAX_SIZE = 1000;

  override set(key: K, value: V): this {
    this.delete(key);
    super.set(key, value);
    if (this.size > BoundedMap.MAX_SIZE) this.delete(this.keys().next().value as K);
    return this;
  }
}

/** What calls learn and later ones use. A client shares its memory with what it makes: other settings, resource objects. */
export class CallerMemory {
  /** Origin → what its answers said they can do (`x-runstead-features`). */
  readonly features = new BoundedMap<string, ReadonlySet<string>>();
  /** Access tokens by who asked and for which runtime. */
  readonly tokens = new BoundedMap<string, string>();
  /** Ids of workspaces by who asked and by name. */
  readonly workspaceIds = new BoundedMap<string, string>();
}

/** Of resource objects that came from no client. */
export const sharedMemory = new CallerMemory();

/**
 * On whose behalf an object calls that a call has made: the call's settings stay with it, so that it goes on talking to the
 * same server. What was about that one call does not.
 */
export function callerOf({ config, memory }: Caller, ofCall: Config | undefined): Caller {
  if (ofCall === undefined) return { config, memory };
  const { signal, ...settings } = ofCall;
  const { idempotencyKey, agentRuntimeVersion, ...lasting } = settings as CreateConfig & {
    agentRuntimeVersion?: string;
  };
  return { config: mergeConfigs(config, lasting), memory };
}

/** Of resource objects' static methods, to which all settings come with the call. */
export const NO_CALLER: Caller = { config: {}, memory: sharedMemory };
