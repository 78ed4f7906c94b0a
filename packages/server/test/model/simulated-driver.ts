import {
  type Driver,
  type InstanceExit,
  type RunningInstance,
  StartFailure,
} from '../../src/drivers/driver.ts';
import type { InstanceSpec } from '../../src/drivers/instance-spec.ts';
import type { Gates } from './gates.ts';

/** Something that runs on the simulated machine; it outlives the server that started it. */
export interface Process {
  spec: InstanceSpec;
  running: RunningInstance;
  /** Its start is over. */
  ready: boolean;
  onExit: ((exit: InstanceExit) => void) | undefined;
}

/** The machine: what runs on it, whichever server is in charge. */
export class Machine {
  readonly processes = new Map<string, Process>();
  #nextPort = 20_000;

  spawn(spec: InstanceSpec): Process {
    const running: RunningInstance = {
      instanceId: spec.instanceId,
      runtimeId: spec.runtimeId,
      revision: spec.revision,
      host: '127.0.0.1',
      port: this.#nextPort++,
      startedAt: new Date(0).toISOString(),
    };
    const process = { spec, running, ready: false, onExit: undefined };
    this.processes.set(spec.instanceId, process);
    return process;
  }

  /** It ends by itself, and its server hears of it. */
  crash(instanceId: string): void {
    const process = this.processes.get(instanceId);
    this.processes.delete(instanceId);
    const hear = process?.onExit ?? process?.running.onExit;
    hear?.({ instanceId, code: 1, lastLines: ['simulated crash'] });
  }
}

/** Whether an agent with this environment becomes healthy. */
export function isGood(value: string | undefined): boolean {
  return !(value ?? '').startsWith('bad');
}

/** One server's driver on the machine; every step waits at a gate before and after. */
export function simulatedDriver(machine: Machine, gates: Gates): Driver {
  return {
    name: 'simulated',
    marks: {},

    async start(spec, { signal, onExit, onProbe }) {
      const label = `${spec.environment.VALUE}`;
      await gates.pass(`driver: spawn ${label}`, signal);
      const process = machine.spawn(spec);
      try {
        await gates.pass(`driver: probe ${label}`, signal);
        onProbe?.();
        if (!isGood(spec.environment.VALUE))
          throw new StartFailure('start', 'exited', 'exited with code 1 after 0.01 s', ['this one is bad']);
      } catch (error) {
        machine.processes.delete(spec.instanceId);
        throw error;
      }
      if (!machine.processes.has(spec.instanceId))
        throw new StartFailure('start', 'exited', 'ended while it was probed');
      Object.assign(process, { ready: true, onExit });
      return process.running;
    },

    async stop(instanceId) {
      if (!machine.processes.has(instanceId)) return;
      await gates.pass('driver: before stop');
      const process = machine.processes.get(instanceId);
      if (process) process.onExit = undefined;
      machine.processes.delete(instanceId);
      await gates.pass('driver: after stop');
    },

    async adopt() {
      for (const process of machine.processes.values()) {
        Object.assign(process, { ready: true, onExit: undefined });
        process.running = { ...process.running };
      }
      return [...machine.processes.values()].map(({ running }) => running);
    },

    list: () => [...machine.processes.values()].map(({ running }) => running),
    probe: async (instanceId) => ({ ok: machine.processes.has(instanceId), detail: 'simulated' }),
    identify: async () => ({ holder: 'instance' }),
    logTail: async () => [],
    forgetRuntime: async () => {},
    close: async () => {},
  };
}
