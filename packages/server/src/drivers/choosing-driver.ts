import type { Driver, RunningInstance } from './driver.ts';
import type { InstanceSpec } from './instance-spec.ts';

/**
 * Several drivers as one: each instance is started by the one that is chosen for it, and everything about it is asked
 * of that one from then on.
 * @param drivers all of them; ids that nobody has started are asked of each in this order
 * @param choose by what is to be run
 */
export function createChoosingDriver(
  drivers: readonly [Driver, ...Driver[]],
  choose: (spec: InstanceSpec) => Driver,
): Driver {
  /** Of instances that were started here and have not ended; of those that were taken over, the drivers know. */
  const owners = new Map<string, Driver>();
  const knownOwnerOf = (instanceId: string) =>
    owners.get(instanceId) ?? drivers.find((it) => it.list().some((one) => one.instanceId === instanceId));
  const ownerOf = (instanceId: string) => knownOwnerOf(instanceId) ?? drivers[0];

  // What else a driver may have, such as how it holds its agents, is that of the first.
  return Object.assign(Object.create(drivers[0]) as Driver, {
    name: drivers.map(({ name }) => name).join('+'),
    marks: Object.assign({}, ...drivers.map(({ marks }) => marks)) as Driver['marks'],

    start(spec, options) {
      const driver = knownOwnerOf(spec.instanceId) ?? choose(spec);
      owners.set(spec.instanceId, driver);
      const starting = driver.start(spec, {
        ...options,
        onExit(exit) {
          owners.delete(spec.instanceId);
          options.onExit(exit);
        },
      });
      return starting.catch((error: unknown) => {
        owners.delete(spec.instanceId);
        throw error;
      });
    },

    async stop(instanceId, options) {
      const owner = knownOwnerOf(instanceId);
      await Promise.all((owner ? [owner] : drivers).map((it) => it.stop(instanceId, options)));
      owners.delete(instanceId);
    },

    async adopt() {
      const adopted: RunningInstance[] = [];
      for (const driver of drivers) adopted.push(...(await driver.adopt()));
      return adopted;
    },

    nameOf: (instanceId) => ownerOf(instanceId).name,
    list: () => drivers.flatMap((it) => it.list()),
    identify: (instanceId) => ownerOf(instanceId).identify(instanceId),
    probe: (instanceId) => ownerOf(instanceId).probe(instanceId),
    // All write their logs to one place, where each finds those of instances that are over.
    logTail: (instanceId, options) => ownerOf(instanceId).logTail(instanceId, options),
    logsOf: (runtimeId) => drivers.flatMap((it) => it.logsOf?.(runtimeId) ?? []),

    async usageOf(instanceIds) {
      const found = await Promise.all(
        drivers.map((it) => it.usageOf?.(instanceIds.filter((id) => ownerOf(id) === it)) ?? new Map()),
      );
      return new Map(found.flatMap((some) => [...some]));
    },

    async forgetRuntime(runtimeId) {
      for (const driver of drivers) await driver.forgetRuntime(runtimeId);
    },

    async close() {
      await Promise.all(drivers.map((it) => it.close()));
    },
  } satisfies Driver);
}
