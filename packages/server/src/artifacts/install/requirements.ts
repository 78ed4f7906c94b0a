/** A requirements file, read as pip would, down to what may be installed. */
export interface Requirements {
  /** What is left of it, one requirement or option a line. */
  lines: string[];
  /** Other requirements and constraints it names, as written. */
  includes: string[];
  /** Wheels of the package it names, as written. */
  wheels: string[];
}

/** A line that is not installed: it would run code, read elsewhere, or change where packages come from. */
export class RequirementRefused extends Error {
  override readonly name = 'RequirementRefused';

  constructor(line: string, why: string) {
    super(`'${line.length > 200 ? `${line.slice(0, 200)}…` : line}' ${why}`);
  }
}

// Python's idea of where a line ends; with a narrower one, a line could hide behind another's comment.
const LINE_END = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/;

const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\s*(?:\[[\w\s,.-]*\])?/;
const VERSIONS = /^[\s\w.*+!<>=~,()-]*$/;
const MARKER = /^[\s\w.,'"()<>=!~*+-]*$/;
const ARCHIVE = /\.(?:whl|zip|tar|tgz|tbz|txz|tlz|tar\.\w+)$/i;

/** @throws RequirementRefused for the first line that is not allowed */
export function readRequirements(text: string): Requirements {
  const found: Requirements = { lines: [], includes: [], wheels: [] };
  for (const line of logicalLines(text)) {
    if (line.startsWith('-')) readOption(line, found);
    else readRequirement(line, found);
    found.lines.push(line);
  }
  return found;
}

function logicalLines(text: string): string[] {
  const joined: string[] = [];
  let open = '';
  for (const line of text.split(LINE_END)) {
    const isComment = /^\s*#/.test(line);
    if (line.endsWith('\\') && !isComment) open += line.slice(0, -1);
    else {
      joined.push(isComment ? `${open} ${line}` : open + line);
      open = '';
    }
  }
  return [...joined, open].map((line) => line.replace(/(^|\s)#.*$/, '').trim()).filter((line) => line !== '');
}

function readOption(line: string, found: Requirements): void {
  const [, name, value = ''] = /^(-[a-zA-Z]|--[a-z-]+)\s*=?\s*(.*)$/.exec(line) ?? [];
  switch (name) {
    case '--pre':
    case '--prefer-binary':
    case '--require-hashes':
      if (value === '') return;
      break;
    case '--only-binary':
      if (/^[\w.,:-]+$/.test(value)) return;
      break;
    case '-r':
    case '--requirement':
    case '-c':
    case '--constraint':
      if (!isInPackage(value)) {
        throw new RequirementRefused(line, 'is refused: only files of the package can be included');
      }
      found.includes.push(value);
      return;
    case '-e':
    case '--editable':
      throw new RequirementRefused(
        line,
        'is refused: it would run code while installing; the package’s own folder can be imported from without it',
      );
    case '-i':
    case '--index-url':
    case '--extra-index-url':
    case '--no-index':
    case '-f':
    case '--find-links':
    case '--trusted-host':
      throw new RequirementRefused(
        line,
        'is refused: where packages come from is set on the server, in pip’s own configuration',
      );
  }
  throw new RequirementRefused(line, 'is refused: this option is not among those that may be used');
}

function readRequirement(line: string, found: Requirements): void {
  // pip puts environment variables in, and this environment is the installer's.
  if (/\$\{\w+\}/.test(line)) {
    throw new RequirementRefused(line, 'is refused: variables have no meaning here');
  }
  const requirement = withoutHashes(line);
  if (/\s-/.test(requirement)) {
    throw new RequirementRefused(line, 'is refused: the only option a requirement may have is --hash');
  }
  const name = NAME.exec(requirement)?.[0];
  const rest = name === undefined ? '' : requirement.slice(name.length).trim();
  const target = requirement.split(';')[0]!.trim();
  if (rest.startsWith('@')) checkAddress(line, rest.slice(1).trim());
  else if (/^[a-z][a-z0-9.+-]*:/i.test(requirement)) checkAddress(line, requirement);
  else if (/^\.|[/\\]/.test(target) || ARCHIVE.test(target)) readPath(line, target, found);
  else {
    const [versions = '', ...markers] = rest.split(';');
    if (name === undefined || !VERSIONS.test(versions) || !MARKER.test(markers.join(';'))) {
      throw new RequirementRefused(line, 'is no requirement: a name, versions and a marker are expected');
    }
  }
}

function withoutHashes(line: string): string {
  return line.replace(/(?:\s+--hash[=\s]\s*[a-z0-9]+:[0-9a-f]+)+$/i, '');
}

function checkAddress(line: string, rest: string): void {
  const address = rest.split(/\s/)[0]!;
  if (/^file:/i.test(address)) {
    throw new RequirementRefused(line, 'is refused: name a wheel of the package by its relative path');
  }
  if (!/^https?:\/\/[^\s#?]+\.whl(?:[?#]\S*)?$/i.test(address)) {
    throw new RequirementRefused(
      line,
      'is refused: it would have to be built, which runs its code; only wheels are installed',
    );
  }
  const marker = rest.slice(address.length).trim();
  if (marker !== '' && !(marker.startsWith(';') && MARKER.test(marker.slice(1)))) {
    throw new RequirementRefused(line, 'is no requirement: only a marker may follow the address');
  }
}

function readPath(line: string, path: string, found: Requirements): void {
  if (!isInPackage(path)) {
    throw new RequirementRefused(line, 'is refused: only files of the package can be installed');
  }
  if (!/^[\w.+/-]+\.whl$/i.test(path)) {
    throw new RequirementRefused(
      line,
      'is refused: a folder or an archive would have to be built, which runs its code; only wheels are installed',
    );
  }
  found.wheels.push(path);
}

/** A relative path of plain characters that does not climb. */
function isInPackage(path: string): boolean {
  return /^[\w.+ /-]+$/.test(path) && !/^[/-]|\s-|(?:^|\/)\.\.(?:\/|$)/.test(path) && path.trim() !== '';
}
