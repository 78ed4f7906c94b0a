import { readFileSync } from 'node:fs';
import { CommandError, type Flags, type Io, type StdIn } from '../../command.ts';
import { EXIT } from '../../exit-codes.ts';

/** More than any variable can hold: what is longer was not meant. */
const READ_MAX_BYTES = 1024 * 1024;

/**
 * Reads the value of a secret from where the flags say, else from stdin; a person is asked, and sees nothing of what is
 * typed. Never from the command line, which others can read. One line end at the end is not part of it.
 * @throws CommandError
 */
export async function readValue({ fromFile, fromEnv }: Flags, io: Io): Promise<string> {
  if (fromFile !== undefined && fromEnv !== undefined)
    throw new CommandError(EXIT.usage, '--from-file and --from-env do not go together');
  if (fromEnv !== undefined) {
    const value = io.env[String(fromEnv)];
    // Not repeated: the value itself may have been given in place of the name.
    if (value === undefined)
      throw new CommandError(EXIT.usage, '--from-env must name a variable that is set');
    return value;
  }
  if (fromFile !== undefined) return withoutLineEnd(textOf(bytesOf(String(fromFile)), String(fromFile)));
  const { stdin } = io;
  if (stdin === undefined)
    throw new CommandError(
      EXIT.usage,
      'there is no stdin to read the value from; use --from-file or --from-env',
    );
  if (stdin.isTTY) return ask(stdin, io);
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of stdin) {
    pieces.push(Buffer.from(piece));
    bytes += pieces.at(-1)!.length;
    if (bytes > READ_MAX_BYTES) throw tooLong('stdin');
  }
  return withoutLineEnd(textOf(Buffer.concat(pieces), 'stdin'));
}

function bytesOf(file: string): Buffer {
  try {
    const bytes = readFileSync(file);
    if (bytes.length > READ_MAX_BYTES) throw tooLong(file);
    return bytes;
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(EXIT.usage, `--from-file cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function textOf(bytes: Buffer, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new CommandError(EXIT.usage, `what ${where} holds is no UTF-8 text, as a variable has to be`);
  }
}

function tooLong(where: string): CommandError {
  return new CommandError(EXIT.usage, `${where} holds more than ${READ_MAX_BYTES} bytes`);
}

const withoutLineEnd = (text: string) => text.replace(/\r?\n$/, '');

const CTRL_C = '\x03';
const CTRL_D = '\x04';

async function ask(stdin: StdIn, { stderr }: Io): Promise<string> {
  // Before anybody is asked: what is typed from then on does not show.
  stdin.setRawMode?.(true);
  stderr.write('Value (not shown): ');
  const decoder = new TextDecoder();
  let value = '';
  try {
    for await (const piece of stdin) {
      for (const character of decoder.decode(Buffer.from(piece), { stream: true })) {
        if (character === '\r' || character === '\n') return value;
        if (character === CTRL_C || (character === CTRL_D && value === ''))
          throw new CommandError(EXIT.failed, 'nothing was set');
        if (character === '\x7f' || character === '\b') value = [...value].slice(0, -1).join('');
        else value += character;
      }
    }
    return value;
  } finally {
    stdin.setRawMode?.(false);
    stderr.write('\n');
  }
}
