import { example, withServer } from '../fixture.mjs';
import { commandOf } from '../processes.mjs';
import { bar, median } from '../report.mjs';
import { byHand, SLEEPY, sleeper, waitingMiB } from './sleepers.mjs';

/**
 * A Node agent from zero, through the gateway, with and without a Node that waits for it, against the same by hand on
 * the server's own Node: started by turns.
 * @param rounds of each
 * @param limit what the pooled start is held to, over by hand; without one it is only reported
 */
export function poolRows({ rounds = 15, limit } = {}) {
  const code = () => example('langgraph-agent', ['node', 'agent.mjs']);
  return withServer(
    (pooling) =>
      withServer(
        async (plain) => {
          const pooled = await sleeper(pooling, 'pooled', await code());
          const started = await sleeper(plain, 'started', await code());
          const times = { hand: [], pooled: [], started: [] };
          const waiting = [];
          for (const it of [pooled, started]) await it.asleep();
          // From the first start on some are kept.
          await pooled.wake();
          await pooled.asleep();
          for (let round = 0; round < rounds; round++) {
            times.hand.push((await byHand(process.execPath, ['agent.mjs'], started.codeDir)).ms);
            times.started.push((await started.wake()).ms);
            await started.asleep();
            times.pooled.push((await pooled.wake()).ms);
            await pooled.asleep();
            waiting.push(...waitingMiB(pooling.server, isWaiting, commandOf));
          }
          const hand = median(times.hand);
          return [
            bar('node agent.mjs by hand to its first answer', hand, 'ms'),
            bar('the same from zero, through the gateway, without a pool', median(times.started), 'ms'),
            bar('the same in a Node that waited', median(times.pooled), 'ms'),
            bar('Node from zero, pooled, over by hand', median(times.pooled) / hand, 'times', limit),
            bar('memory of a Node that waits', median(waiting), 'MiB (PSS)'),
          ];
        },
        { ...SLEEPY, RUNSTEAD_POOL: '0' },
      ),
    { ...SLEEPY, RUNSTEAD_POOL: '2' },
  );
}

const isWaiting = (command) => command.includes('node-waiting.cjs');
