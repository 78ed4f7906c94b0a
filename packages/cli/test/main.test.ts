import { describe, expect, test } from 'vitest';
import manifest from '../package.json' with { type: 'json' };
import { runCli } from './run-cli.ts';

describe('asking what there is', () => {
  test.each(['--version', '-V'])('%s prints the version alone, and is no fault', async (flag) => {
    expect(await runCli([flag])).toEqual({ exitCode: 0, stdout: `${manifest.version}\n`, stderr: '' });
  });

  test.each(['--help', '-h'])('%s prints help to stdout, with every command', async (flag) => {
    const { exitCode, stdout, stderr } = await runCli([flag]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^Usage: runstead /);
    expect(stdout).toMatch(/^ +serve .+/m);
    expect(stderr).toBe('');
  });

  test('help of a command lists its flags with their defaults, and examples', async () => {
    const { exitCode, stdout, stderr } = await runCli(['serve', '--help']);
    expect(exitCode).toBe(0);
    expect(stderr).toBe('');
    for (const flag of [
      '--port',
      '--host',
      '--data',
      '--on-exit',
      '--log-level',
      '--tls-port',
      '--domains',
    ]) {
      expect(stdout).toMatch(new RegExp(`${flag} <[^>]+>[\\s\\S]*?\\(default: .+?\\)`));
    }
    expect(stdout).toMatch(/Examples:\n {2}runstead serve\n/);
  });
});

describe('a command line that cannot be used exits with 2, says why on stderr, and prints nothing to stdout', () => {
  const cases: { what: string; argv: string[]; says: RegExp }[] = [
    { what: 'no command: the help', argv: [], says: /^Usage: runstead .*serve/s },
    {
      what: 'an unknown command: the one that was probably meant',
      argv: ['serv'],
      says: /unknown command 'serv'.*Did you mean serve\?/s,
    },
    { what: 'an unknown command like none', argv: ['frobnicate'], says: /unknown command 'frobnicate'/ },
    {
      what: 'an unknown flag: the one that was probably meant',
      argv: ['serve', '--prot', '0'],
      says: /unknown option '--prot'.*Did you mean --port\?/s,
    },
    {
      what: 'a flag without its value',
      argv: ['serve', '--port'],
      says: /'--port <number>' argument missing/,
    },
    { what: 'a word too many', argv: ['serve', 'here'], says: /too many arguments|here/ },
    { what: 'a port that is no number', argv: ['serve', '--port', 'http'], says: /--port .*got "http"/ },
    { what: 'a port out of range', argv: ['serve', '--port', '65536'], says: /--port .*65535.*got "65536"/ },
    { what: 'a negative port', argv: ['serve', '--port=-1'], says: /--port .*got "-1"/ },
    { what: 'a port without digits', argv: ['serve', '--port', ''], says: /--port .*got ""/ },
    {
      what: 'an ending there is not',
      argv: ['serve', '--on-exit', 'explode'],
      says: /--on-exit must be one of stop, keep; got "explode"/,
    },
    {
      what: 'a level there is not',
      argv: ['serve', '--log-level', 'loud'],
      says: /--log-level must be one of debug, info, warn, error, silent; got "loud"/,
    },
    {
      what: 'an address that others can reach',
      argv: ['serve', '--host', '0.0.0.0'],
      says: /--host must be a loopback address .*got "0\.0\.0\.0"\. .*--tls-port.*--insecure-http/,
    },
    {
      what: 'half a certificate',
      argv: ['serve', '--tls-port', '0', '--tls-cert', 'cert.pem'],
      says: /RUNSTEAD_TLS_KEY is needed/,
    },
    {
      what: 'a domain that is none',
      argv: ['serve', '--domains', 'chat'],
      says: /--domains must be hosts .*got "chat"/,
    },
  ];

  test.each(cases)('$what', async ({ argv, says }) => {
    const { exitCode, stdout, stderr } = await runCli(argv);
    expect(stderr).toMatch(says);
    expect(stderr).not.toMatch(/\n {4}at /);
    expect(stdout).toBe('');
    expect(exitCode).toBe(2);
  });

  const variables: [name: string, value: string][] = [
    ['RUNSTEAD_PORT', '70000'],
    ['RUNSTEAD_ON_EXIT', 'explode'],
    ['RUNSTEAD_IDLE_STOP', 'soon'],
    ['RUNSTEAD_BODY_LIMIT', '12 parsecs'],
    ['RUNSTEAD_PUBLIC_URL', 'agents.example.com'],
    ['RUNSTEAD_PARALLEL_STARTS', '0'],
  ];
  test.each(variables)('a variable that cannot be read: %s=%s', async (name, value) => {
    const { exitCode, stdout, stderr } = await runCli(['serve'], { [name]: value });
    expect(stderr).toMatch(/^error: /);
    expect(stderr).toContain(name);
    expect(stderr).toContain(`got "${value}"`);
    expect(stdout).toBe('');
    expect(exitCode).toBe(2);
  });
});
