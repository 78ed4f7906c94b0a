import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { type ExtractJob, extract } from './extract.ts';
import { flushTree } from './flush.ts';
import { inspect } from './inspect.ts';
import { measure } from './measure.ts';
import { seal } from './seal.ts';
import { PackageRefused, type UnpackJob, unpack } from './unpack.ts';
import type { Answer, Order, SettleJob } from './worker-messages.ts';

/** The thread that does the long synchronous work on packages: it shares no event loop with the control plane's API. */

try {
  // On Linux this is the thread's own priority: bulk work yields to calls when the processors are busy.
  setPriority(19);
} catch {
  // Not everywhere allowed, and only a courtesy.
}

const port = parentPort!;
port.on('message', (order: Order) => {
  void run(order).then((answer) => port.postMessage(answer));
});

async function run({ id, job, input }: Order): Promise<Answer> {
  try {
    switch (job) {
      case 'extract':
        return { id, value: extract(input as ExtractJob) };
      case 'inspect':
        return { id, value: await inspect(input as string) };
      case 'unpack':
        return { id, value: await unpack(input as UnpackJob) };
      case 'measure':
        return { id, value: measure(input as string) };
      case 'settle':
        return { id, value: await settle(input as SettleJob) };
    }
  } catch (error) {
    const { message, stack } = error as Error;
    return { id, error: { refused: error instanceof PackageRefused, message, stack: stack ?? message } };
  }
}

async function settle({ folder, readOnly }: SettleJob): Promise<void> {
  if (readOnly) seal(folder);
  await flushTree(folder);
}
