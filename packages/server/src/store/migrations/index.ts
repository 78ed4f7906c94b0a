import { initial } from './0001-initial.ts';
import { eventOutput } from './0002-event-output.ts';
import { workspaces } from './0003-workspaces.ts';
import { keptAnswers } from './0004-kept-answers.ts';
import { keys } from './0005-keys.ts';
import { sessions } from './0006-sessions.ts';
import { secrets } from './0007-secrets.ts';
import { eventDetails } from './0008-event-details.ts';

/**
 * Forward only, in order; the database's version is how many have run. A published migration is never edited: what it
 * got wrong, a later one mends.
 */
export const migrations: readonly (readonly string[])[] = [
  initial,
  eventOutput,
  workspaces,
  keptAnswers,
  keys,
  sessions,
  secrets,
  eventDetails,
];
