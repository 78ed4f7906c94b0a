// Whether a call costs more where there are many runtimes.
import { bar } from '../report.mjs';
import { startGateway } from './gateway-process.mjs';
import { startNginxAgent } from './nginx.mjs';
import { byTurns, loaded, sayLoaded, times } from './rounds.mjs';
import { callPath, runtimeRoute } from './routes.mjs';
import { ANSWER, checkAnswer, smallCalls } from './small-call.mjs';
import { wrkScript } from './wrk.mjs';

export const needs = ['nginx', 'wrk'];
export const inputs =
  'POST of 225 bytes, answer of 550, kept connections, c=32; the same ten runtimes are called in both; ' +
  'of 10,000, a hundred have an instance (as many as a server runs), the others sleep';

const CALLED = 10;
const MANY = 10_000;
const AWAKE = 100;

export async function measure({ belongings, say, quick, profile }) {
  const agent = await startNginxAgent(belongings, ANSWER);
  const called = Array.from({ length: CALLED }, (_, number) => runtimeRoute(`hot-${number}`, [[agent]]));
  const others = Array.from({ length: MANY - CALLED }, (_, number) =>
    runtimeRoute(`runtime-${number}`, number < AWAKE - CALLED ? [[agent]] : [[]]),
  );
  // Those that are called lie among the others.
  const every = others.length / CALLED;
  const many = called.flatMap((runtime, number) => [
    ...others.slice(number * every, (number + 1) * every),
    runtime,
  ]);
  const paths = called.map(({ name }) => callPath(name, 'chat'));
  const script = await wrkScript(
    await belongings.folder(),
    'script',
    paths.flatMap((path) => smallCalls(path, { sessions: 4 })),
  );
  // One process and the table changed between rounds: two processes of one program differ by more than is looked for.
  const gateway = await startGateway(belongings, { runtimes: called }, { profile: profile('table') });
  await checkAnswer(gateway.port, paths[0]);
  const contenders = [
    { name: '10 runtimes', runtimes: called },
    { name: '10,000 runtimes', runtimes: many },
  ];
  const options = { connections: 32, seconds: quick ? 1 : 2 };
  const underTable = async ({ runtimes }) => {
    await gateway.install({ runtimes });
    // What the change itself leaves to be cleaned up is no call's cost.
    await loaded({ ...gateway, script }, { ...options, seconds: 1 });
    return loaded({ ...gateway, script }, options);
  };
  for (const each of contenders) await underTable(each);
  const samples = await byTurns(contenders, quick ? 3 : 7, underTable);
  sayLoaded(say, samples);
  const ratio = times(samples['10,000 runtimes'], samples['10 runtimes'], 'cpuUs');
  return [bar('CPU per call with 10,000 runtimes, times that with 10', ratio, 'times', 1.05)];
}
