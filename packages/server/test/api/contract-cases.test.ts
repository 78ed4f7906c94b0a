import {
  type ErrorCode,
  errorTable,
  type Operation,
  type OperationName,
  operationPaths,
  operations,
} from '@runstead/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  ABSENT,
  type Ask,
  containerRuntime,
  endpointAt,
  head,
  openTestApi,
  runtimeAt,
  type Stage,
  sendBytes,
  type TestApi,
  workspaceIn,
} from './harness.ts';

/**
 * What every operation refuses, as one table: status, code and message, and that nothing has changed after. What is
 * taken, and what a message says to the letter, stands in the files of each operation.
 */

let api: TestApi;
/** Resources by the names the cases have for them. */
const there: Record<string, string> = { absent: ABSENT };
/** What the store and the folder of packages held before the first case. */
let before: unknown;

const STAGES = {
  ready: 'READY',
  creating: 'CREATING',
  createFailed: 'CREATE_FAILED',
  deleting: 'DELETING',
  deleteFailed: 'DELETE_FAILED',
} as const satisfies Record<string, Stage>;

beforeAll(async () => {
  api = await openTestApi();
  for (const [name, stage] of Object.entries(STAGES)) {
    const runtime = await runtimeAt(api, stage, { versions: 3 });
    there[name] = runtime.id;
    there[`${name}Name`] = runtime.name;
    there[`${name}Endpoint`] = await endpointAt(api, runtime.id, 'prod');
  }
  await endpointAt(api, there.ready!, 'other');
  there.workspace = await workspaceIn(api, 'empty');
  there.busyWorkspace = await workspaceIn(api, 'busy');
  await runtimeAt(api, 'DELETING', { workspaceId: there.busyWorkspace });
  there.defaultWorkspace = (await api.store.defaultWorkspace()).id;
  before = await snapshot();
});
afterAll(() => api.close());

const EVERYTHING = { pageNumber: 1, pageSize: 1000 };

async function snapshot(): Promise<unknown> {
  const { store } = api;
  const ids = await store.runtimeIds();
  const each = async (id: string) => [
    await store.getRuntime(id),
    await store.versions(id),
    await store.endpoints(id),
    await store.listEvents(id, 1000),
  ];
  return {
    runtimes: await Promise.all(ids.map(each)),
    workspaces: await store.listWorkspaces({}, EVERYTHING),
    incoming: await api.incoming(),
    told: { runtimes: [...api.told.runtimes], endpoints: [...api.told.endpoints] },
  };
}

interface Case {
  operation: OperationName;
  /** What is wrong, in a few words. */
  fault: string;
  ask?: Ask;
  code: ErrorCode;
  message: RegExp;
}

const all = Object.entries(operations) as [OperationName, Operation][];
const ENDPOINT = /\{agentRuntimeEndpointId\}/;

/** The least that each operation takes: what is wrong with a case is the only thing that is. */
function sound(operation: OperationName): Ask {
  const { path } = operationPaths[operation];
  const bodies: Partial<Record<OperationName, object>> = {
    CreateAgentRuntime: containerRuntime({ agentRuntimeName: 'never-made' }),
    UpdateAgentRuntime: {},
    CreateAgentRuntimeEndpoint: { agentRuntimeEndpointName: 'never-made' },
    UpdateAgentRuntimeEndpoint: {},
    PublishRuntimeVersion: {},
    CreateWorkspace: { name: 'never-made' },
    UpdateWorkspace: {},
  };
  return {
    ...(/\{agentRuntimeId\}/.test(path) && { id: 'ready' }),
    ...(/\{workspaceId\}/.test(path) && { id: 'workspace' }),
    ...(ENDPOINT.test(path) && { endpointId: 'readyEndpoint' }),
    ...(bodies[operation] && { body: bodies[operation] }),
  };
}

const shown = (value: unknown) => JSON.stringify(value) ?? 'undefined';
const literal = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Ids as no resource has them. What would change the path on its way is sent raw, further down. */
const MALFORMED = [
  'x',
  'ar-1',
  `${ABSENT}0`,
  ABSENT.slice(1),
  ABSENT.replaceAll('-', ''),
  `{${ABSENT}}`,
  `${ABSENT} `,
  'a/../b',
  '*',
  'ü',
  '0',
  'null',
];

