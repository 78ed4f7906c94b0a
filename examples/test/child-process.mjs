import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/**
 * Starts a program and waits for its first line. `ended` is its exit code once it ends by itself; `stop()` ends
 * it and returns the code.
 */
export async function startProgram(command, args, env = {}) {
  const child = spawn(command, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit').then(([code]) => code);
  const lines = createInterface({ input: child.stdout });
  const tooEarly = ended.then((code) =>
    Promise.reject(new Error(`${command} ended with ${code}, saying nothing.`)),
  );
  const [firstLine] = await Promise.race([once(lines, 'line'), tooEarly]);
  tooEarly.catch(() => {}); // from here on it may end
  return {
    firstLine,
    ended,
    stop() {
      child.kill('SIGTERM');
      return ended;
    },
  };
}

/** A Python of at least this version that really runs (the shims of a version manager may not), or undefined. */
export function findPython(atLeast = '3.9') {
  const check = `import sys; sys.exit(sys.version_info < (${atLeast.replace('.', ', ')}))`;
  const isUsable = (command) => {
    try {
      execFileSync(command, ['-c', check], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  };
  const found = ['python3', '/usr/bin/python3'].find(isUsable);
  if (!found) console.warn(`Python parts are skipped: no python3 of at least ${atLeast} runs here.`);
  return found;
}
