// `npm run demo`: works right after cloning. The story itself is examples/demo/demo.mjs.
import { makeReady } from './ready.mjs';

makeReady();
const { runDemo } = await import('../examples/demo/demo.mjs');
process.exitCode = await runDemo({ once: process.argv.includes('--once') });
