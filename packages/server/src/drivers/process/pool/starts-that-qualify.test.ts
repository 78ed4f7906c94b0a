import { describe, expect, it } from 'vitest';
import { preloadsIn, readDifferently, whyNotForked, whyNotPooled } from './starts-that-qualify.ts';

const FOLDER = '/assets/preload';
const PRELOAD = `--require ${FOLDER}/listen.cjs`;
const start = (words: string, environment: Record<string, string> = {}) => ({
  command: words.split(' '),
  environment: {
    LANG: 'C.UTF-8',
    PYTHONUNBUFFERED: '1',
    PYTHONPATH: '/code',
    NODE_OPTIONS: PRELOAD,
    ...environment,
  },
});

describe('a start that can be a fork', () => {
  it.each([
    '/bin/python main.py',
    '/bin/python3.12 -u a/main.py --x',
    '/bin/python3 -m uvicorn main:app',
    '/bin/python -u -m a.b',
  ])('is %s', (words) =>
    expect(whyNotForked(start(words, { MODEL_API_KEY: 'x', NODE_ENV: 'y' }))).toBeUndefined(),
  );

  it.each([
    '/bin/uvicorn main:app',
    '/bin/python',
    '/bin/python -c 1',
    '/bin/python main',
    '/bin/python -O main.py',
    '/bin/python -m -x',
    '/bin/python -',
  ])('is not %s', (words) => expect(whyNotForked(start(words))).toMatch(/^the command/));

  it.each([
    'PYTHONHOME',
    'PYTHONHASHSEED',
    'PYTHONOPTIMIZE',
    'PYTHONDONTWRITEBYTECODE',
    'LD_PRELOAD',
    'MALLOC_ARENA_MAX',
    'TZ',
    'LC_ALL',
  ])('is none where %s is set', (name) => {
    expect(whyNotForked(start('/bin/python main.py', { [name]: '1' }))).toBe(
      `the variable ${name} acts while a process starts`,
    );
  });

  it('is none where output is to be buffered, or in another language', () => {
    for (const name of ['PYTHONUNBUFFERED', 'LANG'])
      expect(whyNotForked(start('/bin/python main.py', { [name]: '' }))).toContain(name);
  });
});

describe('a start that a waiting Node can take', () => {
  it.each(['/bin/node agent.mjs', '/bin/node /code/dist/agent.js --port 1', '/bin/nodejs a.cjs'])(
    'is %s',
    (words) => {
      expect(
        whyNotPooled(start(words, { NODE_ENV: 'production', PYTHONHOME: '/x' }), FOLDER),
      ).toBeUndefined();
    },
  );

  it.each([
    '/bin/npm start',
    '/bin/node',
    '/bin/node --inspect a.js',
    '/bin/node agent.ts',
    '/bin/node .',
    '/bin/node -e 1',
  ])('is not %s', (words) => expect(whyNotPooled(start(words), FOLDER)).toMatch(/^the command/));

  it.each([
    'NODE_EXTRA_CA_CERTS',
    'NODE_PATH',
    'NODE_DEBUG',
    'LD_LIBRARY_PATH',
    'TZ',
    'UV_THREADPOOL_SIZE',
    'SSL_CERT_FILE',
  ])('is none where %s is set', (name) =>
    expect(whyNotPooled(start('/bin/node a.js', { [name]: '1' }), FOLDER)).toContain(name),
  );

  it('is none where the runtime has options of its own', () => {
    for (const own of [
      `--no-warnings ${PRELOAD}`,
      `${PRELOAD} --require /code/mine.cjs`,
      `--require ${FOLDER}/../mine.cjs`,
    ]) {
      expect(whyNotPooled(start('/bin/node a.js', { NODE_OPTIONS: own }), FOLDER)).toContain('NODE_OPTIONS');
    }
  });

  it("is told by the platform's preloads alone, however they are written", () => {
    expect(preloadsIn(`--require ${FOLDER}/a.cjs ${PRELOAD}`, FOLDER)).toEqual([
      `${FOLDER}/a.cjs`,
      `${FOLDER}/listen.cjs`,
    ]);
    expect(preloadsIn('--require "/my \\"assets/a.cjs"', '/my "assets')).toEqual(['/my "assets/a.cjs']);
    for (const no of [
      '--require',
      '--requires /assets/preload/a.cjs',
      `--require ${FOLDER}/a.cjs--inspect -x`,
    ])
      expect(preloadsIn(no, FOLDER)).toBeUndefined();
  });
});

describe('what imports have read', () => {
  const there = { PATH: '/usr/bin', HOME: '/parent' };

  it('is no matter where it is the same, or nowhere set', () => {
    expect(
      readDifferently(new Set(['PATH', 'OTEL_X']), there, { PATH: '/usr/bin', HOME: '/mine' }),
    ).toBeUndefined();
  });

  it.each([
    ['HOME', { PATH: '/usr/bin', HOME: '/mine' }],
    ['OTEL_X', { OTEL_X: 'on' }],
    ['PATH', {}],
  ])('is told when it is another: %s', (name, wanted) => {
    expect(readDifferently(new Set([name]), there, wanted)).toBe(name);
  });

  it('is everything for whoever looks at all', () => {
    expect(readDifferently(new Set(['*']), there, there)).toBe('*');
  });
});
