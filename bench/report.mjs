import { cpus, totalmem } from 'node:os';

/** @returns the value below which `share` of the values lie; share 0.5 is the median */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

export const median = (values) => quantile(values, 0.5);

/** One figure, with the limit it is held to; without one it is only reported. */
export function bar(name, value, unit, limit) {
  if (!Number.isFinite(value)) throw new Error(`"${name}" was not measured: ${value}`);
  const rounded = Math.round(value * 1000) / 1000;
  return {
    name,
    value: rounded,
    unit,
    limit: limit ?? null,
    holds: limit === undefined ? null : rounded <= limit,
  };
}

/** One figure that has to reach a limit. */
export function floor(name, value, unit, limit) {
  const figure = bar(name, value, unit, limit);
  return { ...figure, atLeast: true, holds: figure.value >= limit };
}

/** The closing line of a bench; a bar that does not hold makes the exit code 1. */
export function report(bench, bars) {
  const machine = `${cpus()[0].model}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
  for (const { name, value, unit, limit, atLeast, holds } of bars) {
    console.log(
      `${holds === false ? 'NOT HELD' : 'ok'}  ${name}: ${value} ${unit}${limit === null ? '' : ` (${atLeast ? 'at least' : 'limit'} ${limit})`}`,
    );
  }
  console.log(JSON.stringify({ bench, machine, bars }));
  if (bars.some(({ holds }) => holds === false)) process.exitCode = 1;
}
