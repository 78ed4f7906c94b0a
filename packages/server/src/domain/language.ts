import type { Language } from '@runstead/contract';
import type { RuntimeSpec } from './runtime.ts';

/** The interpreter family of a spec that names none: told by the command, oldest release that the contract knows. */
export function languageOf(spec: RuntimeSpec, command: readonly string[]): Language {
  const given = spec.codeConfiguration?.language;
  if (given !== undefined) return given;
  const program = command[0]?.split('/').at(-1) ?? '';
  if (/^(node|npm|npx)$/.test(program)) return 'nodejs18';
  if (/^python3?$/.test(program)) return 'python3.10';
  return 'custom';
}
