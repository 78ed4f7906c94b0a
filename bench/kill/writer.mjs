import { setTimeout as delay } from 'node:timers/promises';
import { describeAnswer } from './control-plane.mjs';

const PAUSE_MS = 250;
const ENDPOINT_NAMES = ['blue', 'green', 'canary'];
/** How often each kind of write is made, as parts of their sum. */
const MIX = {
  update: 36,
  crash: 16,
  delete: 8,
  addEndpoint: 12,
  moveEndpoint: 10,
  dropEndpoint: 6,
  publish: 12,
};

/**
 * Writes to one slot, one request after the other, until told to stop or until a request stays without an answer.
 * @param context `{ control, ledger, isOver }`
 */
export async function write(slot, random, context) {
  while (!context.isOver() && !slot.pending) {
    const kind = slot.runtime ? weighted(MIX, random) : 'create';
    await writes[kind](slot, random, context);
    await delay(random.below(PAUSE_MS));
  }
}

const writes = {
  async create(slot, random, context) {
    const { revision, code, environmentVariables } = configuration(slot, random, {
      crashes: random.isUnder(0.15),
      needsCode: true,
    });
    const body = {
      agentRuntimeName: slot.name,
      artifactType: slot.artifacts.artifactType,
      networkConfiguration: { networkMode: 'PUBLIC' },
      cpu: 1,
      memory: 256,
      port: 9000,
      ...code,
      environmentVariables,
    };
    await send(slot, context, 'CreateAgentRuntime', {}, body, {
      pending: { what: 'create', revision },
      done: (data) => {
        if (data.agentRuntimeName !== slot.name || String(environmentOf(data).REVISION) !== String(revision))
          context.ledger.add('untrue', `create of ${slot.name} answered with ${JSON.stringify(data)}`);
        slot.created(data.agentRuntimeId, revision);
      },
      // The name of one that is on its way out is still taken.
      allowed: (status) => status === 409 && slot.leaving.size > 0,
    });
  },

  update: (slot, random, context) => update(slot, random, context, { crashes: false }),

  crash: (slot, random, context) => update(slot, random, context, { crashes: true }),

  async delete(slot, _random, context) {
    await send(slot, context, 'DeleteAgentRuntime', idOf(slot), undefined, {
      pending: { what: 'delete' },
      done: () => slot.deleted(),
    });
  },

  async addEndpoint(slot, random, context) {
    const { endpoints } = slot.runtime;
    const name = ENDPOINT_NAMES.find((candidate) => !endpoints.has(candidate));
    if (!name) return;
    const targetVersion = target(slot, random);
    const body = { agentRuntimeEndpointName: name, targetVersion };
    await send(slot, context, 'CreateAgentRuntimeEndpoint', idOf(slot), body, {
      pending: { what: 'addEndpoint', name, targetVersion },
      done: (data) => endpoints.set(name, { id: data.agentRuntimeEndpointId, targetVersion }),
      allowed: (status) => mayBeUnready(slot, status) || status === 409,
    });
  },

  async moveEndpoint(slot, random, context) {
    const [name, endpoint] = random.oneOf([...slot.runtime.endpoints, [undefined, undefined]]) ?? [];
    if (!endpoint) return;
    const targetVersion = target(slot, random);
    const path = { ...idOf(slot), agentRuntimeEndpointId: endpoint.id };
    await send(
      slot,
      context,
      'UpdateAgentRuntimeEndpoint',
      path,
      { targetVersion },
      {
        pending: { what: 'moveEndpoint', name, targetVersion },
        done: () => slot.runtime.endpoints.set(name, { ...endpoint, targetVersion }),
        allowed: (status) => mayBeUnready(slot, status),
      },
    );
  },

  async dropEndpoint(slot, random, context) {
    const [name, endpoint] = random.oneOf([...slot.runtime.endpoints, [undefined, undefined]]) ?? [];
    if (!endpoint) return;
    const path = { ...idOf(slot), agentRuntimeEndpointId: endpoint.id };
    await send(slot, context, 'DeleteAgentRuntimeEndpoint', path, undefined, {
      pending: { what: 'dropEndpoint', name },
      done: () => slot.runtime.endpoints.delete(name),
    });
  },

  async publish(slot, random, context) {
    const description = `stamp ${Math.floor(random.below(1e9))}`;
    await send(
      slot,
      context,
      'PublishRuntimeVersion',
      idOf(slot),
      { description },
      {
        pending: { what: 'publish', description },
        done: (data) => {
          if (data.description !== description)
            context.ledger.add('untrue', `publish of "${description}" answered "${data.description}"`);
          slot.runtime.stamps.set(Number(data.agentRuntimeVersion), [description]);
        },
        allowed: (status) => mayBeUnready(slot, status),
      },
    );
  },
};

async function update(slot, random, context, { crashes }) {
  const { revision, code, environmentVariables } = configuration(slot, random, { crashes });
  const body = { ...code, environmentVariables };
  await send(slot, context, 'UpdateAgentRuntime', idOf(slot), body, {
    pending: { what: 'update', revision },
    done: (data) => {
      if (String(environmentOf(data).REVISION) !== String(revision))
        context.ledger.add(
          'untrue',
          `update of ${slot.name} to ${revision} answered ${JSON.stringify(data)}`,
        );
      slot.updated(revision);
    },
  });
}

/** Sends one write and notes what is known of it afterwards. */
async function send(slot, { control, ledger }, operation, path, body, { pending, done, allowed }) {
  const seen = await control.send(operation, path, { body });
  if (seen.kind === 'refused') return;
  if (seen.kind === 'silent') {
    ledger.count('without an answer');
    slot.pending = pending;
    return;
  }
  if (seen.ok) {
    ledger.count('acknowledged');
    done(seen.data);
  } else if (allowed?.(seen.status)) {
    ledger.count('refused');
  } else {
    // Everything else that is refused should have been possible by what was acknowledged before.
    const kind = seen.status === 404 ? 'lost' : 'untrue';
    ledger.add(kind, `${operation} on ${slot.name} ${JSON.stringify(path)}: ${describeAnswer(seen)}`);
  }
}

function configuration(slot, random, { crashes, needsCode = false }) {
  const { variants } = slot.artifacts;
  const withCode = needsCode || random.isUnder(0.4);
  const variant = withCode ? random.oneOf([...variants.keys()]) : slot.sent.get(slot.runtime.desired).variant;
  const revision = slot.nextRevision({ variant, crashes });
  return {
    revision,
    code: withCode ? variants.get(variant).configuration : {},
    environmentVariables: {
      RUNTIME: slot.name,
      REVISION: String(revision),
      ...(crashes && { CRASH: 'yes' }),
    },
  };
}

export function environmentOf(data) {
  return data?.environmentVariables ?? {};
}

const idOf = (slot) => ({ agentRuntimeId: slot.runtime.id });

const target = (slot, random) => random.oneOf(['LATEST', ...slot.runtime.versions.keys()].map(String));

/** Before the first version is known to be there, writes below a runtime may come too early. */
const mayBeUnready = (slot, status) => status === 400 && slot.runtime.versions.size === 0;

function weighted(mix, random) {
  let left = random.below(Object.values(mix).reduce((sum, part) => sum + part, 0));
  for (const [kind, part] of Object.entries(mix)) {
    left -= part;
    if (left < 0) return kind;
  }
  throw new Error('the parts of a mix are all positive');
}
