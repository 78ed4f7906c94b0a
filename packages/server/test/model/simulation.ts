import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { fillPath, type OperationName, operationPaths } from '@runstead/contract';
import pino from 'pino';
import { ZipFile } from 'yazl';
import { type ExtractJob, extract } from '../../src/artifacts/extract.ts';
import { flushTree } from '../../src/artifacts/flush.ts';
import { type DataFolders, openDataFolders } from '../../src/artifacts/folders.ts';
import { inspect } from '../../src/artifacts/inspect.ts';
import { measure } from '../../src/artifacts/measure.ts';
import type { PackageThread } from '../../src/artifacts/package-thread.ts';
import { type UnpackJob, unpack } from '../../src/artifacts/unpack.ts';
import type { SettleJob } from '../../src/artifacts/worker-messages.ts';
import { openSecretBox } from '../../src/auth/secret-box.ts';
import { type Control, composeControl } from '../../src/compose.ts';
import { loadConfig } from '../../src/config.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import { faultsAtRest, faultsInFiles, faultsWhenAllIsDeleted, type World } from './checks.ts';
import { gatedStore } from './gated-store.ts';
import { Gates, settled } from './gates.ts';
import { Model, type ModelRuntime } from './model.ts';
import { Random } from './random.ts';
import { isGood, Machine, simulatedDriver } from './simulated-driver.ts';
import { SimulatedGateway } from './simulated-gateway.ts';

/** In memory where that can be had: no kill here is one of the power, and a disk makes every commit wait. */
const ROOT = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** Long enough that nothing is left to a clock: drains end because the gateway says so. */
const NEVER_MS = 24 * 3_600_000;
const BUCKET = 'packages';
const NAMES = ['ada', 'bob', 'eve'];
const STEPS = 80;
const CALLS_AT_ONCE = 4;
const SLOW_READS = 0.3;
/** Far more than any history of this length needs; work that is still not done then never will be. */
const STEPS_TO_REST = 5000;
/** How often to look again at a request that is on its way, though nothing seems to move. */
const IDLE_LOOKS = 200;

interface Answer {
  status: number;
  message?: string;
  // biome-ignore lint/suspicious/noExplicitAny: fields of many models
  data: any;
}

type Step =
  | 'open'
  | 'create'
  | 'update'
  | 'delete'
  | 'get'
  | 'publish'
  | 'createEndpoint'
  | 'updateEndpoint'
  | 'deleteEndpoint'
  | 'call'
  | 'crashServer'
  | 'crashInstance'
  | 'replaceGateway';

const WEIGHTS: Record<Step, number> = {
  open: 90,
  create: 4,
  update: 9,
  delete: 3,
  get: 5,
  publish: 1,
  createEndpoint: 3,
  updateEndpoint: 2,
  deleteEndpoint: 1,
  call: 6,
  crashServer: 1,
  crashInstance: 1.5,
  replaceGateway: 1,
};

/**
 * One random history of overlapping operations, from a seed: everything but the driver, the gateway and the clock is
 * real. Whatever waits, waits at a gate; which gate opens next, what is asked next and when the server dies is drawn.
 * @throws Error with the seed and the history when something is not as the model says
 */
export async function simulate(seed: number): Promise<{ history: string[] }> {
  const dataDir = await mkdtemp(join(ROOT, 'runstead-model-'));
  const simulation = new Simulation(seed, dataDir);
  try {
    await simulation.run();
    return { history: simulation.history };
  } catch (error) {
    throw new Error(
      `seed ${seed}: ${(error as Error).message}\n${simulation.history.join('\n')}\n${(error as Error).stack}`,
      { cause: error },
    );
  } finally {
    await simulation.close();
    await rm(dataDir, { recursive: true, force: true });
  }
}

class Simulation {
  readonly history: string[] = [];
  readonly #random: Random;
  readonly #dataDir: string;
  readonly #folders: DataFolders;
  readonly #store: Store;
  readonly #machine = new Machine();
  readonly #gateway = new SimulatedGateway(this.#machine);
  readonly #model = new Model();
  readonly #faults: string[] = [];
  readonly #newestSeen = new Map<string, number>();
  #packages: string[] = [];
  #gates = new Gates();
  #control: Control | undefined;
  #open = new Set<string>();
  #values = 0;
  #calls = 0;

