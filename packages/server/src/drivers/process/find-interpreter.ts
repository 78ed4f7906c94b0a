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

/** The program that an agent of a language finds on its PATH under a family's name, or why there is none. */
export async function findInterpreter(
  family: Family,
  language: Language,
): Promise<Interpreter | { missing: string }> {
  const wanted = wantedBy(language);
  if (wanted?.family !== family) {
    return (await defaultInterpreter(family)) ?? { missing: `there is no ${family} on this machine` };
  }
  const found = await findInterpreters(family);
  return chooseInterpreter(wanted, found) ?? { missing: missingInterpreter(language, found) };
}
