import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { trustVariables } from '../src/trust.ts';
import { writeVariables } from '../src/variables.ts';
import { runCli } from './run-cli.ts';

const CA = '-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n';
const OTHER = '-----BEGIN CERTIFICATE-----\ntheirs\n-----END CERTIFICATE-----\n';
const KEY = { apiKey: 'rsk_test', accessKeyId: 'raktest', accessKeySecret: "test'secret" };

let data: string;
beforeEach(() => {
  data = join(mkdtempSync(join(tmpdir(), "runstead-env ' ")), 'data');
  onTestFinished(() => rmSync(join(data, '..'), { recursive: true, force: true }));
  mkdirSync(join(data, 'run'), { recursive: true });
  mkdirSync(join(data, 'keys'));
  writeFileSync(join(data, 'keys', 'ca.pem'), CA);
  writeFileSync(join(data, 'local-key.json'), JSON.stringify(KEY));
});

function running(record: object = {}): void {
  const whole = {
    pid: process.pid,
    startedAt: '2026-01-01T00:00:00.000Z',
    url: 'http://127.0.0.1:7700',
    localUrl: 'http://127.0.0.1:7700',
    tlsUrl: 'https://127.0.0.1:7443',
    caFile: join(data, 'keys', 'ca.pem'),
    accountId: '42',
    region: 'cn-test',
    ...record,
  };
  writeFileSync(join(data, 'run', 'server.json'), JSON.stringify(whole));
}

const env = (argv: string[] = [], variables: Record<string, string> = {}) =>
  runCli(['env', '--data', data, ...argv], variables);
const asJson = async (variables: Record<string, string> = {}) => {
  const result = await env(['--format', 'json'], variables);
  return { ...result, values: JSON.parse(result.stdout) as Record<string, string> };
};

describe('runstead env', () => {
  test('tells what official clients and ours need, with TLS for the control plane', async () => {
    running();
    const { values, exitCode } = await asJson();
    const bundle = join(data, 'run', 'ca-bundle.pem');
    expect(exitCode).toBe(0);
    expect(values).toEqual({
      AGENTRUN_ACCESS_KEY_ID: 'raktest',
      AGENTRUN_ACCESS_KEY_SECRET: "test'secret",
      AGENTRUN_ACCOUNT_ID: '42',
      AGENTRUN_REGION: 'cn-test',
      AGENTRUN_CONTROL_ENDPOINT: 'https://127.0.0.1:7443',
      AGENTRUN_DATA_ENDPOINT: 'https://127.0.0.1:7443',
      RUNSTEAD_BASE_URL: 'http://127.0.0.1:7700',
      RUNSTEAD_API_KEY: 'rsk_test',
      SSL_CERT_FILE: bundle,
      REQUESTS_CA_BUNDLE: bundle,
      CURL_CA_BUNDLE: bundle,
      NODE_EXTRA_CA_CERTS: join(data, 'keys', 'ca.pem'),
    });
  });

  test('is lines that a shell can evaluate, whatever the values hold', async () => {
    running();
    const { stdout } = await env();
    const script = 'eval "$1"; printf "%s\\n" "$AGENTRUN_ACCESS_KEY_SECRET" "$SSL_CERT_FILE"';
    const run = spawnSync('/bin/sh', ['-c', script, 'sh', stdout], { encoding: 'utf8', env: {} });
    expect(run.stderr).toBe('');
    expect(run.stdout).toBe(`test'secret\n${join(data, 'run', 'ca-bundle.pem')}\n`);
  });

  test('without TLS it says how to turn it on, and never leaves a client to the cloud', async () => {
    running({ tlsUrl: undefined, caFile: undefined });
    const { values, stderr } = await asJson();
    expect(stderr).toMatch(/TLS is off.*--tls-port 7443/s);
    expect(values.AGENTRUN_CONTROL_ENDPOINT).toBe('http://127.0.0.1:7700');
    expect(values).not.toHaveProperty('SSL_CERT_FILE');
  });

  test('takes the public address for the control plane where a proxy speaks TLS', async () => {
    running({ tlsUrl: undefined, caFile: undefined, url: 'https://agents.example.com' });
    const { values, stderr } = await asJson();
    expect(stderr).toBe('');
    expect(values).toMatchObject({
      AGENTRUN_CONTROL_ENDPOINT: 'https://agents.example.com',
      RUNSTEAD_BASE_URL: 'http://127.0.0.1:7700',
    });
  });

  test('with a certificate of the operator’s own, leaves alone what clients trust', async () => {
    running({ caFile: undefined });
    const { values, stderr } = await asJson();
    expect(stderr).toMatch(/certificate is your own/);
    expect(values).not.toHaveProperty('NODE_EXTRA_CA_CERTS');
  });

  test('warns of a token that clients would send along', async () => {
    running();
    const { stderr } = await asJson({ ALIBABA_CLOUD_SECURITY_TOKEN: 'testtoken' });
    expect(stderr).toMatch(/unset ALIBABA_CLOUD_SECURITY_TOKEN/);
    expect(stderr).not.toContain('testtoken');
  });

  test.each<[string, () => void]>([
    ['never ran', () => {}],
    // Its number is beyond what the system gives.
    ['was killed', () => running({ pid: 2 ** 30 })],
    ['left half a record', () => writeFileSync(join(data, 'run', 'server.json'), '{"pid":')],
  ])('exits with 7 and advice when a server %s', async (_, before) => {
    before();
    const { exitCode, stdout, stderr } = await env();
    expect({ exitCode, stdout }).toEqual({ exitCode: 7, stdout: '' });
    expect(stderr).toMatch(/no server runs on the data folder .*data\nStart one with "runstead serve"/);
  });

  test('exits with 3 when the key cannot be read', async () => {
    running();
    writeFileSync(join(data, 'local-key.json'), '{"apiKey":"rsk_test"}');
    expect(await env()).toMatchObject({ exitCode: 3, stdout: '' });
  });

  test('refuses a form there is not', async () => {
    const { exitCode, stderr } = await env(['--format', 'fish']);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/--format must be one of shell, json, dotenv, powershell; got "fish"/);
  });
});

