import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Socket } from 'node:net';

/** Node has no fallocate of its own; util-linux has a program. */
const FALLOCATE = ['/usr/bin/fallocate', '/bin/fallocate'].find((path) => existsSync(path));
const OPTIONS = ['--punch-hole', '--keep-size', '--offset', '0', '--length'];
/** Reads `length path` a line, and answers each with a line. */
const SCRIPT = `while read -r length path; do
  if "$0" ${OPTIONS.join(' ')} "$length" "$path" 2>/dev/null; then echo yes; else echo no; fi
done`;
/** A shell that had nothing to do for so long ends. */
const REST_MS = 5000;

/**
 * Gives the first bytes of a file back to its disk; the file's length and all positions in it stay as they are.
 *
 * A process as large as the server takes milliseconds to start another, and an agent can write gigabytes a second: so
 * the program is started by a small shell, which comes up with the first file and ends when there was none for a while.
 * @returns false where that cannot be done: the file system has no such thing (NFS), or the machine (macOS)
 */
export function freeHead(path: string, length: number): Promise<boolean> {
  if (FALLOCATE === undefined) return Promise.resolve(false);
  if (path.includes('\n')) return freeHeadAlone(FALLOCATE, path, length);
  shell ??= startShell(FALLOCATE);
  return shell.ask(path, length);
}

let shell: ReturnType<typeof startShell> | undefined;

function startShell(program: string) {
  // In a session of its own: a Ctrl-C for the server is not for it. It ends with its input.
  const child = spawn('/bin/sh', ['-c', SCRIPT, program], {
    env: {},
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
  });
  const waiting: { path: string; length: number; resolve: (isFree: boolean | Promise<boolean>) => void }[] =
    [];
  let rest: NodeJS.Timeout | undefined;
  let text = '';
  const leave = () => {
    clearTimeout(rest);
    if (shell === own) shell = undefined;
    // Whoever still waits for it is helped without it.
    for (const { path, length, resolve } of waiting.splice(0)) resolve(freeHeadAlone(program, path, length));
  };
  child.once('error', leave);
  child.once('exit', leave);
  child.stdin.on('error', () => {});
  child.stdout.on('data', (piece: Buffer) => {
    text += piece.toString('latin1');
    const answers = text.split('\n');
    text = answers.pop()!;
    for (const answer of answers) waiting.shift()?.resolve(answer === 'yes');
    if (waiting.length > 0) return;
    setRef(child, false);
    rest = setTimeout(() => {
      if (shell === own) shell = undefined;
      child.stdin.end();
    }, REST_MS).unref();
  });
  const own = {
    ask(path: string, length: number): Promise<boolean> {
      clearTimeout(rest);
      setRef(child, true);
      return new Promise((resolve) => {
        waiting.push({ path, length, resolve });
        child.stdin.write(`${length} ${path}\n`);
      });
    },
  };
  return own;
}

/** Whether it keeps this process from ending. */
function setRef(child: ChildProcess, isHeld: boolean): void {
  for (const it of [child, child.stdin as Socket | null, child.stdout as Socket | null]) {
    if (isHeld) it?.ref();
    else it?.unref();
  }
}

function freeHeadAlone(program: string, path: string, length: number): Promise<boolean> {
  return new Promise((resolve) => {
    execFile(program, [...OPTIONS, String(length), path], { env: {} }, (error) => resolve(error === null));
  });
}
