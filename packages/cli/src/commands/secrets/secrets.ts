import type { CommandGroup } from '../../command.ts';
import { listSecrets } from './list.ts';
import { setSecret } from './set.ts';
import { unsetSecret } from './unset.ts';

export const secrets: CommandGroup = {
  name: 'secrets',
  description: 'secrets that variables of agents refer to by name',
  commands: [setSecret, listSecrets, unsetSecret],
};
