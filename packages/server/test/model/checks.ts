import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DataFolders } from '../../src/artifacts/folders.ts';
import { isUnsettled } from '../../src/domain/status.ts';
import type { Store, VersionRecord } from '../../src/store/store.ts';
import type { Model, ModelRuntime } from './model.ts';
import { isGood, type Machine } from './simulated-driver.ts';
import type { SimulatedGateway } from './simulated-gateway.ts';

/** What a server has to show for what was asked of it. */
export interface World {
  store: Store;
  machine: Machine;
  gateway: SimulatedGateway;
  model: Model;
  folders: DataFolders;
}

/** What is not as the model says once there is nothing left to do; one sentence each. */
export async function faultsAtRest(world: World): Promise<string[]> {
  const { store, machine, gateway, model } = world;
  const faults: string[] = [];
  for (const runtime of model.runtimes.values()) faults.push(...(await faultsOf(runtime, world)));
  const known = new Map<string, Set<number>>();
  for (const id of await store.runtimeIds()) {
    known.set(id, new Set((await store.versions(id)).map(({ revision }) => revision)));
  }
  for (const { spec } of machine.processes.values()) {
    if (!known.get(spec.runtimeId)?.has(spec.revision))
      faults.push(`an instance with ${spec.environment.VALUE} belongs to no version`);
  }
  if (gateway.waiting > 0) faults.push(`${gateway.waiting} calls wait for ever`);
  return faults;
}

async function faultsOf(model: ModelRuntime, world: World): Promise<string[]> {
  const { id, name, deleting, wanted } = model;
  const runtime = await world.store.getRuntime(id);
  if (deleting) return runtime ? [`${name} was deleted and is still there`] : [];
  if (!runtime) return [`${name} is gone, and nobody deleted it`];
  const faults: string[] = [];
  const value = runtime.spec.environmentVariables?.VALUE;
  if (value !== wanted.at(-1)) faults.push(`${name} wants ${value}; the last write was ${wanted.at(-1)}`);
  if (isUnsettled(runtime.status)) faults.push(`${name} stays in ${runtime.status}`);
  else if ((runtime.status === 'READY') !== isGood(value))
    faults.push(`${name} is ${runtime.status} (${runtime.statusReason}) with ${value}`);
  const versions = await world.store.versions(id);
  const isNumbered = versions.every(({ version }, index) => version === index + 1);
  if (!isNumbered || runtime.headVersion !== versions.at(-1)?.version) {
    const numbers = versions.map(({ version }) => version);
    faults.push(`${name} has versions ${numbers}, head ${runtime.headVersion}`);
  }
  return [
    ...faults,
    ...faultsOfVersions(model, versions),
    ...(await faultsOfEndpoints(model, versions, world)),
  ];
}

/** Versions are numbered in the order in which their configurations were asked for, and none is bad. */
function faultsOfVersions({ name, wanted }: ModelRuntime, versions: VersionRecord[]): string[] {
  const values = versions.map(({ spec }) => spec.environmentVariables?.VALUE ?? '');
  const history = `${name} has versions with ${values}; wanted were ${wanted}`;
  if (!values.every(isGood)) return [`${history}: one of them is bad`];
  if (isGood(wanted.at(-1)) && values.at(-1) !== wanted.at(-1))
    return [`${history}: the newest does not serve`];
  let from = 0;
  for (const value of values) {
    const at = wanted.indexOf(value, from);
    if (at < 0) return [`${history}: not in that order`];
    from = at;
  }
  return [];
}

async function faultsOfEndpoints(
  { id: runtimeId, name: runtimeName, endpoints: wanted }: ModelRuntime,
  versions: VersionRecord[],
  { store, machine, gateway }: World,
): Promise<string[]> {
  const route = gateway.table.byName(runtimeName);
  if (route?.runtimeId !== runtimeId || route.state !== 'serving') return [`${runtimeName} has no routes`];
  const faults: string[] = [];
  const servedBy = (name: string) =>
    String(route.endpoints.find((it) => it.name === name)?.weights.map(({ version }) => version));
  const newest = String(versions.at(-1)?.version ?? '');
  const endpoints = await store.endpoints(runtimeId);
  const alive = [...wanted].filter(([, { deleting }]) => !deleting);
  if (endpoints.length !== alive.length)
    faults.push(`${runtimeName} has ${endpoints.length} endpoints, of ${alive.length}`);
  for (const [id, { name, target }] of alive) {
    const endpoint = endpoints.find((it) => it.id === id);
    if (endpoint?.status !== 'READY' || endpoint.spec.targetVersion !== target)
      faults.push(`endpoint ${name} → ${target} is ${JSON.stringify(endpoint)}`);
    if (servedBy(name) !== (target === 'LATEST' ? newest : target))
      faults.push(`endpoint ${name} → ${target} serves ${servedBy(name)} of ${newest}`);
  }
  // Nobody makes an endpoint of that name, so it answers by itself.
  if (servedBy('default') !== newest)
    faults.push(`default of ${runtimeName} serves ${servedBy('default')} of ${newest}`);
  for (const { id } of route.versions.flatMap(({ instances }) => instances)) {
    if (!machine.processes.has(id))
      faults.push(`routes of ${runtimeName} name an instance that is not there`);
  }
  return faults;
}

/** What is kept after a start although nothing refers to it. */
export async function faultsInFiles({ store, folders }: World): Promise<string[]> {
  const faults: string[] = [];
  const known = new Set(await store.runtimeIds());
  for (const folder of [folders.code, folders.deps]) {
    for (const id of await readdir(folder)) {
      if (!known.has(id)) faults.push(`${folder} keeps ${id}, which is gone`);
      for (const name of await readdir(join(folder, id)))
        if (!/^[0-9a-f]+$/.test(name)) faults.push(`${name} was left half-made`);
    }
  }
  const blobs = await blobsOf(folders);
  const referenced = [...(await store.artifactDigests())].map((digest) => `${digest}.zip`).sort();
  if (blobs.join() !== referenced.join())
    faults.push(`blobs ${blobs} are kept, ${referenced} are referred to`);
  return faults;
}

export async function faultsWhenAllIsDeleted({ store, machine, folders }: World): Promise<string[]> {
  const left = [
    ...(await store.runtimeIds()),
    ...machine.processes.keys(),
    ...(await readdir(folders.code)),
    ...(await readdir(folders.deps)),
    ...(await readdir(folders.incoming)),
    ...(await blobsOf(folders)),
  ];
  return left.length > 0 ? [`after all was deleted there is still ${left}`] : [];
}

async function blobsOf({ blobs }: DataFolders): Promise<string[]> {
  return (await readdir(blobs)).filter((name) => name !== 'incoming').sort();
}
