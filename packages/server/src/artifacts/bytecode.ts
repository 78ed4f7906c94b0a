import { readdir } from 'node:fs/promises';
import type { Language } from '@runstead/contract';
import type { TrackProgram } from './install/guard.ts';
import type { FindInterpreter } from './install/kept-install.ts';
import { runProgram } from './run-program.ts';

/** What one compilation may take: what is left then is compiled by the agent when it imports it. */
const TIME_LIMIT_S = 60;
/** A larger source is data more often than code, and takes a hundred times its size in memory to compile. */
const SOURCE_LIMIT_BYTES = 2 * 1024 * 1024;

/**
 * Compiles every source below the current folder, as an import would: named by the folder it will lie in, and good for
 * as long as the source keeps its time and size. Nothing of the package is run, and no fault in it counts: a file that
 * cannot be compiled may be one that is never imported.
 */
const COMPILE = `
import compileall, os, py_compile, sys, time
home, seconds, limit = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
sys.setrecursionlimit(500)
until = time.monotonic() + seconds
here = os.getcwd()
for folder, names, files in os.walk(here):
    names[:] = [it for it in names if it not in ('__pycache__', 'node_modules', '.venv', '.git')]
    for name in files:
        path = os.path.join(folder, name)
        if time.monotonic() > until:
            sys.exit(0)
        try:
            if name.endswith('.py') and os.path.getsize(path) <= limit:
                compileall.compile_file(
                    path, quiet=2, stripdir=here, prependdir=home,
                    invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
        except Exception:
            pass
`;

export interface BytecodeOptions {
  /** Where the package has been unpacked, for now. */
  folder: string;
  /** Where it will lie. */
  codeDir: string;
  language: Language;
  findInterpreter: FindInterpreter;
  track: TrackProgram;
  marks: Readonly<Record<string, string>>;
  signal: AbortSignal;
}

/**
 * Puts bytecode beside the Python sources of a package, so that its first start is not slower than its second, and
 * neither is where the agent may not write. Checked by time and size of the source, as Python does by itself: agents may
 * write into their folder, and what they change there must be seen.
 * @returns whether there is anything new in the folder
 */
export async function compileBytecode(options: BytecodeOptions): Promise<boolean> {
  const { folder, codeDir, language, findInterpreter, track, marks, signal } = options;
  if (!(await isPython(folder, language))) return false;
  const python = await findInterpreter('python', language);
  // Whether it is missed is for the start to say. compileall knows of folders to come from 3.9 on.
  if ('missing' in python || python.version[0] !== 3 || (python.version[1] ?? 0) < 9) return false;
  const family = track(marks);
  // Its result is of no interest: without bytecode all is as it was, only slower.
  await runProgram(
    python.path,
    ['-I', '-W', 'ignore', '-c', COMPILE, codeDir, String(TIME_LIMIT_S), String(SOURCE_LIMIT_BYTES)],
    {
      cwd: folder,
      env: { PATH: '/usr/bin:/bin', LANG: 'C.UTF-8', HOME: folder, ...family.marks },
      timeoutMs: 2 * TIME_LIMIT_S * 1000,
      signal,
      linesKept: 1,
      limits: { fileBytes: 64 * 1024 * 1024, openFiles: 256 },
      endStrays: () => family.end(),
    },
  );
  return true;
}

async function isPython(folder: string, language: Language): Promise<boolean> {
  if (language.startsWith('python')) return true;
  // It may be started by a script, or by a program of its dependencies.
  return language === 'custom' && (await readdir(folder)).some((name) => name.endsWith('.py'));
}
