import { initial } from './0001-initial.ts';
import { eventOutput } from './0002-event-output.ts';
import { workspaces } from './0004-workspaces.ts';
import { keptAnswers } from './0005-kept-answers.ts';

/**
 * Forward only, in order; the database's version is how many have run. A published migration is never edited: what it
 * got wrong, a later one mends.
 */
export const migrations: readonly (readonly string[])[] = [initial, eventOutput, workspaces, keptAnswers];
