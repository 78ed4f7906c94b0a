import { Worker } from 'node:worker_threads';
import { PackageRefused } from './unpack.ts';
import type { Answer, Jobs, Order } from './worker-messages.ts';

/** Runs jobs on packages in one thread of their own. */
export interface PackageThread {
  /** @throws PackageRefused when the package is at fault */
  run<J extends keyof Jobs>(job: J, input: Jobs[J]['input']): Promise<Jobs[J]['value']>;
  close(): Promise<void>;
}

/** A thread with nothing to do is ended after this long: idle, it would cost some ten MiB. */
const IDLE_END_MS = 10_000;
/** Its pieces of packages live for a moment each: with more room they would only be collected later. */
const YOUNG_MIB = 4;

export function createPackageThread(): PackageThread {
  let worker: Worker | undefined;
  let closed = false;
  let nextId = 1;
  const waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  let idle: NodeJS.Timeout | undefined;

  const fail = (error: Error) => {
    worker = undefined;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };

  const start = (): Worker => {
    const started = new Worker(workerFile(), { resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB } });
    started.on('message', ({ id, value, error }: Answer) => {
      const job = waiting.get(id);
      waiting.delete(id);
      if (waiting.size === 0) rest();
      if (!job) return;
      if (error) job.reject(error.refused ? new PackageRefused(error.message) : new Error(error.stack));
      else job.resolve(value as never);
    });
    started.on('error', (error) => {
      if (worker === started) fail(error as Error);
    });
    started.on('exit', (code) => {
      if (worker === started) fail(new Error(`The package thread ended with code ${code}`));
    });
    return started;
  };

  const rest = () => {
    worker?.unref();
    clearTimeout(idle);
    idle = setTimeout(() => {
      const ending = worker;
      worker = undefined;
      void ending?.terminate();
    }, IDLE_END_MS);
    idle.unref();
  };

  return {
    async run(job, input) {
      if (closed) throw new Error('The server is stopping');
      clearTimeout(idle);
      worker ??= start();
      worker.ref();
      const id = nextId++;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        worker!.postMessage({ id, job, input } satisfies Order);
      });
    },
    async close() {
      closed = true;
      clearTimeout(idle);
      const ending = worker;
      worker = undefined;
      await ending?.terminate();
      for (const { reject } of waiting.values()) reject(new Error('The server is stopping'));
      waiting.clear();
    },
  };
}

/** A thread needs compiled code; when this file runs from source, as in tests, the build's copy is taken. */
function workerFile(): URL {
  return import.meta.url.endsWith('.ts')
    ? new URL('../../dist/artifacts/worker.js', import.meta.url)
    : new URL('./worker.js', import.meta.url);
}
