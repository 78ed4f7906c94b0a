// What a proxy adds to the time of a call that is alone.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { bar, quantile } from '../report.mjs';
import { CONTEST, smallCallContest } from './contest.mjs';
import { startNginxProxy } from './nginx.mjs';
import { startNodeProxy } from './node-proxies.mjs';
import { byTurns, loaded, times } from './rounds.mjs';

export const needs = ['nginx', 'wrk', 'taskset'];
export const inputs = `${CONTEST}; c=1; caller, proxy and agent on one processor`;

/**
 * A call that is alone is in one process at a time. Where the scheduler puts those is worth several times what is
 * measured, and another time otherwise; so all of them are on one processor.
 */
export async function measure({ belongings, say, quick, profile }) {
  const { agent, gateway, contender } = await smallCallContest(belongings, { profile: profile('latency') });
  const contenders = [
    await contender('direct', agent),
    await contender('nginx', await startNginxProxy(belongings, agent.port)),
    await contender('gateway', gateway),
    await contender('bare relay in Node', await startNodeProxy(belongings, 'bare-relay', agent.port)),
  ];
  for (const each of contenders) await loaded(each, { connections: 32, seconds: 2 });
  const cpu = lastProcessor();
  for (const { pid } of contenders) execFileSync('taskset', ['-a', '-p', '-c', cpu, String(pid)]);
  const samples = await byTurns(contenders, quick ? 5 : 9, (each) =>
    loaded(each, { connections: 1, seconds: 1, cpu }),
  );
  const quiet = Object.fromEntries(contenders.map(({ name }) => [name, quietest(samples[name])]));
  for (const [name, us] of Object.entries(quiet)) say(`${name.padEnd(18)} median ${us} µs`);
  const added = (name) => quiet[name] - quiet.direct;
  return [
    bar('median that nginx adds', added('nginx'), 'µs'),
    bar('median that the gateway adds', added('gateway'), 'µs'),
    bar('the one over the other', added('gateway') / added('nginx'), 'times', 1.5),
    bar('of sockets in Node that only relay', added('bare relay in Node') / added('nginx'), 'times'),
    bar('CPU per call, times nginx', times(samples.gateway, samples.nginx, 'cpuUs'), 'times'),
  ];
}

/** Of the rounds' medians the lower quartile: what others do on the processor only ever adds to a call's time. */
function quietest(samples) {
  return quantile(
    samples.map(({ p50us }) => p50us),
    0.25,
  );
}

/** Of those this process may use. The first often has the machine's interrupts to see to as well. */
function lastProcessor() {
  const [, list] = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return list.split(/[-,]/).at(-1);
}
