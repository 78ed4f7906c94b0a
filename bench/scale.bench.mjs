// Many agents: 10,000 asleep, 100 awake.
import { scaleRows } from './cold-start/scale.mjs';
import { report } from './report.mjs';

report('scale', await scaleRows());