describe('what clients trust', () => {
  const systemFile = () => join(data, 'system.pem');
  const trust = (
    variables: Record<string, string> = {},
    systemBundles = [join(data, 'none'), systemFile()],
  ) => {
    const notes: string[] = [];
    const result = trustVariables({
      caFile: join(data, 'keys', 'ca.pem'),
      dataDir: data,
      env: variables,
      note: (text) => notes.push(text),
      systemBundles,
    });
    return { result, notes, bundle: readFileSync(result.SSL_CERT_FILE!, 'utf8') };
  };
  beforeEach(() => writeFileSync(systemFile(), OTHER.replace('theirs', 'system')));

  test('is what the system trusts, and the local authority', () => {
    const { bundle, notes } = trust();
    expect(bundle).toContain('ours');
    expect(bundle).toContain('system');
    expect(notes.join()).toContain(systemFile());
  });

  test('is what Node trusts where the system keeps no such file', () => {
    const { bundle } = trust({}, []);
    expect(bundle).toContain('ours');
    expect(bundle).toContain(rootCertificates[0]!);
  });

  test.each(['SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE'])(
    'is what %s named before, also when it is done twice',
    (variable) => {
      const own = join(data, 'own.pem');
      writeFileSync(own, OTHER);
      const first = trust({ [variable]: own });
      expect(first.bundle).toContain('theirs');
      expect(first.bundle).not.toContain('system');
      const again = trust(first.result);
      expect(again.bundle).toBe(first.bundle);
    },
  );

  test('keeps what NODE_EXTRA_CA_CERTS named before, also when it is done twice', () => {
    const own = join(data, 'own.pem');
    writeFileSync(own, OTHER);
    const first = trust({ NODE_EXTRA_CA_CERTS: own }).result;
    const again = trust(first).result;
    const text = readFileSync(again.NODE_EXTRA_CA_CERTS!, 'utf8');
    expect(text).toContain('ours');
    expect(text.match(/theirs/g)).toHaveLength(1);
    expect(text.match(/ours/g)).toHaveLength(1);
  });

  test('passes over what is no file of certificates, and says so', () => {
    const { bundle, notes } = trust({ REQUESTS_CA_BUNDLE: data });
    expect(bundle).toContain('system');
    expect(notes.join()).toMatch(/REQUESTS_CA_BUNDLE names .* passed over/);
  });
});

test.each([
  ['shell', "export A='it'\\''s $HOME `x` \"y\"'\n"],
  ['dotenv', 'A="it\'s \\$HOME \\`x\\` \\"y\\""\n'],
  ['powershell', "$env:A = 'it''s $HOME `x` \"y\"'\n"],
  ['json', '{\n  "A": "it\'s $HOME `x` \\"y\\""\n}\n'],
] as const)('a value with quotes is written whole as %s', (format, expected) => {
  expect(writeVariables(format, { A: 'it\'s $HOME `x` "y"' })).toBe(expected);
});
