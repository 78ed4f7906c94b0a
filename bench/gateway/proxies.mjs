// Calls a second against the packages that pass requests on in Node.
import { bar, floor, median } from '../report.mjs';
import { CONTEST, smallCallContest } from './contest.mjs';
import { PACKAGES, startNodeProxy } from './node-proxies.mjs';
import { byTurns, loaded, middle, sayLoaded } from './rounds.mjs';

export const needs = ['nginx', 'wrk'];
export const inputs = `${CONTEST}; c=32; ${PACKAGES.join(', ')}, each in a process of its own`;

export async function measure({ belongings, say, quick, profile }) {
  const { agent, gateway, contender } = await smallCallContest(belongings, { profile: profile('proxies') });
  const contenders = [await contender('gateway', gateway)];
  for (const name of PACKAGES) {
    contenders.push(await contender(name, await startNodeProxy(belongings, name, agent.port)));
  }
  const options = { connections: 32, seconds: 1 };
  for (const each of contenders) await loaded(each, { ...options, seconds: 2 });
  const samples = await byTurns(contenders, quick ? 3 : 7, (each) => loaded(each, options));
  sayLoaded(say, samples);
  const best = PACKAGES.reduce((one, other) =>
    middle(samples[other], 'perSecond') > middle(samples[one], 'perSecond') ? other : one,
  );
  const over = (name, figure) =>
    median(samples.gateway.map((sample, round) => sample[figure] / samples[name][round][figure]));
  return [
    floor(`calls a second, times the best of them (${best})`, over(best, 'perSecond'), 'times', 3),
    bar('CPU per call, times that one', over(best, 'cpuUs'), 'times'),
  ];
}
