import { startGateway } from './gateway-process.mjs';
import { startNginxAgent } from './nginx.mjs';
import { callPath, runtimeRoute } from './routes.mjs';
import { ANSWER, checkAnswer, smallCalls } from './small-call.mjs';
import { wrkScript } from './wrk.mjs';

export const CONTEST =
  'POST of 225 bytes, answer of 550, kept connections, 32 sessions; 2 versions by weight with 2 instances each, ' +
  '100 runtimes; the agent is an nginx that answers at once';

/**
 * What small calls are measured with: an agent that costs next to nothing, and a gateway before it with everything that
 * a call may need: weights, several instances, sessions, other runtimes.
 * @returns `{ agent, gateway, path, contender }`; `contender(name, proxy, fields)` is what `loaded` takes, looked at
 *   with one call first
 */
export async function smallCallContest(belongings, { keys = [], profile } = {}) {
  const agent = await startNginxAgent(belongings, ANSWER);
  const instances = [agent, agent];
  const runtimes = [
    ...Array.from({ length: 99 }, (_, number) => runtimeRoute(`other-${number}`, [])),
    runtimeRoute('hot', [instances, instances]),
  ];
  const gateway = await startGateway(belongings, { runtimes, keys }, { profile });
  const folder = await belongings.folder();
  const path = callPath('hot', 'chat');
  let scripts = 0;
  const contender = async (name, proxy, fields = []) => {
    await checkAnswer(proxy.port, path, fields);
    const script = await wrkScript(folder, `script-${scripts++}`, smallCalls(path, { fields }));
    return { name, ...proxy, script };
  };
  return { agent, gateway, path, contender };
}
