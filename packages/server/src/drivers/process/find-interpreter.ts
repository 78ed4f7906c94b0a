import type { Language } from '@runstead/contract';
import {
  chooseInterpreter,
  defaultInterpreter,
  type Family,
  findInterpreters,
  type Interpreter,
  missingInterpreter,
  wantedBy,
} from './interpreters.ts';

export interface FindOptions {
  /** Ends the waiting. */
  signal?: AbortSignal;
  /** Hears what is being done about one that is not there yet, for a person who waits. */
  onDoing?: (what: string) => void;
}

/** The program that an agent of a language finds on its PATH under a family's name, or why there is none. */
export type FindInterpreter = (
  family: Family,
  language: Language,
  options?: FindOptions,
) => Promise<Interpreter | { missing: string }>;

/** Gets a Node of a major release that is not on this machine, or says why it could not. */
export type ProvideNode = (
  major: number,
  options?: FindOptions,
) => Promise<{ path: string; version: readonly number[] } | { missing: string }>;

/** Releases that are provided; older ones are a floor alone, as are other languages. */
const PROVIDED: readonly Language[] = ['nodejs22', 'nodejs24'];

/** @param provideNode default: nothing is provided */
export function createInterpreterFinder(provideNode?: ProvideNode): FindInterpreter {
  return async (family, language, options) => {
    const wanted = wantedBy(language);
    if (wanted?.family !== family) {
      return (await defaultInterpreter(family)) ?? { missing: `there is no ${family} on this machine` };
    }
    const found = await findInterpreters(family);
    const nearest = chooseInterpreter(wanted, found);
    const major = wanted.version[0]!;
    if (!provideNode || !PROVIDED.includes(language) || nearest?.version[0] === major)
      return nearest ?? { missing: missingInterpreter(language, found) };
    const provided = await provideNode(major, options);
    if (!('missing' in provided)) return { family: 'node', ...provided };
    // What it needs at least is here all the same, if not what it names.
    return nearest ?? { missing: `${language} is needed but not on this machine, and ${provided.missing}` };
  };
}

/** Of what is on this machine. */
export const findInterpreter = createInterpreterFinder();
