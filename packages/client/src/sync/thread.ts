import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  SHARE_ENV,
  Worker,
} from 'node:worker_threads';
import { AgentRunError, ValueError } from '../errors.ts';
import { ALIVE, ENDED, LOOK_EVERY_MS, type Reply, type Request, SENT, type WorkerStart } from './messages.ts';

/** So often in a row without a sign: one minute, more than the longest work that says nothing (a package as text). */
const LOOKS_WITHOUT_LIFE = 120;

/** The worker in which calls run while this thread waits for them. Started by the first call, ended with the process. */
class CallThread {
  readonly #port: MessagePort;
  readonly #shared = new Int32Array(new SharedArrayBuffer(3 * Int32Array.BYTES_PER_ELEMENT));
  #lastId = 0;
  /** Set while a call waits; left behind where the wait was cut off (Ctrl-C in the REPL). */
  #waiting: Request | undefined;

  constructor() {
    const file = workerFile();
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const worker = new Worker(file, {
      workerData: { port: port2, shared: this.#shared } satisfies WorkerStart,
      transferList: [port2],
      // Settings are read from the environment at each call, as it is then.
      env: SHARE_ENV,
      // Not this thread's: `node -e` and `--input-type` say how to read a script that is not the worker's.
      execArgv: [],
      name: 'runstead-client',
    });
    worker.unref();
    port1.unref();
    // What went wrong in it is thrown by the call that waits; without a listener it would end the process as well.
    worker.on('error', () => {});
  }

  /** @throws ValueError for arguments that cannot leave this thread; AgentRunError where the worker has ended */
  ask(request: Omit<Request, 'id'>): Reply {
    this.#letGoOfInterrupted();
    this.#lastId += 1;
    const asked: Request = { ...request, id: this.#lastId };
    this.#send(asked);
    this.#waiting = asked;
    const reply = this.#receive(asked.id);
    this.#waiting = undefined;
    return reply;
  }

  #receive(id: number): Reply {
    let alive = -1;
    let looks = 0;
    for (;;) {
      // Before the look, so that what comes in between ends the wait at once.
      const sent = Atomics.load(this.#shared, SENT);
      const hasEnded = Atomics.load(this.#shared, ENDED) === 1;
      const received = receiveMessageOnPort(this.#port) as { message: Reply } | undefined;
      if (received?.message.id === id) return received.message;
      // An answer to a call that was cut off.
      if (received !== undefined) {
        this.#letGoOf(received.message);
        continue;
      }
      if (hasEnded || looks > LOOKS_WITHOUT_LIFE) {
        thread = undefined;
        throw new AgentRunError(
          'the worker thread of blocking calls has ended, perhaps for want of memory; the next call starts another one',
        );
      }
      if (Atomics.wait(this.#shared, SENT, sent, LOOK_EVERY_MS) !== 'timed-out') continue;
      const now = Atomics.load(this.#shared, ALIVE);
      looks = now === alive ? looks + 1 : 0;
      alive = now;
    }
  }

  #send(request: Request): void {
    try {
      this.#port.postMessage(request);
    } catch (cause) {
      throw new ValueError(
        `${request.method} cannot take this in its blocking form: ${(cause as Error).message}`,
        { cause },
      );
    }
  }

  /** Nobody will read on in a stream whose reading was cut off. */
  #letGoOfInterrupted(): void {
    const left = this.#waiting;
    this.#waiting = undefined;
    if (left?.target.type === 'sequence')
      this.#send({ id: 0, target: left.target, method: 'return', args: [] });
  }

  /** Nor in one that began after the wait for it was cut off. */
  #letGoOf({ outcome }: Reply): void {
    if (!('value' in outcome) || outcome.value.type !== 'stream') return;
    const target = { type: 'sequence', id: outcome.value.id } as const;
    this.#send({ id: 0, target, method: 'return', args: [] });
  }
}

function workerFile(): URL {
  const here = import.meta.url;
  // Beside this file, in the same build; sources have it only as it was built.
  const name = here.endsWith('.cjs')
    ? './worker.cjs'
    : here.endsWith('.ts')
      ? '../../dist/esm/sync/worker.js'
      : './worker.js';
  const file = new URL(name, here);
  if (existsSync(fileURLToPath(file))) return file;
  throw new AgentRunError(
    `blocking calls need ${fileURLToPath(file)}, which is not there: keep @runstead/client out of your bundle (external)`,
  );
}

let thread: CallThread | undefined;

/** Waits for one call, without letting anything else happen in this thread. */
export function ask(request: Omit<Request, 'id'>): Reply {
  thread ??= new CallThread();
  return thread.ask(request);
}
