import { readFileSync } from 'node:fs';
import { CommanderError, Command as Parser } from 'commander';
import { type Command, CommandError, type Io } from './command.ts';
import { serve } from './commands/serve.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';

/** Every command there is; its name here is the word a user types. */
const commands: readonly Command[] = [serve];

/** Runs one command line; the only place that parses, prints help and renders errors. */
export async function main(argv: readonly string[], io: Io): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.ok;
  const parser = new Parser('runstead')
    .description('Run AI agents as versioned, scale-to-zero endpoints.')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
    });
  for (const command of commands) {
    const sub = parser.command(command.name).description(command.description);
    sub.copyInheritedSettings(parser);
    for (const { syntax, description } of command.flags) sub.option(syntax, description);
    sub.addHelpText('after', `\nExamples:\n${command.examples.map((line) => `  ${line}\n`).join('')}`);
    sub.action(async (flags: Record<string, string | boolean | undefined>) => {
      exitCode = await command.run(flags, io);
    });
  }
  try {
    if (argv.length === 0) {
      parser.outputHelp({ error: true });
      return EXIT.usage;
    }
    await parser.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    return render(error as Error, io);
  }
}

function render(error: Error, io: Io): ExitCode {
  // Commander has printed its own message, and asking for help is no fault.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error instanceof CommandError) {
    io.stderr.write(`error: ${error.message}\n`);
    return error.exitCode;
  }
  io.stderr.write(`error: ${error.message}\n`);
  if (io.env.RUNSTEAD_DEBUG) io.stderr.write(`${error.stack}\n`);
  else io.stderr.write('This looks like a fault of Runstead itself; RUNSTEAD_DEBUG=1 shows where.\n');
  return EXIT.failed;
}

function version(): string {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
