import { cpuMs } from '../processes.mjs';
import { median } from '../report.mjs';
import { load } from './wrk.mjs';

/**
 * Measures contenders by turns, so that what else the machine does meets all of them; each round begins with another.
 * @param measure given a contender, resolves to its figures
 * @returns for each contender's name the figures of its rounds
 */
export async function byTurns(contenders, rounds, measure) {
  const samples = Object.fromEntries(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (let place = 0; place < contenders.length; place++) {
      const contender = contenders[(round + place) % contenders.length];
      samples[contender.name].push(await measure(contender));
    }
  }
  return samples;
}

/** The median of a figure. */
export function middle(samples, figure) {
  return median(samples.map((sample) => sample[figure]));
}

/** How many times another's figure it is: the median of the rounds' ratios. */
export function times(samples, others, figure) {
  return median(samples.map((sample, round) => sample[figure] / others[round][figure]));
}

/**
 * Puts a proxy under load for so many seconds.
 * @param contender `{ pid, port, script }`
 * @returns as `load`, with `cpuUs`: processor time per call in µs, and `busy`: its share of one processor
 */
export async function loaded({ pid, port, script }, options) {
  const before = cpuMs(pid);
  const begun = performance.now();
  const figures = await load(port, script, options);
  const tookMs = performance.now() - begun;
  const usedMs = cpuMs(pid) - before;
  return { ...figures, cpuUs: (usedMs * 1000) / figures.calls, busy: usedMs / tookMs };
}

/** One line per contender: the medians of `loaded`. */
export function sayLoaded(say, samples) {
  for (const [name, rounds] of Object.entries(samples)) {
    const [cpu, rate, busy] = ['cpuUs', 'perSecond', 'busy'].map((figure) => middle(rounds, figure));
    say(
      `${name.padEnd(20)} ${cpu.toFixed(1).padStart(6)} µs of CPU per call ${rate.toFixed(0).padStart(7)} calls/s, ` +
        `${(busy * 100).toFixed(0)} % of one processor`,
    );
  }
}
