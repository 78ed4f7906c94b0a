import { expect, test } from 'vitest';
import { type Exposure, namedKeyWarning, sandboxFault } from './sandbox-rule.ts';

const alone: Exposure = {
  setting: 'auto',
  missing: 'bubblewrap is not installed',
  hasNamedKeys: false,
  isPublic: false,
};

test('without a sandbox a server starts for its own machine alone', () => {
  expect(sandboxFault(alone)).toBeUndefined();
});

test.each([
  [{ hasNamedKeys: true }, 'there are keys besides the local one'],
  [{ isPublic: true }, 'the server listens beyond loopback'],
  [{ setting: 'require' as const }, '--sandbox require'],
])('with %j it does not, and says what to do', (changes, why) => {
  const fault = sandboxFault({ ...alone, ...changes });
  for (const part of [why, alone.missing!, 'Install bubblewrap', '--sandbox off'])
    expect(fault).toContain(part);
  expect(sandboxFault({ ...alone, ...changes, missing: undefined })).toBeUndefined();
});

test.each([{ hasNamedKeys: true }, { isPublic: true }])(
  'said to go without, it starts with %j too',
  (changes) => {
    expect(sandboxFault({ ...alone, ...changes, setting: 'off' })).toBeUndefined();
  },
);

test('whoever makes the first named key is told what follows, unless there is a sandbox or it was switched off', () => {
  const { setting, missing } = alone;
  expect(namedKeyWarning({ setting, missing })).toContain('will not start again');
  expect(namedKeyWarning({ setting, missing: undefined })).toBeUndefined();
  expect(namedKeyWarning({ setting: 'off', missing })).toBeUndefined();
});
