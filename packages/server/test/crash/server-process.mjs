// A control process over the built server, without a gateway, that is given a story to act out. Two arguments: the data
// folder and a file for what has been acknowledged. `tell` says what there is once everything has come to rest.
import { appendFileSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import { openSecretBox } from '../../dist/auth/secret-box.js';
import { composeControl } from '../../dist/compose.js';
import { loadConfig } from '../../dist/config.js';
import { findInterpreter } from '../../dist/drivers/process/find-interpreter.js';
import { createProcessDriver } from '../../dist/drivers/process/process-driver.js';

const [dataDir, mode, acknowledged, packages] = process.argv.slice(2);
const logged = [];
const log = pino({ level: 'error' }, { write: (line) => logged.push(JSON.parse(line)) });
const config = loadConfig({ dataDir, logLevel: 'error', deleteGraceMs: 50, stopGraceMs: 500 }, {});
const box = () => openSecretBox(join(dataDir, 'keys', 'secrets.key'));
const driver = createProcessDriver({ ...config, log, box, portRange: { from: 24_000, to: 25_999 } });
const control = await composeControl({ config, driver, findInterpreter, log, publicUrl: () => '' });
const R = '/2025-09-10/agents/runtimes';

async function call(method, url, body) {
  const response = await control.api.inject({
    method,
    url,
    headers: { authorization: `Bearer ${control.apiKey}`, 'content-type': 'application/json' },
    ...(body !== undefined && { payload: JSON.stringify(body) }),
  });
  return { status: response.statusCode, ...response.json() };
}

async function until(look, tries = 6000) {
  for (let i = 0; i < tries; i++) {
    const seen = await look();
    if (seen) return seen;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`waited in vain: ${look}`);
}

const idOf = async (name) =>
  (await call('GET', `${R}?agentRuntimeName=${name}&searchMode=exact`)).data.items[0]?.agentRuntimeId;
const settled = (id) =>
  until(async () => {
    const { status, data } = await call('GET', `${R}/${id}`);
    return status === 404 || !/ING$/.test(data.status);
  });
const endpointsSettled = (id) =>
  until(async () => {
    const { data } = await call('GET', `${R}/${id}/endpoints`);
    // Gone with its runtime.
    return data === undefined || data.items.every(({ status }) => !/ING$/.test(status));
  });

const zip = (name) => readFileSync(join(packages, `${name}.zip`)).toString('base64');
const env = (VALUE) => ({ environmentVariables: { VALUE } });
const create = (agentRuntimeName, code, value) =>
  call('POST', R, {
    agentRuntimeName,
    artifactType: 'Code',
    codeConfiguration: code,
    cpu: 1,
    memory: 256,
    port: 9000,
    ...env(value),
  });

/** Each ends when all is at rest, so that what there is after it can be told in advance. */
const STORY = [
  () => create('one', { zipFile: zip('locked'), language: 'nodejs18' }, 'a'),
  async () =>
    call('POST', `${R}/${await idOf('one')}/endpoints`, {
      agentRuntimeEndpointName: 'pin',
      targetVersion: '1',
    }),
  async () => call('PUT', `${R}/${await idOf('one')}`, env('b')),
  async () => call('PUT', `${R}/${await idOf('one')}`, { codeConfiguration: { zipFile: zip('changed') } }),
  async () => call('PUT', `${R}/${await idOf('one')}`, env('bad')),
  async () => call('POST', `${R}/${await idOf('one')}/versions`, { description: 'published' }),
  async () => {
    const id = await idOf('one');
    const { data } = await call('GET', `${R}/${id}/endpoints`);
    return call('PUT', `${R}/${id}/endpoints/${data.items[0].agentRuntimeEndpointId}`, {
      targetVersion: '2',
    });
  },
  () => create('two', { ossBucketName: 'packages', ossObjectName: 'plain.zip', language: 'nodejs18' }, 'a'),
  async () => call('PUT', `${R}/${await idOf('two')}`, { agentRuntimeName: 'renamed', ...env('b') }),
  async () => {
    const id = await idOf('one');
    const { data } = await call('GET', `${R}/${id}/endpoints`);
    return call('DELETE', `${R}/${id}/endpoints/${data.items[0].agentRuntimeEndpointId}`);
  },
  async () => call('DELETE', `${R}/${await idOf('one')}`),
];

/** Everything a caller can see, without what differs from run to run. */
async function tell() {
  const runtimes = [];
  const { data } = await call('GET', R);
  for (const { agentRuntimeId: id } of data.items) {
    await settled(id);
    await endpointsSettled(id);
    const { status, data: runtime } = await call('GET', `${R}/${id}`);
    if (status === 404) continue;
    const versions = [];
    for (const { agentRuntimeVersion, description } of (await call('GET', `${R}/${id}/versions`)).data
      .items) {
      const version = (await call('GET', `${R}/${id}?agentRuntimeVersion=${agentRuntimeVersion}`)).data;
      versions.push([
        agentRuntimeVersion,
        version.environmentVariables.VALUE,
        version.codeConfiguration,
        description,
      ]);
    }
    const endpoints = (await call('GET', `${R}/${id}/endpoints`)).data.items;
    runtimes.push({
      name: runtime.agentRuntimeName,
      status: runtime.status,
      reason: runtime.statusReason?.replace(/ after [\d.]+ s/, ''),
      wants: runtime.environmentVariables.VALUE,
      code: runtime.codeConfiguration,
      versions,
      endpoints: endpoints.map((it) => [it.agentRuntimeEndpointName, it.targetVersion, it.status]),
    });
  }
  return runtimes.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** What lies in the data folder that nothing refers to. */
async function strays() {
  const ids = new Set(await control.store.runtimeIds());
  const found = [];
  const names = (folder) => readdirSync(join(dataDir, folder));
  for (const folder of ['code', 'deps']) {
    for (const id of names(folder)) {
      if (!ids.has(id)) found.push(`${folder}/${id}`);
      for (const name of names(join(folder, id)))
        if (name.endsWith('.tmp')) found.push(`${folder}/${id}/${name}`);
    }
  }
  const digests = await control.store.artifactDigests();
  for (const name of names('blobs'))
    if (name !== 'incoming' && !digests.has(name.replace('.zip', ''))) found.push(`blobs/${name}`);
  for (const name of names(join('blobs', 'incoming'))) found.push(`blobs/incoming/${name}`);
  const running = new Set(driver.list().map(({ instanceId }) => instanceId));
  for (const name of names('instances')) if (!running.has(name)) found.push(`instances/${name}`);
  return found;
}

const say = (line) => appendFileSync(acknowledged, `${JSON.stringify(line)}\n`);
if (mode === 'act') {
  for (const [number, act] of STORY.entries()) {
    const { status, message } = await act();
    say({ acknowledged: number, status, message });
    say({ after: number, there: await tell() });
  }
} else {
  const there = await tell();
  // What is deleted is gone for callers before the last of its files is.
  await until(async () => (await strays()).length === 0, 500).catch(() => {});
  say({
    there,
    strays: await strays(),
    logged: logged.map(({ msg, err }) => `${msg} ${err?.message ?? ''}`),
  });
}
await control.close({ stopInstances: true });
