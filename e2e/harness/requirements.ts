import { spawnSync } from 'node:child_process';
import type { TestContext } from 'vitest';

/** What some tests need of the machine. A test without it is skipped, and says why. */

const isNewEnough = 'import sys; sys.exit(sys.version_info < (3, 10))';
let python: string | null | undefined;
let registry: boolean | undefined;

/** A Python of at least 3.10 that really runs: a version manager's shim may not. */
export function newEnoughPython(): string | undefined {
  if (python === undefined) {
    const runs = (file: string) =>
      spawnSync(file, ['-c', isNewEnough], { stdio: 'ignore', timeout: 10_000 }).status === 0;
    python = ['python3', '/usr/bin/python3'].find(runs) ?? null;
  }
  return python ?? undefined;
}

export function pythonOrSkip(context: TestContext): void {
  skipUnless(context, newEnoughPython() !== undefined, 'no Python 3.10 or newer runs on this machine');
}

/** Skips unless the npm registry answers, from which the LangGraph example's packages come. */
export function registryOrSkip(context: TestContext): void {
  registry ??=
    spawnSync('npm', ['ping', '--fetch-timeout=10000', '--fetch-retries=1'], {
      stdio: 'ignore',
      timeout: 30_000,
    }).status === 0;
  skipUnless(context, registry, 'the npm registry does not answer');
}

let sandboxSettings: Record<string, string> | undefined;

/**
 * Settings for a machine where bubblewrap is missing or does not work: servers with keys or beyond loopback would not
 * start there. Elsewhere none, and agents run in the sandbox.
 */
export function sandboxOffIfMissing(): Record<string, string> {
  if (sandboxSettings === undefined) {
    const words = ['--ro-bind', '/', '/', '--unshare-pid', '--proc', '/proc', '--dev', '/dev', '/bin/true'];
    const works = spawnSync('bwrap', words, { stdio: 'ignore', timeout: 10_000 }).status === 0;
    if (!works) console.warn('bubblewrap does not work here: servers are tested with --sandbox off');
    sandboxSettings = works ? {} : { RUNSTEAD_SANDBOX: 'off' };
  }
  return sandboxSettings;
}

function skipUnless(context: TestContext, isThere: boolean, why: string): void {
  if (isThere) return;
  console.warn(`skipped: ${context.task.name}: ${why}`);
  context.skip(why);
}
