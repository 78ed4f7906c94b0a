import { describe, expect, it } from 'vitest';
import { RequirementRefused, readRequirements } from './requirements.ts';

describe('readRequirements', () => {
  it('takes names, versions, extras, markers, hashes and comments', () => {
    const text = [
      '# what the agent needs',
      'six==1.16.0',
      'uvicorn[standard] >= 0.20, < 1 ; python_version >= "3.10" and sys_platform != \'win32\'  # a server',
      'requests (>=2)',
      'pinned==1.0 \\',
      '    --hash=sha256:0123abcd \\',
      '    --hash=sha256:4567ef01',
      '',
      '--prefer-binary',
      '--only-binary=:all:',
    ].join('\n');
    expect(readRequirements(text).lines).toEqual([
      'six==1.16.0',
      'uvicorn[standard] >= 0.20, < 1 ; python_version >= "3.10" and sys_platform != \'win32\'',
      'requests (>=2)',
      'pinned==1.0     --hash=sha256:0123abcd     --hash=sha256:4567ef01',
      '--prefer-binary',
      '--only-binary=:all:',
    ]);
  });

  it('finds files and wheels of the package', () => {
    expect(
      readRequirements(
        '-r more/base.txt\n-cpins.txt\n--requirement=dev.txt\n./wheels/a-1.0-py3-none-any.whl\n' +
          'https://example.test/b-1.0-py3-none-any.whl#sha256=00\n' +
          'c @ https://example.test/c-1.0-py3-none-any.whl ; python_version > "3"',
      ),
    ).toMatchObject({
      includes: ['more/base.txt', 'pins.txt', 'dev.txt'],
      wheels: ['./wheels/a-1.0-py3-none-any.whl'],
    });
  });

  const refused: [string, string, RegExp][] = [
    ['an editable install', '-e .', /run code while installing/],
    ['an editable install, glued', '-e.', /run code/],
    ['an editable repository', '--editable git+https://example.test/x.git#egg=x', /run code/],
    ['a repository', 'git+https://example.test/x.git', /would have to be built/],
    ['a repository by name', 'x @ git+ssh://git@example.test/x.git@main', /would have to be built/],
    ['an archive at an address', 'https://example.test/x-1.0.tar.gz', /would have to be built/],
    [
      'an archive that ends like a wheel',
      'x @ https://example.test/x.tar.gz#y.whl',
      /would have to be built/,
    ],
    ['a file address', 'file:///etc/passwd', /relative path/],
    ['a file address by name', 'x @ file:///tmp/x-1.0-py3-none-any.whl', /relative path/],
    ['the package itself', '.', /would have to be built/],
    ['the package itself, with extras', '.[dev]', /would have to be built|only files of the package/],
    ['a folder', './lib', /would have to be built/],
    ['a folder without a dot', 'lib/near', /would have to be built/],
    ['an archive of the package', 'x-1.0.tar.gz', /would have to be built/],
    ['a wheel outside', '../x-1.0-py3-none-any.whl', /only files of the package/],
    ['a wheel at an absolute path', '/tmp/x-1.0-py3-none-any.whl', /only files of the package/],
    ['an include outside', '-r ../base.txt', /only files of the package/],
    ['an include in the middle of the way out', '-r a/../../base.txt', /only files of the package/],
    ['an include at an address', '-r https://example.test/base.txt', /only files of the package/],
    ['an absolute constraint', '-c /etc/passwd', /only files of the package/],
    ['two options in one line', '-r a.txt -i http://127.0.0.1:1', /only files of the package/],
    ['an index', '--index-url http://127.0.0.1:1/simple', /set on the server/],
    ['an index, short', '-i http://127.0.0.1:1/simple', /set on the server/],
    ['one more index', '--extra-index-url=http://127.0.0.1:1', /set on the server/],
    ['a folder of links', '--find-links /tmp', /set on the server/],
    ['an abbreviated option', '--index=http://127.0.0.1:1', /not among those/],
    ['building allowed again', '--no-binary :all:', /not among those/],
    ['an option behind a harmless one', '--pre --index-url http://127.0.0.1:1', /not among those/],
    ['an option behind a requirement', 'six --config-settings=a=b', /--hash/],
    ['an option behind a marker', 'six ; python_version > "3" --global-option=x', /--hash/],
    ['an option between hashes', 'six --hash=sha256:00 --global-option=x', /--hash/],
    ['a variable of the installer', `x @ https://example.test/$\{PIP_INDEX_URL}/x.whl`, /variables/],
    ['nonsense', 'what is this?', /no requirement/],
  ];
  it.each(refused)('refuses %s', (_name, line, reason) => {
    const read = () => readRequirements(`six\n${line}\n`);
    expect(read).toThrow(RequirementRefused);
    expect(read).toThrow(reason);
    expect(read).toThrow(`'${line}'`);
  });

  it.each(['\r', '\f', '\u2028', '\x85', '\x1c'])('sees a line that hides behind %j', (end) => {
    expect(() => readRequirements(`six # harmless${end}-e .`)).toThrow("'-e .'");
  });

  it('sees an option that a continuation puts together', () => {
    expect(() => readRequirements('--ind\\\nex-url http://127.0.0.1:1')).toThrow(/set on the server/);
  });
});
