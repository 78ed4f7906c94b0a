// The first call to an agent that sleeps, through the gateway, against its author's own start of it by hand.
import { existsSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { report } from './report.mjs';

/** Each is a file in `cold-start/` with `measure({ rounds, say }) → bars`. */
const PARTS = ['node', 'python', 'scale'];

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: { only: { type: 'string', default: PARTS.join() }, quick: { type: 'boolean', default: false } },
});
const only = values.only.split(',');
const unknown = only.filter((name) => !PARTS.includes(name));
if (unknown.length > 0) refuse(`there is no part "${unknown.join()}"; there are ${PARTS.join(', ')}`);
if (!existsSync('/proc/self/stat')) refuse('this bench reads /proc, which this machine does not have');

const bars = [];
const rounds = values.quick ? 3 : 15;
for (const name of only) {
  const { measure } = await import(`./cold-start/${name}.mjs`);
  const begun = performance.now();
  console.log(`== ${name}: ${rounds} rounds; load ${load()}`);
  bars.push(...(await measure({ rounds, say: (line) => console.log(`   ${line}`) })));
  const seconds = (performance.now() - begun) / 1000;
  console.log(`== ${name}: ${seconds.toFixed(0)} s; load ${load()}`);
}
report('cold-start', bars);

function load() {
  return loadavg()
    .map((value) => value.toFixed(1))
    .join(' ');
}

function refuse(why) {
  console.error(why);
  process.exit(2);
}
