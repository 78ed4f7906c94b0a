import { describe, expect, it } from 'vitest';
import { containerEnding, endedEarly, notCreated, notReadyInTime } from './container-failure.ts';

const MIB = 1024 * 1024;
const nothingSeen = { attempts: 3, lastOpen: undefined };
const proxied = {
  attempts: 3,
  lastOpen: {
    ok: false,
    isOpen: true,
    detail: 'connection closed without an answer',
    host: '127.0.0.1' as const,
  },
};

describe("a container's end", () => {
  it.each([
    ['an exit', { ExitCode: 3 }, 0, { code: 3 }],
    ['a signal', { ExitCode: 139 }, 0, { signal: 'SIGSEGV' }],
    ['a kill with memory to spare', { ExitCode: 137 }, 32 * MIB, { signal: 'SIGKILL' }],
    ['an exit when memory was short', { ExitCode: 1 }, 64 * MIB, { code: 1 }],
    [
      'a kill at the limit, which not every engine explains',
      { ExitCode: 137, OOMKilled: false },
      61 * MIB,
      { signal: 'SIGKILL', outOfMemory: 'OOM: used 61 of 64 MiB' },
    ],
    [
      'a kill that the engine explains',
      { ExitCode: 137, OOMKilled: true },
      0,
      { signal: 'SIGKILL', outOfMemory: 'OOM: used 64 of 64 MiB' },
    ],
  ])('is read: %s', (_name, state, used, expected) => {
    expect(containerEnding(state, 64, { killedForMemory: false, usedBytes: used })).toEqual(expected);
  });

  it('is want of memory when the kernel was seen to kill for it, and the agent was killed', () => {
    const seen = { killedForMemory: true, usedBytes: 10 * MIB };
    expect(containerEnding({ ExitCode: 137 }, 64, seen)).toEqual({
      signal: 'SIGKILL',
      outOfMemory: 'OOM: used 64 of 64 MiB',
    });
    // Of a child that was killed it may have heard, and ended for it in its own way.
    expect(containerEnding({ ExitCode: 1 }, 64, seen)).toEqual({ code: 1 });
  });

  it('before it was ready says why', () => {
    const failure = (ending: object, lines: string[] = []) =>
      endedEarly(ending, 'agent', 1200, nothingSeen, lines);
    expect(failure({ signal: 'SIGKILL', outOfMemory: 'OOM: used 64 of 64 MiB' }).message).toBe(
      'OOM: used 64 of 64 MiB after 1.2 s',
    );
    expect(failure({ code: 1 }, ['oh'])).toMatchObject({ kind: 'exited', lastLines: ['oh'] });
    for (const line of [
      'ERROR (catatonit:2): failed to exec pid1: No such file or directory',
      '[FATAL tini (7)] exec agent failed: No such file or directory',
    ]) {
      expect(failure({ code: 127 }, [line])).toMatchObject({
        kind: 'cannot-start',
        message: 'the program "agent" is neither in the package nor in the image',
      });
    }
  });
});

it('a container that the engine refuses says so in words for its author', () => {
  const said = 'runc create failed: exec: "agent": executable file not found in $PATH';
  expect(notCreated('agent', said).message).toBe(
    'the program "agent" is neither in the package nor in the image',
  );
  expect(notCreated('node x.mjs', said).message).toContain('["node","x.mjs"]');
  expect(notCreated(undefined, 'no address pools left').message).toBe(
    'the container engine refuses the start: no address pools left',
  );
});

describe('a container that is not ready in time', () => {
  const facts = { agentPort: 9000, health: {}, timeoutMs: 2000 };
  const listens = (address: string, port: number) => [{ address, port, inode: '1' }];

  it.each([
    [
      'nothing listens',
      nothingSeen,
      [],
      /never opened within 2 s; the process runs but it listens on no port/,
    ],
    ['nothing listens behind a proxy that accepts', proxied, [], /^port 9000 was never opened/],
    ['another port', nothingSeen, listens('0.0.0.0', 8080), /; the process listens on 8080$/],
    ['loopback', nothingSeen, listens('127.0.0.1', 9000), /on 127\.0\.0\.1 alone.*must listen on 0\.0\.0\.0/],
    ['nobody can say', nothingSeen, undefined, /^port 9000 was never opened within 2 s$/],
    ['it is open and does not answer', proxied, listens('::', 9000), /^GET \/health: connection closed/],
  ])('says what it does: %s', (_name, seen, opened, expected) => {
    expect(notReadyInTime(facts, seen, opened, []).message).toMatch(expected);
  });
});