  constructor(seed: number, dataDir: string) {
    this.#random = new Random(seed);
    this.#dataDir = dataDir;
    this.#folders = openDataFolders(dataDir);
    this.#store = openSqliteStore(this.#folders.database, openSecretBox(this.#folders.secretsKey));
  }

  async run(): Promise<void> {
    this.#packages = await packages();
    const bucket = join(this.#folders.buckets, BUCKET);
    await mkdir(bucket);
    for (const [number, zip] of this.#packages.entries())
      await writeFile(join(bucket, `${number}.zip`), Buffer.from(zip, 'base64'));
    this.#startServer();
    for (let i = 0; i < STEPS; i++) {
      await this.#step(this.#random.weighted(WEIGHTS));
      this.#throwFaults();
    }
    await this.#rest();
    this.#faults.push(...(await faultsAtRest(this.#world)));
    this.#throwFaults();
    this.history.push('-- the server is started anew');
    this.#crashServer();
    await this.#rest();
    this.#faults.push(...(await faultsAtRest(this.#world)));
    this.#throwFaults();
    this.#faults.push(...(await faultsInFiles(this.#world)));
    this.#throwFaults();
    this.history.push('-- all is deleted');
    for (const { id, gone } of this.#model.runtimes.values()) if (!gone) this.#delete(id);
    await this.#rest();
    this.#faults.push(...(await faultsWhenAllIsDeleted(this.#world)));
    this.#throwFaults();
  }

  async close(): Promise<void> {
    this.#abandon();
    await settled(this.#gates);
    await this.#store.close();
  }

  // ——— steps

  async #step(kind: Step): Promise<void> {
    await settled(this.#gates);
    const { waiting } = this.#gates;
    switch (kind) {
      case 'crashServer':
        this.#crashServer();
        return;
      case 'crashInstance': {
        // One that ends while it starts would make any configuration a bad one.
        const ready = [...this.#machine.processes.values()].filter((it) => it.ready);
        const ids = ready.map(({ spec }) => spec.instanceId);
        if (ids.length > 0) this.#crashInstance(this.#random.one(ids));
        return;
      }
      case 'replaceGateway':
        if (this.#control) this.#connectGateway('the gateway is replaced');
        return;
      case 'open':
        break;
      default:
        if (this.#control && this.#open.size < CALLS_AT_ONCE) return this.#ask(kind);
    }
    if (waiting.length === 0) return;
    const gate = this.#random.one(waiting);
    this.history.push(`   ${gate.label}`);
    gate.open();
  }

  #ask(kind: Exclude<Step, 'open' | 'crashServer' | 'crashInstance' | 'replaceGateway'>) {
    const random = this.#random;
    if (kind === 'create') return this.#create(random.one(NAMES));
    if (kind === 'call') return this.#call(random.one(NAMES), random.number());
    const known = [...this.#model.runtimes.values()].filter(({ gone }) => !gone);
    if (known.length === 0) return;
    const runtime = random.one(known);
    const endpointIds = [...runtime.endpoints.keys()];
    switch (kind) {
      case 'update':
        return this.#update(runtime);
      case 'delete':
        return this.#delete(runtime.id);
      case 'get':
        return this.#get(runtime);
      case 'publish':
        return this.#publish(runtime);
      case 'createEndpoint':
        return this.#writeEndpoint(runtime, undefined);
      default:
        if (endpointIds.length === 0) return;
        if (kind === 'updateEndpoint') return this.#writeEndpoint(runtime, random.one(endpointIds));
        return this.#deleteEndpoint(runtime, random.one(endpointIds));
    }
  }

  #create(name: string): void {
    const value = this.#newValue();
    const body = {
      agentRuntimeName: name,
      artifactType: 'Code',
      codeConfiguration: this.#package(),
      cpu: 1,
      memory: 512,
      port: 9000,
      environmentVariables: { VALUE: value },
    };
    this.#send(`create ${name} ${value}`, 'CreateAgentRuntime', {}, body, ({ status, data, message }) => {
      if (status === 409) return expectText(message, 'already exists');
      this.#expect(status === 200 && data.status === 'CREATING', `create answered ${status} ${message}`);
      this.#expect(
        this.#model.runtimes.get(data.agentRuntimeId)?.wanted[0] === value,
        `the acknowledged create of ${value} was not written`,
      );
      // An answer may come when what it tells of is gone again, and its name another's.
      if (this.#model.runtimes.get(data.agentRuntimeId)?.gone) return;
      for (const other of this.#model.runtimes.values()) {
        this.#expect(
          other.id === data.agentRuntimeId || other.name !== name || other.gone,
          `${name} was given away while ${other.id} had it`,
        );
      }
    });
  }

  #update(runtime: ModelRuntime): void {
    const value = this.#random.chance(0.3) ? this.#random.one(runtime.wanted) : this.#newValue();
    const body: Record<string, unknown> = { environmentVariables: { VALUE: value } };
    if (this.#random.chance(0.3)) body.codeConfiguration = this.#package();
    if (this.#random.chance(0.1)) body.forceEvictInstances = true;
    const wasDeleted = runtime.deleting;
    const ids = { agentRuntimeId: runtime.id };
    this.#send(`update ${runtime.name} ${value}`, 'UpdateAgentRuntime', ids, body, ({ status, data }) => {
      if (status === 404)
        return this.#expect(runtime.deleting, 'an update found nothing, yet nobody deleted it');
      this.#expect(status === 200 && data.status === 'UPDATING', `an update answered ${status}`);
      this.#expect(!wasDeleted, 'an update was taken after a delete');
      this.#expect(runtime.wanted.includes(value), `the acknowledged update to ${value} was not written`);
    });
  }

  #delete(id: string): void {
    this.#send(
      `delete ${id}`,
      'DeleteAgentRuntime',
      { agentRuntimeId: id },
      undefined,
      ({ status, data }) => {
        const runtime = this.#model.runtimes.get(id)!;
        this.#expect(
          status === 404 ? runtime.gone : data.status === 'DELETING',
          `a delete answered ${status}`,
        );
        this.#expect(runtime.deleting, 'the acknowledged delete was not written');
      },
    );
  }

  #get(runtime: ModelRuntime): void {
    const wasDeleting = runtime.deleting;
    const before = this.#newestSeen.get(runtime.id) ?? 0;
    const ids = { agentRuntimeId: runtime.id };
    this.#send(`get ${runtime.name}`, 'GetAgentRuntime', ids, undefined, async ({ status, data }) => {
      if (status === 404) return this.#expect(runtime.gone, 'a runtime that is there was answered 404');
      const value = data.environmentVariables.VALUE;
      const said = `get ${runtime.name} answered ${data.status} ${value} version ${data.agentRuntimeVersion}`;
      if (wasDeleting) this.#expect(data.status === 'DELETING', `after a delete: ${said}`);
      this.#expect(runtime.wanted.includes(value), `${said}, which nobody wanted`);
      const version = Number(data.agentRuntimeVersion ?? 0);
      this.#expect(version >= before, `${said} after version ${before} was seen`);
      this.#newestSeen.set(runtime.id, Math.max(version, this.#newestSeen.get(runtime.id) ?? 0));
      if (data.status === 'READY') {
        this.#expect(isGood(value), said);
        const serving = await this.#store.getVersion(runtime.id, version);
        if (serving)
          this.#expect(serving.spec.environmentVariables?.VALUE === value, `${said}, which is another`);
      }
      if (/FAILED/.test(data.status)) this.#expect(!isGood(value), said);
    });
  }

  #publish(runtime: ModelRuntime): void {
    const ids = { agentRuntimeId: runtime.id };
    const body = { description: `d${this.#calls}` };
    this.#send(`publish ${runtime.name}`, 'PublishRuntimeVersion', ids, body, ({ status, message }) => {
      if (status === 400) return expectText(message, 'runtime must be in READY status');
      this.#expect(status === 200 || (status === 404 && runtime.deleting), `a publish answered ${status}`);
    });
  }

  #writeEndpoint(runtime: ModelRuntime, endpointId: string | undefined): void {
    const target = this.#random.one(['LATEST', '1', '2', '3']);
    const body: Record<string, unknown> = { targetVersion: target };
    if (this.#random.chance(0.3)) body.scalingConfig = { minInstances: this.#random.below(2) };
    const ids = { agentRuntimeId: runtime.id, agentRuntimeEndpointId: endpointId ?? '' };
    if (endpointId === undefined)
      body.agentRuntimeEndpointName = this.#random.one(['Default', 'canary', 'blue']);
    const operation = endpointId === undefined ? 'CreateAgentRuntimeEndpoint' : 'UpdateAgentRuntimeEndpoint';
    const label = `${operation} ${runtime.name} → ${target}`;
    this.#send(label, operation, ids, body, ({ status, message, data }) => {
      if (status === 409) return expectText(message, 'already exists');
      if (status === 400) {
        return this.#expect(
          /runtime must be in READY status|targetVersion "\d" is no version/.test(message!),
          `${label} answered ${message}`,
        );
      }
      if (status === 404) {
        const deleted = runtime.deleting || runtime.endpoints.get(endpointId ?? '')?.deleting;
        return this.#expect(deleted === true, `${label} answered 404, yet nobody deleted it`);
      }
      this.#expect(status === 200, `${label} answered ${status} ${message}`);
      this.#expect(
        runtime.endpoints.has(data.agentRuntimeEndpointId) || runtime.deleting,
        'an acknowledged endpoint was not written',
      );
    });
  }

  #deleteEndpoint(runtime: ModelRuntime, agentRuntimeEndpointId: string): void {
    const ids = { agentRuntimeId: runtime.id, agentRuntimeEndpointId };
    this.#send(
      `delete endpoint of ${runtime.name}`,
      'DeleteAgentRuntimeEndpoint',
      ids,
      undefined,
      ({ status }) => {
        const deleted = runtime.deleting || runtime.endpoints.get(agentRuntimeEndpointId)!.deleting;
        this.#expect(
          (status === 200 || status === 404) && deleted,
          `an endpoint's delete answered ${status}`,
        );
      },
    );
  }

  #call(name: string, point: number): void {
    const number = ++this.#calls;
    this.history.push(`${number} call ${name}`);
    void this.#gateway.call(name, point).then(async (answer) => {
      this.history.push(`${number} call: ${JSON.stringify(answer)}`);
      // An instance that has just crashed answers nothing; what matters is who answers.
      if (answer.kind === 'refused' || answer.value === undefined) return;
      const version = await this.#store.getVersion(answer.runtimeId, answer.version);
      if (!version) return;
      this.#expect(
        version.spec.environmentVariables?.VALUE === answer.value,
        `a call for version ${answer.version} of ${name} was served by ${answer.value}`,
      );
    });
  }

  /** One of two, sent along or lying in a bucket. */
  #package(): object {
    const number = this.#random.below(this.#packages.length);
    return this.#random.chance(0.3)
      ? { ossBucketName: BUCKET, ossObjectName: `${number}.zip`, language: 'custom' }
      : { zipFile: this.#packages[number], language: 'custom' };
  }

  #newValue(): string {
    return `${this.#random.chance(0.25) ? 'bad' : 'good'}-${++this.#values}`;
  }

  #send(
    label: string,
    operation: OperationName,
    ids: Record<string, string>,
    body: unknown,
    check: (answer: Answer) => void | Promise<void>,
  ): void {
    const number = `${++this.#calls}`;
    this.history.push(`${number} ${label}`);
    const { method, path } = operationPaths[operation];
    const control = this.#control!;
    this.#open.add(number);
    void control.api
      .inject({
        method: method as 'GET',
        url: fillPath(path, ids as never),
        headers: {
          authorization: `Bearer ${control.apiKey}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { payload: JSON.stringify(body) }),
      })
      .then(async (response) => {
        if (!this.#open.delete(number)) return;
        this.history.push(
          `${number} → ${response.statusCode} ${response.json().message ?? response.json().data.status ?? ''}`,
        );
        await check({ status: response.statusCode, ...response.json() });
      })
      .catch((error: Error) => this.#faults.push(`${label}: ${error.stack}`));
  }

  // ——— the server

  #startServer(): void {
    const gates = new Gates();
    this.#gates = gates;
    const write = (line: string) => {
      const { msg, err } = JSON.parse(line) as { msg: string; err?: { stack: string } };
      if (!gates.dead) this.#faults.push(`logged: ${msg} ${err?.stack ?? ''}`);
    };
    void composeControl({
      config: loadConfig(
        {
          dataDir: this.#dataDir,
          logLevel: 'error',
          deleteGraceMs: NEVER_MS,
          drainTimeoutMs: NEVER_MS,
          idleStopMs: NEVER_MS,
        },
        {},
      ),
      driver: simulatedDriver(this.#machine, gates),
      log: pino({ level: 'error' }, { write }),
      publicUrl: () => 'http://agents.test',
      store: gatedStore(this.#store, gates, {
        onWritten: (written, args, result) => this.#model.written(written, args, result),
        isSlow: () => this.#random.chance(SLOW_READS),
      }),
      thread: inThisThread(gates),
    })
      .then((control) => {
        if (gates.dead) return;
        this.#control = control;
        this.#connectGateway('the server is up');
      })
      .catch((error: Error) => this.#faults.push(`the server did not start: ${error.stack}`));
  }

  #connectGateway(why: string): void {
    this.history.push(`-- ${why}`);
    this.#feed?.close();
    this.#feed = this.#gateway.connect(this.#gates);
    void this.#control!.attach(this.#feed);
  }
  #feed: ReturnType<SimulatedGateway['connect']> | undefined;

  #crashServer(): void {
    this.history.push(
      `-- kill -9 while at ${this.#gates.waiting.map(({ label }) => label).join(', ') || 'rest'}`,
    );
    this.#abandon();
    this.#startServer();
  }

  /** Nothing of the server goes on; only its timers are taken from it. */
  #abandon(): void {
    this.#gates.kill();
    this.#open.clear();
    void this.#control?.close({ stopInstances: false }).catch(() => {});
    this.#control = undefined;
  }

  #crashInstance(id: string): void {
    this.history.push(`-- instance of ${this.#machine.processes.get(id)!.spec.environment.VALUE} crashes`);
    this.#machine.crash(id);
  }

  // ——— what comes of it

  /** Opens gates until there is nothing left to do. */
  async #rest(): Promise<void> {
    let idle = 0;
    for (let i = 0; i < STEPS_TO_REST && idle < IDLE_LOOKS; i++) {
      await settled(this.#gates);
      this.#throwFaults();
      const { waiting } = this.#gates;
      if (waiting.length > 0) {
        const gate = this.#random.one(waiting);
        this.history.push(`   ${gate.label}`);
        gate.open();
        idle = 0;
      } else if (this.#open.size === 0 && this.#control) break;
      else idle++;
    }
    this.#throwFaults();
    this.#expect(this.#gates.waiting.length === 0, 'work goes on for ever');
    this.#expect(this.#open.size === 0, `requests that are never answered: ${[...this.#open].join(', ')}`);
    this.#throwFaults();
  }

  #expect(holds: boolean, fault: string): void {
    if (!holds) this.#faults.push(fault);
  }

  get #world(): World {
    return {
      store: this.#store,
      machine: this.#machine,
      gateway: this.#gateway,
      model: this.#model,
      folders: this.#folders,
    };
  }

  #throwFaults(): void {
    const faults = [...this.#faults.splice(0), ...this.#gateway.faults.splice(0)];
    if (faults.length > 0) throw new Error(faults.join('\n'));
  }
}