const ofIds: Case[] = all.flatMap(([operation, { path }]) =>
  [...path.matchAll(/\{(\w+)\}/g)].flatMap(([, parameter]) => {
    const field = parameter === 'agentRuntimeEndpointId' ? 'endpointId' : 'id';
    const type = { agentRuntimeId: 'AgentRuntime', workspaceId: 'Workspace' }[parameter!];
    return [
      ...MALFORMED.map(
        (id): Case => ({
          operation,
          fault: `${parameter} ${shown(id)}`,
          ask: { [field]: id },
          code: 'ERR_BAD_REQUEST',
          message: new RegExp(`^${parameter} must be a UUID \\(got ${literal(shown(id))}\\)$`),
        }),
      ),
      {
        operation,
        fault: `an absent ${parameter}`,
        ask: { [field]: 'absent' },
        code: 'ERR_NOT_FOUND',
        message: new RegExp(
          `^${type ?? 'AgentRuntimeEndpoint'} '.*${ABSENT}' does not exist \\(not found\\)$`,
        ),
      } satisfies Case,
    ];
  }),
);

const ofPages: Case[] = all
  .filter(([, { query }]) => query?.shape.pageNumber)
  .flatMap(([operation]) =>
    ['pageNumber', 'pageSize'].flatMap((parameter) =>
      ['0', '-1', 'x', '1.5', '1e3', 'NaN', 'null', '99999999999', '１'].map(
        (value): Case => ({
          operation,
          fault: `${parameter} ${value}`,
          ask: { query: { [parameter]: value } },
          code: 'ERR_VALIDATION_FAILED',
          message: new RegExp(`^${parameter} must be an integer from 1 to \\d+ \\(got "${value}"\\)$`),
        }),
      ),
    ),
  );

/** For every field of a schema, at any depth, values of other types, each in a body of its own. */
function* wrongTypes(
  schema: z.ZodType,
  path: string,
): Generator<[string, (leaf: unknown) => unknown, unknown[]]> {
  const inner = schema instanceof z.ZodOptional ? (schema.unwrap() as z.ZodType) : schema;
  const here = (leaf: unknown) => leaf;
  if (inner instanceof z.ZodString) yield [path, here, [7, true, {}, ['a']]];
  else if (inner instanceof z.ZodNumber) yield [path, here, ['1', 'NaN', 'Infinity', true, {}, [1]]];
  else if (inner instanceof z.ZodBoolean) yield [path, here, ['true', 1, 0, {}, [true]]];
  else if (inner instanceof z.ZodEnum) yield [path, here, [7, true, {}, [], 'nonsense', '']];
  else if (inner instanceof z.ZodRecord) {
    yield [path, here, ['x', 7, true, ['a']]];
    yield [`${path}.KEY`, (leaf) => ({ KEY: leaf }), [7, true, {}, ['a']]];
  } else if (inner instanceof z.ZodArray) {
    yield [path, here, ['a', 7, true, {}]];
    for (const [at, wrap, values] of wrongTypes(inner.element as z.ZodType, `${path}[0]`))
      yield [at, (leaf) => [wrap(leaf)], values];
  } else if (inner instanceof z.ZodObject) {
    if (path !== '') yield [path, here, ['a', 7, true, []]];
    for (const [name, field] of Object.entries(inner.shape)) {
      const at = path === '' ? name : `${path}.${name}`;
      for (const [deeper, wrap, values] of wrongTypes(field as z.ZodType, at))
        yield [deeper, (leaf) => ({ [name]: wrap(leaf) }), values];
    }
  } else throw new Error(`No wrong values for ${path}, a ${inner.constructor.name}`);
}

