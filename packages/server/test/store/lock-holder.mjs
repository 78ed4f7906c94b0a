// Takes a data folder, says how that went, and holds it until it is killed.
import { lockFolder } from '../../dist/folder-lock.js';

try {
  const lock = lockFolder(process.argv[2]);
  lock.listening({ url: 'http://127.0.0.1:7701' });
  console.log('held');
  setInterval(() => {}, 60_000);
} catch (error) {
  console.log(`${error.name}: ${error.message}`);
}
