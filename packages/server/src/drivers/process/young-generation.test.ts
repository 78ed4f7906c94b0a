import { expect, test } from 'vitest';
import { YOUNG_GENERATION_OPTION, youngGenerationOption } from './young-generation.ts';

const node = (major: number) => ({ family: 'node' as const, version: [major, 1, 0], path: '/bin/node' });

test.each([
  [128, '--max-semi-space-size=4'],
  [512, '--max-semi-space-size=16'],
  [32_768, '--max-semi-space-size=16'],
  [16, undefined],
])('an instance of %s MiB is given room for what is young', (memoryMiB, option) => {
  expect(youngGenerationOption(memoryMiB, node(20))).toBe(option);
  expect(youngGenerationOption(memoryMiB, node(24))).toBe(option);
});

test('a Node that may not know the option is not given it, nor is what is no Node', () => {
  expect(youngGenerationOption(512, node(18))).toBeUndefined();
  expect(youngGenerationOption(512, undefined)).toBeUndefined();
});

test('it is known again where it stands first', () => {
  expect('--max-semi-space-size=16 --require /a.cjs'.replace(YOUNG_GENERATION_OPTION, '')).toBe(
    '--require /a.cjs',
  );
  expect('--title=a --max-semi-space-size=16 '.replace(YOUNG_GENERATION_OPTION, '')).toContain('semi');
});
