import { describe } from 'vitest';
import { driverCases } from '../driver-cases.ts';
import { benchOf, sandbox, testLimits } from './harness.ts';

/** Agents in the sandbox and under limits are agents like all others. */
describe.skipIf(!sandbox)('in the sandbox,', () => {
  driverCases(
    'process',
    () =>
      benchOf((dataDir) => ({
        confinedBy: sandbox!,
        limits: testLimits(dataDir),
      })),
    { processes: true, ownPids: true, limitsMemory: true, codeDirInside: () => '/code' },
  );
});
