export {
  type Config,
  ConfigError,
  type ConfigInput,
  duration,
  httpUrl,
  loadConfig,
  oneOf,
  whole,
} from './config.ts';
export { FolderInUse } from './folder-lock.ts';
export { type RunningServer, startServer } from './start-server.ts';
export { MigrationError } from './store/store.ts';
