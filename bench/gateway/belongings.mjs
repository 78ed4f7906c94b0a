import { fork, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** How long a process may take to end before it is ended by force, in ms. */
const END_WITHIN_MS = 5000;
/** Of what a process wrote to stderr, shown when it ends before its time. */
const SAID_MAX = 2000;

/**
 * What a part of the bench has started and made. Each process is ended by its id and each folder removed, last first,
 * also when the bench is interrupted.
 */
export class Belongings {
  /** Processes that run. */
  #children = new Set();
  #folders = new Set();
  #ends = [];
  #ending;
  /** When the bench itself ends, there is no time left to wait. */
  #atExit = () => {
    for (const child of this.#children) child.kill(child.endSignal);
    for (const folder of this.#folders) rmSync(folder, { recursive: true, force: true });
  };

  constructor() {
    process.on('exit', this.#atExit);
  }

  /** @returns a temporary folder of its own */
  async folder() {
    this.#check();
    const folder = await mkdtemp(join(tmpdir(), 'runstead-bench-'));
    this.#folders.add(folder);
    return folder;
  }

  /** Starts a program; what it writes to stderr is told when it ends before its time. */
  spawn(command, args, options = {}) {
    this.#check();
    return this.#keep(spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], ...options }), command);
  }

  /** Starts a file of ours in Node, with a channel for messages. */
  fork(file, args = [], options = {}) {
    this.#check();
    const stdio = ['ignore', 'ignore', 'pipe', 'ipc'];
    return this.#keep(fork(file, args, { stdio, ...options }), file);
  }

  /** Something to be done when the part ends, before what was started earlier is ended. */
  atEnd(end) {
    this.#ends.push(end);
  }

  end() {
    this.#ending ??= this.#endAll();
    return this.#ending;
  }

  async #endAll() {
    for (const end of this.#ends.reverse()) await end();
    this.#atExit();
    process.removeListener('exit', this.#atExit);
  }

  #check() {
    if (this.#ending) throw new Error('the part has ended');
  }

  #keep(child, name) {
    this.#children.add(child);
    // nginx would leave its worker behind; everything of ours may be cut off.
    child.endSignal = name === 'nginx' ? 'SIGTERM' : 'SIGKILL';
    let said = '';
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (text) => {
      said = (said + text).slice(-SAID_MAX);
    });
    child.said = () => said.trim();
    const ended = new Promise((resolve) => child.once('exit', resolve)).then(() =>
      this.#children.delete(child),
    );
    this.atEnd(async () => {
      if (!this.#children.has(child)) return;
      await child.bidFarewell?.();
      child.kill(child.endSignal);
      const timer = setTimeout(() => child.kill('SIGKILL'), END_WITHIN_MS);
      await ended;
      clearTimeout(timer);
    });
    return child;
  }
}

/** The next message of a child for which `wanted` holds. @throws Error when it ends before it says so */
export function message(child, wanted) {
  return new Promise((resolve, reject) => {
    const settle = (act, value) => {
      child.removeListener('message', onMessage);
      child.removeListener('exit', onExit);
      act(value);
    };
    const onMessage = (said) => {
      if (wanted(said)) settle(resolve, said);
    };
    const onExit = (code, signal) =>
      settle(reject, new Error(`${child.spawnargs.at(-1)} ended (${signal ?? code}): ${child.said()}`));
    child.on('message', onMessage);
    child.once('exit', onExit);
  });
}
