// CPU per small call and calls per second against nginx; the same with a signature, and with an API key.
import { bar, floor } from '../report.mjs';
import { CONTEST, smallCallContest } from './contest.mjs';
import { startNginxProxy } from './nginx.mjs';
import { startNodeProxy } from './node-proxies.mjs';
import { byTurns, loaded, sayLoaded, times } from './rounds.mjs';
import { makeKey, signedFields } from './signed-call.mjs';
import { checkRefused } from './small-call.mjs';

export const needs = ['nginx', 'wrk'];
export const inputs = `${CONTEST}; c=32`;

const CONNECTIONS = 32;

export async function measure({ belongings, say, quick, profile }) {
  const key = makeKey();
  const { agent, gateway, path, contender } = await smallCallContest(belongings, {
    keys: [key.route],
    profile: profile('cpu'),
  });
  const contenders = [
    await contender('nginx', await startNginxProxy(belongings, agent.port)),
    await contender('gateway', gateway),
    await contender('gateway, signed', gateway, signedFields(path, key.route)),
    await contender('gateway, API key', gateway, ['authorization', `Bearer ${key.apiKey}`]),
    await contender('bare relay in Node', await startNodeProxy(belongings, 'bare-relay', agent.port)),
  ];
  await checkRefused(gateway.port, path, signedFields(`${path}/other`, key.route));
  await checkRefused(gateway.port, path, ['authorization', `Bearer ${makeKey().apiKey}`]);

  const options = { connections: CONNECTIONS, seconds: quick ? 1 : 2 };
  // Code that has not run yet is slow.
  for (const each of contenders) await loaded(each, { ...options, seconds: 2 });
  const samples = await byTurns(contenders, quick ? 3 : 7, (each) => loaded(each, options));
  sayLoaded(say, samples);
  const cpu = (name) => times(samples[name], samples.nginx, 'cpuUs');
  return [
    bar('CPU per call, times nginx (moonshot 1.2)', cpu('gateway'), 'times', 1.6),
    bar('CPU per signed call, times nginx without', cpu('gateway, signed'), 'times', 2),
    bar('CPU per call with an API key, times nginx without', cpu('gateway, API key'), 'times'),
    bar('CPU per call of sockets in Node that only relay, times nginx', cpu('bare relay in Node'), 'times'),
    floor('calls a second, times nginx', times(samples.gateway, samples.nginx, 'perSecond'), 'times', 0.8),
  ];
}