const ofTypes: Case[] = all.flatMap(([operation, { body }]) =>
  body === undefined
    ? []
    : [...wrongTypes(body, '')].flatMap(([path, wrap, values]) =>
        values.map(
          (value): Case => ({
            operation,
            fault: `${path} ${shown(value)}`,
            ask: { body: { ...(sound(operation).body as object), ...(wrap(value) as object) } },
            code: 'ERR_VALIDATION_FAILED',
            message: new RegExp(`(^|; )${literal(path)} must `),
          }),
        ),
      ),
);

/** What must be given, left out and given as null, which says the same. */
const ofAbsence: Case[] = all.flatMap(([operation, { body }]) =>
  !(body instanceof z.ZodObject)
    ? []
    : Object.entries(body.shape)
        .filter(([, field]) => !(field instanceof z.ZodOptional))
        .flatMap(([field]) =>
          [undefined, null].map(
            (value): Case => ({
              operation,
              fault: `${field} ${shown(value)}`,
              ask: { body: { ...(sound(operation).body as object), [field]: value } },
              code: 'ERR_VALIDATION_FAILED',
              message: new RegExp(`^${field} is required$`, 'i'),
            }),
          ),
        ),
);

const ofDescriptions: Case[] = all
  .filter(([, { body }]) => body instanceof z.ZodObject && 'description' in body.shape)
  .map(([operation]) => ({
    operation,
    fault: 'a description of 257 characters',
    ask: { body: { ...(sound(operation).body as object), description: 'd'.repeat(257) } },
    code: 'ERR_VALIDATION_FAILED',
    message: /^description must have at most 256 characters \(got "d{79}…\)$/,
  }));

const W = 'routingConfiguration\\.versionWeights';
const weights = (...pairs: [unknown, unknown][]) => ({
  routingConfiguration: { versionWeights: pairs.map(([version, weight]) => ({ version, weight })) },
});

/** Of both endpoint writes; the runtime has versions 1 to 3. */
const ofTargets: Case[] = (['CreateAgentRuntimeEndpoint', 'UpdateAgentRuntimeEndpoint'] as const).flatMap(
  (operation) =>
    (
      [
        ['an unknown target', { targetVersion: '9' }, /^targetVersion "9" is no version of this runtime$/],
        ['a target of 0', { targetVersion: '0' }, /^targetVersion must be "LATEST" or an integer from 1/],
        ['a target in small letters', { targetVersion: 'latest' }, /^targetVersion must be "LATEST"/],
        ['weights for an unknown version', weights(['7', 1]), `${W}\\[0\\]\\.version "7" is no version`],
        ['weights for version 0', weights(['0', 1]), `${W}\\[0\\]\\.version "0" is no version`],
        ['a negative weight', weights(['1', -0.1]), `${W}\\[0\\]\\.weight must be over 0`],
        [
          'a weight that is no number',
          weights(['1', 'NaN']),
          `${W}\\[0\\]\\.weight must be a number \\(got "NaN"\\)`,
        ],
        ['a weight of null', weights(['1', null]), `${W}\\[0\\]\\.weight is required`],
        ['no weight', weights(['1', undefined]), `${W}\\[0\\]\\.weight is required`],
        ['weight for no version', weights([undefined, 1]), `${W}\\[0\\]\\.version is required`],
        ['one version twice', weights(['1', 0.5], ['1', 0.5]), `${W}\\[1\\]\\.version "1" is named twice`],
        [
          'LATEST and its number',
          weights(['LATEST', 0.5], ['3', 0.5]),
          `${W}\\[1\\]\\.version "3" is named twice`,
        ],
        ['fractions over 1', weights(['1', 0.6], ['2', 0.6]), `${W} must sum to at most 1 \\(got 1\\.2\\)`],
        ['percents over 100', weights(['1', 60], ['2', 60]), `${W} must sum to at most 100 \\(got 120\\)`],
        ['one over 100', weights(['1', 101]), `${W} must sum to at most 100 \\(got 101\\)`],
        [
          'more instances than may be',
          { scalingConfig: { minInstances: 11 } },
          /^scalingConfig\.minInstances must be at most 10/,
        ],
      ] as const
    ).map(
      ([fault, fields, message]): Case => ({
        operation,
        fault,
        ask: { body: { ...(sound(operation).body as object), ...fields } },
        code: 'ERR_VALIDATION_FAILED',
        message: new RegExp(message),
      }),
    ),
);

const ofReadiness: Case[] = (
  ['CreateAgentRuntimeEndpoint', 'UpdateAgentRuntimeEndpoint', 'PublishRuntimeVersion'] as const
).flatMap((operation) =>
  (['creating', 'createFailed', 'deleting', 'deleteFailed'] as const).map((stage) => ({
    operation,
    fault: `a runtime in ${STAGES[stage]}`,
    ask: {
      id: stage,
      ...(operation === 'UpdateAgentRuntimeEndpoint' && { endpointId: `${stage}Endpoint` }),
    },
    code: 'ERR_RUNTIME_NOT_READY' as const,
    message: new RegExp(`^runtime must be in READY status \\(AgentRuntime '.*' is in ${STAGES[stage]}\\)$`),
  })),
);

const single: Case[] = [
  {
    operation: 'CreateAgentRuntime',
    fault: 'a name that is taken',
    ask: { body: containerRuntime({ agentRuntimeName: '$readyName' }) },
    code: 'ERR_ALREADY_EXISTS',
    message: /^AgentRuntime '.*' already exists$/,
  },
  {
    operation: 'CreateAgentRuntime',
    fault: 'the name of one that is being deleted',
    ask: { body: containerRuntime({ agentRuntimeName: '$deletingName' }) },
    code: 'ERR_ALREADY_EXISTS',
    message: /already exists/,
  },
  {
    operation: 'CreateAgentRuntime',
    fault: 'a workspace that is not there',
    ask: { body: containerRuntime({ workspaceId: ABSENT }) },
    code: 'ERR_VALIDATION_FAILED',
    message: /^workspaceId names no workspace; ListWorkspaces has those there are \(got "/,
  },
  {
    operation: 'CreateAgentRuntime',
    fault: 'neither package nor bucket',
    ask: { body: containerRuntime({ artifactType: 'Code', codeConfiguration: { language: 'nodejs20' } }) },
    code: 'ERR_VALIDATION_FAILED',
    message: /^codeConfiguration\.zipFile is required/,
  },
  {
    operation: 'CreateAgentRuntime',
    fault: 'no image',
    ask: { body: containerRuntime({ containerConfiguration: {} }) },
    code: 'ERR_VALIDATION_FAILED',
    message: /^containerConfiguration\.image is required/,
  },
  {
    operation: 'GetAgentRuntime',
    fault: 'a version that is none',
    ask: { query: { agentRuntimeVersion: '9' } },
    code: 'ERR_NOT_FOUND',
    message: /^Version '9' of AgentRuntime '.*' does not exist \(not found\)$/,
  },
  {
    operation: 'UpdateAgentRuntime',
    fault: 'the name of another',
    ask: { body: { agentRuntimeName: '$creatingName' } },
    code: 'ERR_ALREADY_EXISTS',
    message: /already exists/,
  },
  {
    operation: 'UpdateAgentRuntime',
    fault: 'a workspace that is not there',
    ask: { body: { workspaceId: ABSENT } },
    code: 'ERR_VALIDATION_FAILED',
    message: /^workspaceId names no workspace/,
  },
  ...(['deleting', 'deleteFailed'] as const).map(
    (id): Case => ({
      operation: 'UpdateAgentRuntime',
      fault: `a runtime in ${STAGES[id]}`,
      ask: { id, body: { cpu: 2 } },
      code: 'ERR_NOT_FOUND',
      message: /does not exist/,
    }),
  ),
  ...(['ListAgentRuntimes', 'ListAgentRuntimeEndpoints'] as const).map(
    (operation): Case => ({
      operation,
      fault: 'a search mode that is none',
      ask: { query: { searchMode: 'regex' } },
      code: 'ERR_VALIDATION_FAILED',
      message: /^searchMode must be one of exact, fuzzy \(got "regex"\)$/,
    }),
  ),
  {
    operation: 'CreateAgentRuntimeEndpoint',
    fault: 'a name that is taken',
    ask: { body: { agentRuntimeEndpointName: 'prod' } },
    code: 'ERR_ALREADY_EXISTS',
    message: /^AgentRuntimeEndpoint '.*\/prod' already exists$/,
  },
  {
    operation: 'CreateAgentRuntimeEndpoint',
    fault: 'a weight of 0',
    ask: { body: { agentRuntimeEndpointName: 'never-made', targetVersion: '1', ...weights(['2', 0]) } },
    code: 'ERR_VALIDATION_FAILED',
    message: /weight must be over 0 \(got 0\)$/,
  },
  {
    operation: 'CreateAgentRuntimeEndpoint',
    fault: 'a rest that nobody takes',
    ask: { body: { agentRuntimeEndpointName: 'never-made', ...weights(['2', 0.5]) } },
    code: 'ERR_VALIDATION_FAILED',
    message: /sum to 0\.5 of 1: targetVersion is required to take the rest$/,
  },
  {
    operation: 'UpdateAgentRuntimeEndpoint',
    fault: 'the name of another',
    ask: { body: { agentRuntimeEndpointName: 'other' } },
    code: 'ERR_ALREADY_EXISTS',
    message: /already exists/,
  },
  ...(['GetAgentRuntimeEndpoint', 'UpdateAgentRuntimeEndpoint', 'DeleteAgentRuntimeEndpoint'] as const).map(
    (operation): Case => ({
      operation,
      fault: "another runtime's endpoint",
      ask: { endpointId: 'creatingEndpoint' },
      code: 'ERR_NOT_FOUND',
      message: /^AgentRuntimeEndpoint '.*' does not exist/,
    }),
  ),
  ...['empty', 'default'].map(
    (name): Case => ({
      operation: 'CreateWorkspace',
      fault: `the name ${name}, which is taken`,
      ask: { body: { name } },
      code: 'ERR_ALREADY_EXISTS',
      message: new RegExp(`^Workspace '${name}' already exists$`),
    }),
  ),
  {
    operation: 'DeleteWorkspace',
    fault: 'one that holds a runtime, if only one that is being deleted',
    ask: { id: 'busyWorkspace' },
    code: 'ERR_WORKSPACE_IN_USE',
    message: /^Workspace 'busy' still holds 1 runtime: agent-\d+ \(DELETING\)\. Delete them, or move them/,
  },
  {
    operation: 'DeleteWorkspace',
    fault: 'the default one',
    ask: { id: 'defaultWorkspace' },
    code: 'ERR_WORKSPACE_IN_USE',
    message: /^Workspace 'default' is the default one/,
  },
];

const cases = [
  ...ofIds,
  ...ofPages,
  ...ofAbsence,
  ...ofDescriptions,
  ...ofTargets,
  ...ofReadiness,
  ...single,
  ...ofTypes,
];
/** Operations that the table leaves out: the whole of them is in another file. */
const ELSEWHERE: readonly OperationName[] = ['GetAccessToken'];
/** Errors that are tried elsewhere: of bodies as such in `transport.test.ts`, of a full disk where there is one. */
const ERRORS_ELSEWHERE: readonly ErrorCode[] = [
  'ERR_PAYLOAD_TOO_LARGE',
  'ERR_UNSUPPORTED_MEDIA_TYPE',
  'ERR_INSUFFICIENT_STORAGE',
  // In `idempotency.test.ts`.
  'ERR_IDEMPOTENCY_CONFLICT',
];

describe('the table of refusals', () => {
  it('has a case for every error that an operation declares', () => {
    for (const [operation, { errors }] of all) {
      if (ELSEWHERE.includes(operation)) continue;
      for (const code of errors) {
        if (ERRORS_ELSEWHERE.includes(code)) continue;
        const has = cases.some((one) => one.operation === operation && one.code === code);
        expect([operation, code, has]).toEqual([operation, code, true]);
      }
    }
  });
});

const inTable = all.filter(([operation]) => !ELSEWHERE.includes(operation));

describe.each(inTable)('%s refuses', (operation) => {
  const own = cases.filter((one) => one.operation === operation);

  it.each(own)('$fault', async ({ ask = {}, code, message }) => {
    const answer = await api.call(operation, resolved({ ...sound(operation), ...ask }));
    expect(answer).toMatchObject({ status: errorTable[code].status, code });
    expect(answer.message).toMatch(message);
    expect(await snapshot()).toEqual(before);
  });
});

/** Names of resources into their ids: in the path, and after `$` in bodies. */
function resolved({ id, endpointId, body, ...rest }: Ask): Ask {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return {
    ...rest,
    ...(id !== undefined && { id: there[id] ?? id }),
    ...(endpointId !== undefined && { endpointId: there[endpointId] ?? endpointId }),
    ...(text !== undefined && { body: text.replace(/\$(\w+Name)/g, (_, name: string) => there[name]!) }),
  };
}

describe('a path that is sent as it is', () => {
  const ids = [
    '%2e%2e',
    '%2e%2e%2f',
    '..%2f..%2fworkspaces',
    '%2E%2E%5C',
    '%252e%252e%252f',
    '.%00',
    '%00',
    `${ABSENT}%00`,
    `${ABSENT}%2f`,
    `${ABSENT}%2fendpoints`,
    `%20${ABSENT}`,
    `${ABSENT};v=1`,
  ];
  const places = all.flatMap(([operation, { method, path }]) =>
    [...path.matchAll(/\{(\w+)\}/g)].map(([placeholder]) => ({ operation, method, path, placeholder })),
  );

  it.each(places)(
    'leads nowhere else by $placeholder of $operation',
    async ({ method, path, placeholder }) => {
      for (const id of ids) {
        const target = path
          .replace(placeholder, id)
          .replace('{agentRuntimeId}', there.ready!)
          .replace('{agentRuntimeEndpointId}', there.readyEndpoint!);
        const body = method === 'POST' || method === 'PUT' ? '{}' : '';
        const answer = await sendBytes(
          await api.socket(),
          head(method, target, { 'content-length': body.length, connection: 'close' }),
          body,
        );
        expect([id, answer.status, answer.code]).toEqual([id, 400, 'ERR_BAD_REQUEST']);
        expect(answer.message).toMatch(/^\w+Id must be a UUID \(got "/);
      }
      expect(await snapshot()).toEqual(before);
    },
  );

  it('is none, or has another method: nothing changes', async () => {
    for (const [method, path, status] of [
      ['POST', '/2025-09-10/agents/runtime', 404],
      ['POST', '/2025-09-10/agents/runtimes/', 405],
      ['DELETE', '/2025-09-10/agents/runtimes', 405],
      ['POST', `/2025-09-10/agents/runtimes/${there.ready}`, 405],
      ['PATCH', `/2025-09-10/agents/runtimes/${there.ready}`, 405],
      ['DELETE', '/2025-09-10/workspaces', 405],
      ['GET', `/2025-09-10/workspaces/${there.workspace}/discovery/endpoints`, 404],
      ['PUT', `/2025-09-10/workspaces/${there.workspace}/discovery/endpoints`, 404],
      ['DELETE', `/2025-09-10/agents/runtimes/${there.ready}/versions`, 405],
      ['DELETE', `/2025-09-10/agents/runtimes/${there.ready}/versions/1`, 404],
    ] as const) {
      expect([method, path, (await api.send({ method, url: path })).status]).toEqual([method, path, status]);
    }
    expect(await snapshot()).toEqual(before);
  });

  it('decides which operation is meant: an action field that says another is refused', async () => {
    for (const [action, status] of [
      ['GetAgentRuntime', 200],
      ['', 200],
      ['DeleteAgentRuntime', 400],
      ['Nonsense', 400],
    ] as const) {
      const headers = { 'x-acs-action': action };
      const answer = await api.call('GetAgentRuntime', { id: there.ready!, headers });
      expect([action, answer.status]).toEqual([action, status]);
      if (status === 400) expect(answer.message).toMatch(/x-acs-action must be GetAgentRuntime/);
    }
    expect(await snapshot()).toEqual(before);
  });
});
