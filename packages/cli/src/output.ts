import { CommandError, type Flags } from './command.ts';
import { EXIT } from './exit-codes.ts';

const OUTPUTS = ['table', 'json', 'quiet'] as const;
export type Output = (typeof OUTPUTS)[number];

/** How a command prints its data. @param quiet what `quiet` prints */
export function outputFlag(quiet: string) {
  return {
    syntax: '--output <form>',
    description: `table, json, or quiet: ${quiet} alone (default: table)`,
  };
}

/** @throws CommandError */
export function outputOf({ output = 'table' }: Flags): Output {
  if ((OUTPUTS as readonly unknown[]).includes(output)) return output as Output;
  throw new CommandError(EXIT.usage, `--output must be one of ${OUTPUTS.join(', ')}; got "${output}"`);
}

/** Columns side by side, two spaces apart. Nothing of a cell can move the terminal's cursor or change its colours. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows].map((row) => row.map(printable));
  const widths = head.map((_, column) => Math.max(...lines.map((cells) => [...cells[column]!].length)));
  return lines
    .map((cells) => cells.map((cell, column) => cell + ' '.repeat(widths[column]! - [...cell].length)))
    .map((cells) => `${cells.join('  ').trimEnd()}\n`)
    .join('');
}

/** Names and their values, one a line. */
export function listing(entries: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${printable(value)}\n`).join('');
}

/** On one line, and with nothing in it that a terminal would obey. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ');
}
