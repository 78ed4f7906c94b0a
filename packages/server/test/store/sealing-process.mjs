// Seals and migrates a database as a server that starts does, and ends, as by kill -9, when it comes to a given step.
import { createSecretBox } from '../../dist/auth/secret-box.js';
import { migrate } from '../../dist/store/sqlite/migrate.js';
import { openDatabase } from '../../dist/store/sqlite/open-database.js';
import { checkSecretsKey, sealEarlier } from '../../dist/store/sqlite/seal-earlier.js';

const [path, step] = process.argv.slice(2);
const onStep = (name) => {
  if (name === step) process.kill(process.pid, 'SIGKILL');
};
const box = createSecretBox(Buffer.alloc(32, 7));
const database = openDatabase(path);
checkSecretsKey(database, box, path);
sealEarlier(database, box, path, onStep);
migrate(database, path, { onStep });
onStep('migrated');
