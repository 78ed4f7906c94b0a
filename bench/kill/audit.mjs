import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { judge } from './caller.mjs';
import { describeAnswer } from './control-plane.mjs';
import { environmentOf } from './writer.mjs';

const FINAL_WITHIN_MS = 60_000;
const isMoving = ({ status }) => /ING$/.test(status ?? '');

/** Waits until everything is decided; what is not in time is noted. */
export async function untilFinal({ control, ledger }) {
  const deadline = performance.now() + FINAL_WITHIN_MS;
  for (;;) {
    const moving = [];
    for (const runtime of await control.readAll('ListAgentRuntimes', {})) {
      if (isMoving(runtime)) moving.push(`${runtime.agentRuntimeName}: ${runtime.status}`);
      const path = { agentRuntimeId: runtime.agentRuntimeId };
      for (const endpoint of await control.readAll('ListAgentRuntimeEndpoints', path).catch(() => []))
        if (isMoving(endpoint))
          moving.push(`${runtime.agentRuntimeName}/${endpoint.agentRuntimeEndpointName}: ${endpoint.status}`);
    }
    if (moving.length === 0) return;
    if (performance.now() > deadline) {
      for (const text of moving) ledger.add('notFinal', `after ${FINAL_WITHIN_MS / 1000} s ${text}`);
      return;
    }
    await delay(20);
  }
}

/**
 * Waits until the server has nothing on its way in. A request whose answer died with the gateway may lie complete with
 * the control process, and be done when its package has been taken apart.
 */
export async function untilTakenIn({ server, control }) {
  const deadline = performance.now() + FINAL_WITHIN_MS;
  // An answer shows that what had reached the control process before has been begun with; the second, that it is done.
  await control.instances();
  while (readdirSync(join(server.data, 'blobs', 'incoming')).length > 0 && performance.now() < deadline)
    await delay(10);
  await control.instances();
}

/** Finds out what became of a request without an answer: both are allowed, nothing else is. */
export async function resolvePending(slot, { control, ledger }) {
  const { pending } = slot;
  slot.pending = undefined;
  if (!pending) return;
  const { what, revision, name, targetVersion, description } = pending;
  if (what === 'create') {
    const [found] = await namesakes(slot, control);
    if (found) slot.created(found.agentRuntimeId, revision);
    return note(found);
  }
  const path = { agentRuntimeId: slot.runtime.id };
  if (what === 'update') {
    const seen = await control.read('GetAgentRuntime', path);
    const done = environmentOf(seen).REVISION === String(revision);
    if (done) slot.updated(revision);
    return note(done);
  }
  if (what === 'delete') {
    const gone = (await control.read('GetAgentRuntime', path)) === undefined;
    if (gone) slot.deleted();
    return note(gone);
  }
  if (what === 'publish') {
    // Which version was the newest at that moment is not known: any may have been stamped.
    const all = await control.readAll('ListAgentRuntimeVersions', path);
    const stamped = all.find((version) => version.description === description);
    if (stamped) slot.runtime.stamps.set(Number(stamped.agentRuntimeVersion), [description]);
    return note(stamped);
  }
  const found = (await control.readAll('ListAgentRuntimeEndpoints', path)).find(
    (endpoint) => endpoint.agentRuntimeEndpointName === name,
  );
  const { endpoints } = slot.runtime;
  if (what === 'addEndpoint' && found)
    endpoints.set(name, { id: found.agentRuntimeEndpointId, targetVersion });
  if (what === 'dropEndpoint' && !found) endpoints.delete(name);
  if (what === 'moveEndpoint' && found?.targetVersion === targetVersion)
    endpoints.set(name, { ...endpoints.get(name), targetVersion });
  return note(what === 'dropEndpoint' ? !found : found?.targetVersion === targetVersion);

  function note(done) {
    ledger.count(done ? 'unanswered, done' : 'unanswered, not done');
  }
}

function namesakes(slot, control) {
  return control.readAll('ListAgentRuntimes', {}, { agentRuntimeName: slot.name, searchMode: 'exact' });
}

