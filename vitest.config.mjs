import { defineConfig } from 'vitest/config';

const ordered = { sequence: { shuffle: { files: true, tests: true } } };

export default defineConfig({
  test: {
    // Most of a test's time is waiting for other processes; left to itself, vitest keeps one core free.
    maxWorkers: '100%',
    projects: [
      {
        test: {
          ...ordered,
          name: 'unit',
          include: ['packages/*/src/**/*.test.ts', 'packages/client/test/**/*.test.ts'],
        },
      },
      {
        test: {
          ...ordered,
          name: 'suites',
          include: [
            'packages/server/test/**/*.test.ts',
            'packages/cli/test/**/*.test.ts',
            'examples/test/**/*.test.mjs',
          ],
          testTimeout: 30_000,
          hookTimeout: 30_000,
        },
      },
      {
        test: {
          ...ordered,
          name: 'e2e',
          include: ['e2e/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
