import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SandboxState } from '../../driver.ts';
import { confinement } from './confinement.ts';

/** `auto`: where it works. `require`: or nothing is started. `off`: not even where it would. */
export type SandboxSetting = 'auto' | 'require' | 'off';

/** A way to keep an agent's processes to themselves. Only made where it was seen to work. */
export interface Sandbox {
  /** Absolute path of bubblewrap. */
  program: string;
}

/** Never by the server's PATH: whoever can write there would be handed every agent. */
const PLACES = ['/usr/bin/bwrap', '/usr/local/bin/bwrap', '/bin/bwrap', '/run/current-system/sw/bin/bwrap'];

/** What the launcher is started with, whatever the server or an agent has in its environment. */
export const LAUNCHER_ENVIRONMENT = { PATH: '/usr/bin:/bin' } as const;

const ANSWER_WITHIN_MS = 10_000;

/**
 * Finds out whether agents can be confined here, by confining a shell once: the program may be there and user
 * namespaces forbidden.
 * @param places where bubblewrap may be
 */
export async function openSandbox(
  setting: SandboxSetting,
  places: readonly string[] = PLACES,
): Promise<{ sandbox?: Sandbox; state: SandboxState }> {
  const off = (reason: string) => ({ state: { kind: 'off' as const, reason } });
  if (setting === 'off') return off('it was switched off (--sandbox off)');
  if (process.platform !== 'linux') return off(`there is no sandbox for ${process.platform}, only for Linux`);
  const program = places.find((path) => existsSync(path));
  if (program === undefined)
    return off('bubblewrap is not installed (no bwrap in /usr/bin or /usr/local/bin)');
  const fault = await tryOut(program);
  if (fault !== undefined) return off(`bubblewrap (${program}) does not work here: ${fault}`);
  return { sandbox: { program }, state: { kind: 'bubblewrap' } };
}

/** @returns what went wrong, as bubblewrap says it */
function tryOut(program: string): Promise<string | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'runstead-sandbox-'));
  for (const name of ['code', 'home', 'tmp', 'shm']) mkdirSync(join(folder, name));
  const words = confinement({
    codeDir: join(folder, 'code'),
    folder,
    links: undefined,
    readOnly: [],
    writable: [],
  });
  const args = [...words, '/bin/sh', '-c', 'echo confined'];
  const options = { env: LAUNCHER_ENVIRONMENT, timeout: ANSWER_WITHIN_MS, encoding: 'utf8' } as const;
  return new Promise<string | undefined>((resolve) => {
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null && stdout === 'confined\n') return resolve(undefined);
      const said = stderr
        .trim()
        .split('\n')[0]
        ?.replace(/^bwrap: /, '');
      resolve(said || (error?.killed ? 'it gave no answer' : (error?.message ?? 'it did not run a shell')));
    });
  }).finally(() => rmSync(folder, { recursive: true, force: true }));
}
