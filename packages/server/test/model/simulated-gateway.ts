import type { DownMessage, InstanceRoute, RuntimeRoute } from '../../src/feed/messages.ts';
import type { ControlEnd } from '../../src/feed/port.ts';
import { createFeedPair } from '../../src/feed/port.ts';
import { RouteTable } from '../../src/gateway/route-table.ts';
import type { Gates } from './gates.ts';
import type { Machine } from './simulated-driver.ts';

/** A call that a client waits for. */
interface WaitingCall {
  name: string;
  /** From 0 to 1: decides the version by weight. */
  point: number;
  /** What demand was reported for. */
  asked?: { runtimeId: string; version: number };
  answered: (answer: CallAnswer) => void;
}

export type CallAnswer =
  | { kind: 'served'; runtimeId: string; version: number; value: string | undefined }
  | { kind: 'refused'; why: string };

/**
 * A gateway without sockets: it installs routes in order, each when the test lets it, lets go of draining instances,
 * and sends calls where the routes say.
 */
export class SimulatedGateway {
  readonly table = new RouteTable();
  /** Says what is wrong with what was installed. */
  readonly faults: string[] = [];
  #calls: WaitingCall[] = [];
  readonly #newest = new Map<string, number>();
  readonly #machine: Machine;
  #connected: ControlEnd | undefined;
  #toControl:
    | ((message: Parameters<ReturnType<typeof createFeedPair>['gateway']['send']>[0]) => void)
    | undefined;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Follows a server from now on. @returns the end that is for the server */
  connect(gates: Gates): ControlEnd {
    const { control, gateway } = createFeedPair();
    const inbox: DownMessage[] = [];
    const letGo = new Set<string>();
    let working = false;
    this.#toControl = (message) => gateway.send(message);
    this.#connected = control;
    const isReplaced = () => this.#connected !== control;
    for (const call of this.#calls) delete call.asked;
    const work = async () => {
      working = true;
      while (inbox.length > 0) {
        await gates.pass('gateway: install');
        if (isReplaced()) return;
        const message = inbox.shift()!;
        this.#install(message);
        if ('sequence' in message) gateway.send({ type: 'installed', sequence: message.sequence });
        for (const { id: instanceId, drain = 0 } of this.#draining()) {
          // One that was taken back may drain another time.
          if (letGo.has(`${instanceId} ${drain}`)) continue;
          letGo.add(`${instanceId} ${drain}`);
          void gates
            .pass('gateway: drained')
            .then(() => gateway.send({ type: 'drained', instanceId, drain }));
        }
        this.#serve();
      }
      working = false;
    };
    gateway.onMessage((message) => {
      inbox.push(message);
      if (!working) void work();
    });
    return control;
  }

  call(name: string, point: number): Promise<CallAnswer> {
    return new Promise((answered) => {
      this.#calls.push({ name, point, answered });
      this.#serve();
    });
  }

  get waiting(): number {
    return this.#calls.length;
  }

  #install(message: DownMessage): void {
    if (message.type === 'snapshot') {
      this.table.installSnapshot(message.runtimes);
      for (const runtime of message.runtimes) this.#check(runtime);
    } else if (message.type === 'routes') {
      this.table.install(message.runtimeId, message.runtime);
      if (message.runtime) this.#check(message.runtime);
    }
  }

  /** LATEST never moves down, whatever overlaps. */
  #check(runtime: RuntimeRoute): void {
    const latest = runtime.endpoints.find(({ name }) => name === 'default')?.weights[0]?.version;
    if (latest === undefined) return;
    const before = this.#newest.get(runtime.runtimeId) ?? 0;
    if (latest < before)
      this.faults.push(`routes of ${runtime.name} went from version ${before} down to ${latest}`);
    this.#newest.set(runtime.runtimeId, latest);
  }

  *#draining(): Generator<InstanceRoute> {
    const ids = new Set([...this.#machine.processes.values()].map(({ spec }) => spec.runtimeId));
    for (const id of ids) {
      for (const { instances } of this.table.byId(id)?.versions ?? []) {
        for (const instance of instances) if (instance.state === 'draining') yield instance;
      }
    }
  }

  #serve(): void {
    this.#calls = this.#calls.filter((call) => {
      const answer = this.#answer(call);
      if (!answer) return true;
      if (call.asked) this.#toControl?.({ type: 'demand', ...call.asked, queued: 0, inFlight: 0 });
      call.answered(answer);
      return false;
    });
  }

  #answer(call: WaitingCall): CallAnswer | undefined {
    const runtime = this.table.byName(call.name);
    if (!runtime || runtime.state === 'deleting') return { kind: 'refused', why: 'no such runtime' };
    const weights = runtime.endpoints.find(({ name }) => name === 'Default')?.weights ?? [];
    if (weights.length === 0) return { kind: 'refused', why: runtime.unavailableReason ?? 'no version' };
    let left = call.point;
    const isMeant = ({ share }: { share: number }) => {
      left -= share;
      return left < 0;
    };
    const { version } = weights.find(isMeant) ?? weights.at(-1)!;
    const route = runtime.versions.find((it) => it.version === version);
    const instance = route?.instances.find(({ state }) => state === 'ready');
    if (instance) {
      const process = this.#machine.processes.get(instance.id);
      const value = process?.spec.environment.VALUE;
      return { kind: 'served', runtimeId: runtime.runtimeId, version, value };
    }
    if (route?.failure !== undefined) return { kind: 'refused', why: route.failure };
    const asked = { runtimeId: runtime.runtimeId, version };
    if (call.asked?.runtimeId !== asked.runtimeId || call.asked.version !== version) {
      call.asked = asked;
      this.#toControl?.({ type: 'demand', ...asked, queued: 1, inFlight: 0 });
    }
    return undefined;
  }
}
