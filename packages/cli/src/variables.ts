/** Ways to write variables for somebody else to read. */
export const FORMATS = ['shell', 'json', 'dotenv', 'powershell'] as const;
export type Format = (typeof FORMATS)[number];

export function isFormat(text: unknown): text is Format {
  return (FORMATS as readonly unknown[]).includes(text);
}

/**
 * @example writeVariables('shell', { A: "it's" }) // export A='it'\''s'
 */
export function writeVariables(format: Format, variables: Record<string, string>): string {
  if (format === 'json') return `${JSON.stringify(variables, null, 2)}\n`;
  return Object.entries(variables)
    .map(([name, value]) => `${line[format](name, value)}\n`)
    .join('');
}

const line = {
  // Within single quotes nothing means anything but the quote itself.
  shell: (name: string, value: string) => `export ${name}='${value.replaceAll("'", "'\\''")}'`,
  dotenv: (name: string, value: string) =>
    /['\r\n]/.test(value)
      ? `${name}="${value
          .replace(/[\\"$`]/g, '\\$&')
          .replaceAll('\n', '\\n')
          .replaceAll('\r', '\\r')}"`
      : `${name}='${value}'`,
  // Typographic quotes end a string there as well.
  powershell: (name: string, value: string) => `$env:${name} = '${value.replace(/['‘’‚‛]/g, '$&$&')}'`,
};