function expectText(message: string | undefined, part: string): void {
  if (!message?.includes(part)) throw new Error(`"${message}" does not say "${part}"`);
}

let made: Promise<string[]> | undefined;

/** Two packages, in base64; stored, as unpacking what is compressed takes turns that nothing tells of. */
function packages(): Promise<string[]> {
  made ??= Promise.all(
    ['one', 'two'].map(async (text) => {
      const zip = new ZipFile();
      zip.addBuffer(Buffer.from(`// ${text}`), 'index.js', { compress: false });
      zip.end();
      return (await buffer(zip.outputStream)).toString('base64');
    }),
  );
  return made;
}

/** The package thread's jobs without a thread: starting one for every server would take most of the time. */
function inThisThread(gates: Gates): PackageThread {
  const jobs = {
    extract: async (input: unknown) => extract(input as ExtractJob),
    inspect: async (input: unknown) => inspect(input as string),
    unpack: async (input: unknown) => unpack(input as UnpackJob),
    measure: async (input: unknown) => measure(input as string),
    settle: async (input: unknown) => flushTree((input as SettleJob).folder),
  };
  return {
    run: (job, input) => (gates.dead ? new Promise<never>(() => {}) : (jobs[job](input) as Promise<never>)),
    close: async () => {},
  };
}
