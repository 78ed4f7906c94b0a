import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { INSIDE, isHiddenOnStage, outermost, stageConfinement } from './confinement.ts';
import { LAUNCHER_ENVIRONMENT, type Sandbox } from './sandbox.ts';
import type { ViewParts } from './view.ts';

/**
 * Sandboxes that begin before it is known for whom. Bubblewrap is started in a mount namespace between the machine's and
 * its own; in that one the code is mounted later, and spreads into the sandbox. It is ended with the wrapper that lives
 * there, so nothing has to be unmounted, and on the machine none of it was ever seen.
 */

export const WAITING_WRAPPER = fileURLToPath(
  new URL('../../../../assets/pool/waiting-wrapper.sh', import.meta.url),
);

/** What every folder of a process that waits holds, so that it can become an instance's; `stage` stays behind. */
export const STAGE_FOLDERS = ['home', 'tmp', 'shm', 'stage', 'mounts.from'] as const;

/** Absolute, as bubblewrap's is. */
const UNSHARE = '/usr/bin/unshare';
const ANSWER_WITHIN_MS = 10_000;

/** Where only a user namespace lets this server mount: who it is outside of that. */
function userOutside(): { uid: number; gid: number } | undefined {
  const uid = process.getuid?.() ?? 0;
  return uid === 0 ? undefined : { uid, gid: process.getgid?.() ?? 0 };
}

/** The words that start something in a mount namespace of its own, which the machine's mounts spread into. */
export function inOwnMounts(): string[] {
  const user = userOutside() ? ['--user', '--map-root-user'] : [];
  return [UNSHARE, ...user, '--mount', '--propagation', 'slave'];
}

/** The words that start a program on a stage, from the folder of a process that waits. */
export function stageBoundary({ program }: Sandbox, folder: string, early: ViewParts['early']): string[] {
  // Both by names within the folder, which is renamed before there is anything to mount.
  return [program, ...stageConfinement({ ...early, folder, stage: 'stage', user: userOutside() })];
}

/** Whether what an agent is to see can be put on a stage that others could have been given as well. */
export function fitsOnStage({ early, late, writable }: ViewParts): boolean {
  return writable.length === 0 && late.every((path) => !isHiddenOnStage(path, early.readOnly));
}

/**
 * What the wrapper is to mount, in the form of fstab. Each folder is made read-only before it is put where the sandbox
 * sees it: a mount that has spread keeps its flags.
 * @param folders seen under their own names
 */
export function stageMounts(codeDir: string, folders: readonly string[]): string {
  const seen = [[codeDir, INSIDE.code], ...outermost(folders).map((path) => [path, path])];
  const lines = seen.flatMap(([from, to], i) => [
    [from, `mounts.from/${i}`, 'none', 'bind,ro,nosuid,nodev,X-mount.mkdir', '0', '0'],
    [`mounts.from/${i}`, `stage${to}`, 'none', 'bind,X-mount.mkdir', '0', '0'],
  ]);
  return lines.map((words) => `${words.map((word) => escaped(word!)).join(' ')}\n`).join('');
}

/** Blanks separate words there, and `#` begins a comment. */
function escaped(text: string): string {
  return text.replace(/[\s\\#]/g, (it) => `\\${it.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

/**
 * Finds out whether it can be done here, by doing it once.
 * @returns why not
 */
export async function whyNoStage(sandbox: Sandbox): Promise<string | undefined> {
  if (!existsSync(UNSHARE)) return `${UNSHARE} is not there`;
  const folder = mkdtempSync(join(tmpdir(), 'runstead-stage-'));
  try {
    for (const name of [...STAGE_FOLDERS, 'links', 'code', 'own']) mkdirSync(join(folder, name));
    writeFileSync(join(folder, 'code', 'sign'), 'seen\n');
    writeFileSync(join(folder, 'own', 'sign'), 'as well\n');
    writeFileSync(join(folder, 'mounts'), stageMounts(join(folder, 'code'), [join(folder, 'own')]));
    const boundary = stageBoundary(sandbox, folder, { links: join(folder, 'links'), readOnly: [] });
    // What was mounted must be there, and read-only: one of the two alone would let an agent write to its code.
    const script =
      'read -r go; cat /code/sign "$1/own/sign"; for it in /code "$1/own"; do (: > "$it/mine") 2>/dev/null && echo writable; done';
    const inside = ['/bin/sh', '-c', script, 'sh', folder];
    return await answerOf(folder, [...boundary, ...inside]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function answerOf(folder: string, words: readonly string[]): Promise<string | undefined> {
  const [unshare = '', ...before] = inOwnMounts();
  const child = spawn(unshare, [...before, '/bin/sh', WAITING_WRAPPER, '--stage', '--', ...words], {
    cwd: folder,
    env: LAUNCHER_ENVIRONMENT,
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore', 'ignore', 'pipe'],
  });
  const over = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('close', () => resolve());
  });
  const late = setTimeout(() => child.kill('SIGKILL'), ANSWER_WITHIN_MS);
  let output = '';
  let mounted = '';
  child.stdout!.on('data', (piece: Buffer) => {
    output += piece.toString();
  });
  const orders = child.stdio[4] as Socket;
  for (const it of [orders, child.stdin!]) it.on('error', () => {});
  orders.on('data', (piece: Buffer) => {
    mounted += piece.toString();
    if (mounted.endsWith('\n')) child.stdin!.end('go\n');
  });
  orders.write('go\n');
  await over;
  clearTimeout(late);
  orders.destroy();
  if (output === 'seen\nas well\n') return undefined;
  const said = [output, readOrEmpty(join(folder, 'mounts.said'))].join('\n').trim().split('\n')[0];
  return said || 'it gave no answer';
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
