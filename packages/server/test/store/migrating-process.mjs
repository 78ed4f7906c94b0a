// Migrates a database and ends, as by kill -9, when it comes to a given step.
import { migrate } from '../../dist/store/sqlite/migrate.js';
import { openDatabase } from '../../dist/store/sqlite/open-database.js';

const [path, step, migrations] = process.argv.slice(2);
const seen = new Map();
migrate(openDatabase(path), path, {
  migrations: JSON.parse(migrations),
  onStep(name) {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    if (`${name}#${count}` === step) process.kill(process.pid, 'SIGKILL');
  },
});
