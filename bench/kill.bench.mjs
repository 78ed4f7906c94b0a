// kill -9 of the control process, of the gateway and of both, at random moments of everything a server does.
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { HOMES, homeMissing } from './kill/homes.mjs';
import { Random } from './kill/random.mjs';
import { runKills } from './kill/run-kills.mjs';
import { bar, report } from './report.mjs';

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    seed: { type: 'string' },
    kills: { type: 'string' },
    quick: { type: 'boolean', default: false },
    instances: { type: 'string', default: 'sandboxed' },
  },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32));
const kills = Number(values.kills ?? (values.quick ? 10 : 100));
const { instances } = values;
if (!Number.isInteger(seed) || seed < 0 || !Number.isInteger(kills) || kills < 1) {
  console.error(`--seed and --kills are whole numbers; got ${values.seed} and ${values.kills}`);
  process.exit(2);
}
if (!existsSync('/proc/self/environ')) {
  console.error('this bench finds processes by /proc, which this machine does not have');
  process.exit(2);
}

if (!HOMES.includes(instances)) {
  console.error(`--instances is one of ${HOMES.join(', ')}; got ${instances}`);
  process.exit(2);
}
const missing = homeMissing(instances);
if (missing !== undefined) {
  console.error(`--instances ${instances} is not to be had here: ${missing}`);
  process.exit(2);
}

const again = `npm run bench -- kill --instances ${instances} --kills ${kills} --seed ${seed}`;
console.log(`${kills} kills; again: ${again}`);
const thirds = ['control', 'gateway', 'both'];
const kinds = new Random(seed).shuffled(Array.from({ length: kills }, (_, index) => thirds[index % 3]));
const begun = performance.now();
const { lost, untrue, cut, orphans, notFinal, counts } = await runKills({
  instances,
  kinds,
  seed,
  say: console.log,
});
console.log(counts);
report(`kill, ${instances}`, [
  bar('acknowledged writes lost', lost.length, 'writes', 0),
  bar('answers that do not hold', untrue.length, 'answers', 0),
  bar('calls cut off though the gateway was left alone', cut.length, 'calls', 0),
  bar('processes and folders that nobody owns', orphans.length, 'orphans', 0),
  bar('not decided in time', notFinal.length, 'runtimes and endpoints', 0),
  bar('acknowledged writes', counts.acknowledged ?? 0, 'writes'),
  bar('writes without an answer', counts['without an answer'] ?? 0, 'writes'),
  bar('calls answered', counts['calls answered'] ?? 0, 'calls'),
  bar('instances looked at', counts['instances looked at'] ?? 0, 'instances'),
  bar('kills', kills, 'kills'),
  bar('ends of the server by itself', counts['ends of the server by itself'], 'ends', 0),
  bar('in all', (performance.now() - begun) / 1000, 's'),
]);
