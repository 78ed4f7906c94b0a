import {
  ForkRefused,
  framed,
  importingEnvironment,
  orderToBecome,
  orderToPrepare,
  type ParentPlan,
  PYTHON_PARENT,
  proportionalBytes,
  READY_WITHIN_MS,
} from './parent-process.ts';
import { type WaitingPlace, WaitingProcess } from './waiting-process.ts';

/**
 * In the sandbox, what a `ParentProcess` is outside: it has imported a version's dependencies. It forks nothing, since
 * a fork would share its namespaces and folders with the next; it becomes an instance itself.
 */
export class PreparedProcess {
  /** Variables that its imports have read; `*` for all. */
  readonly read: ReadonlySet<string>;
  readonly waiting: WaitingProcess;

  private constructor(waiting: WaitingProcess, read: ReadonlySet<string>) {
    this.waiting = waiting;
    this.read = read;
  }

  get environment(): Readonly<Record<string, string>> {
    return this.waiting.environment;
  }

  /**
   * Starts one and has it import.
   * @throws ForkRefused with the reason for which the version is better started in the ordinary way
   */
  static async start(plan: ParentPlan, place: WaitingPlace): Promise<PreparedProcess> {
    const { program, preload, confined } = plan;
    const waiting = new WaitingProcess(
      {
        kind: 'parent',
        program: (own) => ({
          command: [program, PYTHON_PARENT],
          environment: importingEnvironment({ preload, ...own }),
        }),
        boundary: confined!.boundary,
      },
      { ...place, openGroups: confined!.openGroups },
    );
    try {
      confined!.onBegun(waiting);
      waiting.send(framed(orderToPrepare('prepare-alone', plan)));
      const line = await waiting.nextLine(READY_WITHIN_MS).catch((error: unknown) => {
        throw new ForkRefused(`the process that imports ahead: ${(error as Error).message}`);
      });
      const [word, ...fields] = line.split('\t');
      if (word !== 'ready') throw new ForkRefused(fields.join(' '));
      return new PreparedProcess(waiting, new Set(fields.filter(Boolean)));
    } catch (error) {
      await waiting.end();
      throw error;
    }
  }

  get pid(): number | undefined {
    return this.waiting.pids.at(-1);
  }

  get isAlive(): boolean {
    return this.waiting.isAlive;
  }

  /** Proportional set size, in bytes. */
  memoryBytes(): number {
    return proportionalBytes(this.pid);
  }

  /** Lets it be the agent. */
  become(environment: Readonly<Record<string, string>>): void {
    this.waiting.become(orderToBecome(environment), environment);
  }

  end(): Promise<void> {
    return this.waiting.end();
  }
}
