import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { childrenOf, commandOf, environmentOf, isAlive, livingProcesses } from '../processes.mjs';
import { ask } from './ask.mjs';

const BIN = join(
  dirname(createRequire(import.meta.url).resolve('runstead/package.json')),
  'bin',
  'runstead.js',
);
const READY_WITHIN_MS = 60_000;

/** `runstead serve` under a supervisor that starts it again as soon as it has ended, on the same folder and port. */
export class SupervisedServer {
  data;
  apiKey = '';
  url = '';
  /** Ends that nobody caused, as texts. */
  surprises = [];
  #env;
  #child;
  #stderr = '';
  #wanted = true;
  #killed = new WeakSet();

  constructor(data, env = {}) {
    this.data = data;
    this.#env = env;
  }

  get pid() {
    return this.#child.pid;
  }

  /** The one that is there or on its way: a child, or one that outlived the control process which started it. */
  gatewayPid() {
    return childrenOf(this.pid).find((pid) => commandOf(pid).includes('gateway')) ?? this.#keptGateway();
  }

  #keptGateway() {
    const file = join(this.data, 'run', 'gateway.json');
    if (!existsSync(file)) return undefined;
    const { pid } = JSON.parse(readFileSync(file, 'utf8'));
    return isAlive(pid) && commandOf(pid).includes('gateway') ? pid : undefined;
  }

  /** Control processes and gateways that belong to no server that runs now. */
  strays() {
    const own = new Set([this.pid, ...childrenOf(this.pid), this.#keptGateway()]);
    return livingProcesses().filter((pid) => !own.has(pid) && environmentOf(pid).RUNSTEAD_DATA === this.data);
  }

  async start() {
    this.#spawn(0);
    const deadline = performance.now() + READY_WITHIN_MS;
    while (!this.url) {
      this.url = /listens on (\S+)/.exec(this.#stderr)?.[1] ?? '';
      if (performance.now() > deadline) throw new Error(`the server did not come up: ${this.#stderr}`);
      await delay(5);
    }
    this.apiKey = JSON.parse(readFileSync(join(this.data, 'local-key.json'), 'utf8')).apiKey;
  }

  #spawn(port) {
    const args = [BIN, 'serve', '--port', String(port)];
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      // Inherited by the gateway: what bears the folder's path is a part of a server on it.
      env: { ...process.env, ...this.#env, RUNSTEAD_DATA: this.data },
    });
    this.#child = child;
    this.#stderr = '';
    child.stderr.on('data', (piece) => {
      this.#stderr = (this.#stderr + piece).slice(-20_000);
    });
    child.once('exit', (code, signal) => {
      if (!this.#wanted) return;
      if (!this.#killed.has(child))
        this.surprises.push(
          `${signal ?? `code ${code}`}: ${this.#stderr.trim().split('\n').slice(-2).join(' ')}`,
        );
      this.#spawn(new URL(this.url).port);
    });
  }

  /** @param what `control`, `gateway` or `both`; a gateway that is on its way is waited for */
  async kill(what) {
    let gateway;
    // Looked up first: one on its way is known by its parent alone, and of a dead parent the children are no longer its.
    while (what !== 'control' && gateway === undefined) {
      gateway = this.gatewayPid();
      if (gateway === undefined) await delay(5);
    }
    if (what !== 'gateway') {
      this.#killed.add(this.#child);
      this.#child.kill('SIGKILL');
    }
    if (gateway !== undefined) process.kill(gateway, 'SIGKILL');
  }

  /** Resolves when the control plane answers. */
  async ready() {
    const deadline = performance.now() + READY_WITHIN_MS;
    for (;;) {
      const url = `${this.url}/runstead/v1/instances`;
      const seen = await ask(url, { apiKey: this.apiKey, timeoutMs: 5000 });
      if (seen.kind === 'answered' && seen.status === 200) return;
      if (performance.now() > deadline) throw new Error(`the server did not come back: ${this.#stderr}`);
      await delay(10);
    }
  }

  /** What it last wrote, for a person. */
  get stderr() {
    return this.#stderr;
  }

  async stop() {
    this.#wanted = false;
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }
}
