export {
  type Config,
  ConfigError,
  type ConfigInput,
  loadConfig,
  parseSetting,
} from './config.ts';
export { FolderInUse, type ServerRecord } from './folder-lock.ts';
export { type RunningServer, startServer } from './start-server.ts';
export { MigrationError, SecretsKeyError } from './store/store.ts';
