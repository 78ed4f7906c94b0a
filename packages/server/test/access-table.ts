import { type OperationName, operationPaths } from '@runstead/contract';
import { includesRole, ROLES } from '../src/auth/keys.ts';
import { type ExtensionName, permissions } from '../src/auth/permissions.ts';

/** Who is let in where: `docs/access.md` is written from this, and a test holds each cell against the server. */

export const CREDENTIALS = [
  'none',
  'invoke',
  'deploy',
  'admin',
  'acs3',
  'agentrun4',
  'token',
  'credential',
  'other',
] as const;
export type Credential = (typeof CREDENTIALS)[number];

/** As the table's head has them. */
export const CREDENTIAL_TITLES: Record<Credential, string> = {
  none: 'none',
  invoke: '`rsk_…`, role `invoke`',
  deploy: '`rsk_…`, role `deploy`',
  admin: '`rsk_…`, role `admin`',
  acs3: 'ACS3 signature, role `admin`',
  agentrun4: 'AGENTRUN4 signature',
  token: 'access token',
  credential: '`rck_…`',
  other: 'another bearer',
};

/** `allowed`, or the answer: its status and code. */
export type Cell = 'allowed' | `${number} ${string}`;
export type Cells = Readonly<Record<Credential, Cell>>;

const DENIED = '401 AccessDenied';
const UNKNOWN = '401 InvalidAccessKeyId.NotFound';
const FOREIGN = '404 ERR_NOT_FOUND';

/** On the control plane: every operation, by what its key may. */
export function operationCells(name: OperationName | ExtensionName): Cells {
  const { role: needed } = permissions[name];
  const byRole = Object.fromEntries(
    ROLES.map((role) => [role, includesRole(role, needed) ? 'allowed' : '403 NoPermission']),
  ) as Record<(typeof ROLES)[number], Cell>;
  return {
    ...byRole,
    none: DENIED,
    acs3: byRole.admin,
    agentrun4: DENIED,
    token: DENIED,
    credential: UNKNOWN,
    other: UNKNOWN,
  };
}

const everybody = (cell: Cell): Cells =>
  Object.fromEntries(CREDENTIALS.map((credential) => [credential, cell])) as Record<Credential, Cell>;

/** Paths that are no operations. */
export const otherPaths: Readonly<Record<string, Cells>> = {
  '/docs': {
    ...everybody('allowed'),
    none: DENIED,
    agentrun4: DENIED,
    token: DENIED,
    credential: UNKNOWN,
    other: UNKNOWN,
  },
  '/health': everybody('allowed'),
};

export interface DataAccess {
  /** As the table has it. */
  title: string;
  /** Of the runtime. */
  credentialName?: string;
  host: 'plain' | '-ram';
  anonymousCalls: boolean;
  /** Whether the keys and credentials that are sent are for the runtime's workspace. */
  reach: 'own' | 'other';
  cells: Cells;
}

const platformKeys = (cell: Cell) => ({
  invoke: cell,
  deploy: cell,
  admin: cell,
  agentrun4: cell,
  token: cell,
});
const plain = { host: 'plain', anonymousCalls: true, reach: 'own' } as const;
const onlySigned: Cells = { ...everybody(DENIED), agentrun4: 'allowed' };

/** On the data plane: calls to a runtime, by what the runtime and the server ask for. */
export const dataAccess: readonly DataAccess[] = [
  { ...plain, title: 'a runtime', cells: { ...everybody('allowed'), acs3: DENIED } },
  {
    ...plain,
    title: 'a runtime, `RUNSTEAD_ANONYMOUS_CALLS=no`',
    anonymousCalls: false,
    cells: { ...everybody(DENIED), ...platformKeys('allowed') },
  },
  {
    ...plain,
    title: 'a runtime with a `credentialName`',
    credentialName: 'partner',
    cells: { ...everybody(DENIED), ...platformKeys('allowed'), credential: 'allowed' },
  },
  { ...plain, title: 'a runtime, on a `-ram` host', host: '-ram', cells: onlySigned },
  {
    ...plain,
    title: 'a runtime with a `credentialName`, on a `-ram` host',
    credentialName: 'partner',
    host: '-ram',
    cells: onlySigned,
  },
  {
    ...plain,
    title: 'a runtime, with keys for other workspaces',
    reach: 'other',
    cells: { ...everybody('allowed'), ...platformKeys(FOREIGN), acs3: DENIED },
  },
  {
    ...plain,
    title: 'a runtime with a `credentialName`, with keys for other workspaces',
    credentialName: 'partner',
    reach: 'other',
    cells: { ...everybody(DENIED), ...platformKeys(FOREIGN) },
  },
];

/** Operations with their routes, as `extensionPaths` has those beyond the contract. */
export function routesOf(
  extensionPaths: Readonly<Record<ExtensionName, { method: string; path: string }>>,
): { name: OperationName | ExtensionName; method: string; path: string }[] {
  const all = { ...operationPaths, ...extensionPaths };
  return (Object.keys(permissions) as (OperationName | ExtensionName)[]).map((name) => ({
    name,
    ...all[name],
  }));
}
