import type { CommandGroup } from '../../command.ts';
import { createKey } from './create.ts';
import { listKeys } from './list.ts';
import { revokeKey } from './revoke.ts';

export const keys: CommandGroup = {
  name: 'keys',
  description: 'keys for people and programs that use the server',
  commands: [createKey, listKeys, revokeKey],
};
