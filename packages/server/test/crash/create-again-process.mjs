// A control process over the built server that is sent one create under an `Idempotency-Key`, in its first life and in
// the one after. Arguments: the data folder, a file for the answers, the package.
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import { openSecretBox } from '../../dist/auth/secret-box.js';
import { composeControl } from '../../dist/compose.js';
import { loadConfig } from '../../dist/config.js';
import { findInterpreter } from '../../dist/drivers/process/find-interpreter.js';
import { createProcessDriver } from '../../dist/drivers/process/process-driver.js';

const [dataDir, answers, packageFile] = process.argv.slice(2);
const log = pino({ level: 'silent' });
const config = loadConfig({ dataDir, logLevel: 'silent', deleteGraceMs: 50, stopGraceMs: 500 }, {});
const box = () => openSecretBox(join(dataDir, 'keys', 'secrets.key'));
const driver = createProcessDriver({ ...config, log, box, portRange: { from: 26_000, to: 27_999 } });
const control = await composeControl({ config, driver, findInterpreter, log, publicUrl: () => '' });
const R = '/2025-09-10/agents/runtimes';
const say = (line) => appendFileSync(answers, `${JSON.stringify(line)}\n`);

const headers = { authorization: `Bearer ${control.apiKey}`, 'content-type': 'application/json' };
const response = await control.api.inject({
  method: 'POST',
  url: R,
  headers: { ...headers, 'idempotency-key': 'the-one-create' },
  payload: JSON.stringify({
    agentRuntimeName: 'one',
    artifactType: 'Code',
    codeConfiguration: { zipFile: readFileSync(packageFile).toString('base64'), language: 'nodejs18' },
    cpu: 1,
    memory: 256,
    port: 9000,
    environmentVariables: { API_KEY: 'planted-value' },
  }),
});
const { code, message, data } = response.json();
say({ status: response.statusCode, code, message, id: data?.agentRuntimeId });

/** @returns the runtimes there are, once all are decided */
async function decided() {
  for (;;) {
    const { items } = (await control.api.inject({ method: 'GET', url: R, headers })).json().data;
    if (items.every(({ status }) => !/ING$/.test(status))) return items;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
const items = await decided();
say({ runtimes: items.map((it) => [it.agentRuntimeId, it.status, it.statusReason]) });
await control.close({ stopInstances: true });
