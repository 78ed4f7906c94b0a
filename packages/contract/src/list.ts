import { z } from 'zod';
import { PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, VERSION_PATTERN } from './limits.ts';

/**
 * Query parameters of lists, as they arrive: strings (contract: list query parameters). The server takes an empty one for
 * absent before it reads them. What the OpenAPI document says of one, where that is more than its schema, stands under
 * `parameter` in its metadata.
 */

/** What 32-bit clients can name; a page that far behind the last is empty. */
const PAGE_NUMBER_MAX = 2_147_483_647;
/** Beyond this a size is a mistake rather than a wish for everything. */
const PAGE_SIZE_ACCEPTED_MAX = 999_999_999;

const wholeNumber = (max: number, standard: number, description: string) =>
  z
    .string()
    .refine((value) => /^[1-9][0-9]{0,9}$/.test(value) && Number(value) <= max, {
      message: `must be an integer from 1 to ${max}`,
    })
    .transform(Number)
    .optional()
    .meta({
      parameter: { description, schema: { type: 'integer', minimum: 1, maximum: max, default: standard } },
    });

const paging = {
  pageNumber: wholeNumber(PAGE_NUMBER_MAX, 1, 'From 1.'),
  pageSize: wholeNumber(
    PAGE_SIZE_ACCEPTED_MAX,
    PAGE_SIZE_DEFAULT,
    `At most ${PAGE_SIZE_MAX}; more is taken as ${PAGE_SIZE_MAX}.`,
  ),
};

export const SearchMode = z.enum(['exact', 'fuzzy']);
const searchMode = (of: string) =>
  SearchMode.optional().meta({
    parameter: {
      description: `How ${of} is matched. fuzzy: contained, letter case aside.`,
      schema: { type: 'string', enum: SearchMode.options, default: 'fuzzy' },
    },
  });

/** Several values joined by commas; spaces around them do not count. */
const list = (description: string, items: object = { type: 'string' }) =>
  z
    .string()
    .transform((value) =>
      value
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== ''),
    )
    .optional()
    .meta({
      parameter: { description, style: 'form', explode: false, schema: { type: 'array', items } },
    });

const ignored = z
  .string()
  .optional()
  .meta({ parameter: { description: 'Ignored.', deprecated: true, schema: { type: 'string' } } });

export const ListAgentRuntimesQuery = z.object({
  ...paging,
  agentRuntimeName: z.string().optional(),
  searchMode: searchMode('agentRuntimeName'),
  status: list('Any of these; a value that is no status matches nothing, and is warned of.', {
    $ref: '#/components/schemas/ResourceStatus',
  }),
  systemTags: list('All of these.'),
  workspaceId: z.string().optional(),
  workspaceIds: list('Any of these, and that of workspaceId.'),
  resourceGroupId: ignored,
  discoveryResourceGroupId: ignored,
});

export const ListAgentRuntimeEndpointsQuery = z.object({
  ...paging,
  endpointName: z.string().optional(),
  searchMode: searchMode('endpointName'),
});

export const ListAgentRuntimeVersionsQuery = z.object(paging);

/** Clients declare the two page parameters of this list as strings; on the wire they are the same as elsewhere. */
export const ListWorkspacesQuery = z.object({
  ...paging,
  name: z
    .string()
    .optional()
    .meta({
      parameter: { description: 'Contained in the name, letter case aside.', schema: { type: 'string' } },
    }),
  resourceGroupId: z
    .string()
    .optional()
    .meta({ parameter: { description: 'Exactly this.', schema: { type: 'string' } } }),
});

export const GetAgentRuntimeQuery = z.object({
  agentRuntimeVersion: z
    .string()
    .optional()
    .meta({
      parameter: {
        description: 'A version number or LATEST: that version as it is. Absent: the desired configuration.',
        schema: { type: 'string', pattern: VERSION_PATTERN.source },
      },
    }),
});

export type ListAgentRuntimesQuery = z.infer<typeof ListAgentRuntimesQuery>;
export type ListAgentRuntimeEndpointsQuery = z.infer<typeof ListAgentRuntimeEndpointsQuery>;
export type ListAgentRuntimeVersionsQuery = z.infer<typeof ListAgentRuntimeVersionsQuery>;
export type ListWorkspacesQuery = z.infer<typeof ListWorkspacesQuery>;

/** What a caller passes for a list: the same parameters before they are strings. */
export interface PageInput {
  pageNumber?: number;
  pageSize?: number;
}
export interface AgentRuntimeListInput extends PageInput {
  agentRuntimeName?: string;
  searchMode?: 'exact' | 'fuzzy';
  /** One status, or several joined by commas. */
  status?: string;
  systemTags?: string;
  workspaceId?: string;
  workspaceIds?: string;
}
export interface AgentRuntimeEndpointListInput extends PageInput {
  endpointName?: string;
  searchMode?: 'exact' | 'fuzzy';
}
export type AgentRuntimeVersionListInput = PageInput;

/** The `data` of every list. */
export interface Page<T> {
  items: T[];
  total: number;
  pageNumber: number;
  pageSize: number;
}

/** The `data` of the list of workspaces, whose array has another name; the numbers are numbers here too. */
export interface WorkspacePage<T> extends Omit<Page<T>, 'items'> {
  workspaces: T[];
}