/** Holds a slot that is at rest against everything that was ever acknowledged for it. */
export async function audit(slot, { control, ledger }, { thorough = false } = {}) {
  const lost = (text) => ledger.add('lost', `${slot.name}: ${text}`);
  const untrue = (text) => ledger.add('untrue', `${slot.name}: ${text}`);
  await auditGone(slot, control, lost);
  const ids = (await namesakes(slot, control)).map(({ agentRuntimeId }) => agentRuntimeId);
  if (!slot.runtime) {
    if (ids.length > 0) untrue(`a runtime of that name is there (${ids}), though none was acknowledged`);
    return;
  }
  const { id, desired, versions, endpoints, stamps } = slot.runtime;
  const path = { agentRuntimeId: id };
  const runtime = await control.read('GetAgentRuntime', path);
  if (!runtime) return lost(`the runtime ${id} is gone`);
  if (ids.length !== 1 || ids[0] !== id) untrue(`listed as ${ids}, but it is ${id}`);
  const shown = environmentOf(runtime).REVISION;
  if (shown !== String(desired)) lost(`revision ${desired} is desired, GET shows ${shown}`);

  const listed = await control.readAll('ListAgentRuntimeVersions', path);
  const numbers = listed.map((version) => Number(version.agentRuntimeVersion)).sort((a, b) => a - b);
  if (numbers.some((number, index) => number !== index + 1)) untrue(`versions are numbered ${numbers}`);
  for (const number of numbers) {
    const known = versions.get(number);
    if (known !== undefined && !thorough && number < numbers.length) continue;
    const query = { agentRuntimeVersion: String(number) };
    const version = await control.read('GetAgentRuntime', path, { query });
    const revision = Number(environmentOf(version).REVISION);
    if (known !== undefined && known !== revision)
      untrue(`version ${number} was revision ${known} and is ${revision}`);
    if (slot.sent.get(revision)?.crashes !== false)
      untrue(`version ${number} is revision ${revision}, which cannot have been healthy`);
    if (number > 1 && revision <= (versions.get(number - 1) ?? 0))
      untrue(`version ${number} is revision ${revision}, older than that of the version before`);
    versions.set(number, revision);
  }
  for (const number of versions.keys())
    if (!numbers.includes(number)) lost(`version ${number} is gone; there are ${numbers}`);
  for (const [number, allowed] of stamps) {
    const { description } = listed.find((version) => Number(version.agentRuntimeVersion) === number) ?? {};
    if (!allowed.includes(description))
      lost(`version ${number} was published as "${allowed}" and is "${description}"`);
  }
  auditStatus(slot, runtime, numbers, untrue);
  await auditEndpoints(slot, control, endpoints, { lost, untrue });
  await auditCalls(slot, control, { ledger, untrue });
}

/** Acknowledged deletes: 404 from then on. */
async function auditGone(slot, control, lost) {
  for (const id of [...slot.leaving, ...slot.gone]) {
    const seen = await control.read('GetAgentRuntime', { agentRuntimeId: id });
    if (seen) lost(`the deleted runtime ${id} is there, ${seen.status}`);
    slot.leaving.delete(id);
    slot.gone.add(id);
  }
}

function auditStatus({ runtime, sent }, { status, statusReason, agentRuntimeVersion }, numbers, untrue) {
  if (isMoving({ status })) return; // Noted as not final.
  const head = numbers.at(-1);
  if (Number(agentRuntimeVersion ?? 0) !== (head ?? 0))
    untrue(`LATEST is ${agentRuntimeVersion}, the newest version ${head}`);
  const { crashes } = sent.get(runtime.desired);
  // Of versions there may be none: then the first healthy one is still to come.
  const expected = !crashes ? /^READY$/ : head === undefined ? /^(CREATE|UPDATE)_FAILED$/ : /^UPDATE_FAILED$/;
  if (!expected.test(status))
    untrue(
      `revision ${runtime.desired} (${crashes ? 'crashes' : 'healthy'}) ended ${status}: ${statusReason}`,
    );
  else if (crashes && !/told to crash in revision/.test(statusReason))
    untrue(`the reason of a crash is told as: ${statusReason}`);
  if (!crashes && head !== undefined && runtime.versions.get(head) !== runtime.desired)
    untrue(`READY, but version ${head} is revision ${runtime.versions.get(head)}, not ${runtime.desired}`);
}

async function auditEndpoints(slot, control, endpoints, { lost, untrue }) {
  const listed = await control.readAll('ListAgentRuntimeEndpoints', { agentRuntimeId: slot.runtime.id });
  for (const [name, { id, targetVersion }] of endpoints) {
    const found = listed.find((endpoint) => endpoint.agentRuntimeEndpointName === name);
    if (found?.agentRuntimeEndpointId !== id) lost(`the endpoint ${name} (${id}) is gone`);
    else if (found.targetVersion !== targetVersion)
      lost(`the endpoint ${name} points to ${found.targetVersion}, not ${targetVersion}`);
    else if (found.status !== 'READY')
      untrue(`the endpoint ${name} is ${found.status}: ${found.statusReason}`);
  }
  for (const { agentRuntimeEndpointName: name } of listed)
    if (!endpoints.has(name))
      untrue(`there is an endpoint ${name} that nobody asked for, or that was deleted`);
}

/** What serves is what the versions say. */
async function auditCalls(slot, control, { ledger, untrue }) {
  const { versions, endpoints } = slot.runtime;
  const head = versions.size;
  if (head === 0) return;
  const asked = [
    ['Default', 'LATEST'],
    ...[...endpoints].map(([name, { targetVersion }]) => [name, targetVersion]),
  ];
  for (const [name, targetVersion] of asked) {
    const seen = await control.call(slot.name, name);
    if (seen.kind !== 'answered' || seen.status !== 200) {
      untrue(`a call to ${name}, which serves version ${targetVersion}, got ${describeAnswer(seen)}`);
      continue;
    }
    const wanted = versions.get(targetVersion === 'LATEST' ? head : Number(targetVersion));
    if (seen.body.revision !== wanted)
      untrue(
        `${name} serves version ${targetVersion} of revision ${wanted}, but ${JSON.stringify(seen.body)} answered`,
      );
    else if (name === 'Default') judge(slot, seen.body, slot.served, ledger);
  }
}
