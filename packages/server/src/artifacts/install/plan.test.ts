import { describe, expect, it } from 'vitest';
import { planNode, planPython, type RootListing } from './plan.ts';

/** `name` is a file, `name/` a folder, `name@` a link. */
function root(names: string): RootListing {
  const kinds = { '/': 'folder', '@': 'link' } as const;
  return new Map(
    names.split(' ').map((name) => {
      const kind = kinds[name.at(-1) as '/' | '@'];
      return kind ? [name.slice(0, -1), kind] : [name, 'file'];
    }),
  );
}

describe('planNode', () => {
  it.each([
    ['package.json index.js', undefined],
    ['package.json package-lock.json', 'package-lock.json'],
    ['package-lock.json npm-shrinkwrap.json', 'npm-shrinkwrap.json'],
    ['yarn.lock pnpm-lock.yaml package-lock.json', 'package-lock.json'],
    ['yarn.lock pnpm-lock.yaml', 'pnpm-lock.yaml'],
    ['yarn.lock', 'yarn.lock'],
    ['package-lock.json node_modules/', undefined],
    ['package-lock.json node_modules@', 'package-lock.json'],
    ['package-lock.json/ yarn.lock', 'yarn.lock'],
  ])('%s → %s', (names, lockName) => {
    expect(planNode(root(names))?.lockName).toBe(lockName);
  });
});

describe('planPython', () => {
  it.each([
    ['main.py', true, undefined],
    ['main.py requirements.txt', true, 'requirements'],
    ['pyproject.toml uv.lock requirements.txt', true, 'uv'],
    ['pyproject.toml uv.lock requirements.txt', false, 'requirements'],
    ['pyproject.toml uv.lock', false, 'pyproject'],
    ['pyproject.toml', true, 'pyproject'],
    ['uv.lock', true, undefined],
    ['requirements.txt python/', true, undefined],
    ['requirements.txt .venv/', true, undefined],
    ['requirements.txt .venv@', true, 'requirements'],
  ])('%s, uv %s → %s', (names, uv, plan) => {
    expect(planPython(root(names), { uv })).toBe(plan);
  });
});
