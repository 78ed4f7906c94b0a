// The closing line of a CI run. A skipped test fails the run unless its reason is one that no install can remove.
import { existsSync, readFileSync } from 'node:fs';

const [file, failedSteps] = process.argv.slice(2);

/** Test names that may be skipped, with the reason. */
const MAY_BE_SKIPPED = [
  [/non-loopback address/, 'needs an address of this host beyond loopback'],
  [/says that it may not read a file/, 'root may read every file'],
  [/a package that fills the disk/, 'needs the right to mount a small file system'],
  [/on a full disk a start fails/, 'needs the right to mount a small file system'],
  [/a language whose interpreter is not on this machine/, 'needs one of three interpreters not to be here'],
  [/a fork bomb fills its own share/, 'needs the right to make control groups'],
];

if (!existsSync(file)) {
  console.log('0 passed, 1 failed');
  process.exit(1);
}
const { testResults } = JSON.parse(readFileSync(file, 'utf8'));
const counts = { passed: 0, failed: 0, skipped: 0 };
let problems = 0;
for (const suite of testResults) {
  if (suite.status === 'failed' && suite.assertionResults.length === 0) {
    counts.failed++;
    console.log(`failed to load: ${suite.name}`);
  }
  for (const { status, fullName } of suite.assertionResults) {
    if (status === 'passed') counts.passed++;
    else if (status === 'failed') counts.failed++;
    else {
      counts.skipped++;
      if (!MAY_BE_SKIPPED.some(([name]) => name.test(fullName))) {
        problems++;
        console.log(`skipped without a reason that holds in CI: ${fullName}`);
      }
    }
  }
}
const failed = counts.failed + problems;
// A step that failed without a failing test (lint, format …) must not end in "0 failed".
const total = failed > 0 ? failed : Number(failedSteps);
console.log(`${counts.passed} passed, ${total} failed, ${counts.skipped} skipped`);
process.exit(total === 0 ? 0 : 1);
