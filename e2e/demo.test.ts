import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { example } from './harness/deploy.ts';
import { registryOrSkip } from './harness/requirements.ts';
import { ownEnvironment } from './harness/server.ts';

/** The story that `npm run demo -- --once` tells, without the installing and building before it. */

describe('the demo', () => {
  test('tells of the split, the promotion, the rollback and the true reason of a crash, and exits with 0', async (context) => {
    registryOrSkip(context);
    const script = `
      import { runDemo } from ${JSON.stringify(example('demo/demo.mjs'))};
      process.exitCode = await runDemo({ once: true });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: ownEnvironment(),
    });
    const [printed, complaints, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'exit'),
    ]);
    expect(complaints).toBe('');
    expect(code).toBe(0);

    expect(printed).toMatch(/kayaks is READY as version 1/);
    expect(printed).toMatch(/tool call: calculate\(.*\)/);
    const split = /weights 0\.8 \/ 0\.2: 50 calls → version 1: (\d+), version 2: (\d+)/.exec(printed);
    expect(Number(split?.[1]) + Number(split?.[2])).toBe(50);
    expect(Number(split?.[1])).toBeGreaterThan(Number(split?.[2]));
    expect(printed).toContain('promoted to version 2: 50 calls → version 1: 0, version 2: 50');
    expect(printed).toContain('rolled back to version 1: 50 calls → version 1: 50, version 2: 0');
    expect(printed).toMatch(/CREATE_FAILED: start: exited with code 1 after /);
    expect(printed).toContain('ORDERS_DATABASE_URL is not set');
  });
});
