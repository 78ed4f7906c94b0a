import { randomUUID } from 'node:crypto';
import { DATA_MARK, INSTANCE_MARK, killAll, listProcesses, membersOf, type ProcessId } from './processes.ts';

/** A program that works for an instance, such as an installer, with everything that comes of it. */
export interface ProgramFamily {
  /** What the program has to have in its environment. */
  marks: Readonly<Record<string, string>>;
  /** How many processes there are now. */
  count(): Promise<number>;
  /**
   * Ends them all, also those that left the program's group and session. One that wiped its environment is found if it
   * was counted before, or while somebody between it and a marked one lives.
   */
  end(): Promise<void>;
}

/** @param marks of the data folder, so that a server started later ends what this one left */
export function trackProgram(marks: Readonly<Record<string, string>>): ProgramFamily {
  const instanceId = `program-${randomUUID()}`;
  const dataMark = marks[DATA_MARK] ?? '';
  const known = new Map<number, ProcessId>();
  const find = async () => {
    const members = membersOf(await listProcesses(), { instanceId, dataMark, seen: [...known.values()] });
    for (const it of members) known.set(it.pid, it);
    return members;
  };
  return {
    marks: { ...marks, [DATA_MARK]: dataMark, [INSTANCE_MARK]: instanceId },
    count: async () => (await find()).length,
    async end() {
      await killAll((table, seen) =>
        membersOf(table, { instanceId, dataMark, seen: [...known.values(), ...seen] }),
      );
    },
  };
}
