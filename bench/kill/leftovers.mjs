import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { childrenOf, commandOf, environmentOf, processesOf } from '../processes.mjs';

/** Replaced versions drain and deleted ones are cleared away; that may take a moment after all is decided. */
const GONE_WITHIN_MS = 20_000;

/** Looks for what nothing refers to, in the table of processes and in the data folder, until it is gone or late. */
export async function findLeftovers(slots, { control, packages, server, ledger }) {
  const deadline = performance.now() + GONE_WITHIN_MS;
  for (;;) {
    const left = [
      ...server.strays().map((pid) => `process ${pid} (${commandOf(pid)})`),
      ...strangers(server, await control.instances()),
      ...unreferenced(server.data, slots, packages),
    ].filter((text) => !ledger.findings.orphans.includes(text));
    if (left.length === 0) return;
    if (performance.now() > deadline) {
      for (const text of left) ledger.add('orphans', text);
      return;
    }
    await delay(50);
  }
}

/** Processes with the folder's mark that belong to no instance the server knows. */
function strangers({ data, pid: control }, instances) {
  const owned = new Set(instances.map(({ instanceId }) => instanceId));
  const markOf = (pid) => environmentOf(pid).RUNSTEAD_INSTANCE_ID ?? '';
  // What waits for a start descends from the server; what has had one keeps its first mark, and is around an instance.
  const below = (pid) => childrenOf(pid).flatMap((it) => [it, ...below(it)]);
  const own = new Set(below(control));
  const waits = (pid) =>
    /^(pool|parent)-/.test(markOf(pid)) && (own.has(pid) || below(pid).some((it) => owned.has(markOf(it))));
  return processesOf(data)
    .filter((pid) => !owned.has(markOf(pid)) && !waits(pid))
    .map((pid) => `process ${pid} (${commandOf(pid)})`)
    .concat(
      names(data, 'instances')
        .filter((id) => !owned.has(id))
        .map((id) => `folder instances/${id}`),
    );
}

/** Packages, unpacked and packed, installs and logs of what is not there any more. */
function unreferenced(data, slots, packages) {
  const left = [];
  const digests = new Set();
  const known = new Map();
  for (const slot of slots) {
    if (!slot.runtime) continue;
    const variants = [...slot.variantsInUse()].map((variant) => packages.get(variant));
    for (const { digest } of variants) digests.add(digest);
    known.set(slot.runtime.id, variants);
  }
  for (const folder of ['code', 'deps', 'logs'])
    for (const id of names(data, folder)) if (!known.has(id)) left.push(`folder ${folder}/${id}`);
  for (const [id, variants] of known) {
    const wanted = new Set(variants.map(({ digest }) => digest));
    for (const name of names(data, 'code', id)) if (!wanted.has(name)) left.push(`folder code/${id}/${name}`);
    const installs = names(data, 'deps', id);
    const most = variants.some(({ installs: has }) => has) ? 1 : 0;
    if (installs.length > most) left.push(`folders deps/${id}/{${installs}}`);
    for (const name of installs)
      if (!names(data, 'deps', id, name).includes('complete'))
        left.push(`half-made install deps/${id}/${name}`);
  }
  for (const name of names(data, 'blobs'))
    if (name !== 'incoming' && !digests.has(name.replace(/\.zip$/, ''))) left.push(`package blobs/${name}`);
  for (const name of names(data, 'blobs', 'incoming')) left.push(`package blobs/incoming/${name}`);
  return left;
}

function names(...path) {
  try {
    return readdirSync(join(...path));
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}
