import type { Store } from '../../src/store/store.ts';
import type { Gates } from './gates.ts';

/** Writes of which the model keeps account. */
export type Write =
  | 'createRuntime'
  | 'updateRuntime'
  | 'markRuntimeDeleting'
  | 'settleRuntime'
  | 'fixArtifact'
  | 'removeRuntime'
  | 'publishVersion'
  | 'createEndpoint'
  | 'updateEndpoint'
  | 'markEndpointDeleting'
  | 'settleEndpoint'
  | 'removeEndpoint';

const WRITES: ReadonlySet<string> = new Set<Write>([
  'createRuntime',
  'updateRuntime',
  'markRuntimeDeleting',
  'settleRuntime',
  'fixArtifact',
  'removeRuntime',
  'publishVersion',
  'createEndpoint',
  'updateEndpoint',
  'markEndpointDeleting',
  'settleEndpoint',
  'removeEndpoint',
]);

/**
 * One server's sight of the store: every write waits at a gate before it is made and another before its maker hears of
 * it. Once that server is dead it sees nothing more.
 */
export function gatedStore(
  real: Store,
  gates: Gates,
  options: {
    onWritten: (write: Write, args: readonly unknown[], result: unknown) => void;
    /** Whether this read is a slow one: what it has read may be old by the time it is looked at. */
    isSlow: () => boolean;
  },
): Store {
  const never = new Promise<never>(() => {});
  return new Proxy(real, {
    get(target, name: string) {
      const method = target[name as keyof Store] as (...args: unknown[]) => Promise<unknown>;
      return async (...args: unknown[]) => {
        // The file stays open for the next server.
        if (name === 'close') return undefined;
        if (gates.dead) return never;
        if (WRITES.has(name)) await gates.pass(`store: before ${name}`);
        const outcome = await method.apply(target, args).then(
          (value) => ({ value }),
          (error: unknown) => ({ error }),
        );
        if (WRITES.has(name)) {
          if (!('error' in outcome)) options.onWritten(name as Write, args, outcome.value);
          await gates.pass(`store: after ${name}`);
        } else if (options.isSlow()) await gates.pass(`store: slow ${name}`);
        if (gates.dead) return never;
        if ('error' in outcome) throw outcome.error;
        return outcome.value;
      };
    },
  });
}
