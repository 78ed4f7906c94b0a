import { afterEach, beforeEach, expect, it } from 'vitest';
import { createChoosingDriver } from '../../src/drivers/choosing-driver.ts';
import type { Driver, InstanceExit, KeptLog } from '../../src/drivers/driver.ts';
import { agentSpec } from '../driver-cases.ts';
import { FakeDriver } from '../fake-driver.ts';

const image = { digest: 'd', image: 'example/agent', registry: undefined };
let processes: FakeDriver;
let containers: FakeDriver;
let driver: Driver;

beforeEach(() => {
  processes = new FakeDriver();
  containers = new FakeDriver();
  driver = createChoosingDriver([processes, containers], (spec) => (spec.image ? containers : processes));
});

afterEach(async () => {
  await Promise.all([processes.endAll(), containers.endAll()]);
});

const options = (onExit: (exit: InstanceExit) => void = () => {}) => ({
  signal: new AbortController().signal,
  onExit,
});

it('starts each instance with the driver that is chosen for it, and asks that one of it', async () => {
  const exits: InstanceExit[] = [];
  const [code, container] = [agentSpec(['node']), agentSpec([], { image })];
  await driver.start(code, options());
  await driver.start(
    container,
    options((exit) => exits.push(exit)),
  );
  expect(processes.starts).toEqual([code]);
  expect(containers.starts).toEqual([container]);
  expect(driver.list().map(({ instanceId }) => instanceId)).toEqual([code.instanceId, container.instanceId]);
  for (const { instanceId } of [code, container])
    expect(await driver.probe(instanceId)).toMatchObject({ ok: true });
  await driver.stop(code.instanceId, { graceMs: 0 });
  expect([processes.stops, containers.stops]).toEqual([[code.instanceId], []]);
  await containers.crash(container.instanceId, { code: 3, lastLines: [] });
  expect(exits).toMatchObject([{ instanceId: container.instanceId, code: 3 }]);
  expect(driver.list()).toEqual([]);
});

it('takes over what any of them has left, and stops what nobody knows with all', async () => {
  const [code, container] = [agentSpec(['node']), agentSpec([], { image })];
  await processes.start(code, options());
  await containers.start(container, options());
  for (const it of [processes, containers]) it.leaveBehind();
  expect((await driver.adopt()).map(({ instanceId }) => instanceId)).toEqual([
    code.instanceId,
    container.instanceId,
  ]);
  expect(await driver.probe(container.instanceId)).toMatchObject({ ok: true });
  await driver.stop(container.instanceId, { graceMs: 0 });
  await driver.stop('nobody', { graceMs: 0 });
  expect(processes.stops).toEqual(['nobody']);
  expect(containers.stops).toEqual([container.instanceId, 'nobody']);
  await driver.forgetRuntime('r');
  expect([processes.forgotten, containers.forgotten]).toEqual([['r'], ['r']]);
});

it('tells of each what its own driver tells: use, logs, and which it is', async () => {
  const [code, container] = [agentSpec(['node']), agentSpec([], { image })];
  processes.behave = () => ({ memoryMiB: 10 });
  containers.behave = () => ({ memoryMiB: 20 });
  await driver.start(code, options());
  await driver.start(container, options());
  const used = await driver.usageOf!([code.instanceId, container.instanceId, 'nobody']);
  expect([...used]).toEqual([
    [code.instanceId, { memoryBytes: 10 * 2 ** 20 }],
    [container.instanceId, { memoryBytes: 20 * 2 ** 20 }],
  ]);
  const logs = (instanceId: string) => [{ instanceId } as KeptLog];
  Object.assign(processes, { name: 'process', logsOf: () => logs(code.instanceId) });
  Object.assign(containers, { name: 'docker', logsOf: () => logs(container.instanceId) });
  expect(driver.logsOf!('r').map(({ instanceId }) => instanceId)).toEqual([
    code.instanceId,
    container.instanceId,
  ]);
  expect(driver.nameOf!(code.instanceId)).toBe('process');
  expect(driver.nameOf!(container.instanceId)).toBe('docker');
});

it('forgets who was to start what could not be started', async () => {
  containers.behave = () => ({ failure: { kind: 'exited', message: 'no' } });
  const container = agentSpec([], { image });
  await expect(driver.start(container, options())).rejects.toThrow('no');
  await driver.stop(container.instanceId, { graceMs: 0 });
  expect(processes.stops).toEqual([container.instanceId]);
});

it('forgets whose it was that was taken over and has ended, and its new owner hears of the end', async () => {
  const container = agentSpec([], { image });
  await containers.start(container, options());
  containers.leaveBehind();
  const exits: InstanceExit[] = [];
  const [adopted] = await driver.adopt();
  adopted!.onExit = (exit) => exits.push(exit);
  expect(driver.list()).toEqual([adopted]);
  await containers.crash(container.instanceId, { code: 3, lastLines: [] });
  expect(exits).toEqual([{ instanceId: container.instanceId, code: 3, lastLines: [] }]);
  await driver.stop(container.instanceId, { graceMs: 0 });
  expect(processes.stops).toEqual([container.instanceId]);
});

it('has what else the first of them has', () => {
  const able = Object.assign(new FakeDriver(), { ability: 'its own' });
  const chosen = createChoosingDriver([able, containers], () => able);
  expect(chosen).toMatchObject({ ability: 'its own' });
  expect(chosen.name).toBe('fake+fake');
});
