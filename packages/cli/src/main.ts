import { readFileSync } from 'node:fs';
import { CommanderError, Option, Command as Parser } from 'commander';
import { type Command, CommandError, type CommandGroup, type Flags, type Io } from './command.ts';
import { env } from './commands/env.ts';
import { keys } from './commands/keys/keys.ts';
import { logs } from './commands/logs.ts';
import { ps } from './commands/ps.ts';
import { secrets } from './commands/secrets/secrets.ts';
import { serve } from './commands/serve.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';

/** Every command there is; its name here is the word a user types. */
const commands: readonly (Command | CommandGroup)[] = [serve, env, keys, secrets, logs, ps];

/** Runs one command line; the only place that parses, prints help and renders errors. */
export async function main(argv: readonly string[], io: Io): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.ok;
  const asJson = wantsJson(argv);
  const parser = new Parser('runstead')
    .description('Run AI agents as versioned, scale-to-zero endpoints.')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .showSuggestionAfterError()
    // Behind a command, its own flags: `--version` of one is not that of the program.
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      outputError: (text, write) => {
        if (asJson) write(errorLine({ code: 'ERR_USAGE', message: text.trim().replace(/^error: /, '') }));
        else write(text);
      },
    });
  const add = (to: Parser, command: Command) => {
    const sub = to.command(command.name).description(command.description);
    sub.copyInheritedSettings(to);
    for (const { syntax, description } of command.arguments ?? []) sub.argument(syntax, description);
    for (const { syntax, description, repeatable } of command.flags) {
      const option = new Option(syntax, description);
      if (repeatable) option.argParser((value, before?: string[]) => [...(before ?? []), value]);
      sub.addOption(option);
    }
    sub.addHelpText('after', `\nExamples:\n${command.examples.map((line) => `  ${line}\n`).join('')}`);
    sub.action(async () => {
      exitCode = await command.run(sub.opts<Flags>(), io, sub.args);
    });
  };
  for (const command of commands) {
    if ('run' in command) {
      add(parser, command);
      continue;
    }
    const group = parser.command(command.name).description(command.description);
    group.copyInheritedSettings(parser);
    for (const verb of command.commands) add(group, verb);
  }
  try {
    if (argv.length === 0) {
      parser.outputHelp({ error: true });
      return EXIT.usage;
    }
    await parser.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    return render(error as Error, io, asJson);
  }
}

/** Asked before anything is parsed: also what cannot be parsed is told in the form that was wanted. */
function wantsJson(argv: readonly string[]): boolean {
  return argv.some(
    (word, at) => word === '--output=json' || (word === '--output' && argv[at + 1] === 'json'),
  );
}

function render(error: Error, io: Io, asJson: boolean): ExitCode {
  // Commander has printed its own message, and asking for help is no fault.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  const expected = error instanceof CommandError ? error : undefined;
  const hint =
    expected === undefined && !io.env.RUNSTEAD_DEBUG
      ? 'This looks like a fault of Runstead itself; RUNSTEAD_DEBUG=1 shows where.'
      : expected?.hint;
  if (asJson) {
    const { code = expected ? undefined : 'ERR_INTERNAL', requestId } = expected ?? {};
    io.stderr.write(errorLine({ code, message: error.message, hint, request_id: requestId }));
  } else {
    io.stderr.write(`error: ${error.message}\n`);
    if (hint !== undefined) io.stderr.write(`${hint}\n`);
  }
  if (expected) return expected.exitCode;
  if (io.env.RUNSTEAD_DEBUG) io.stderr.write(`${error.stack}\n`);
  return EXIT.failed;
}

function errorLine(error: object): string {
  return `${JSON.stringify({ error })}\n`;
}

function version(): string {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
