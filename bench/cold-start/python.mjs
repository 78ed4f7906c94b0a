import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { codeFromFile } from '@runstead/client/code';
import { withServer } from '../fixture.mjs';
import { commandOf, memoryMiB } from '../processes.mjs';
import { bar, median } from '../report.mjs';
import { startByHand } from './by-hand.mjs';
import { SLEEPY, sleeper, waitingMiB } from './sleepers.mjs';

const EXAMPLE = fileURLToPath(new URL('../../examples/fastapi-agent', import.meta.url));

export async function measure({ rounds, say }) {
  const rows = await pythonRows({ rounds });
  for (const { name, value, unit } of rows) say(`${name}: ${value} ${unit}`);
  return rows;
}

/**
 * A Python agent from zero, through the gateway, against the same by hand: its own folder and interpreter, started by
 * turns. With forks, and with all else but forks.
 * @param rounds of each
 */
function pythonRows({ rounds }) {
  const code = () => codeFromFile(EXAMPLE, { language: 'python3.10', command: ['python', 'main.py'] });
  return withServer(
    (forking) =>
      withServer(
        async (plain) => {
          const forked = await sleeper(forking, 'forked', await code());
          const started = await sleeper(plain, 'started', await code());
          const python = join(started.codeDir, '.venv', 'bin', 'python');
          const times = { hand: [], forked: [], started: [] };
          const memory = { hand: [], forked: [], started: [], parent: [] };
          const take = (name, { ms, memory: mib }) => {
            times[name].push(ms);
            if (mib !== undefined) memory[name].push(mib);
          };
          // The first start of a version after its deploy is an ordinary one's equal: the parent comes up beside it.
          for (const it of [forked, started]) await it.asleep();
          for (let round = 0; round < rounds; round++) {
            const own = await startByHand([python, 'main.py'], started.codeDir);
            take('hand', { ms: own.ms, memory: memoryMiB(own.pid) });
            await own.stop();
            take('started', await started.wake());
            await started.asleep();
            take('forked', await forked.wake());
            memory.parent.push(
              ...waitingMiB(forking.server, (it) => it.includes('python-parent.py'), commandOf),
            );
            await forked.asleep();
          }
          const hand = median(times.hand);
          return [
            bar('python main.py by hand to its first answer', hand, 'ms'),
            bar('the same from zero, through the gateway, forked', median(times.forked), 'ms'),
            bar('Python from zero, forked, over by hand', median(times.forked) / hand, 'times', 0.3),
            bar('the same without forks', median(times.started), 'ms'),
            bar('Python from zero, without forks, over by hand', median(times.started) / hand, 'times', 1.1),
            bar('memory by hand', median(memory.hand), 'MiB (PSS)'),
            bar('memory of a forked agent', median(memory.forked), 'MiB (PSS)'),
            bar('memory of the parent beside it', median(memory.parent), 'MiB (PSS)'),
          ];
        },
        { ...SLEEPY, RUNSTEAD_FORK_MEMORY: '0' },
      ),
    SLEEPY,
  );
}
